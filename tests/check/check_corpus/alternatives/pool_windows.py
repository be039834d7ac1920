import numpy as np


def max_pool_forward(x, pool_param):
    ph, pw, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    windows = np.lib.stride_tricks.sliding_window_view(x, (ph, pw), axis=(2, 3))[:, :, ::s, ::s]
    flat = windows.reshape(*windows.shape[:4], ph * pw)
    first = flat.argmax(axis=-1)
    out = np.take_along_axis(flat, first[..., None], axis=-1)[..., 0]
    return out, (x.shape, first, pw, s)


def max_pool_backward(dout, cache):
    shape, first, pw, s = cache
    n, c, i, j = np.indices(dout.shape)
    dx = np.zeros(shape, dtype=dout.dtype)
    np.add.at(dx, (n, c, i * s + first // pw, j * s + first % pw), dout)
    return dx
