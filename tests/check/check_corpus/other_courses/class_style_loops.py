"""Loops over examples and units; no cache by that name."""

import math

import numpy as np


class Linear:
    def __init__(self, n_in, n_out):
        self.W, self.b = np.random.randn(n_in, n_out), np.zeros(n_out)

    def forward(self, x):
        self.x = x
        out = np.zeros((len(x), len(self.b)), dtype=x.dtype)
        for n, row in enumerate(x):
            for j in range(len(self.b)):
                out[n, j] = sum(row[d] * self.W[d, j] for d in range(len(row))) + self.b[j]
        return out

    def backward(self, dout):
        dx, self.dW, self.db = np.zeros_like(self.x), np.zeros_like(self.W), np.zeros_like(self.b)
        for n in range(len(self.x)):
            for j in range(len(self.b)):
                dx[n] += dout[n, j] * self.W[:, j]
                self.dW[:, j] += dout[n, j] * self.x[n]
                self.db[j] += dout[n, j]
        return dx


class ReLU:
    def forward(self, x):
        self.x = x
        return np.array([[max(v, 0) for v in row] for row in x], dtype=x.dtype)

    def backward(self, dout):
        dx = np.zeros_like(dout)
        for i, v in np.ndenumerate(self.x):
            if v > 0:
                dx[i] = dout[i]
        return dx


def logistic(v):
    return 1 / (1 + math.exp(-v)) if v > -30 else math.exp(v)


class Sigmoid:
    def forward(self, x):
        self.s = np.array([[logistic(v) for v in row] for row in x], dtype=x.dtype)
        return self.s

    def backward(self, dout):
        return dout * (self.s - self.s**2)


class Tanh:
    def forward(self, x):
        self.t = np.array([[math.tanh(v) for v in row] for row in x], dtype=x.dtype)
        return self.t

    def backward(self, dout):
        return dout - dout * self.t**2


class SoftmaxCrossEntropy:
    def forward(self, scores, y):
        self.p, self.y = np.zeros_like(scores), y
        loss = 0.0
        for n, row in enumerate(scores):
            top = max(row)
            total = sum(math.exp(v - top) for v in row)
            for c, v in enumerate(row):
                self.p[n, c] = math.exp(v - top) / total
            loss += math.log(total) - (row[y[n]] - top)
        return loss / len(scores)

    def backward(self):
        d = self.p / len(self.p)
        for n, c in enumerate(self.y):
            d[n, c] -= 1 / len(self.p)
        return d


class Sequential:
    def __init__(self, layers):
        self.layers = layers

    def forward(self, x):
        outs = [x]
        for layer in self.layers:
            outs.append(layer.forward(outs[-1]))
        return outs[-1]

    def backward(self, dout):
        for i in range(len(self.layers) - 1, -1, -1):
            dout = self.layers[i].backward(dout)
        return dout
