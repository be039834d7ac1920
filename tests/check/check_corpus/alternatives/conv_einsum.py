import numpy as np


def _patches(x, HH, WW):
    return np.lib.stride_tricks.sliding_window_view(x, (HH, WW), axis=(2, 3))


def conv_forward(x, w):
    patches = _patches(x, w.shape[2], w.shape[3])
    out = np.einsum("nchwij,fcij->nfhw", patches, w, optimize=True)
    return out, [patches, w, x.shape]


def conv_backward(dout, cache):
    patches, w, shape = cache
    HH, WW = w.shape[2:]
    dw = np.einsum("nfhw,nchwij->fcij", dout, patches, optimize=True)
    pad = [(0, 0), (0, 0), (HH - 1, HH - 1), (WW - 1, WW - 1)]
    around = _patches(np.pad(dout, pad), HH, WW)
    dx = np.einsum("nfhwij,fcij->nchw", around, w[:, :, ::-1, ::-1], optimize=True)
    assert dx.shape == shape
    return dx, dw
