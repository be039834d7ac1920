from types import SimpleNamespace

import numpy as np


def fc_forward(x, w, b):
    flat = np.reshape(x, (len(x), -1))
    out = np.einsum("nd,dm->nm", flat, w) + b[np.newaxis]
    return out, SimpleNamespace(flat=flat, w=w, shape=x.shape)


def fc_backward(dout, cache):
    dx = np.einsum("nm,dm->nd", dout, cache.w).reshape(cache.shape)
    dw = np.einsum("nd,nm->dm", cache.flat, dout)
    return dx, dw, np.einsum("nm->m", dout)


def relu_forward(x):
    positive = x > 0
    return np.where(positive, x, np.zeros_like(x)), positive


def relu_backward(dout, cache):
    return np.where(cache, dout, np.zeros_like(dout))


def dropout_forward(x, dropout_param):
    if dropout_param["mode"] == "test":
        return (x * dropout_param["p"]).astype(x.dtype), (None, dropout_param["p"])
    seed = dropout_param.get("seed")
    rand = np.random.rand if seed is None else np.random.RandomState(seed).rand
    kept = rand(*x.shape) < dropout_param["p"]
    return np.where(kept, x, np.zeros_like(x)), (kept, None)


def dropout_backward(dout, cache):
    kept, p = cache
    return (dout * p).astype(dout.dtype) if kept is None else np.where(kept, dout, dout * 0)
