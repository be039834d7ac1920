import numpy as np


def dropout_forward(x, dropout_param):
    """Inverted dropout: divides by p in training, so that testing has nothing to do."""
    p = dropout_param["p"]
    if dropout_param["mode"] == "test":
        return x, np.ones_like(x)
    source = np.random.RandomState(dropout_param["seed"]) if "seed" in dropout_param else np.random
    mask = ((source.rand(*x.shape) < p) / p).astype(x.dtype)
    return x * mask, mask


def dropout_backward(dout, cache):
    return dout * cache
