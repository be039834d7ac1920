"""The answers: every function's definition in float64, written without handgrad's own layers.

Forward passes are the definitions; backward passes are the chain rule taken apart (batch norm goes
through variance and mean one after the other), so that a slip in handgrad's compact formulas could
not hide here. Never imported by the child.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from handgrad.arrays import Array


def wide(x: Any) -> Array:
    """As float64."""
    return np.asarray(x, dtype=np.float64)


def fc_forward(x: Array, w: Array, b: Array) -> Array:
    """out[n, m] = sum over d of x[n, d] w[d, m], + b[m]."""
    out: Array = np.einsum("nd,dm->nm", wide(x).reshape(len(x), -1), wide(w)) + wide(b)
    return out


def fc_backward(dout: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
    """Return dx, dw, db."""
    rows = wide(x).reshape(len(x), -1)
    dx = np.einsum("nm,dm->nd", wide(dout), wide(w)).reshape(x.shape)
    return dx, np.einsum("nd,nm->dm", rows, wide(dout)), np.einsum("nm->m", wide(dout))


def batchnorm_forward(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, eps: float
) -> Array:
    """Normalise columns with these statistics."""
    hat = (wide(x) - wide(mean)) / np.sqrt(wide(var) + eps)
    out: Array = wide(gamma) * hat + wide(beta)
    return out


def batchnorm_backward(
    dout: Array, x: Array, gamma: Array, eps: float
) -> tuple[Array, Array, Array]:
    """Return dx, dgamma, dbeta after a training forward, one step of the chain at a time."""
    x, dout = wide(x), wide(dout)
    N = len(x)
    mean, var = x.sum(axis=0) / N, x.var(axis=0)
    deviation = np.sqrt(var + eps)
    centred = x - mean
    d_hat = dout * wide(gamma)
    d_var = (d_hat * centred).sum(axis=0) * (-0.5) * (var + eps) ** -1.5
    d_mean = (-d_hat / deviation).sum(axis=0) + d_var * (-2 * centred).sum(axis=0) / N
    dx = d_hat / deviation + d_var * 2 * centred / N + d_mean / N
    return dx, (dout * centred / deviation).sum(axis=0), dout.sum(axis=0)


def per_channel(x: Array) -> Array:
    """Images (N, C, H, W) as rows of C features: (N * H * W, C)."""
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def as_images(rows: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of per_channel."""
    N, C, H, W = shape
    return np.moveaxis(rows.reshape(N, H, W, C), -1, 1)


def pad(x: Array, padding: int) -> Array:
    """Zeros around each image."""
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def conv_forward(x: Array, w: Array, stride: int = 1, padding: int = 0) -> Array:
    """out[n, f, i, j] = sum over c, k, l of x[n, c, s i + k, s j + l] w[f, c, k, l]."""
    windows = sliding_window_view(pad(wide(x), padding), w.shape[2:], axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    out: Array = np.einsum("ncijkl,fckl->nfij", windows, wide(w), optimize=True)
    return out


def conv_backward(
    dout: Array, x: Array, w: Array, stride: int = 1, padding: int = 0
) -> tuple[Array, Array]:
    """Return dx, dw: one filter tap after the other."""
    padded, w, dout = pad(wide(x), padding), wide(w), wide(dout)
    dx, dw = np.zeros_like(padded), np.zeros_like(w)
    OH, OW = dout.shape[2:]
    for k, m in np.ndindex(*w.shape[2:]):
        rows = slice(k, k + stride * (OH - 1) + 1, stride)
        columns = slice(m, m + stride * (OW - 1) + 1, stride)
        dx[:, :, rows, columns] += np.einsum("nfij,fc->ncij", dout, w[:, :, k, m], optimize=True)
        patch = padded[:, :, rows, columns]
        dw[:, :, k, m] = np.einsum("nfij,ncij->fc", dout, patch, optimize=True)
    H, W = x.shape[2:]
    return dx[:, :, padding : padding + H, padding : padding + W], dw


def convolve_full(a: Array, b: Array) -> Array:
    """Multiply as polynomials in two variables."""
    (H, W), (HH, WW) = a.shape, b.shape
    out = np.zeros((H + HH - 1, W + WW - 1))
    for k, m in np.ndindex(HH, WW):
        out[k : k + H, m : m + W] += wide(a) * wide(b)[k, m]
    return out


def filter_valid(a: Array, b: Array) -> Array:
    """Slide b over a, unflipped."""
    out: Array = conv_forward(a[None, None], b[None, None])[0, 0]
    return out


def max_pool_forward(x: Array, height: int, width: int, stride: int) -> Array:
    """The largest pixel of each window."""
    windows = sliding_window_view(wide(x), (height, width), axis=(2, 3))
    out: Array = windows[:, :, ::stride, ::stride].max(axis=(4, 5))
    return out


def max_pool_backward(
    dout: Array, x: Array, height: int, width: int, stride: int, ties: str = "first"
) -> Array:
    """Each window pays the first of its largest pixels (or 'all' of them, the 'last', 'share')."""
    dx = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(dout.shape):
        top, left = i * stride, j * stride
        window = x[n, c, top : top + height, left : left + width]
        largest = np.argwhere(window == window.max())
        if ties == "first":
            largest = largest[:1]
        elif ties == "last":
            largest = largest[-1:]
        share = dout[n, c, i, j] / (len(largest) if ties == "share" else 1)
        for p, q in largest:
            dx[n, c, top + p, left + q] += share
    return dx


def logistic_loss(x: Array, positive: Array) -> tuple[float, Array]:
    """Mean of ln(1 + exp(-sign x)); dx in x's shape."""
    flat = wide(x).reshape(-1)
    sign = np.where(positive, 1.0, -1.0)
    loss = np.logaddexp(0, -sign * flat).mean()
    dx = -sign * np.exp(-np.logaddexp(0, sign * flat)) / flat.size
    return float(loss), dx.reshape(x.shape)


def svm_loss(x: Array, positive: Array) -> tuple[float, Array]:
    """Mean of max(0, 1 - sign x); dx in x's shape."""
    flat = wide(x).reshape(-1)
    sign = np.where(positive, 1.0, -1.0)
    slack = 1 - sign * flat
    dx = np.where(slack > 0, -sign, 0.0) / flat.size
    return float(np.where(slack > 0, slack, 0).mean()), dx.reshape(x.shape)


def multiclass_svm_loss(x: Array, y: Array) -> tuple[float, Array]:
    """Mean over examples of the sum over wrong classes of max(0, 1 + s_j - s_y)."""
    x = wide(x)
    dx, loss = np.zeros(x.shape), 0.0
    for n, label in enumerate(y):
        for j in range(x.shape[1]):
            slack = 1 + x[n, j] - x[n, label]
            if j != label and slack > 0:
                loss += slack
                dx[n, j] += 1
                dx[n, label] -= 1
    return loss / len(x), dx / len(x)


def softmax_loss(x: Array, y: Array) -> tuple[float, Array]:
    """Mean of -ln p[y]; dx = (p - onehot) / N."""
    x = wide(x)
    rows = np.arange(len(x))
    labels = np.asarray(y).astype(int)
    log_p = x - np.logaddexp.reduce(x, axis=1, keepdims=True)
    dx = np.exp(log_p)
    dx[rows, labels] -= 1
    return float(-log_p[rows, labels].mean()), dx / len(x)
