import numpy as np


def logistic_loss(x, y):
    """The labels are -1 and 1: the mean of log(1 + exp(-y x)), kept from overflowing."""
    z = np.ravel(x) * y
    small = np.exp(-np.abs(z))
    losses = np.where(z > 0, np.log1p(small), np.log1p(small) - z)
    slope = np.where(z > 0, small / (1 + small), 1 / (1 + small))
    return np.mean(losses), np.reshape(-y * slope / len(x), x.shape)


def svm_loss(x, y):
    """The labels are -1 and 1: the mean of max(0, 1 - y x)."""
    margin = 1 - y * np.ravel(x)
    violates = margin > 0
    return (margin * violates).sum() / len(x), np.reshape(-(y * violates) / len(x), x.shape)
