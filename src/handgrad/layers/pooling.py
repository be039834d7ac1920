"""Max pooling, average pooling, and the average of a whole image."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from handgrad.layers._checks import Array, floating, require, underflow_is_zero


class MaxPoolCache(NamedTuple):
    """What max_pool_backward needs: x (N, C, H, W), out (N, C, OH, OW), window and stride."""

    x: Array
    out: Array
    window: tuple[int, int]
    stride: int


@underflow_is_zero
def max_pool_forward(x: ArrayLike, pool_param: Mapping[str, int]) -> tuple[Array, MaxPoolCache]:
    """Max pooling: the largest pixel of each window.

    Parameters
    ----------
    x : array (N, C, H, W)
    pool_param : mapping
        ``pool_height``, ``pool_width``: the window's size ph, pw; ``stride``: how far it moves,
        s. Windows may overlap; rows and columns that no window covers are ignored.

    Returns
    -------
    out : array (N, C, 1 + (H - ph) // s, 1 + (W - pw) // s)
    cache : for max_pool_backward

    Raises
    ------
    ValueError
        If x is not (N, C, H, W), or the window is impossible or does not fit into it.
    """
    x = floating(x)
    window, stride, out_size = _checked("max_pool_forward", x, pool_param)
    pixels = _pixels(x, window, stride, out_size)
    out = next(pixels).copy()
    for pixel in pixels:
        np.maximum(out, pixel, out=out)  # a NaN in the window comes through
    return out, MaxPoolCache(x, out, window, stride)


def _checked(
    function: str, x: Array, pool_param: Mapping[str, int]
) -> tuple[tuple[int, int], int, tuple[int, int]]:
    """Check images and pool_param; give the window (ph, pw), the stride s and (OH, OW)."""
    require(x.ndim == 4, function, "x must be (N, C, H, W)", x=x)
    missing = [key for key in ("pool_height", "pool_width", "stride") if key not in pool_param]
    require(
        not missing,
        function,
        "pool_param must hold pool_height, pool_width and stride",
        pool_param=dict(pool_param),
    )
    sizes = [pool_param[key] for key in ("pool_height", "pool_width", "stride")]
    ph, pw, stride = sizes
    require(
        all(isinstance(size, int | np.integer) and size >= 1 for size in sizes),
        function,
        "window and stride must be whole numbers from 1",
        pool_param=dict(pool_param),
    )
    fits = ph <= x.shape[2] and pw <= x.shape[3]
    require(fits, function, f"the window ({ph}, {pw}) must fit into the image", x=x)
    return (ph, pw), stride, ((x.shape[2] - ph) // stride + 1, (x.shape[3] - pw) // stride + 1)


def _pixels(
    x: Array, window: tuple[int, int], stride: int, out_size: tuple[int, int]
) -> Iterator[Array]:
    """Yield pixel 1, 2, ... (in reading order) of all windows at once, as views (N, C, OH, OW)."""
    rows, columns = (stride * (size - 1) + 1 for size in out_size)
    for k in range(window[0]):
        for l in range(window[1]):  # noqa: E741 (k, l are the indices of the formula)
            yield x[:, :, k : k + rows : stride, l : l + columns : stride]


@underflow_is_zero
def max_pool_backward(dout: ArrayLike, cache: MaxPoolCache) -> Array:
    """Gradient of max pooling: each window sends its dout to its largest pixel.

    A pixel that is the largest of several overlapping windows gets the sum of theirs. When pixels
    of one window tie, exactly one gets it: the first in reading order (a subgradient).
    Derived in theory/max_pooling.md, formula pool-backward.

    Parameters
    ----------
    dout : array (N, C, OH, OW)
    cache : from max_pool_forward

    Returns
    -------
    dx : array (N, C, H, W)

    Raises
    ------
    ValueError
        If dout is not of out's shape.
    """
    x, out, window, stride = cache
    dout = floating(dout, x.dtype)
    require(
        dout.shape == out.shape,
        "max_pool_backward",
        f"dout must be (N, C, OH, OW) = {out.shape}",
        dout=dout,
    )
    out_size = (out.shape[2], out.shape[3])
    dx = np.zeros(x.shape, dtype=x.dtype)
    waiting = np.ones(out.shape, dtype=bool)  # windows whose largest pixel is still to come
    for pixel, dpixel in zip(
        _pixels(x, window, stride, out_size), _pixels(dx, window, stride, out_size), strict=True
    ):
        largest = waiting & (pixel == out)
        dpixel += np.where(largest, dout, 0)
        waiting &= ~largest
    return dx


class AvgPoolCache(NamedTuple):
    """What avg_pool_backward needs: x's shape and dtype, window, stride and (OH, OW)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    window: tuple[int, int]
    stride: int
    out_size: tuple[int, int]


@underflow_is_zero
def avg_pool_forward(x: ArrayLike, pool_param: Mapping[str, int]) -> tuple[Array, AvgPoolCache]:
    """Average pooling: the mean of the pixels of each window.

    Parameters
    ----------
    x : array (N, C, H, W)
    pool_param : mapping
        As max_pool_forward takes it.

    Returns
    -------
    out : array (N, C, 1 + (H - ph) // s, 1 + (W - pw) // s)
    cache : for avg_pool_backward

    Raises
    ------
    ValueError
        If x is not (N, C, H, W), or the window is impossible or does not fit into it.
    """
    x = floating(x)
    window, stride, out_size = _checked("avg_pool_forward", x, pool_param)
    pixels = _pixels(x, window, stride, out_size)
    out = next(pixels).copy()
    for pixel in pixels:
        out += pixel
    out /= window[0] * window[1]
    return out, AvgPoolCache(x.shape, x.dtype, window, stride, out_size)


@underflow_is_zero
def avg_pool_backward(dout: ArrayLike, cache: AvgPoolCache) -> Array:
    """Gradient of average pooling: each window sends dout / (ph pw) to each of its pixels.

    A pixel of several overlapping windows gets the sum of theirs, one of none 0.
    Derived in theory/average_pooling.md, formula avg-backward.

    Parameters
    ----------
    dout : array (N, C, OH, OW)
    cache : from avg_pool_forward

    Returns
    -------
    dx : array (N, C, H, W)

    Raises
    ------
    ValueError
        If dout is not of out's shape.
    """
    dout = floating(dout, cache.dtype)
    expected = (*cache.shape[:2], *cache.out_size)
    rule = f"dout must be (N, C, OH, OW) = {expected}"
    require(dout.shape == expected, "avg_pool_backward", rule, dout=dout)
    share = dout / (cache.window[0] * cache.window[1])
    dx = np.zeros(cache.shape, dtype=cache.dtype)
    for dpixel in _pixels(dx, cache.window, cache.stride, cache.out_size):
        dpixel += share
    return dx


class GlobalAvgPoolCache(NamedTuple):
    """What global_avg_pool_backward needs: x's shape and dtype."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@underflow_is_zero
def global_avg_pool_forward(x: ArrayLike) -> tuple[Array, GlobalAvgPoolCache]:
    """Average each channel over the whole image: x (N, C, H, W) to out (N, C).

    Raises ValueError unless x is (N, C, H, W) with at least one pixel.
    """
    x = floating(x)
    rule = "x must be (N, C, H, W) with at least one pixel"
    require(x.ndim == 4 and 0 not in x.shape[2:], "global_avg_pool_forward", rule, x=x)
    return x.mean(axis=(2, 3)), GlobalAvgPoolCache(x.shape, x.dtype)


@underflow_is_zero
def global_avg_pool_backward(dout: ArrayLike, cache: GlobalAvgPoolCache) -> Array:
    """Gradient of the average over the image: dx = dout / (H W) at each pixel.

    Raises ValueError if dout is not (N, C). Derived in theory/average_pooling.md, formula
    global-avg-backward.
    """
    N, C, H, W = cache.shape
    dout = floating(dout, cache.dtype)
    rule = f"dout must be (N, C) = ({N}, {C})"
    require(dout.shape == (N, C), "global_avg_pool_backward", rule, dout=dout)
    return np.array(np.broadcast_to((dout / (H * W))[:, :, None, None], cache.shape))
