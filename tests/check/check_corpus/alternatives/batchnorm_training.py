import numpy as np


def batchnorm_forward(x, gamma, beta, bn_param):
    """Has a gradient for training alone."""
    eps = bn_param.setdefault("eps", 1e-5)
    momentum = bn_param.setdefault("momentum", 0.9)
    bn_param.setdefault("running_mean", np.zeros(x.shape[1]))
    bn_param.setdefault("running_var", np.zeros(x.shape[1]))
    if bn_param["mode"] == "test":
        scale = gamma / np.sqrt(bn_param["running_var"] + eps)
        return x * scale + (beta - bn_param["running_mean"] * scale), None
    mu = np.sum(x, axis=0) / len(x)
    centred = x - mu
    var = np.sum(centred * centred, axis=0) / len(x)
    ivar = 1 / np.sqrt(var + eps)
    for key, batch in (("running_mean", mu), ("running_var", var)):
        bn_param[key] = momentum * bn_param[key] + (1 - momentum) * batch
    return gamma * (centred * ivar) + beta, (centred, ivar, gamma)


def batchnorm_backward(dout, cache):
    centred, ivar, gamma = cache
    N = len(dout)
    d = dout * gamma
    divar = np.sum(d * centred, axis=0)
    dvar = -0.5 * divar * ivar**3
    dcentred = d * ivar + 2 * dvar * centred / N
    return dcentred - np.mean(dcentred, axis=0), (dout * centred).sum(0) * ivar, dout.sum(0)


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    """One channel after the other, each with its part of bn_param."""
    C = x.shape[1]
    out, caches = np.zeros(x.shape), []
    parts = {key: bn_param.get(key, np.zeros(C)) for key in ("running_mean", "running_var")}
    kept = {key: np.array(part) for key, part in parts.items()}
    for c in range(C):
        own = {**bn_param, **{key: part[c : c + 1] for key, part in parts.items()}}
        flat = x[:, c].reshape(-1, 1)
        y, cache = batchnorm_forward(flat, gamma[c : c + 1], beta[c : c + 1], own)
        out[:, c] = y.reshape(x[:, c].shape)
        caches.append(cache)
        for key, part in kept.items():
            part[c] = own[key][0]
    bn_param.update(kept)
    return out, caches


def spatial_batchnorm_backward(dout, cache):
    dx = np.zeros(dout.shape)
    dgamma, dbeta = np.zeros(dout.shape[1]), np.zeros(dout.shape[1])
    for c, own in enumerate(cache):
        d, dg, db = batchnorm_backward(dout[:, c].reshape(-1, 1), own)
        dx[:, c], dgamma[c], dbeta[c] = d.reshape(dout[:, c].shape), dg[0], db[0]
    return dx, dgamma, dbeta
