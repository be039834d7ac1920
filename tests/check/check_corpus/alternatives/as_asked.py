"""What the text asks for and no more: NumPy's float64, one coding of the labels, training alone."""

import numpy as np


def fc_forward(x, w, b):
    out = np.zeros((x.shape[0], w.shape[1]))
    for n in range(x.shape[0]):
        out[n] = np.dot(x[n].flatten(), w) + b
    return out, (x, w, b)


def fc_backward(dout, cache):
    x, w, b = cache
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(b.shape)
    for n in range(x.shape[0]):
        dx[n] = np.dot(w, dout[n]).reshape(x[n].shape)
        dw += np.outer(x[n], dout[n])
        db += dout[n]
    return dx, dw, db


def relu_forward(x):
    out = x.astype(float)
    out[out < 0] = 0
    return out, x


def relu_backward(dout, cache):
    dx = dout.astype(float)
    dx[cache <= 0] = 0
    return dx


def dropout_forward(x, dropout_param):
    p = dropout_param["p"]
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    if dropout_param["mode"] == "test":
        return p * x, None
    mask = (np.random.rand(*x.shape) < p) * 1.0
    return x * mask, mask


def dropout_backward(dout, cache):
    return dout * cache


def batchnorm_forward(x, gamma, beta, bn_param):
    eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    running_mean = bn_param.get("running_mean", np.zeros(x.shape[1]))
    running_var = bn_param.get("running_var", np.zeros(x.shape[1]))
    if bn_param["mode"] == "test":
        return gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta, None
    mean, var = np.mean(x, 0), np.var(x, 0)
    bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mean
    bn_param["running_var"] = momentum * running_var + (1 - momentum) * var
    xhat = (x - mean) / np.sqrt(var + eps)
    return gamma * xhat + beta, (xhat, var + eps, gamma)


def batchnorm_backward(dout, cache):
    xhat, var, gamma = cache
    N = len(dout)
    dgamma, dbeta = np.sum(dout * xhat, 0), np.sum(dout, 0)
    dx = gamma / (N * np.sqrt(var)) * (N * dout - dbeta - xhat * dgamma)
    return dx, dgamma, dbeta


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    N, C, H, W = x.shape
    flat = x.transpose(0, 2, 3, 1).reshape(N * H * W, C)
    out, cache = batchnorm_forward(flat, gamma, beta, bn_param)
    return out.reshape(N, H, W, C).transpose(0, 3, 1, 2), cache


def spatial_batchnorm_backward(dout, cache):
    N, C, H, W = dout.shape
    flat = dout.transpose(0, 2, 3, 1).reshape(N * H * W, C)
    dx, dgamma, dbeta = batchnorm_backward(flat, cache)
    return dx.reshape(N, H, W, C).transpose(0, 3, 1, 2), dgamma, dbeta


def conv_forward(x, w):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    out = np.zeros((N, F, H - HH + 1, W - WW + 1))
    for f in range(F):
        for i in range(H - HH + 1):
            for j in range(W - WW + 1):
                out[:, f, i, j] = np.sum(x[:, :, i : i + HH, j : j + WW] * w[f], axis=(1, 2, 3))
    return out, (x, w)


def conv_backward(dout, cache):
    x, w = cache
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    _, F, OH, OW = dout.shape
    HH, WW = w.shape[2:]
    for f in range(F):
        for i in range(OH):
            for j in range(OW):
                d = dout[:, f, i, j][:, None, None, None]
                dx[:, :, i : i + HH, j : j + WW] += d * w[f]
                dw[f] += np.sum(d * x[:, :, i : i + HH, j : j + WW], axis=0)
    return dx, dw


def max_pool_forward(x, pool_param):
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H, W = x.shape
    out = np.zeros((N, C, 1 + (H - ph) // s, 1 + (W - pw) // s))
    for n in range(N):
        for c in range(C):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    out[n, c, i, j] = np.max(x[n, c, i * s : i * s + ph, j * s : j * s + pw])
    return out, (x, pool_param)


def max_pool_backward(dout, cache):
    x, pool_param = cache
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(dout.shape):
        window = x[n, c, i * s : i * s + ph, j * s : j * s + pw]
        a, b = np.unravel_index(np.argmax(window), window.shape)
        dx[n, c, i * s + a, j * s + b] += dout[n, c, i, j]
    return dx


def logistic_loss(x, y):
    """y is 0 or 1."""
    scores = x.reshape(-1)
    loss = np.mean(np.logaddexp(0, scores) - y * scores)
    probability = np.exp(-np.logaddexp(0, -scores))
    return loss, ((probability - y) / len(x)).reshape(x.shape)


def svm_loss(x, y):
    """y is 0 or 1."""
    t = np.where(y == 0, -1.0, y).reshape(x.shape)
    loss = np.mean(np.maximum(0, 1 - t * x))
    return loss, np.where(1 - t * x > 0, -t, 0) / len(x)


def softmax_loss(x, y):
    N = x.shape[0]
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    probabilities = e / np.sum(e, axis=1, keepdims=True)
    shifted = x - np.max(x, axis=1, keepdims=True)
    log = shifted - np.log(np.sum(e, axis=1, keepdims=True))
    loss, dx = 0.0, np.array(probabilities, dtype=float)
    for n in range(N):
        loss -= log[n, y[n]]
        dx[n, y[n]] -= 1
    return loss / N, dx / N
