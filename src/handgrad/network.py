"""A network: a list of layer descriptions that owns parameters and running state.

Each description is a small frozen dataclass that knows its output shape, its parameters' shapes
and which functions of ``handgrad.layers`` to call. ``Network`` strings them together, with one
loss at the end and an L2 penalty on the weights. A VGG-like net is a list:

>>> import numpy as np
>>> net = Network(
...     [Conv(8, size=3, padding=1), ReLU(), MaxPool(2), Flatten(), Dense(10)],
...     input_shape=(3, 32, 32),
...     rng=np.random.default_rng(0),
... )
>>> {name: array.shape for name, array in net.params.items()}
{'W1': (8, 3, 3, 3), 'W2': (2048, 10), 'b2': (10,)}
>>> net.loss(np.zeros((4, 3, 32, 32))).shape
(4, 10)
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from handgrad.arrays import Array, underflow_is_zero
from handgrad.descriptions import (
    GELU,
    AvgPool,
    BatchNorm,
    Context,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)
from handgrad.network_losses import LOSSES, LossName, Task, settings
from handgrad.randomness import default_rng

__all__ = [
    "GELU",
    "AvgPool",
    "BatchNorm",
    "Conv",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "MaxPool",
    "Network",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Tanh",
]


class Network:
    """Layers in sequence, one loss at the end.

    Parameters
    ----------
    layers : sequence of Dense, Conv, BatchNorm, LayerNorm, ReLU, LeakyReLU, Sigmoid, Tanh, GELU, \
            SiLU, MaxPool, AvgPool, GlobalAvgPool, Dropout, Flatten
    input_shape : tuple of int
        The shape of one example: (D,) or (C, H, W).
    loss : 'softmax', 'logistic', 'svm', 'multilabel', 'mse', 'mae' or 'huber'
        The last layer must give C scores for softmax, 1 for the binary losses (logistic, svm), L
        for the multi-label one, and M predictions for regression (mse, mae, huber).
    loss_options : mapping, optional
        ``label_smoothing`` (softmax, default 0), ``delta`` (huber, default 1).
    reg : float, default 0
        The term 0.5 * reg * sum(W**2) over the weights (not biases, gamma, beta) is in the loss
        and in the gradient.
    weight_scale : float or 'he', default 'he'
        Standard deviation of the normal initial weights; 'he' takes sqrt(2 / fan_in) for each
        layer (He et al., ICCV 2015), which keeps the scale of activations through ReLUs. Biases
        and beta start at 0, gamma at 1.
    dtype : float32 or float64, default float64
        Of parameters and computation; inputs are converted.
    rng : numpy.random.Generator, optional
        Draws the initial weights, then the dropout masks. Default: seeded from NumPy's global
        generator, which the course's scripts seed.

    Attributes
    ----------
    params : dict
        'W1', 'b1', ... by weighted layer, 'gamma1', 'beta1', ... by batch norm, to arrays.
    state : dict
        'running_mean1', 'running_var1', ...: what training moves without a gradient.
    rng : numpy.random.Generator
    output_shape : tuple of int
        Of one example: (C,).
    task : str
    loss_name, loss_options : str, dict
        The options with their defaults filled in.
    named_layers : tuple of (Layer, dict)
        Each layer, its own parameters' names mapped to those in ``params`` and ``state``.
    penalised : tuple of str
        The weights that ``reg`` is on.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        input_shape: Sequence[int],
        *,
        loss: LossName = "softmax",
        loss_options: Mapping[str, Any] | None = None,
        reg: float = 0.0,
        weight_scale: float | Literal["he"] = "he",
        dtype: DTypeLike = np.float64,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.loss_name, self.loss_options = loss, settings(loss, loss_options)
        if not reg >= 0:
            raise ValueError(f"Network: reg must be at least 0; got {reg!r}")
        if not (weight_scale == "he" if isinstance(weight_scale, str) else weight_scale >= 0):
            raise ValueError(
                f"Network: weight_scale must be 'he' or a number from 0; got {weight_scale!r}"
            )
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"Network: dtype must be float32 or float64; got {self.dtype}")
        self.layers = tuple(layers)
        self.input_shape = tuple(int(size) for size in input_shape)
        self.reg, self.weight_scale = float(reg), weight_scale
        self.rng = default_rng(rng, "Network")
        self.params: dict[str, Array] = {}
        self.state: dict[str, Array] = {}
        steps: list[tuple[Layer, dict[str, str]]] = []

        shape = self.input_shape
        counts = {"weights": 0, "norm": 0}
        for position, layer in enumerate(self.layers):
            try:
                wanted = layer.parameter_shapes(shape)
                next_shape = layer.output_shape(shape)
            except ValueError as error:
                raise ValueError(f"Network: layer {position}, {layer}: {error}") from None
            names = {}
            if wanted:
                family = "norm" if "gamma" in wanted else "weights"
                counts[family] += 1
                names = {own: f"{own}{counts[family]}" for own in (*wanted, *layer.state_names)}
            for own, size in wanted.items():
                self.params[names[own]] = self._initial(own, size, weight_scale)
            for own in layer.state_names:
                # A mean of 0 and a variance of 0, as batchnorm_forward takes them when absent.
                self.state[names[own]] = np.zeros(wanted["gamma"], dtype=self.dtype)
            steps.append((layer, names))
            shape = next_shape
        self.output_shape = shape
        letter = LOSSES[loss].letter
        if len(shape) != 1 or (letter == "1" and shape != (1,)):
            raise ValueError(f"Network: {loss} needs outputs of shape ({letter},); got {shape}")
        self.named_layers = tuple(steps)
        self.penalised = tuple(names["W"] for _, names in steps if "W" in names)
        with_parameters = [i for i, (_, names) in enumerate(steps) if names]
        # The backward pass ends here: nothing below has a parameter to move.
        self._first = with_parameters[0] if with_parameters else len(steps)

    def _initial(
        self, own: str, size: tuple[int, ...], weight_scale: float | Literal["he"]
    ) -> Array:
        if own == "W":
            fan_in = size[0] if len(size) == 2 else math.prod(size[1:])
            scale = np.sqrt(2 / fan_in) if weight_scale == "he" else weight_scale
            return (scale * self.rng.standard_normal(size)).astype(self.dtype)
        return np.full(size, 1.0 if own == "gamma" else 0.0, dtype=self.dtype)

    def __repr__(self) -> str:
        """Show what a reader of a log needs."""
        count = sum(array.size for array in self.params.values())
        shapes = f"{self.input_shape} -> {self.output_shape}"
        return f"{type(self).__name__}({shapes}, {count:,} parameters)"

    @property
    def task(self) -> Task:
        """What the loss is for: 'classify', 'multilabel' or 'regress'."""
        return LOSSES[self.loss_name].task

    @overload
    def loss(self, X: ArrayLike, y: None = None, sample_weight: None = None) -> Array: ...
    @overload
    def loss(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, dict[str, Array]]: ...

    @underflow_is_zero
    def loss(
        self, X: ArrayLike, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Array | tuple[float, dict[str, Array]]:
        """Give test-mode scores, or with labels the training loss and its gradients.

        How layers compose is derived in theory/composition.md, formula net-first; the penalty is
        derived in theory/weight_penalty.md, formula l2-gradient.

        Parameters
        ----------
        X : array (N, *input_shape), or rows of as many entries, in that order; for features (D,)
            also (N, d1, ..., dk) with D entries each
        y : array (N,), (N, L) or (N, M), optional
            Labels or targets as the loss function takes them.
        sample_weight : array (N,), optional
            With y: how much each example counts (see ``layers.logistic_loss``); the penalty stays.

        Returns
        -------
        scores : array (N,) for the binary losses and one prediction, else (N, C)
            Without y: dropout and batch norm in test mode; nothing is changed.
        loss, grads : float, dict keyed as ``params``
            With y: training mode; running statistics move and dropout draws from ``rng``.
        """
        if y is None and sample_weight is not None:
            raise ValueError(f"{type(self).__name__}.loss: sample_weight is of no use without y")
        out = self.examples(X)
        context = Context("test" if y is None else "train", self.rng)
        caches = []
        for layer, names in self.named_layers:
            out, cache = layer.forward(self.cast(out), self.arrays_of(names), context)
            caches.append(cache)
            self.keep_moved(names, context)
        if y is None:
            return self.as_scores(out)
        function = LOSSES[self.loss_name].function
        loss, dout = function(self.cast(out), y, sample_weight=sample_weight, **self.loss_options)
        dx: Array | None = dout
        grads: dict[str, Array] = {}
        for position in range(len(self.named_layers) - 1, self._first - 1, -1):
            layer, names = self.named_layers[position]
            assert dx is not None  # only the first layer is asked for none
            dx, own_grads = layer.backward(
                self.cast(dx), caches[position], need_dx=position > self._first
            )
            grads.update({names[own]: grad for own, grad in own_grads.items()})
        for name in self.penalised if self.reg else ():
            w = self.cast(self.params[name])
            loss += self._penalty(w)
            grads[name] = self.cast(grads[name]) + w.dtype.type(self.reg) * w
        return loss, {name: grads[name] for name in self.params}

    @underflow_is_zero
    def loss_of(self, scores: Array, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Give the loss of scores that there are already, as those of validation rows.

        It is what ``loss`` makes of such outputs, penalty included; a subclass with a loss of its
        own has one of these, too.

        Parameters
        ----------
        scores : array
            As ``loss(X)`` gives them.
        y, sample_weight : arrays
            As ``loss`` takes them.
        """
        function = LOSSES[self.loss_name].function
        options = self.loss_options
        loss, _ = function(self.cast(scores), y, sample_weight=sample_weight, **options)
        for name in self.penalised if self.reg else ():
            loss += self._penalty(self.cast(self.params[name]))
        return loss

    def _penalty(self, w: Array) -> float:
        return 0.5 * self.reg * float(np.square(w, dtype=np.float64).sum())

    def examples(self, X: ArrayLike) -> Array:
        """Give X as the layers take it: (N, *input_shape), in the network's dtype.

        Raises
        ------
        ValueError
            Unless each example has the input shape, or is a row of as many entries.
        """
        X = np.asarray(X)
        entries = math.prod(self.input_shape)
        rows = X.ndim == 2 and X.shape[1] == entries
        features = len(self.input_shape) == 1 and X.ndim >= 2 and math.prod(X.shape[1:]) == entries
        # An image of another layout has as many entries, too: reshaping it would scramble it.
        if not (rows or features or X.shape[1:] == self.input_shape):
            raise ValueError(
                f"{type(self).__name__}.loss: each example of X must have the shape "
                f"{self.input_shape}, or be a row of {entries}; got X of shape {X.shape}"
            )
        return X.astype(self.dtype, copy=False).reshape(len(X), *self.input_shape)

    def as_scores(self, out: Array) -> Array:
        """Give the last layer's output as scores: (N,) for the binary losses and one prediction."""
        loss = LOSSES[self.loss_name]
        column = loss.letter == "1" or (loss.task == "regress" and out.shape[1] == 1)
        return out[:, 0] if column else out

    def keep_moved(self, names: Mapping[str, str], context: Context) -> None:
        """Take the statistics over that a batch norm has moved in training mode."""
        if context.moved:
            self.state.update({names[own]: new for own, new in context.moved.items()})
            context.moved = {}

    @underflow_is_zero
    def activations(self, X: Array) -> list[Array]:
        """Give the test-mode output of each of ``layers`` for X (N, *input_shape), in order."""
        out = np.asarray(X).astype(self.dtype, copy=False)
        context = Context("test", self.rng)
        outputs = []
        for layer, names in self.named_layers:
            out, _ = layer.forward(self.cast(out), self.arrays_of(names), context)
            outputs.append(out)
        return outputs

    def arrays_of(self, names: Mapping[str, str]) -> dict[str, Array]:
        """A layer's parameters and state, under its own names."""
        return {
            own: self.cast(self.params[name] if name in self.params else self.state[name])
            for own, name in names.items()
        }

    def cast(self, array: Array) -> Array:
        """An array in the network's dtype: itself where it has that, as almost always."""
        return np.asarray(array, self.dtype)

    def predict(self, X: ArrayLike, *, batch_size: int = 500) -> Array:
        """Predict labels or targets.

        Labels (N,): 1 where the score is > 0, else 0; or the class of largest score. Labels (N, L)
        of the multi-label loss: 1 for each score > 0. For regression the scores themselves.
        """
        X = np.asarray(X)
        batches = [X[i : i + batch_size] for i in range(0, len(X), batch_size)]
        scores = np.concatenate(
            [self.as_scores(np.zeros((0, *self.output_shape), self.dtype))]
            + [self.loss(batch) for batch in batches]
        )
        if self.task == "regress":
            return scores
        if self.task == "multilabel" or scores.ndim == 1:
            return (scores > 0).astype(np.int64)
        return np.asarray(scores.argmax(axis=1))
