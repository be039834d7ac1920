import numpy as np


def max_pool_forward(x, pool_param):
    """Window after window; backward looks again for the first of the largest pixels."""
    height, width = pool_param["pool_height"], pool_param["pool_width"]
    stride = pool_param["stride"]
    N, C, H, W = x.shape
    out = np.full((N, C, int((H - height) / stride + 1), int((W - width) / stride + 1)), -np.inf)
    for i in range(height):
        for j in range(width):
            taps = x[:, :, i::stride, j::stride][:, :, : out.shape[2], : out.shape[3]]
            out = np.maximum(out, taps)
    return out, (x, out, pool_param)


def max_pool_backward(dout, cache):
    x, out, pool_param = cache
    stride = pool_param["stride"]
    dx, free = np.zeros(x.shape), np.ones(dout.shape, dtype=bool)
    for i in range(pool_param["pool_height"]):
        for j in range(pool_param["pool_width"]):
            at = np.s_[
                :, :, i : i + stride * (dout.shape[2] - 1) + 1 : stride,
                j : j + stride * (dout.shape[3] - 1) + 1 : stride,
            ]  # fmt: skip
            paid = (x[at] == out) & free
            dx[at] += dout * paid
            free &= ~paid
    return dx
