"""A base class, caches as tuples, a generator of its own."""

import numpy as np


class Module:
    def __init__(self):
        self.cache = None

    def __call__(self, *args):
        return self.forward(*args)


class Linear(Module):
    rng = np.random.default_rng(0)

    def __init__(self, n_in, n_out, scale=1e-2):
        super().__init__()
        self.W = scale * self.rng.normal(size=(n_in, n_out))
        self.b = np.zeros((n_out,))
        self.dW = self.db = None

    def forward(self, x):
        self.cache = (x, self.W)
        return np.dot(x, self.W) + self.b

    def backward(self, dout):
        x, W = self.cache
        self.dW = np.dot(x.T, dout)
        self.db = np.sum(dout, axis=0)
        return np.dot(dout, W.T)


class ReLU(Module):
    def forward(self, x):
        self.cache = (x,)
        return x * (x > 0)

    def backward(self, dout):
        (x,) = self.cache
        dx = np.array(dout)
        dx[x <= 0] = 0
        return dx


class Sigmoid(Module):
    def forward(self, x):
        out = 1.0 / (1.0 + np.exp(-x))
        self.cache = (out,)
        return out

    def backward(self, dout):
        (out,) = self.cache
        return dout * (1.0 - out) * out


class Tanh(Module):
    def forward(self, x):
        out = np.tanh(x)
        self.cache = (out,)
        return out

    def backward(self, dout):
        (out,) = self.cache
        return dout * (1.0 - out * out)


class SoftmaxCrossEntropy(Module):
    def forward(self, scores, y):
        z = scores - np.max(scores, axis=1, keepdims=True)
        log_sum = np.log(np.sum(np.exp(z), axis=1))
        N = scores.shape[0]
        self.cache = (z, log_sum, y, N)
        return np.mean(log_sum - z[np.arange(N), y])

    def backward(self):
        z, log_sum, y, N = self.cache
        one_hot = np.zeros_like(z)
        one_hot[np.arange(N), y] = 1
        return (np.exp(z - log_sum[:, None]) - one_hot) / N


class Sequential(Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = list(layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def backward(self, dout):
        for layer in self.layers[::-1]:
            dout = layer.backward(dout)
        return dout
