"""Several layers in one step: what a network runs where layers follow each other as they often do.

Each step has the forward and backward of a layer description, gives the layers' results and is
tested against them; ``fuse`` finds where one fits. Images keep the shape (N, C, H, W), but between
blocks they lie in memory with the channels last, where each kernel reads and writes neighbours.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handgrad import layers
from handgrad.arrays import Array
from handgrad.descriptions import (
    BatchNorm,
    Context,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Grads,
    Layer,
    MaxPool,
    Own,
    ReLU,
)
from handgrad.engine import kernels

Step = tuple[Any, dict[str, str]]  # a layer or fused step, its own names to the network's

_LARGEST_WINDOW = 15  # winners are kept in a byte


@dataclass(frozen=True)
class ConvBlock:
    """Convolution, then batch norm, max pool and ReLU where there are any."""

    conv: Conv
    norm: BatchNorm | None
    pool: MaxPool | None
    relu: bool
    first: bool = False  # nothing below it has a parameter: it is asked for no dx
    flattened: bool = False  # what follows reads rows of features, channel by channel

    @property
    def _settings(self) -> dict[str, Any]:
        pool = (1, 1)
        if self.pool is not None:
            stride = self.pool.size if self.pool.stride is None else self.pool.stride
            pool = (self.pool.size, stride)
        return {
            "stride": self.conv.stride, "padding": self.conv.padding, "pool": pool,
            "planes": self.flattened,
        }  # fmt: skip

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Run the kernel; in training, hand batch norm's moved statistics on."""
        images, w, b = _channels_last(x), own["W"], own.get("b")
        if self.norm is not None and context.mode == "train":
            out, mean, var, cache = kernels.norm_block_forward(
                images, w, own["gamma"], own["beta"], self.norm.eps, relu=self.relu,
                need_dx=not self.first, **self._settings,
            )  # fmt: skip
            context.moved = _moved(self.norm, own, mean, var)
            return self._arranged(out), (images, w, own["gamma"], cache)
        if self.norm is not None:  # the statistics are constants: they go into the filters
            scale = own["gamma"] / np.sqrt(own["running_var"] + x.dtype.type(self.norm.eps))
            w, b = w * scale[:, None, None, None], own["beta"] - own["running_mean"] * scale
        out, win = kernels.block_forward(images, w, b, relu=self.relu, **self._settings)
        return self._arranged(out), (win, images, w)

    def _arranged(self, out: Array) -> Array:
        return out if self.flattened else _channels_first(out)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Run the kernel's backward."""
        dout, settings = dout if self.flattened else _channels_last(dout), self._settings
        grads: Grads = {}
        if self.norm is None:
            win, images, w = cache
            dx, grads["W"], db = kernels.block_backward(
                dout, win, images, w, need_dx=need_dx, **settings
            )
            if self.conv.bias:
                grads["b"] = db
        else:
            images, w, gamma, kept = cache
            dx, grads["W"], grads["gamma"], grads["beta"] = kernels.norm_block_backward(
                dout, kept, images, w, gamma, self.norm.eps, need_dx=need_dx, **settings
            )
        return (None if dx is None else _channels_first(dx)), grads


@dataclass(frozen=True)
class DenseBlock:
    """Fully connected, then ReLU where there is one."""

    dense: Dense
    relu: bool

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Flatten, multiply, add b, cut at 0."""
        rows = _rows(x)
        out = kernels.dense_forward(rows, own["W"], own["b"], relu=self.relu)
        return out, (x.shape, rows, own["W"], out)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Run the kernel's backward."""
        shape, rows, w, out = cache
        dx, dw, db = kernels.dense_backward(dout, out, rows, w, relu=self.relu, need_dx=need_dx)
        return (None if dx is None else dx.reshape(shape)), {"W": dw, "b": db}

    def learn(
        self, dout: Array, cache: Any, step: tuple[Any, ...], *, need_dx: bool, reg: float
    ) -> tuple[Array | None, Grads, float]:
        """As backward, with W stepped in place: (dx, the other gradients, the old W's squares)."""
        shape, rows, w, out = cache
        dx, db, squares = kernels.dense_learn(
            dout, out, rows, w, step, relu=self.relu, need_dx=need_dx, reg=reg
        )
        return (None if dx is None else dx.reshape(shape)), {"b": db}, squares


@dataclass(frozen=True)
class NormBlock:
    """Batch norm, then ReLU where there is one."""

    norm: BatchNorm
    relu: bool

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Run the kernel for rows in training; else the layers."""
        if x.ndim == 2 and context.mode == "train":
            gamma, eps = own["gamma"], self.norm.eps
            out, mean, var = kernels.norm_forward(x, gamma, own["beta"], eps, relu=self.relu)
            context.moved = _moved(self.norm, own, mean, var)
            return out, (out, x, gamma, mean, var)
        out, cache = self.norm.forward(x, own, context)
        before = out
        return (layers.relu_forward(out)[0] if self.relu else out), (cache, before)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """As the forward pass went."""
        if len(cache) > 2:
            eps = self.norm.eps
            dx, dgamma, dbeta = kernels.norm_backward(dout, *cache, eps, relu=self.relu)
            return dx, {"gamma": dgamma, "beta": dbeta}
        normed, before = cache
        dout = layers.relu_backward(dout, before) if self.relu else dout
        return self.norm.backward(dout, normed, need_dx=need_dx)


@dataclass(frozen=True)
class DropoutBlock:
    """Dropout, by the kernel in training."""

    dropout: Dropout

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Draw the layer's mask."""
        if context.mode == "train":
            out, mask = kernels.dropout_forward(x, context.rng, self.dropout.keep)
            return out, mask
        return self.dropout.forward(x, own, context)[0], None

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Give the units that were kept their gradient."""
        return kernels.dropout_backward(dout, cache), {}


def _moved(norm: BatchNorm, own: Own, mean: Array, var: Array) -> dict[str, Array]:
    """The running statistics after a batch with this mean and variance."""
    momentum = mean.dtype.type(norm.momentum)
    return {
        "running_mean": momentum * own["running_mean"] + (1 - momentum) * mean,
        "running_var": momentum * own["running_var"] + (1 - momentum) * var,
    }


def _channels_last(x: Array) -> Array:
    """(N, C, H, W) as contiguous (N, H, W, C): a copy only where it does not lie so already."""
    last = x.transpose(0, 2, 3, 1)
    if last.flags.c_contiguous or x.shape[1] == 1:
        return last
    if not x.flags.c_contiguous:
        return np.ascontiguousarray(last)
    N, C, H, W = x.shape
    return np.asarray(kernels.swap_last_axes(x.reshape(N, C, H * W)).reshape(N, H, W, C))


def _channels_first(x: Array) -> Array:
    """(N, H, W, C) in the shape (N, C, H, W), without a copy."""
    return x.transpose(0, 3, 1, 2)


def _rows(x: Array) -> Array:
    """Flatten each example, channel by channel, as contiguous rows."""
    if x.ndim == 4 and not x.flags.c_contiguous and x.transpose(0, 2, 3, 1).flags.c_contiguous:
        N, C, H, W = x.shape
        return np.asarray(
            kernels.swap_last_axes(x.transpose(0, 2, 3, 1).reshape(N, H * W, C))
        ).reshape(N, C * H * W)
    return x.reshape(len(x), math.prod(x.shape[1:]))  # -1 would not do for no example


def fuse(steps: list[tuple[Layer, dict[str, str]]]) -> list[Step]:
    """Exchange each ReLU with a max pool behind it, then join what one kernel does."""
    rest: list[Step] = list(_pool_before_relu(steps))
    fused: list[Step] = []
    while rest:
        layer, names = rest.pop(0)
        if isinstance(layer, Conv):
            names = dict(names)
            norm = None
            if not layer.bias and rest and isinstance(rest[0][0], BatchNorm):
                norm, more = rest.pop(0)
                names |= more
            pool = _next(rest, MaxPool)
            if pool is not None and pool.size > _LARGEST_WINDOW:
                rest.insert(0, (pool, {}))
                pool = None
            relu = _next(rest, ReLU) is not None
            fused.append((ConvBlock(layer, norm, pool, relu), names))
        elif isinstance(layer, Dense):
            fused.append((DenseBlock(layer, _next(rest, ReLU) is not None), names))
        elif isinstance(layer, BatchNorm):
            fused.append((NormBlock(layer, _next(rest, ReLU) is not None), names))
        elif isinstance(layer, Dropout):
            fused.append((DropoutBlock(layer), names))
        elif isinstance(layer, Flatten):
            if fused and isinstance(fused[-1][0], ConvBlock):
                fused[-1] = (replace(fused[-1][0], flattened=True), fused[-1][1])
            if not (rest and isinstance(rest[0][0], Dense)):  # which flattens
                fused.append((layer, names))
        else:
            fused.append((layer, names))
    return fused


def _next(rest: list[Step], kind: type) -> Any:
    """Take the next layer if it is of this kind."""
    return rest.pop(0)[0] if rest and isinstance(rest[0][0], kind) else None


def _pool_before_relu(
    steps: list[tuple[Layer, dict[str, str]]],
) -> list[tuple[Layer, dict[str, str]]]:
    """Exchange a ReLU with a max pool behind it: the same function and gradient, on fewer pixels.

    The ReLU is monotone, so the largest pixel is the largest before and after; where it is not
    positive, the gradient is 0 either way.
    """
    steps = list(steps)
    for i in range(len(steps) - 1):
        if isinstance(steps[i][0], ReLU) and isinstance(steps[i + 1][0], MaxPool):
            steps[i], steps[i + 1] = steps[i + 1], steps[i]
    return steps
