"""Where the numbers of a convolution lie, for compiled code: computed once for a shape."""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from handgrad.arrays import Array
from handgrad.engine.kernels.blas import compiled
from handgrad.engine.kernels.direct import NARROW

# A few images go through a block together: so many numbers, 256 KiB of float32, stay in the cache.
_CHUNK_NUMBERS = 2**16


class Offsets(NamedTuple):
    """One block's offsets, in numbers from the first of a chunk of images.

    Attributes
    ----------
    padding : int
    chunk : int, images at a time
    pixels : int, of the convolution of one image
    rows : int array (chunk * pixels,), from where on each pixel reads the padded image
    taps : int array (HH * WW * C,), the filter's numbers from there
    table : int array (PH * PW, window), each output pixel's pixels, in reading order
    frame : (height, width), what the image's gradient is read from: the pixels' gradient with
        zeros around and, for a stride, between
    places : int array (pixels,), where in the frame each pixel's gradient goes
    image_rows : int array (chunk * H * W,), from where on each number of the image reads it
    image_taps : int array (HH * WW * F,)
    """

    padding: int
    chunk: int
    pixels: int
    rows: Array
    taps: Array
    table: Array
    frame: tuple[int, int]
    places: Array
    image_rows: Array
    image_taps: Array


def _packed(o: Offsets) -> Array:
    """All in one array of integers, as it can be handed to threads."""
    rest = (o.rows, o.taps, o.table.reshape(-1), o.places, o.image_rows, o.image_taps)
    lengths = [o.padding, o.chunk, o.pixels, *o.frame, o.table.shape[1], *map(len, rest)]
    return np.concatenate([lengths, *rest]).astype(np.int64)


@compiled
def unpacked(numbers: Any) -> Any:
    """Give the Offsets again, without copying."""
    at = 12
    rows = numbers[at : at + numbers[6]]
    at += numbers[6]
    taps = numbers[at : at + numbers[7]]
    at += numbers[7]
    table = numbers[at : at + numbers[8]].reshape(numbers[8] // numbers[5], numbers[5])
    at += numbers[8]
    places = numbers[at : at + numbers[9]]
    at += numbers[9]
    image_rows = numbers[at : at + numbers[10]]
    at += numbers[10]
    image_taps = numbers[at : at + numbers[11]]
    frame = (numbers[3], numbers[4])
    return Offsets(
        numbers[0], numbers[1], numbers[2], rows, taps, table, frame, places, image_rows,
        image_taps,
    )  # fmt: skip


@compiled
def in_one_window(o: Any) -> bool:
    """Whether each pixel is in one pooling window, none in two and none in none."""
    seen = np.zeros(o.pixels, np.bool_)
    for p in range(len(o.table)):
        for q in range(o.table.shape[1]):
            seen[o.table[p, q]] = True
    return o.table.size == o.pixels and bool(seen.all())


def _grid(height: int, width: int, line: int, step: int) -> Array:
    """Offsets of a height x width grid of points, ``step`` apart, lines ``line`` apart."""
    return (np.arange(height)[:, None] * line + np.arange(width) * step).reshape(-1)


def _each(images: int, size: int, points: Array) -> Array:
    return (np.arange(images)[:, None] * size + points).reshape(-1)


@lru_cache(maxsize=256)
def offsets(
    image: tuple[int, int, int],
    filters: tuple[int, int, int],
    stride: int,
    padding: int,
    pool: tuple[int, int],
) -> tuple[tuple[int, int], int, Array]:
    """Give the output's (PH, PW), the convolution's pixels and the block's Offsets, packed.

    Parameters
    ----------
    image : (H, W, C), without padding
    filters : (F, HH, WW), F a multiple of ``direct.NARROW``
    stride, padding : of the convolution
    pool : (size, stride), (1, 1) for no pool
    """
    H, W, C = image
    F, HH, WW = filters
    high, wide = H + 2 * padding, W + 2 * padding
    OH, OW = (high - HH) // stride + 1, (wide - WW) // stride + 1
    size, pool_stride = pool
    PH, PW = (OH - size) // pool_stride + 1, (OW - size) // pool_stride + 1
    pooled = _grid(PH, PW, pool_stride * OW, pool_stride)
    frame = (high + HH - 1, wide + WW - 1)
    numbers = high * wide * C + OH * OW * F
    chunk = max(1, _CHUNK_NUMBERS // numbers)
    line = frame[1] * F
    image_rows = _grid(H, W, line, F) + padding * (line + F)
    packed = _packed(
        Offsets(
            padding,
            chunk,
            OH * OW,
            _each(chunk, high * wide * C, _grid(OH, OW, stride * wide * C, stride * C)),
            (_grid(HH, WW, wide * C, C)[:, None] + np.arange(C)).reshape(-1),
            np.ascontiguousarray(pooled[:, None] + _grid(size, size, OW, 1)),
            frame,
            _grid(OH, OW, stride * line, stride * F) + (HH - 1) * line + (WW - 1) * F,
            _each(chunk, math.prod(frame) * F, image_rows),
            (_grid(HH, WW, line, F)[:, None] + np.arange(F)).reshape(-1),
        )
    )
    return (PH, PW), OH * OW, packed


def padded(count: int) -> int:
    """Round up to whole tiles."""
    return -(-count // NARROW) * NARROW


def matrix(w: Array) -> Array:
    """The filters (F, C, HH, WW) as (HH * WW * C, F): the factors of ``taps``."""
    return np.ascontiguousarray(w.transpose(2, 3, 1, 0)).reshape(-1, len(w))


def filters(dmatrix: Array, w_shape: tuple[int, int, int, int]) -> Array:
    """The gradient of ``matrix`` as that of the filters."""
    F, C, HH, WW = w_shape
    return np.ascontiguousarray(dmatrix.reshape(HH, WW, C, F).transpose(3, 2, 0, 1))


def upside_down(w: Array) -> Array:
    """The filters turned by 180 degrees as (HH * WW * F, C), C padded: for ``image_taps``."""
    F, C, HH, WW = w.shape
    turned = np.zeros((HH, WW, F, padded(C)), dtype=w.dtype)
    turned[..., :C] = w[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
    return turned.reshape(HH * WW * F, -1)
