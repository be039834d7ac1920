import numpy as np


class Layer:
    """Keeps what its backward needs in itself; the functions below only delegate."""

    def __init__(self, **kept):
        self.__dict__.update(kept)


class FullyConnected(Layer):
    def forward(self, x):
        self.x = x
        self.rows = x.reshape(len(x), -1)
        return np.dot(self.rows, self.w) + self.b

    def backward(self, dout):
        return np.dot(dout, self.w.T).reshape(self.x.shape), np.dot(self.rows.T, dout), sum(dout)


class ReLU(Layer):
    def forward(self, x):
        self.mask = (x > 0).astype(x.dtype)
        return np.maximum(x, 0)

    def backward(self, dout):
        return dout * self.mask


class Dropout(Layer):
    def forward(self, x):
        p = self.param["p"]
        if self.param["mode"] == "test":
            self.factor = x.dtype.type(p)
        else:
            seed = self.param.get("seed")
            source = np.random if seed is None else np.random.RandomState(seed)
            self.factor = (source.rand(*x.shape) < p).astype(x.dtype)
        return x * self.factor

    def backward(self, dout):
        return dout * self.factor


class MaxPool(Layer):
    def forward(self, x):
        self.inner = _max_pool_forward(x, self.param)
        return self.inner[0]

    def backward(self, dout):
        return _max_pool_backward(dout, self.inner[1])


_max_pool_forward, _max_pool_backward = max_pool_forward, max_pool_backward  # noqa: F821


def fc_forward(x, w, b):
    layer = FullyConnected(w=w, b=b)
    return layer.forward(x), layer


def relu_forward(x):
    layer = ReLU()
    return layer.forward(x), layer


def dropout_forward(x, dropout_param):
    layer = Dropout(param=dict(dropout_param))
    return layer.forward(x), layer


def max_pool_forward(x, pool_param):
    layer = MaxPool(param=pool_param)
    return layer.forward(x), layer


def fc_backward(dout, cache):
    return cache.backward(dout)


relu_backward = dropout_backward = max_pool_backward = fc_backward
