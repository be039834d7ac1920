"""What is timed: networks as layer descriptions, their data and batch sizes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from handgrad import scaling
from handgrad.arrays import Array
from handgrad.datasets import load_course, load_mnist
from handgrad.descriptions import BatchNorm, Conv, Dense, Dropout, Flatten, Layer, MaxPool, ReLU

RATE = 1e-3  # Adam's, on every side


@dataclass(frozen=True)
class Workload:
    """A network to train.

    Attributes
    ----------
    name, title : str
    layers : sequence of layer descriptions
    input_shape : shape of one example
    loss : 'softmax', 'logistic' or 'svm'
    batch_size : int
    batches : int
        Of one epoch here, a repeat of the measurement.
    target : float
        What the time over the fastest peer's shall be at most.
    data : 'course', 'mnist' or 'random'
    """

    name: str
    title: str
    layers: Sequence[Layer]
    input_shape: tuple[int, ...]
    loss: Literal["softmax", "logistic", "svm"]
    batch_size: int
    batches: int
    target: float
    data: str

    @property
    def dtype(self) -> Any:
        """float32 for all sides."""
        return np.float32

    @property
    def has_dropout(self) -> bool:
        """Whether the sides draw different masks."""
        return any(isinstance(layer, Dropout) for layer in self.layers)

    def rows(self) -> tuple[Array, Array]:
        """One epoch of X and y; the same in every process."""
        count = self.batch_size * self.batches
        if self.data == "random":
            rng = np.random.default_rng(0)
            y = rng.integers(0, 10, count)
            X = rng.standard_normal((count, *self.input_shape)) + 0.1 * y.reshape(-1, 1, 1, 1)
        else:
            found = load_course() if self.data == "course" else load_mnist(offline=True)
            again = -(-count // len(found.X_train))
            X = np.concatenate([np.asarray(found.X_train)] * again)[:count]
            y = np.concatenate([np.asarray(found.y_train)] * again)[:count]
            X = scaling.standardise(X, *scaling.mean_and_deviation(X, None))
        return np.ascontiguousarray(X.reshape(count, *self.input_shape), self.dtype), y

    def products(self) -> int:
        """Multiplications and additions of one training step's matrix products, at the least."""
        shape, total, first = self.input_shape, 0, True
        for layer in self.layers:
            after = layer.output_shape(shape)
            if isinstance(layer, Dense):
                forward = math.prod(shape) * layer.units
            elif isinstance(layer, Conv):
                forward = math.prod(after) * shape[0] * layer.size**2
            else:
                shape = after
                continue
            total += forward * (2 if first else 3)  # the first layer needs no input gradient
            first, shape = False, after
        return 2 * total * self.batch_size


def _vgg11() -> list[Layer]:
    net: list[Layer] = []
    for width in (8, "P", 16, "P", 32, 32, "P", 64, 64, "P", 64, 64, "P"):
        if isinstance(width, int):
            net += [Conv(width, size=3, padding=1, bias=True), ReLU()]
        else:
            net.append(MaxPool(2))
    return [*net, Flatten(), Dense(64), ReLU(), Dense(10)]


def conv_net(filters: int = 32) -> list[Layer]:
    """The assignment's ConvNet."""
    return [Conv(filters, size=7), ReLU(), MaxPool(2), Flatten(), Dense(100), ReLU(), Dense(10)]


_HIDDEN: list[Layer] = [Dense(40), ReLU(), Dense(1)]
_NORMED: list[Layer] = [
    *(Conv(32, size=5), BatchNorm(), ReLU(), MaxPool(2), Flatten()),
    *(Dense(512), BatchNorm(), ReLU(), Dropout(0.5), Dense(10)),
]
_COURSE: dict[str, Any] = {
    "input_shape": (20,),
    "batch_size": 20,
    "batches": 250,
    "target": 0.5,
    "data": "course",
}
_ROWS: dict[str, Any] = {
    "input_shape": (784,),
    "loss": "softmax",
    "batch_size": 100,
    "target": 0.5,
    "data": "mnist",
}
_DIGITS = {**_ROWS, "input_shape": (1, 28, 28)}


def _mlp(units: int) -> list[Layer]:
    return [Dense(units), ReLU(), Dense(10)]


WORKLOADS = (
    Workload("logistic", "logistic 20-1", [Dense(1)], loss="logistic", **_COURSE),
    Workload("logistic2", "logistic 20-40-1", _HIDDEN, loss="logistic", **_COURSE),
    Workload("svm", "SVM 20-1", [Dense(1)], loss="svm", **_COURSE),
    Workload("svm2", "SVM 20-40-1", _HIDDEN, loss="svm", **_COURSE),
    Workload("softmax", "softmax 784-10", [Dense(10)], batches=100, **_ROWS),
    Workload("mlp100", "784-100-10", _mlp(100), batches=300, **{**_ROWS, "target": 0.4}),
    Workload("mlp600", "784-600-10", _mlp(600), batches=150, **{**_ROWS, "target": 0.35}),
    Workload("convnet", "ConvNet 7x7x32", conv_net(), batches=100, **{**_DIGITS, "target": 0.3}),
    Workload(
        "normed",
        "ConvNet 5x5x32, norm, dropout",
        _NORMED,
        batches=100,
        **{**_DIGITS, "target": 0.38},
    ),
    Workload("vgg11", "compact VGG11", _vgg11(), (3, 32, 32), "softmax", 250, 4, 0.55, "random"),
)
