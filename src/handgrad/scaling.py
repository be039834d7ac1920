"""Standardisation: features with mean 0 and deviation 1 on the training rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.arrays import floating

Array = npt.NDArray[Any]

_BLOCK = 1 << 16  # numbers at a time: their float64 copies stay in the processor's cache


def mean_and_deviation(
    X: Array, axis: int | None = 0, *, weight: Array | None = None
) -> tuple[Array, Array]:
    """Return what `standardise` subtracts and divides by, in float64.

    The mean is corrected by the mean of what it leaves over, so that its rounding error does not
    count beside a small deviation: a feature of 1e8 that varies by 1e-3 keeps its mean to 1e-8.

    A feature is constant when its largest and smallest values differ by no more than a rounding
    error of theirs. Its mean is then its smallest value and its deviation 1: it becomes 0, and is
    left undivided. The computed deviation cannot tell: that of 500 times 14.62 is 9e-14.

    Parameters
    ----------
    X : ndarray of numbers, shape (rows, ...)
        The rows that decide, at least one.
    axis : 0 or None
        0 for a mean and a deviation of each feature, None for one of all numbers.
    weight : ndarray of numbers above 0, shape (rows,), optional
        A row of weight 2 counts as two.

    Returns
    -------
    mean, deviation : ndarray of float64, shape ``X.shape[1:]``, or () for ``axis=None``
        The deviation divides by the number of rows, or their weights' sum, not by one less.
    """
    X = floating(X)
    smallest = X.min(axis=axis).astype(np.float64)
    largest = X.max(axis=axis).astype(np.float64)
    spread = largest / 2 - smallest / 2
    constant = is_constant(smallest, largest, X.dtype)
    numbers = X.size if axis is None else len(X)  # that a mean is of
    shares = None
    if weight is not None:  # each row's part of it, times their number
        weight = np.asarray(weight, np.float64).reshape(-1, *(1,) * (X.ndim - 1))
        shares = weight * (len(X) / weight.sum())
    mean = X.mean(axis=axis, dtype=np.float64)
    # A power of two changes no digit, and keeps the squares of tiny numbers from being 0.
    unit = np.where(constant, 1.0, np.ldexp(1.0, np.frexp(spread)[1]))
    left_over, squares = np.zeros_like(mean), np.zeros_like(mean)
    start = 0
    for block in _blocks_less(X, mean):
        block /= unit
        share = None if shares is None else shares[start : start + len(block)]
        left_over += (block if share is None else share * block).sum(axis=axis) / numbers
        np.square(block, out=block)
        squares += (block if share is None else share * block).sum(axis=axis) / numbers
        start += len(block)
    mean = mean + unit * left_over
    deviation = unit * np.sqrt(np.maximum(squares - left_over**2, 0.0))
    return np.where(constant, smallest, mean), np.where(constant, 1.0, deviation)


def is_constant(smallest: Array, largest: Array, dtype: npt.DTypeLike) -> Any:
    """Whether numbers between these are one, up to a rounding error of this dtype: bool, or array.

    0.3 and 0.1 + 0.2 are; 1e8 and 1e8 + 1e-3 are not, in float64.
    """
    size = np.maximum(np.abs(smallest), np.abs(largest))
    with np.errstate(over="ignore"):  # what is that far apart is not constant
        return largest - smallest <= 2 * np.finfo(dtype).eps * size


def standardise(X: Array, mean: Array, deviation: Array) -> Array:
    """Return (X - mean) / deviation as float32 for float32, else as float64.

    The arithmetic is in float64: in float32 the rounded mean of a feature with a large offset
    would move all its values.
    """
    X = floating(X)
    scaled = np.empty(X.shape, X.dtype)
    start = 0
    for block in _blocks_less(X, mean):
        np.divide(block, deviation, out=scaled[start : start + len(block)], casting="same_kind")
        start += len(block)
    return scaled


def _blocks_less(X: Array, mean: Array) -> Iterator[Array]:
    """Yield X - mean in float64, some rows at a time."""
    rows = max(1, _BLOCK * len(X) // max(1, X.size))
    for start in range(0, len(X), rows):
        yield np.subtract(X[start : start + rows], mean, dtype=np.float64)
