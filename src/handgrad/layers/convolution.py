"""The convolution layer, its channel bias, and the assignment's two operations on matrices."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from handgrad.layers._checks import Array, floating, require, underflow_is_zero

# Patches are laid out for a few images at a time: about this many numbers, so that they stay in the
# processor's cache between being written here and being read by the matrix product.
_PATCH_NUMBERS = 2**18


class ConvCache(NamedTuple):
    """What conv_backward needs: x with its padding around it, w, and how the window moved."""

    x_padded: Array
    w: Array
    stride: int
    padding: int


@underflow_is_zero
def conv_forward(
    x: ArrayLike, w: ArrayLike, *, stride: int = 1, padding: int = 0
) -> tuple[Array, ConvCache]:
    """Convolution layer: each filter slides over each image (the assignment's filtering, *filt).

    out[n, f, i, j] = sum over c, k, l of x[n, c, s*i + k, s*j + l] * w[f, c, k, l]

    (a cross-correlation: the filter is not flipped; s = stride; x with ``padding`` zeros around).

    Parameters
    ----------
    x : array (N, C, H, W)
    w : array (F, C, HH, WW)
    stride : int, default 1
    padding : int, default 0
        Rows and columns of zeros added on each of the four sides.

    Returns
    -------
    out : array (N, F, OH, OW) with OH = 1 + (H + 2*padding - HH) // stride, OW alike
    cache : for conv_backward

    Raises
    ------
    ValueError
        If x and w do not fit each other, or stride or padding is impossible.
    """
    x = floating(x)
    w = floating(w, x.dtype)
    require(x.ndim == 4, "conv_forward", "x must be (N, C, H, W)", x=x)
    require(w.ndim == 4, "conv_forward", "w must be (F, C, HH, WW)", w=w)
    require(
        x.shape[1] == w.shape[1],
        "conv_forward",
        "x and w must have the same number of channels C",
        x=x,
        w=w,
    )
    whole = isinstance(stride, int | np.integer) and isinstance(padding, int | np.integer)
    require(
        whole,
        "conv_forward",
        "stride and padding must be whole numbers",
        stride=stride,
        padding=padding,
    )
    require(stride >= 1, "conv_forward", "stride must be at least 1", stride=stride)
    require(padding >= 0, "conv_forward", "padding must not be negative", padding=padding)
    N, C, H, W = x.shape
    fits = w.shape[2] <= H + 2 * padding and w.shape[3] <= W + 2 * padding
    require(
        fits and w.size > 0,
        "conv_forward",
        f"the filter must fit into the image with padding {padding}",
        x=x,
        w=w,
    )
    if padding:
        x_padded = np.zeros((N, C, H + 2 * padding, W + 2 * padding), dtype=x.dtype)
        x_padded[:, :, padding:-padding, padding:-padding] = x
    else:
        x_padded = x
    return _filtered(x_padded, w, stride), ConvCache(x_padded, w, stride, padding)


def _filtered(x: Array, w: Array, stride: int) -> Array:
    """Filter padded images: with the patches P of an image side by side, out = w P."""
    F, _, HH, WW = w.shape
    OH, OW = (x.shape[2] - HH) // stride + 1, (x.shape[3] - WW) // stride + 1
    out = np.empty((len(x), F, OH * OW), dtype=x.dtype)
    for images, patches in _patches(x, (HH, WW), stride):
        out[images] = w.reshape(F, -1) @ patches
    return out.reshape(len(x), F, OH, OW)


def _patches(x: Array, window: tuple[int, int], stride: int) -> Iterator[tuple[slice, Array]]:
    """Yield (which images, their patches (images, C*HH*WW, OH*OW)): what each window sees."""
    seen = sliding_window_view(x, window, axis=(2, 3))[:, :, ::stride, ::stride]
    seen = seen.transpose(0, 1, 4, 5, 2, 3)  # (N, C, HH, WW, OH, OW)
    N, C, HH, WW, OH, OW = seen.shape
    for images in _few_at_a_time(N, C * HH * WW * OH * OW):
        yield images, seen[images].reshape(-1, C * HH * WW, OH * OW)


def _few_at_a_time(N: int, numbers: int) -> Iterator[slice]:
    """Yield slices of N images whose patches are so many numbers each."""
    images = max(1, _PATCH_NUMBERS // numbers)
    for start in range(0, N, images):
        yield slice(start, min(start + images, N))


@underflow_is_zero
def conv_backward(
    dout: ArrayLike, cache: ConvCache, *, need_dx: bool = True
) -> tuple[Array | None, Array]:
    """Gradients of the convolution layer.

    At stride 1, with *filt the filtering and *full the full convolution:

        dw[f, c] = sum over n of x[n, c] *filt dout[n, f]
        dx[n, c] = sum over f of dout[n, f] *full w[f, c]

    A larger stride is the same with zeros between dout's entries; padding crops dx.

    Parameters
    ----------
    dout : array (N, F, OH, OW)
    cache : from conv_forward
    need_dx : bool, default True
        False leaves dx out (None): a network's first layer has no use for it.

    Returns
    -------
    dx : array (N, C, H, W), dw : array (F, C, HH, WW)

    Raises
    ------
    ValueError
        If dout is not (N, F, OH, OW).

    References
    ----------
    Derived in theory/convolution.md, formula conv-backward.
    """
    x, w, stride, padding = cache
    dout = floating(dout, x.dtype)
    N, C, H, W = x.shape
    F, _, HH, WW = w.shape
    expected = (N, F, (H - HH) // stride + 1, (W - WW) // stride + 1)
    require(
        dout.shape == expected,
        "conv_backward",
        f"dout must be (N, F, OH, OW) = {expected}",
        dout=dout,
    )
    OH, OW = expected[2:]
    d = dout.reshape(N, F, OH * OW)
    # With a stride the last rows and columns of x may lie under no window.
    read = x[:, :, : (OH - 1) * stride + HH, : (OW - 1) * stride + WW]
    dw = np.zeros((F, C * HH * WW), dtype=x.dtype)
    for images, patches in _patches(read, (HH, WW), stride):
        dw += (d[images] @ patches.transpose(0, 2, 1)).sum(axis=0)  # out = w P
    if not need_dx:
        return None, dw.reshape(w.shape)
    dx = np.zeros_like(x)
    for images in _few_at_a_time(N, C * HH * WW * OH * OW):
        dpatches = (w.reshape(F, -1).T @ d[images]).reshape(-1, C, HH, WW, OH, OW)
        for k in range(HH):  # a pixel stands in P once for each window that reads it
            for l in range(WW):  # noqa: E741 (k, l are the indices of the formula)
                rows = slice(k, k + stride * OH, stride)
                columns = slice(l, l + stride * OW, stride)
                dx[images, :, rows, columns] += dpatches[:, :, k, l]
    if padding:
        dx = dx[:, :, padding:-padding, padding:-padding]
    return dx, dw.reshape(w.shape)


@underflow_is_zero
def channel_bias_forward(x: ArrayLike, b: ArrayLike) -> tuple[Array, np.dtype[Any]]:
    """Add b[f] to every pixel of channel f: x (N, F, H, W), b (F,); not in the assignment.

    Raises ValueError if b has not one entry a channel of x.
    """
    x = floating(x)
    b = floating(b, x.dtype)
    rule = "b must have one entry a channel of x (N, F, H, W)"
    require(x.ndim == 4 and b.shape == (x.shape[1],), "channel_bias_forward", rule, x=x, b=b)
    return x + b[:, None, None], x.dtype


@underflow_is_zero
def channel_bias_backward(dout: ArrayLike, cache: np.dtype[Any]) -> tuple[Array, Array]:
    """Gradients of x + b: dx = dout, db = sum of dout over examples and pixels.

    The cache is x's dtype, all that is left of x. Raises ValueError if dout is not (N, F, H, W).
    Derived in theory/channel_bias.md, formula bias-gradients.
    """
    dout = floating(dout, cache)
    require(dout.ndim == 4, "channel_bias_backward", "dout must be (N, F, H, W)", dout=dout)
    return np.array(dout), dout.sum(axis=(0, 2, 3))


@underflow_is_zero
def filter_valid(a: ArrayLike, b: ArrayLike) -> Array:
    """The assignment's filtering, a *filt b: slide b over a, unflipped, where it fits entirely.

    out[i, j] = sum over k, l of a[i + k, j + l] * b[k, l], of shape (H - HH + 1, W - WW + 1) for
    a (H, W) and b (HH, WW). Raises ValueError unless both are 2-D and b fits into a.
    """
    a = floating(a)
    b = floating(b, a.dtype)
    fits = a.ndim == b.ndim == 2 and all(
        0 < small <= big for small, big in zip(b.shape, a.shape, strict=True)
    )
    require(fits, "filter_valid", "a and b must be 2-D, and b must fit into a", a=a, b=b)
    out: Array = _filtered(a[None, None], b[None, None], 1)[0, 0]
    return out


@underflow_is_zero
def convolve_full(a: ArrayLike, b: ArrayLike) -> Array:
    """The assignment's full convolution, a *full b: flip b, slide it wherever it touches a.

    out[i, j] = sum over k, l of a[i - k, j - l] * b[k, l], a read as 0 outside itself, of shape
    (H + HH - 1, W + WW - 1) for a (H, W) and b (HH, WW). It commutes: a *full b = b *full a.
    Raises ValueError unless both are 2-D and not empty.
    """
    a = floating(a)
    b = floating(b, a.dtype)
    require(
        a.ndim == b.ndim == 2 and a.size > 0 < b.size,
        "convolve_full",
        "a and b must be 2-D",
        a=a,
        b=b,
    )
    (H, W), (HH, WW) = a.shape, b.shape
    around = np.zeros((H + 2 * (HH - 1), W + 2 * (WW - 1)), dtype=a.dtype)
    around[HH - 1 : HH - 1 + H, WW - 1 : WW - 1 + W] = a
    return filter_valid(around, b[::-1, ::-1])
