import numpy as np


def fc_forward(x, w, b):
    out = np.zeros((x.shape[0], w.shape[1]), dtype=x.dtype)
    for n in range(x.shape[0]):
        for m in range(w.shape[1]):
            out[n, m] = np.sum(x[n].ravel() * w[:, m]) + b[m]
    return out, (x, w)


def fc_backward(dout, cache):
    x, w = cache
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(w.shape[1], dtype=w.dtype)
    for n in range(x.shape[0]):
        for m in range(w.shape[1]):
            dx[n] += (dout[n, m] * w[:, m]).reshape(x.shape[1:])
            dw[:, m] += dout[n, m] * x[n].ravel()
            db[m] += dout[n, m]
    return dx, dw, db


def relu_forward(x):
    out = x.copy()
    out[out < 0] = 0
    return out, out


def relu_backward(dout, cache):
    dx = np.array(dout)
    dx[cache == 0] = 0
    return dx
