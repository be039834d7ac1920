"""Probabilities of scores: softmax over classes, the logistic function of one; in float64."""

import numpy as np

from handgrad.arrays import Array


def softmax(scores: Array) -> Array:
    """Turn scores (N, C) into probabilities, which add up to 1."""
    powers = np.exp(_less_the_largest(scores))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def log_softmax(scores: Array) -> Array:
    """Give the logarithms of `softmax`, those of probabilities that underflow, too."""
    less = _less_the_largest(scores)
    return np.asarray(less - np.log(np.exp(less).sum(axis=1, keepdims=True)))


def logistic(scores: Array) -> Array:
    """Turn logits of any shape into the probabilities of 1."""
    return np.asarray(np.exp(log_logistic(scores)))


def log_logistic(scores: Array) -> Array:
    """Give the logarithms of `logistic`."""
    return np.asarray(-np.logaddexp(0, -scores.astype(np.float64)))


def logistic_pair(scores: Array) -> Array:
    """Turn the logits (N,) of class 1 into the probabilities (N, 2) of both classes."""
    return np.stack([logistic(-scores), logistic(scores)], axis=1)


def _less_the_largest(scores: Array) -> Array:
    return np.asarray(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
