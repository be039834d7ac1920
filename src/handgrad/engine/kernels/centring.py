"""Images far from zero, brought near it before they are convolved and normalised."""

import numpy as np

from handgrad.arrays import Array

_SAMPLE = 256  # pixels that tell whether a channel is far from zero
_FAR = 0.8  # of the mean square is the mean's: it is two standard deviations from zero


def centred(x: Array, padding: int) -> tuple[Array, int, Array | None]:
    """Take from each channel of x (N, H, W, C) that is far from zero about its mean.

    Batch norm takes whatever is the same everywhere away again; but before that the products of
    large numbers are rounded, and where they hardly vary, it is their rounding that is normalised.

    Returns
    -------
    x : with its ``padding`` around it where something was taken, as that is then not zero
    padding : int, what is left to be added around it
    shift : array (C,) that was taken, or None
    """
    C = x.shape[3]
    pixels = x.reshape(-1, C)
    some = pixels[:: max(1, len(pixels) // _SAMPLE)].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # of what is not finite nothing is taken
        mean, square = some.mean(axis=0), np.square(some).mean(axis=0)
        far = mean * mean > _FAR * square
    if not far.any():
        return x, padding, None
    shift = np.where(far, mean, 0).astype(x.dtype)
    p = padding
    return np.pad(x, ((0, 0), (p, p), (p, p), (0, 0))) - shift, 0, shift


def inside(dx: Array, around: int) -> Array:
    """Give the gradient of the images without the ``around`` pixels that were put around them."""
    return dx[:, around:-around, around:-around] if around else dx


def mean_before(mean: Array, shift: Array | None, w: Array) -> Array:
    """Give the mean (F,) of the products of filters w with images before ``shift`` was taken."""
    if shift is None:
        return mean
    taken = np.einsum("fckl,c->f", w, shift, dtype=np.float64)
    return np.asarray(mean + taken, mean.dtype)
