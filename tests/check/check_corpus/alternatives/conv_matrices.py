import numpy as np


def filter_valid(a, b):
    """b stays inside a."""
    (H, W), (HH, WW) = a.shape, b.shape
    return np.array([
        [np.vdot(a[i : i + HH, j : j + WW], b) for j in range(W - WW + 1)]
        for i in range(H - HH + 1)
    ])  # fmt: skip


def convolve_full(a, b):
    """Each entry of a lays down a copy of b."""
    out = np.zeros((a.shape[0] + b.shape[0] - 1, a.shape[1] + b.shape[1] - 1))
    for (i, j), value in np.ndenumerate(a):
        out[i : i + b.shape[0], j : j + b.shape[1]] += value * b
    return out


def conv_forward(x, w):
    """The assignment's sums over channels of *filt, as they stand."""
    out = [[sum(map(filter_valid, image, own)) for own in w] for image in x]
    return np.array(out), (x, w)


def conv_backward(dout, cache):
    x, w = cache
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for n, image in enumerate(x):
        for f, own in enumerate(w):
            for c in range(len(image)):
                dx[n, c] += convolve_full(dout[n, f], own[c])
                dw[f, c] += filter_valid(image[c], dout[n, f])
    return dx, dw
