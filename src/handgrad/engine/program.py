"""A network in the engine's structures: its parameters bound, and the calls into the library."""

import ctypes
from collections.abc import Mapping
from ctypes import byref, c_void_p, pointer
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from handgrad.arrays import Array
from handgrad.engine import library
from handgrad.engine.plan import CONV, DENSE, DROPOUT, Step, has_known_layers, planned
from handgrad.engine.rules import InPlace
from handgrad.network import Network
from handgrad.network_losses import LOSSES

_LOSSES = ("softmax", "logistic", "svm", "multilabel", "mse", "mae", "huber")  # csrc/losses.c
_BY_CLASS = ("softmax", "logistic", "svm")
_MANY = 256  # features: a row is longer than some cache lines
_SCORED_AT_ONCE = 256  # examples whose activations lie in memory at the same time


class Targets(NamedTuple):
    """What examples shall give, as the engine reads it.

    Attributes
    ----------
    labels : array (N,) of int64
        Classes, or -1 and 1; None for losses of numbers.
    values : array (N, M) in the network's dtype
        What is predicted, or 0 and 1 for each of several labels; None for losses of classes.
    weights : array (N,) of float64
        None where all weigh the same.
    """

    labels: Array | None = None
    values: Array | None = None
    weights: Array | None = None

    def at(self, rows: Array) -> "Targets":
        """Those of some rows, in their order."""
        return Targets(*(None if part is None else part[rows] for part in self))

    def pointers(self) -> library.Targets:
        """Where they lie."""
        return library.Targets(*(None if part is None else part.ctypes.data for part in self))


class Program:
    """A network as the engine runs it.

    Parameters
    ----------
    network : Network
        Read at every call: whose arrays they are may change in between.
    level : int, optional
        Of the processor (``build.LEVELS``); the highest that it can run by default.
    """

    def __init__(self, network: Network, level: int | None = None) -> None:
        found = library.load(network.dtype, level)
        assert found is not None
        self.network, self._library = network, found
        self.steps = planned(network)
        names = list(network.params)
        self.params = (library.Param * max(1, len(names)))()
        self._place = {name: place for place, name in enumerate(names)}
        self._layers = (library.Layer * len(self.steps))()
        lanes = int(found.hg_lanes())
        for place, step in enumerate(self.steps):
            # The rows that are given are taken as they are, by layers that take any.
            as_given = place == 0 and step.kind in (CONV, DENSE)
            self._fill(self._layers[place], step, 1 if as_given else lanes, lanes)
        for name, param in zip(names, self.params, strict=False):
            param.size, param.penalised = network.params[name].size, name in network.penalised
        with_parameters = [i for i, step in enumerate(self.steps) if step.names]
        option = next(iter(network.loss_options.values()), 0.0)
        self._net = library.Net(
            self._layers, self.params, len(self.steps), len(names),
            with_parameters[0] if with_parameters else len(self.steps),
            library.Loss(_LOSSES.index(network.loss_name), option), network.reg,
        )  # fmt: skip
        found.hg_prepare(byref(self._net))
        self._shapes = {name: w.shape for name, w in (network.params | network.state).items()}
        self._bound: dict[str, Array] = {}
        self._kept: list[Array] = []
        self._stale = True
        self._has_dropout = any(step.kind == DROPOUT for step in self.steps)

    def __del__(self) -> None:
        """Give the engine's memory back."""
        if hasattr(self, "_net"):
            self._library.hg_free(byref(self._net))

    def _fill(self, layer: library.Layer, step: Step, before: int, lanes: int) -> None:
        layer.kind, layer.relu, layer.keep = step.kind, step.relu, step.keep
        layer.in_, layer.out = _shape(step.before, before), _shape(step.after, lanes)
        layer.pool, layer.pool_step = step.pool
        layer.function, layer.slope, layer.eps = step.function, step.slope, step.eps
        if step.conv is not None:
            conv = step.conv
            layer.size, layer.step, layer.padding = conv.size, conv.stride, conv.padding
        if step.norm is not None:
            layer.normed = step.kind == CONV
            layer.momentum, layer.eps = step.norm.momentum, step.norm.eps
        for own, field in (("W", "w"), ("b", "b"), ("gamma", "gamma"), ("beta", "beta")):
            if own in step.names:
                place = self._place[step.names[own]]
                setattr(layer, field, pointer(self.params[place]))

    # arrays ---------------------------------------------------------------------------------

    def bind(self) -> None:
        """Let the engine read the network's parameters and state as they are now."""
        network = self.network
        now = network.params | network.state
        if not self._stale and all(self._bound[name] is array for name, array in now.items()):
            return
        for name, array in now.items():
            if array.shape != self._shapes[name]:  # the engine would read on behind its end
                raise ValueError(
                    f"Network: {name} must have the shape {self._shapes[name]}; got {array.shape}"
                )
        self._bound, self._kept, self._stale = now, [], False
        for name, place in self._place.items():
            self.params[place].w = self._address(network.params[name])
        for layer, step in zip(self._layers, self.steps, strict=True):
            for own in ("running_mean", "running_var"):
                if own in step.names:
                    setattr(layer, own, self._address(network.state[step.names[own]]))

    def _address(self, array: Array) -> int:
        """Where an array lies in the form that the engine takes, which may be a copy of it."""
        taken = np.require(array, self.network.dtype, ("C", "A"))
        if taken is not array:
            self._stale = True  # the original may change
            self._kept.append(taken)
        return taken.ctypes.data

    # calls ----------------------------------------------------------------------------------

    def scores(self, X: ArrayLike, away: float = 0.0) -> Array:
        """Give test-mode scores, as ``network.loss(X)`` does.

        away: what most numbers of rows for a dense layer are (see ``background``).
        """
        network = self.network
        X = np.require(network.examples(X), network.dtype, ("C", "A"))
        out = np.empty((len(X), *network.output_shape), network.dtype)
        self.bind()
        call = library.Call(
            X=X.ctypes.data, count=len(X), batch=_SCORED_AT_ONCE, scores=out.ctypes.data,
            background=away if self.steps[0].kind == DENSE else 0.0, threads=library.threads(),
        )  # fmt: skip
        if len(X):
            _require_memory(self._library.hg_scores(byref(self._net), byref(call)), call)
        return network.as_scores(out)

    def loss(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, dict[str, Array]]:
        """Give the training loss and its gradients, as ``network.loss`` does."""
        return self.gradients(X, targets(self.network, len(np.asarray(X)), y, sample_weight))

    def backward(self, X: ArrayLike, dout: Array) -> dict[str, Array]:
        """Give the gradients of sum(out * dout), out (N, C) the last layer's training output.

        The penalty is in them; dout in the network's dtype.
        """
        wanted = (len(np.asarray(X)), *self.network.output_shape)
        if dout.shape != wanted:
            raise ValueError(f"dout must have the shape {wanted}; got {dout.shape}")
        return self.gradients(X, Targets(), np.ascontiguousarray(dout))[1]

    def gradients(
        self, X: ArrayLike, wanted: Targets, dout: Array | None = None
    ) -> tuple[float, dict[str, Array]]:
        """Give the loss of some rows and its gradients; or those of sum(out * dout)."""
        network = self.network
        X = np.require(network.examples(X), network.dtype, ("C", "A"))
        grads = {name: np.empty(w.shape, network.dtype) for name, w in network.params.items()}
        for name, grad in grads.items():
            self.params[self._place[name]].dw = grad.ctypes.data
            self.params[self._place[name]].rule = 0
        for name, array in network.state.items():  # moved in place
            network.state[name] = network.cast(array).copy()
        with np.errstate(over="ignore", invalid="ignore"):
            away = background(self.steps, X)
        losses = self.train(X, None, wanted, len(X), [0.0], away, dout)
        return losses[0], grads

    def train(
        self, X: Array, rows: Array | None, wanted: Targets, batch: int, rates: list[float],
        background: float = 0.0, upstream: Array | None = None,
    ) -> list[float]:  # fmt: skip
        """Take a step for each batch of X[rows]; give the losses, up to one that is not finite.

        X in the network's dtype and contiguous; rows of int64; wanted: of each row to train on;
        upstream: the gradient of the output, in place of the loss's.
        """
        self.bind()
        losses, steps = np.empty(len(rates)), np.array(rates)
        call = library.Call(
            X=X.ctypes.data, rows=None if rows is None else rows.ctypes.data,
            targets=wanted.pointers(), count=len(X if rows is None else rows), batch=batch,
            rates=steps.ctypes.data,
            losses=losses.ctypes.data, background=background, threads=library.threads(),
            upstream=None if upstream is None else upstream.ctypes.data,
        )  # fmt: skip
        if self._has_dropout:
            generator = self.network.rng.bit_generator
            call.draws_state = generator.ctypes.state_address
            call.next_double = ctypes.cast(generator.ctypes.next_double, c_void_p)
            with generator.lock:
                done = self._library.hg_train(byref(self._net), byref(call))
        else:
            done = self._library.hg_train(byref(self._net), byref(call))
        _require_memory(done, call)
        found: list[float] = losses[:done].tolist()
        return found

    def step_by(
        self, rules: Mapping[str, InPlace], states: Mapping[str, tuple[Array, Array]],
        counts: Mapping[str, int],
    ) -> None:  # fmt: skip
        """Step each parameter by its rule, with its state; counts: the steps there were."""
        for name, rule in rules.items():
            param = self.params[self._place[name]]
            param.rule, param.a, param.b = rule.kind, rule.a, rule.b
            param.epsilon, param.decay = rule.epsilon, rule.decay
            param.t = counts[name]
            param.first, param.second = (array.ctypes.data for array in states[name])

    def steps_taken(self, name: str) -> int:
        """How many steps of a parameter there were."""
        return int(self.params[self._place[name]].t)


def _require_memory(done: int, call: library.Call) -> None:
    if done < 0:
        batch = min(call.batch, call.count)
        raise MemoryError(f"there is no memory for a batch of {batch} examples")


def _shape(shape: tuple[int, ...], lanes: int) -> library.Shape:
    """Whole vectors of channels; rows of many features an odd number of cache lines apart.

    In an even one their columns would fall on few places of the L1 cache.
    """
    c, h, w = shape if len(shape) == 3 else (*shape, 1, 1)
    stride = -(-c // lanes) * lanes
    if len(shape) == 1 and lanes > 1 and stride >= _MANY:
        stride = (stride + 31) // 32 * 32 + 16
    return library.Shape(c, h, w, stride)


def runs(network: Network) -> bool:
    """Whether the engine is there, and has all of the network's layers."""
    if not has_known_layers(network) or library.load(network.dtype) is None:
        return False
    return all(array.size for array in network.params.values())


def targets(
    network: Network, count: int, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> Targets:
    """Check labels or targets, and weights, of so many examples as the loss does."""
    y = np.asarray(y)
    nothing = np.zeros((count, *network.output_shape), network.dtype)
    LOSSES[network.loss_name].function(nothing, y, sample_weight=sample_weight)
    weights = None if sample_weight is None else np.ascontiguousarray(sample_weight, np.float64)
    if network.loss_name not in _BY_CLASS:
        values = np.ascontiguousarray(y.reshape(nothing.shape), network.dtype)
        return Targets(values=values, weights=weights)
    if network.loss_name == "softmax":
        return Targets(np.ascontiguousarray(y, np.int64), weights=weights)
    return Targets(np.where(y.reshape(-1) == 1, np.int64(1), np.int64(-1)), weights=weights)


def background(steps: list[Step], X: Array) -> float:
    """Give the number that is to be taken from all of X, by a sample of rows; 0 for none.

    In front of a dense layer that is what most of X's numbers are: without it most products are
    with zero, and passed over. It is the median: in images the background's, on whatever scale they
    are; but not a table's -999 for what is missing, next to which (x - c)^T d + c 1^T d would lose
    the digits of all other x. In front of a convolution with batch norm it is the mean of images
    far from zero, whose digits the norm would lose.
    """
    if len(X) == 0:
        return 0.0
    some = X[:: max(1, len(X) // 8)][:8]
    if steps[0].kind == CONV and steps[0].norm is not None:
        mean, spread = float(some.mean()), float(some.std())
        return mean if np.isfinite(mean) and abs(mean) > 2 * spread else 0.0
    if steps[0].kind != DENSE:
        return 0.0
    middle = float(np.median(some))
    others = np.abs(some[some != middle])
    if not np.isfinite(middle) or 2 * others.size > some.size or not others.size:
        return 0.0
    far = abs(middle) > 8 * np.median(others)
    return 0.0 if far else float(some.dtype.type(middle))
