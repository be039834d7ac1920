import numpy as np


def _signs(y, shape):
    signs = np.zeros(shape)
    signs[(y == 1).reshape(shape)] = 1
    signs[(y != 1).reshape(shape)] = -1
    return signs


def logistic_loss(x, y):
    s = _signs(y, x.shape)
    loss = 0.0
    dx = np.zeros_like(x)
    for n in range(len(x)):
        m = (s[n] * x[n]).item()
        if m > 0:
            loss += np.log1p(np.exp(-m)) / len(x)
            dx[n] = -s[n] * np.exp(-m) / (1 + np.exp(-m)) / len(x)
        else:
            loss += (np.log1p(np.exp(m)) - m) / len(x)
            dx[n] = -s[n] / (1 + np.exp(m)) / len(x)
    return loss, dx


def svm_loss(x, y):
    s = _signs(y, x.shape)
    hinges = np.where(s * x < 1, 1 - s * x, 0)
    return np.average(hinges), np.where(s * x < 1, -s, 0) / len(x)


def softmax_loss(x, y):
    """The labels are compared with each class."""
    onehot = y[:, np.newaxis] == np.arange(x.shape[1])
    top = np.amax(x, axis=1, keepdims=True)
    lse = top + np.log(np.exp(x - top).sum(1, keepdims=True))
    return np.sum((lse - x)[onehot]) / len(x), (np.exp(x - lse) - onehot) / len(x)
