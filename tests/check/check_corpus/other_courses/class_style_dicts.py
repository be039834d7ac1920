"""A dict as cache, float64 throughout and back, recursion in Sequential, slots."""

import numpy as np
from numpy import einsum


class Layer:
    __slots__ = ("W", "b", "cache", "dW", "db", "layers")

    def __init__(self, *sizes):
        if sizes:
            self.W, self.b = np.ones(sizes), np.ones(sizes[1:])

    def forward(self, x):
        wide = np.asarray(x, dtype=np.float64)
        out, derivative = self.bend(wide)
        self.cache = {"derivative": derivative, "dtype": x.dtype}
        return out.astype(x.dtype)

    def backward(self, dout):
        return (self.cache["derivative"] * dout).astype(self.cache["dtype"])


class Linear(Layer):
    def forward(self, x):
        self.cache = {"x": x}
        return einsum("nd,dm->nm", x, self.W) + self.b

    def backward(self, dout):
        self.dW = einsum("nd,nm->dm", self.cache["x"], dout)
        self.db = einsum("nm->m", dout)
        return einsum("nm,dm->nd", dout, self.W)


class ReLU(Layer):
    def bend(self, x):
        return np.where(x > 0, x, 0), np.heaviside(x, 0)


class Sigmoid(Layer):
    def bend(self, x):
        s = np.exp(-np.logaddexp(0, -x))
        return s, s * np.exp(-np.logaddexp(0, x))


class Tanh(Layer):
    def bend(self, x):
        return np.tanh(x), 1 / np.cosh(x) ** 2


class SoftmaxCrossEntropy(Layer):
    def forward(self, scores, y):
        logs = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        hot = np.eye(scores.shape[1], dtype=scores.dtype)[y]
        self.cache = {"gradient": (np.exp(logs) - hot) / len(y)}
        return -(hot * logs).sum(axis=1).mean()

    def backward(self):
        return self.cache["gradient"]


class Sequential(Layer):
    def __init__(self, layers):
        self.layers = layers

    def forward(self, x):
        first, *rest = self.layers
        x = first.forward(x)
        return Sequential(rest).forward(x) if rest else x

    def backward(self, dout):
        first, *rest = self.layers
        if rest:
            dout = Sequential(rest).backward(dout)
        return first.backward(dout)
