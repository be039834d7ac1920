import numpy as np


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    axes, column = (0, 2, 3), (1, -1, 1, 1)
    C = x.shape[1]
    eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    mean, var = bn_param.get("running_mean"), bn_param.get("running_var")
    mean = np.zeros(C, dtype=x.dtype) if mean is None else mean
    var = np.zeros(C, dtype=x.dtype) if var is None else var
    if bn_param["mode"] == "train":
        now_mean, now_var = np.mean(x, axis=axes), np.var(x, axis=axes)
        bn_param.update(
            running_mean=momentum * mean + (1 - momentum) * now_mean,
            running_var=momentum * var + (1 - momentum) * now_var,
        )
        mean, var = now_mean, now_var
    inverse = (var + eps) ** -0.5
    hat = (x - mean.reshape(column)) * inverse.reshape(column)
    out = gamma.reshape(column) * hat + beta.reshape(column)
    return out, (hat, gamma, inverse, bn_param["mode"] == "train")


def spatial_batchnorm_backward(dout, cache):
    hat, gamma, inverse, train = cache
    axes, column = (0, 2, 3), (1, -1, 1, 1)
    dbeta, dgamma = dout.sum(axis=axes), (dout * hat).sum(axis=axes)
    scale = (gamma * inverse).reshape(column)
    if not train:
        return scale * dout, dgamma, dbeta
    M = dout.size // dout.shape[1]
    rest = dbeta.reshape(column) / M + hat * dgamma.reshape(column) / M
    return scale * (dout - rest), dgamma, dbeta
