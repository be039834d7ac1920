import numpy as np


def fc_forward(x, w, b):
    N = x.shape[0]
    X = np.reshape(x, [N, np.prod(x.shape[1:], dtype=int)])
    return [np.add(np.matmul(X, w), b), [x, w, b]]


def fc_backward(dout, cache):
    [x, w, b] = cache
    X = np.reshape(x, (x.shape[0], -1))
    gradients = [np.matmul(dout, np.transpose(w)), np.matmul(X.T, dout), np.ones(len(X)) @ dout]
    return [np.reshape(gradients[0], x.shape), *gradients[1:]]


def relu_forward(x):
    return [x * (x > 0), [x]]


def relu_backward(dout, cache):
    dx = np.array(dout, copy=True)
    dx[cache[0] <= 0] = 0
    return dx
