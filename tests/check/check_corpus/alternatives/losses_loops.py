import math

import numpy as np


def _softplus(z):
    return z + math.log1p(math.exp(-z)) if z > 0 else math.log1p(math.exp(z))


def _sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def logistic_loss(x, y):
    """One example at a time, in Python floats."""
    N, dx, loss = len(x), np.zeros_like(x), 0.0
    for n in range(N):
        z = float(x.reshape(N)[n])
        sign = 1 if y.reshape(N)[n] == 1 else -1
        loss += _softplus(-sign * z)
        dx.reshape(N)[n] = -sign * _sigmoid(-sign * z) / N
    return loss / N, dx


def svm_loss(x, y):
    N, dx, loss = len(x), np.zeros_like(x), 0.0
    for n in range(N):
        sign = 1 if y.reshape(N)[n] == 1 else -1
        slack = 1 - sign * float(x.reshape(N)[n])
        if slack > 0:
            loss += slack
            dx.reshape(N)[n] = -sign / N
    return loss / N, dx


def softmax_loss(x, y):
    N, dx, loss = len(x), np.zeros_like(x), 0.0
    for n in range(N):
        row = [float(v) for v in x[n]]
        top = max(row)
        total = sum(math.exp(v - top) for v in row)
        loss += top + math.log(total) - row[int(y[n])]
        for c, v in enumerate(row):
            dx[n, c] = (math.exp(v - top) / total - (c == y[n])) / N
    return loss / N, dx
