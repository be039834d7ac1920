"""Random networks, many of them at kinks, and mistakes to plant in their gradients."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from handgrad.network import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    MaxPool,
    Network,
    ReLU,
    Sigmoid,
)


@dataclass(frozen=True)
class WrongReLU:
    """A ReLU whose backward has a mistake."""

    mistake: str
    state_names: ClassVar[tuple[str, ...]] = ()

    def parameter_shapes(self, shape):
        return {}

    def output_shape(self, shape):
        return shape

    def forward(self, x, own, context):
        return np.maximum(x, 0), x

    def backward(self, dout, x, *, need_dx):
        mask = {
            "no mask": np.ones(x.shape, bool),
            "turned mask": x < 0,
            "mask of dout": dout > 0,
            "mask of abs": np.abs(x) > 0,
            "none": x > 0,
        }[self.mistake]
        return dout * mask, {}


class Spoilt:
    """A model whose gradients pass through a function."""

    def __init__(self, net, spoil):
        self.net, self.spoil, self.params, self.state = net, spoil, net.params, net.state

    def loss(self, X, y):
        loss, grads = self.net.loss(X, y)
        return loss, self.spoil(dict(grads))


def random_net(seed, relu=ReLU):
    """Return a network, a batch and its labels; deep or shallow, of small or usual weights."""
    rng = np.random.default_rng(seed)
    loss = ("softmax", "softmax", "logistic", "svm")[rng.integers(4)]
    outputs = 1 if loss in ("logistic", "svm") else int(rng.integers(2, 5))
    scale = ("he", 5e-2, 1e-2, 1e-3)[rng.integers(4)]
    reg = (0.0, 0.0, 0.1)[rng.integers(3)]
    N = int(rng.integers(1, 6))
    if rng.integers(4) == 0:
        shape = (int(rng.integers(1, 3)), 4, 4)
        layers = [Conv(2, 2, bias=bool(rng.integers(2))), relu(), MaxPool(2), Flatten()]
        X = rng.integers(0, 2, (N, *shape)).astype(float)  # black and white: ties, exact zeros
    else:
        shape = (int(rng.integers(2, 6)),)
        layers = []
        X = rng.standard_normal((N, *shape))
        if rng.integers(3) == 0:
            X[rng.random(X.shape) < 0.5] = 0
    for _ in range(int(rng.integers(1, 6))):
        layers += [Dense(int(rng.integers(2, 6)))]
        if N > 1 and rng.integers(6) == 0:
            layers += [BatchNorm()]
        layers += [Sigmoid() if rng.integers(8) == 0 else relu()]
        if rng.integers(8) == 0:
            layers += [Dropout(0.7)]
    net = Network([*layers, Dense(outputs)], shape, loss=loss, reg=reg, weight_scale=scale, rng=rng)
    y = rng.integers(0, max(outputs, 2), N)
    return net, X, y


def same_draws(net):
    """Return the function that restores the state of a network's generator."""
    state = net.rng.bit_generator.state

    def restore():
        net.rng.bit_generator.state = state

    return restore


def _one(change):
    """Return the mistake that changes one parameter's gradient, chosen by the seed.

    ``change(grad, place)`` has the place of the entry that is largest at the given point: a place
    that moved with the largest entry would be a kink of the mistake's own.
    """

    def spoil_of(seed, right):
        name = sorted(right)[np.random.default_rng(seed).integers(len(right))]
        place = np.unravel_index(np.argmax(np.abs(right[name])), right[name].shape)

        def spoil(grads):
            grads[name] = change(grads[name].copy(), place)
            return grads

        return spoil

    return spoil_of


def _put(value):
    def change(grad, place):
        grad[place] = value(grad[place])
        return grad

    return change


MISTAKES = {
    "twice": _one(lambda grad, _: 2 * grad),
    "a tenth of a per cent": _one(lambda grad, _: 1.001 * grad),
    "sign": _one(lambda grad, _: -grad),
    "zeros": _one(lambda grad, _: 0 * grad),
    "one entry off": _one(_put(lambda number: number + 0.01)),
    "one entry zero": _one(_put(lambda number: 0)),
    "NaN": _one(_put(lambda number: np.nan)),
    "absolute": _one(lambda grad, _: np.abs(grad)),
    "backwards": _one(lambda grad, _: grad[::-1]),
    "transposed": _one(
        lambda grad, _: np.ascontiguousarray(np.moveaxis(grad, 0, -1)).reshape(grad.shape)
    ),
}
RELU_MISTAKES = ("no mask", "turned mask", "mask of dout", "mask of abs")
