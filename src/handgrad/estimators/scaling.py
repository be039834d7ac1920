"""Inputs and targets brought to mean 0 and deviation 1, and outliers brought near."""

from dataclasses import dataclass

import numpy as np

from handgrad.arrays import Array
from handgrad.scaling import mean_and_deviation

FAR = 4.0
"""Deviations: a standardised value comes no further."""

_BLOCK = 1 << 16  # numbers at a time: their float64 copies stay in the processor's cache


@dataclass(frozen=True)
class Scaling:
    """What is taken from X and what it is divided by, decided by training rows.

    z = (x - centre) / deviation, in float64, and then z / sqrt(1 + (z / 4)^2), which moves small z
    little and lets none beyond four: one outlier cannot lead a network, nor can a pixel that is lit
    in a row of ten thousand. Holzmüller et al., "Better by default: strong pre-tuned MLPs and
    boosted trees on tabular data", NeurIPS 2024, bound their inputs so.

    Attributes
    ----------
    centre, deviation : array (D,) for rows, (C, 1, 1) for images; None leaves X as it is
        A column's mean; or its smallest value where more than half of the rows have that, as in
        pixels, counts and indicators: what is 0 stays 0, which the engine passes over. A column
        that is constant, up to a rounding error of its dtype, has deviation 1.
    """

    centre: Array | None = None
    deviation: Array | None = None

    @classmethod
    def of(cls, X: Array, weight: Array | None) -> "Scaling":
        """Decide by X, (n, D) or (n, C, H, W), with each example's weight."""
        if X.ndim == 2:
            return cls(*_centre_and_deviation(X, weight))
        _, C, H, W = X.shape
        pixels = np.moveaxis(X, 1, -1).reshape(-1, C)
        of_pixels = None if weight is None else np.repeat(weight, H * W)
        centre, deviation = _centre_and_deviation(pixels, of_pixels)
        return cls(centre.reshape(C, 1, 1), deviation.reshape(C, 1, 1))

    def apply(self, X: Array, dtype: np.dtype) -> Array:
        """Give X scaled, in this dtype; the arithmetic is in float64."""
        if self.centre is None or self.deviation is None:
            return X.astype(dtype, copy=False)
        scaled = np.empty(X.shape, dtype)
        rows = max(1, _BLOCK * len(X) // max(1, X.size))
        for start in range(0, len(X), rows):
            z = np.subtract(X[start : start + rows], self.centre, dtype=np.float64)
            z /= self.deviation
            scaled[start : start + rows] = z / np.sqrt(1 + np.square(z / FAR))
        return scaled


def _centre_and_deviation(X: Array, weight: Array | None) -> tuple[Array, Array]:
    mean, deviation = mean_and_deviation(X, weight=weight)
    smallest = X.min(axis=0)
    if weight is None:
        share = np.count_nonzero(smallest == X, axis=0) / len(X)
    else:
        share = (weight @ (smallest == X)) / weight.sum()
    return np.where(share > 0.5, smallest, mean), deviation
