import numpy as np


def conv_forward(x, w):
    HH, WW = w.shape[2:]
    OH, OW = x.shape[2] - HH + 1, x.shape[3] - WW + 1
    out = 0
    for i in range(HH):
        for j in range(WW):
            out = out + np.tensordot(w[:, :, i, j], x[:, :, i : i + OH, j : j + OW], axes=(1, 1))
    return np.moveaxis(out, 0, 1), (x, w)


def conv_backward(dout, cache):
    """Dx is the full convolution of dout and the filters: pad, flip, and filter."""
    x, w = cache
    HH, WW = w.shape[2:]
    padded = np.pad(dout, ((0, 0), (0, 0), (HH - 1, HH - 1), (WW - 1, WW - 1)))
    dx, _ = conv_forward(padded, w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
    dw, _ = conv_forward(x.transpose(1, 0, 2, 3), dout.transpose(1, 0, 2, 3))
    return dx, dw.transpose(1, 0, 2, 3)
