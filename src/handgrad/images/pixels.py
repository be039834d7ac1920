"""Pixels by one set of rules: bytes, one channel or three, whatever they were."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from handgrad.arrays import Array
from handgrad.errors import DataError

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]  # height, width

# Weights of red, green and blue in a grey value, in 65536ths. Source: ITU-R BT.601.
_LUMA = (19595, 38470, 7471)
_BLOCK = 1 << 22  # pixels at a time, whose wider copies then take some tens of megabytes


def as_channels(X: Pixels, channels: int) -> Pixels:
    """Give pictures one channel or three: a grey value three times, or colours weighed to grey.

    Parameters
    ----------
    X : uint8 array (N, C, H, W)
        C is 1 or 3.
    channels : int
        1 or 3.

    Returns
    -------
    uint8 array (N, channels, H, W)
    """
    if X.shape[1] == channels:
        return X
    if channels == 3:
        return np.repeat(X, 3, axis=1)
    grey = np.empty((len(X), 1, *X.shape[2:]), np.uint8)
    for rows in _blocks(X):
        red, green, blue = (
            weight * X[rows, channel].astype(np.uint32) for channel, weight in enumerate(_LUMA)
        )
        grey[rows, 0] = (red + green + blue + (1 << 15)) >> 16
    return grey


def from_16_bits(values: Array) -> Pixels:
    """Give the nearest of 256 levels to each of 65536: 0 stays 0, and 65535 is 255."""
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def over_white(X: Pixels) -> Pixels:
    """Lay pictures with an alpha channel, (N, 4, H, W), over white; (N, 3, H, W) come out."""
    flat = np.empty((len(X), 3, *X.shape[2:]), np.uint8)
    for rows in _blocks(X):
        alpha = X[rows, 3:].astype(np.uint32)
        seen = X[rows, :3] * alpha + 255 * (255 - alpha)
        flat[rows] = (seen + 127) // 255
    return flat


def as_pixels(X: Array, where: str) -> Pixels:
    """Make pixels of an array of pictures: of bytes, wider integers, booleans or floats.

    Floats between 0 and 1 are shares of 255; other numbers must lie between 0 and 255, but for
    16-bit unsigned integers, of which 65535 is white.

    Parameters
    ----------
    X : array (N, H, W), (N, C, H, W) or (N, H, W, C)
        C is 1, 3, or 4 with alpha.
    where : str
        The file and the array's name, for errors.

    Returns
    -------
    uint8 array (N, C, H, W), C 1 or 3

    Raises
    ------
    DataError
        Naming the file and what is wrong: the shape, no pictures, or a value out of range.
    """
    X = _channels_first(X, where)
    if not X.size:
        raise DataError(f"{where} holds no pictures: its shape is {X.shape}")
    pixels = _as_bytes(X, where)
    return over_white(pixels) if pixels.shape[1] == 4 else pixels


def _channels_first(X: Array, where: str) -> Array:
    if X.ndim == 3:
        return X[:, None]
    first, last = (X.ndim == 4 and X.shape[axis] in (1, 3, 4) for axis in (1, 3))
    if first == last:
        reason = "can be read both ways" if first else "is neither"
        raise DataError(
            f"{where}: pictures are (rows, height, width), (rows, channels, height, width) or "
            f"(rows, height, width, channels) with 1, 3 or 4 channels; shape {X.shape} {reason}"
        )
    return X if first else X.transpose(0, 3, 1, 2)


def _as_bytes(X: Array, where: str) -> Pixels:
    if X.dtype == np.uint8:
        return X
    if X.dtype.kind == "b":
        return X.astype(np.uint8) * np.uint8(255)
    if X.dtype.kind == "u" and X.dtype.itemsize == 2:
        return from_16_bits(X)
    if X.dtype.kind not in "iuf":
        raise DataError(f"{where}: pictures are numbers; these are {X.dtype}")
    low, high = X.min(), X.max()
    if not (low >= 0 and high <= 255):  # NaN is neither
        ends = (X < 0) | (X > 255) | (X != X)
        row = int(np.argmax(ends.reshape(len(X), -1).any(axis=1)))
        raise DataError(
            f"{where}: pixels are 0 to 255, or 0 to 1 in floats; row {row + 1} has "
            f"{X[row][ends[row]][0]}"
        )
    scale = 255 if X.dtype.kind == "f" and high <= 1 else 1
    pixels = np.empty(X.shape, np.uint8)
    for rows in _blocks(X):
        pixels[rows] = np.rint(X[rows] * scale)
    return pixels


def _blocks(X: Array) -> Iterator[slice]:
    """Give slices of some rows each."""
    rows = max(1, _BLOCK * len(X) // max(1, X.size))
    return (slice(start, start + rows) for start in range(0, len(X), rows))
