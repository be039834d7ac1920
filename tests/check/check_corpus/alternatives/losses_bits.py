import numpy as np


def logistic_loss(x, y):
    """Cross-entropy of a sigmoid, y is 0 or 1; softplus(x) = max(x, 0) + log(1 + exp(-|x|))."""
    N = x.shape[0]
    scores = x.flatten()
    softplus = np.maximum(scores, 0) + np.log(1 + np.exp(-abs(scores)))
    probability = np.where(scores >= 0, 1, np.exp(-abs(scores))) / (1 + np.exp(-abs(scores)))
    loss = 1 / N * np.sum(softplus - y * scores)
    return loss, ((probability - y) / N).reshape(x.shape)


def svm_loss(x, y):
    """y is 0 or 1, and becomes -1 or 1."""
    N = x.shape[0]
    t = 2 * y.reshape(x.shape) - 1
    slack = np.clip(1 - t * x, 0, None)
    dx = np.zeros(x.shape)
    dx[slack > 0] = -t[slack > 0] / N
    return np.sum(slack) / N, dx
