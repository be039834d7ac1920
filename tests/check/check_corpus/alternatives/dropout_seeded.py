import numpy as np


def dropout_forward(x, dropout_param):
    """Seeds NumPy itself, in both modes; there is a cache after training alone."""
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    if dropout_param["mode"] == "train":
        cache = np.random.random_sample(x.shape) < dropout_param["p"]
        out = np.where(cache, x, 0.0)
    else:
        cache = None
        out = x * dropout_param["p"]
    return out, cache


def dropout_backward(dout, cache):
    dx = np.zeros(dout.shape)
    dx[cache.nonzero()] = dout[cache.nonzero()]
    return dx
