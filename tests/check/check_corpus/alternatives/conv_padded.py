import numpy as np


def _slide(images, filters):
    """Every image under every filter: a sum of shifted products."""
    N, C, H, W = images.shape
    F, _, HH, WW = filters.shape
    out = np.zeros((N, F, H - HH + 1, W - WW + 1))
    for n in range(N):
        for f in range(F):
            for i in range(H - HH + 1):
                for j in range(W - WW + 1):
                    window = images[n, :, i : i + HH, j : j + WW]
                    out[n, f, i, j] = np.sum(window * filters[f])
    return out


def conv_forward(x, w):
    return _slide(x, w), (x, w)


def conv_backward(dout, cache):
    """dx slides the filters turned round over the padded dout; dw slides dout over x."""
    x, w = cache
    HH, WW = w.shape[2:]
    padded = np.pad(dout, [(0, 0), (0, 0), (HH - 1, HH - 1), (WW - 1, WW - 1)], mode="constant")
    turned = np.rot90(w, 2, axes=(2, 3)).swapaxes(0, 1)
    dw = _slide(x.swapaxes(0, 1), dout.swapaxes(0, 1)).swapaxes(0, 1)
    return _slide(padded, turned), dw
