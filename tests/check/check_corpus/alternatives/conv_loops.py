import numpy as np


def conv_forward(x, w):
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    out = np.zeros((N, F, H - HH + 1, W - WW + 1), dtype=x.dtype)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            for f in range(F):
                patch = x[:, :, i : i + HH, j : j + WW]
                out[:, f, i, j] = np.sum(patch * w[f], axis=(1, 2, 3))
    return out, {"images": x, "filters": w}


def conv_backward(dout, cache):
    x, w = cache["images"], cache["filters"]
    N, F, OH, OW = dout.shape
    HH, WW = w.shape[2], w.shape[3]
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for n in range(N):
        for f in range(F):
            for i in range(OH):
                for j in range(OW):
                    dx[n, :, i : i + HH, j : j + WW] += dout[n, f, i, j] * w[f]
                    dw[f] += dout[n, f, i, j] * x[n, :, i : i + HH, j : j + WW]
    return dx, dw
