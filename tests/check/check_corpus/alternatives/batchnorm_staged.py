import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    mode, eps = bn_param["mode"], bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)
    D = x.shape[1]
    zeros = np.zeros(D, dtype=x.dtype)
    running_mean = bn_param.setdefault("running_mean", zeros)
    running_var = bn_param.setdefault("running_var", zeros.copy())
    if mode == "test":
        inverse = 1 / np.sqrt(running_var + eps)
        hat = (x - running_mean) * inverse
        return hat * gamma + beta, {"mode": mode, "hat": hat, "inverse": inverse, "gamma": gamma}
    N = x.shape[0]
    mean = x.sum(axis=0) / N
    centred = x - mean
    square = centred**2
    var = square.sum(axis=0) / N
    root = np.sqrt(var + eps)
    inverse = 1 / root
    hat = centred * inverse
    scaled = gamma * hat
    out = scaled + beta
    bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mean
    bn_param["running_var"] = momentum * running_var + (1 - momentum) * var
    return out, {
        "mode": mode, "hat": hat, "gamma": gamma, "centred": centred,
        "inverse": inverse, "root": root,
    }  # fmt: skip


def batchnorm_backward(dout, cache):
    """Backward through each step of the forward, in reverse order."""
    dbeta = dout.sum(axis=0)
    dgamma = np.sum(dout * cache["hat"], axis=0)
    dhat = dout * cache["gamma"]
    if cache["mode"] == "test":
        return dhat * cache["inverse"], dgamma, dbeta
    N = dout.shape[0]
    centred, inverse, root = cache["centred"], cache["inverse"], cache["root"]
    dinverse = np.sum(dhat * centred, axis=0)
    dcentred = dhat * inverse
    droot = -dinverse / root**2
    dvar = 0.5 * droot / root
    dsquare = np.ones_like(dout) * dvar / N
    dcentred = dcentred + 2 * centred * dsquare
    dmean = -dcentred.sum(axis=0)
    dx = dcentred + np.ones_like(dout) * dmean / N
    return dx, dgamma, dbeta
