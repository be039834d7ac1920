"""A network's passes and steps by fused layers: what `handgrad.network` does, on fewer passes."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from handgrad import layers, optim
from handgrad.arrays import Array, underflow_is_zero
from handgrad.descriptions import Context
from handgrad.engine import kernels
from handgrad.engine.fused import ConvBlock, DenseBlock, fuse
from handgrad.engine.rules import InPlace, owned
from handgrad.network import Network


def _softmax_loss(x: Array, y: ArrayLike) -> tuple[float, Array]:
    """layers.softmax_loss: by the kernel, where the labels are classes; refused by the layer."""
    y = np.asarray(y)
    if y.dtype.kind in "biuf" and y.shape == x.shape[:1] and len(y):
        with np.errstate(invalid="ignore"):  # a NaN is no class
            classes = y.astype(np.int64, copy=False)
        whole = y.dtype.kind != "f" or bool((classes == y).all())
        if whole and classes.min() >= 0 and classes.max() < x.shape[1]:
            loss, dx = kernels.softmax(x, classes)
            return loss, dx
    return layers.softmax_loss(x, y)


_LOSSES: Mapping[str, Callable[[Array, ArrayLike], tuple[float, Array]]] = {
    "logistic": layers.logistic_loss,
    "svm": layers.svm_loss,
    "softmax": _softmax_loss,
}


class Graph:
    """A network's layers, fused where several are one kernel.

    Parameters
    ----------
    network : Network
        Its parameters and state are read, and state is moved, where the network has them.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        steps = fuse(list(network.named_layers))
        with_parameters = [i for i, (_, names) in enumerate(steps) if names]
        # The backward pass ends here: nothing below has a parameter to move.
        self._first = with_parameters[0] if with_parameters else len(steps)
        self._steps = [
            (replace(step, first=True), names)
            if position == self._first and isinstance(step, ConvBlock)
            else (step, names)
            for position, (step, names) in enumerate(steps)
        ]

    @underflow_is_zero
    def scores(self, X: ArrayLike) -> Array:
        """Give test-mode scores, as ``network.loss(X)`` does."""
        out, _ = self._forward(X, "test")
        return self.network.as_scores(out)

    @underflow_is_zero
    def loss(self, X: ArrayLike, y: ArrayLike) -> tuple[float, dict[str, Array]]:
        """Give the training loss and its gradients, as ``network.loss(X, y)`` does."""
        network = self.network
        loss, dx, caches = self._until_the_loss(X, y)
        grads: dict[str, Array] = {}
        for layer, names, need_dx in self._backwards():
            assert dx is not None  # only the first layer is asked for none
            dx, own_grads = layer.backward(network.cast(dx), caches.pop(), need_dx=need_dx)
            grads.update({names[own]: grad for own, grad in own_grads.items()})
        if network.reg:
            for name in network.penalised:
                grads[name] = np.ascontiguousarray(grads[name], network.dtype)  # changed in place
                w = network.cast(network.params[name])
                loss += 0.5 * network.reg * kernels.add_l2(grads[name], w, network.reg)
        return loss, {name: grads[name] for name in network.params}

    @underflow_is_zero
    def learn(self, X: Array, y: Array, stepping: Callable[[str], tuple[Any, ...]]) -> float:
        """Take a training step: each parameter is stepped, in place, where its gradient is made.

        No gradient is kept, and a dense layer's weights are read once for their gradient, their
        penalty and their step. Up to rounding, the parameters after it are those that ``loss`` and
        ``kernels.update`` make.

        Parameters
        ----------
        X, y : as ``loss`` takes them
        stepping : function (name of a parameter) to what `InPlace.next_step` gives
            Called once for each parameter.

        Returns
        -------
        loss : float
            With the penalty, before the step. Where the data's part of it is not finite, it is
            returned by itself, and nothing was stepped.
        """
        network = self.network
        loss, dx, caches = self._until_the_loss(X, y)
        if not math.isfinite(loss):
            return loss
        for layer, names, need_dx in self._backwards():
            assert dx is not None  # only the first layer is asked for none
            to_step = [own for own, name in names.items() if name in network.params]
            if isinstance(layer, DenseBlock):
                to_step.remove("W")
                dx, own_grads, squares = layer.learn(
                    dx, caches.pop(), stepping(names["W"]), need_dx=need_dx, reg=network.reg
                )
                loss += 0.5 * network.reg * squares
            else:
                dx, own_grads = layer.backward(network.cast(dx), caches.pop(), need_dx=need_dx)
            for own in to_step:
                w = network.params[names[own]]
                grad = np.ascontiguousarray(own_grads[own], network.dtype)  # changed in place
                if network.reg and names[own] in network.penalised:
                    loss += 0.5 * network.reg * kernels.add_l2(grad, w, network.reg)
                kind, *rest = stepping(names[own])
                kernels.update(kind, w, grad, *rest)
        return loss

    def _until_the_loss(self, X: ArrayLike, y: ArrayLike) -> tuple[float, Array | None, list[Any]]:
        out, caches = self._forward(X, "train")
        loss, dout = _LOSSES[self.network.loss_name](self.network.cast(out), y)
        return loss, dout, caches

    def _forward(self, X: ArrayLike, mode: Literal["test", "train"]) -> tuple[Array, list[Any]]:
        """Scores (N, C), and for the backward pass what each step has kept."""
        network = self.network
        out = network.examples(X)
        context = Context(mode, network.rng)
        caches = []
        for layer, names in self._steps:
            out, cache = layer.forward(network.cast(out), network.arrays_of(names), context)
            caches.append(cache)
            network.keep_moved(names, context)
        return out, caches

    def _backwards(self) -> Iterator[tuple[Any, dict[str, str], bool]]:
        """Each step from the last to the first with parameters: (it, its names, dx needed?)."""
        for position in range(len(self._steps) - 1, self._first - 1, -1):
            yield *self._steps[position], position > self._first


class GraphStepper:
    """Steps of any network, a batch at a time; see `handgrad.engine.Stepper`."""

    batches_at_once = 1

    def __init__(
        self, network: Network, rule: optim.Rule, configs: dict[str, optim.Config], X: Array,
        y: Array, batch_size: int, augment: Callable[[Array], Array] | None,
    ) -> None:  # fmt: skip
        self._graph, self._rule, self._configs = Graph(network), rule, configs
        self._X, self._y, self._batch_size, self._augment = X, y, batch_size, augment
        self._in_place: dict[str, InPlace] = {}

    def own(self) -> None:
        """Copy what the steps will change in place: nobody else sees it change."""
        network = self._graph.network
        self._in_place = {}
        dtypes = {array.dtype for array in network.params.values()}
        if self._rule not in optim.RULES.values() or dtypes != {network.dtype}:
            return  # gradients first, then the rule itself
        for name, w in network.params.items():
            network.params[name] = w = w.copy()
            self._in_place[name], self._configs[name] = owned(self._rule, w, self._configs[name])

    def run(self, rows: Array, rates: list[float | None]) -> list[float]:
        """Train on the batches of these rows; give their losses, up to one that is not finite."""
        losses = []
        for batch, rate in enumerate(rates):
            chosen = rows[batch * self._batch_size : (batch + 1) * self._batch_size]
            X, y = self._X[chosen], self._y[chosen]
            if self._augment is not None:
                X = self._augment(X)
            if rate is not None:
                for config in self._configs.values():
                    config["learning_rate"] = rate
            losses.append(self._step(X, y, rate))
            if not math.isfinite(losses[-1]):
                break
        return losses

    def _step(self, X: Array, y: Array, rate: float | None) -> float:
        network = self._graph.network
        if self._in_place:
            assert rate is not None  # each of our rules has one

            def stepping(name: str) -> tuple[Any, ...]:
                w, config = network.params[name], self._configs[name]
                return self._in_place[name].next_step(w, config, rate)

            return float(self._graph.learn(X, y, stepping))
        loss, grads = self._graph.loss(X, y)
        if math.isfinite(loss):
            for name, w in network.params.items():
                stepped = self._rule(w, grads[name], self._configs[name])
                network.params[name], self._configs[name] = stepped
        return float(loss)

    def scores(self, X: ArrayLike) -> Array:
        """Give test-mode scores of the network as it is now."""
        return self._graph.scores(X)
