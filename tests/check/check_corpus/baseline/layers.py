"""My layers: every forward returns (out, cache), every backward takes (dout, cache)."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def fc_forward(x, w, b):
    """out = x w + b, each example flattened."""
    rows = x.reshape(x.shape[0], -1)
    out = rows @ w + b
    cache = (x, w)
    return out, cache


def fc_backward(dout, cache):
    x, w = cache
    rows = x.reshape(x.shape[0], -1)
    dx = (dout @ w.T).reshape(x.shape)
    dw = rows.T @ dout
    db = dout.sum(axis=0)
    return dx, dw, db


def relu_forward(x):
    out = np.maximum(0, x)
    return out, x


def relu_backward(dout, cache):
    x = cache
    return dout * (x > 0)


def dropout_forward(x, dropout_param):
    """p is the probability to keep a unit."""
    p, mode = dropout_param["p"], dropout_param["mode"]
    if mode == "train":
        if "seed" in dropout_param:
            draw = np.random.RandomState(dropout_param["seed"]).rand(*x.shape)
        else:
            draw = np.random.rand(*x.shape)
        mask = (draw < p).astype(x.dtype)
        out = x * mask
    else:
        mask = x.dtype.type(p)
        out = x * mask
    return out, mask


def dropout_backward(dout, cache):
    mask = cache
    return dout * mask


def batchnorm_forward(x, gamma, beta, bn_param):
    mode = bn_param["mode"]
    eps = bn_param.get("eps", 1e-5)
    momentum = bn_param.get("momentum", 0.9)
    D = x.shape[1]
    running_mean = bn_param.get("running_mean", np.zeros(D, dtype=x.dtype))
    running_var = bn_param.get("running_var", np.zeros(D, dtype=x.dtype))

    if mode == "train":
        mean = x.mean(axis=0)
        var = x.var(axis=0)
        running_mean = momentum * running_mean + (1 - momentum) * mean
        running_var = momentum * running_var + (1 - momentum) * var
    elif mode == "test":
        mean = running_mean
        var = running_var
    else:
        raise ValueError("mode must be 'train' or 'test'")

    std = np.sqrt(var + eps)
    x_hat = (x - mean) / std
    out = gamma * x_hat + beta
    bn_param["running_mean"] = running_mean
    bn_param["running_var"] = running_var
    cache = (x_hat, gamma, std, mode)
    return out, cache


def batchnorm_backward(dout, cache):
    x_hat, gamma, std, mode = cache
    dbeta = dout.sum(axis=0)
    dgamma = (dout * x_hat).sum(axis=0)
    dx_hat = dout * gamma
    if mode == "train":
        dx = (dx_hat - dx_hat.mean(axis=0) - x_hat * (dx_hat * x_hat).mean(axis=0)) / std
    else:
        dx = dx_hat / std
    return dx, dgamma, dbeta


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    """One mean and variance a channel: all pixels of a channel are its examples."""
    N, C, H, W = x.shape
    rows = x.transpose(0, 2, 3, 1).reshape(-1, C)
    out, cache = batchnorm_forward(rows, gamma, beta, bn_param)
    return out.reshape(N, H, W, C).transpose(0, 3, 1, 2), cache


def spatial_batchnorm_backward(dout, cache):
    N, C, H, W = dout.shape
    rows = dout.transpose(0, 2, 3, 1).reshape(-1, C)
    dx, dgamma, dbeta = batchnorm_backward(rows, cache)
    return dx.reshape(N, H, W, C).transpose(0, 3, 1, 2), dgamma, dbeta


def conv_forward(x, w):
    """Slide each filter over each image (no flip), wherever it fits wholly."""
    HH, WW = w.shape[2:]
    windows = sliding_window_view(x, (HH, WW), axis=(2, 3))  # (N, C, OH, OW, HH, WW)
    out = np.tensordot(windows, w, axes=((1, 4, 5), (1, 2, 3)))  # (N, OH, OW, F)
    return out.transpose(0, 3, 1, 2), (x, w)


def conv_backward(dout, cache):
    x, w = cache
    HH, WW = w.shape[2:]
    OH, OW = dout.shape[2:]
    windows = sliding_window_view(x, (HH, WW), axis=(2, 3))
    dw = np.tensordot(dout, windows, axes=((0, 2, 3), (0, 2, 3)))  # (F, C, HH, WW)
    dx = np.zeros_like(x)
    for i in range(HH):
        for j in range(WW):
            part = np.tensordot(dout, w[:, :, i, j], axes=(1, 0))  # (N, OH, OW, C)
            dx[:, :, i : i + OH, j : j + OW] += part.transpose(0, 3, 1, 2)
    return dx, dw


def filter_valid(a, b):
    """Slide b over a wherever it fits wholly."""
    out, _ = conv_forward(a[None, None], b[None, None])
    return out[0, 0]


def convolve_full(a, b):
    """Slide the flipped b over a wherever they touch."""
    HH, WW = b.shape
    padded = np.pad(a, ((HH - 1, HH - 1), (WW - 1, WW - 1)))
    return filter_valid(padded, b[::-1, ::-1])


def max_pool_forward(x, pool_param):
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H, W = x.shape
    OH, OW = 1 + (H - ph) // s, 1 + (W - pw) // s
    out = np.zeros((N, C, OH, OW), dtype=x.dtype)
    winner = np.zeros((N, C, OH, OW), dtype=int)  # which pixel of the window, the first of equals
    for i in range(OH):
        for j in range(OW):
            window = x[:, :, i * s : i * s + ph, j * s : j * s + pw].reshape(N, C, -1)
            winner[:, :, i, j] = window.argmax(axis=2)
            out[:, :, i, j] = window.max(axis=2)
    return out, (x, winner, pool_param)


def max_pool_backward(dout, cache):
    x, winner, pool_param = cache
    pw, s = pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros_like(x)
    n, c = np.ogrid[: x.shape[0], : x.shape[1]]
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            k = winner[:, :, i, j]
            dx[n, c, i * s + k // pw, j * s + k % pw] += dout[:, :, i, j]
    return dx


def logistic_loss(x, y):
    """The mean of ln(1 + exp(-y x)), y as -1 or 1."""
    N = x.shape[0]
    signs = np.where(y == 1, 1, -1).astype(x.dtype).reshape(x.shape)
    margins = signs * x
    loss = np.logaddexp(0, -margins).mean()
    sigmoid = np.exp(-np.logaddexp(0, margins))  # of -margins
    dx = -signs * sigmoid / N
    return loss, dx


def svm_loss(x, y):
    """The mean of max(0, 1 - y x), y as -1 or 1."""
    N = x.shape[0]
    signs = np.where(y == 1, 1, -1).astype(x.dtype).reshape(x.shape)
    slack = 1 - signs * x
    loss = np.maximum(0, slack).sum() / N
    dx = -signs * (slack > 0) / N
    return loss, dx


def softmax_loss(x, y):
    N = x.shape[0]
    shifted = x - x.max(axis=1, keepdims=True)
    exps = np.exp(shifted)
    sums = exps.sum(axis=1, keepdims=True)
    logs = shifted - np.log(sums)
    rows = np.arange(N)
    labels = y.astype(int)
    loss = -logs[rows, labels].sum() / N
    dx = exps / sums
    dx[rows, labels] -= 1
    dx /= N
    return loss, dx
