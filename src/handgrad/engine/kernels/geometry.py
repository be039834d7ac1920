"""Where the pixels of a convolution block are, in plain NumPy: computed once for a shape.

A block is a convolution, perhaps followed by a max pool. Its product is patches times filters:
one row of numbers for each *cell*. Usually a cell is a pixel of the convolution. With few
channels and a 2 x 2 pool, a cell is a whole pooling window: its patch is one pixel larger than
the filter each way, and there are four matrices, with the filter at each of the window's four
offsets. That takes a quarter of the patches, and the pool is the maximum of four blocks.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from handgrad.arrays import Array

# From this many channels on, copying patches is cheap beside multiplying them, and the larger
# patches of window cells cost more than they save.
_FEW_CHANNELS = 4


@dataclass(frozen=True, eq=False)
class Geometry:
    """One block's shapes.

    Attributes
    ----------
    patch : (KH, KW), what one row of patches covers; ``step`` from patch to patch
    grid : (GH, GW), cells of an image
    offsets : Q = 4 where a cell is a pooling window, else 1
    out : (PH, PW), pixels of the output
    table : int array (PH * PW, window), for each output pixel the convolution pixels it is the
        largest of, in reading order: offset * cells + cell
    """

    patch: tuple[int, int]
    step: int
    padding: int
    grid: tuple[int, int]
    offsets: int
    out: tuple[int, int]
    table: Array

    @property
    def pixels(self) -> int:
        """Of the convolution of one image."""
        return math.prod(self.grid) * self.offsets

    def products(self, w: Array) -> int:
        """Multiplications that an image takes."""
        return math.prod((self.pixels, *self.patch, w.shape[1], len(w)))

    def matrices(self, w: Array) -> Array:
        """The filters (F, C, HH, WW) as a matrix (KH * KW * C, F) for each offset: (Q, K, F)."""
        F, C, HH, WW = w.shape
        taps = w.transpose(2, 3, 1, 0)  # (HH, WW, C, F)
        if self.offsets == 1:
            return np.ascontiguousarray(taps).reshape(1, -1, F)
        large = np.zeros((2, 2, HH + 1, WW + 1, C, F), dtype=w.dtype)
        for i in range(2):
            for j in range(2):
                large[i, j, i : i + HH, j : j + WW] = taps
        return large.reshape(4, -1, F)

    def filters(self, dmatrices: Array, w_shape: tuple[int, int, int, int]) -> Array:
        """The gradient (Q, F, KH * KW * C) of the matrices, transposed, as one of the filters."""
        F, C, HH, WW = w_shape
        if self.offsets == 1:
            dw = dmatrices.reshape(F, HH, WW, C)
        else:
            large = dmatrices.reshape(2, 2, F, HH + 1, WW + 1, C)
            dw = np.zeros((F, HH, WW, C), dtype=dmatrices.dtype)
            for i in range(2):
                for j in range(2):
                    dw += large[i, j, :, i : i + HH, j : j + WW]
        return np.ascontiguousarray(dw.transpose(0, 3, 1, 2))


@lru_cache(maxsize=256)
def geometry(
    image: tuple[int, int, int],
    window: tuple[int, int],
    stride: int,
    padding: int,
    pool: tuple[int, int],
    every_pixel: bool,
    by_window: bool = True,
) -> Geometry:
    """Give the geometry of a block.

    Parameters
    ----------
    image : (H, W, C), without padding
    window : (HH, WW), of the filters
    stride, padding : of the convolution
    pool : (size, stride), (1, 1) for no pool
    every_pixel : bool
        Whether pixels that no pooling window covers are needed (for batch statistics).
    by_window : bool
        Whether a pooling window's four patches may be read as one, in which a filter stands with
        zeros beside it: only of finite numbers, as 0 times infinity is none.
    """
    H, W, C = image
    HH, WW = window
    OH = (H + 2 * padding - HH) // stride + 1
    OW = (W + 2 * padding - WW) // stride + 1
    size, pool_stride = pool
    PH, PW = (OH - size) // pool_stride + 1, (OW - size) // pool_stride + 1
    covered = OH % 2 == OW % 2 == 0
    by_window = by_window and (
        pool == (2, 2) and stride == 1 and C < _FEW_CHANNELS and (covered or not every_pixel)
    )
    if by_window:
        patch, step, grid, offsets = (HH + 1, WW + 1), 2, (PH, PW), 4
        table = np.ascontiguousarray(np.arange(4 * PH * PW).reshape(4, PH * PW).T)
    else:
        patch, step, grid, offsets = (HH, WW), stride, (OH, OW), 1
        rows = np.arange(PH)[:, None, None, None] * pool_stride + np.arange(size)[:, None]
        columns = np.arange(PW)[:, None, None] * pool_stride + np.arange(size)
        table = np.ascontiguousarray((rows * OW + columns).reshape(PH * PW, size * size))
    return Geometry(patch, step, padding, grid, offsets, (PH, PW), table)
