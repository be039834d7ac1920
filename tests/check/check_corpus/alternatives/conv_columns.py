import numpy as np


def conv_forward(x, w):
    """A row for each window, filled in a loop; then one product of matrices."""
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    OH, OW = H - HH + 1, W - WW + 1
    rows = np.empty((OH * OW, N, C * HH * WW))
    for k in range(OH * OW):
        i, j = divmod(k, OW)
        rows[k] = x[:, :, i : i + HH, j : j + WW].reshape(N, -1)
    out = rows.reshape(-1, C * HH * WW) @ w.reshape(F, -1).T
    out = out.reshape(OH, OW, N, F).transpose(2, 3, 0, 1)
    return out, (rows, w, x.shape)


def conv_backward(dout, cache):
    rows, w, shape = cache
    N, C = shape[:2]
    F, _, HH, WW = w.shape
    flat = dout.transpose(2, 3, 0, 1).reshape(-1, F)
    dw = (flat.T @ rows.reshape(len(flat), -1)).reshape(w.shape)
    drows = (flat @ w.reshape(F, -1)).reshape(rows.shape)
    dx = np.zeros(shape)
    for k, drow in enumerate(drows):
        i, j = divmod(k, dout.shape[3])
        dx[:, :, i : i + HH, j : j + WW] += drow.reshape(N, C, HH, WW)
    return dx, dw
