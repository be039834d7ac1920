import numpy as np


def dropout_forward(x, dropout_param):
    """P is the probability to drop a unit."""
    p = dropout_param["p"]
    if dropout_param["mode"] == "test":
        factor = x.dtype.type(1 - p)
    else:
        source = np.random
        if dropout_param.get("seed") is not None:
            source = np.random.RandomState(dropout_param["seed"])
        factor = (source.rand(*x.shape) >= p).astype(x.dtype)
    return x * factor, factor


def dropout_backward(dout, cache):
    return dout * cache
