"""mnist.pkl.gz, MNIST as the Theano tutorials gave it: back to the four IDX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.datasets import unpickle
from handgrad.datasets.idx import write_idx
from handgrad.datasets.known import KnownFile, sha256_of, unpacked
from handgrad.datasets.mnist_files import MNIST
from handgrad.errors import DataError

NAMES = ("mnist.pkl.gz", "mnist.pkl")
FORM = "mnist.pkl of the Theano tutorials: pixels times 256, its 50,000 + 10,000 rows joined"
LIMIT = 1 << 28  # 256 MiB; unpacked the file has 220 MB
_PART_NAMES = ("training", "validation", "test")
_BLOCK = 4096  # images turned to bytes at a time

Part = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def load(path: Path) -> Any:
    """Unpickle a file, plain or gzip, that may be as large as a mnist.pkl.

    Raises
    ------
    DataError
        Naming the file and what is wrong.
    """
    try:
        with unpacked(path) as stream:
            return unpickle.load(stream, LIMIT)
    except DataError as error:
        raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error


def is_form(value: Any) -> bool:
    """Tell whether an unpickled value is three pairs (images of 784 pixels, labels)."""
    return (
        isinstance(value, list)
        and len(value) == len(_PART_NAMES)
        and all(isinstance(part, list) and len(part) == 2 for part in value)
        and all(isinstance(array, np.ndarray) for part in value for array in part)
        and all(X.ndim == 2 and X.shape[1] == 784 and y.shape == X.shape[:1] for X, y in value)
    )


def rebuild(value: Any, where: str) -> dict[str, bytes]:
    """Join training and validation rows, turn pixels / 256 into bytes, and verify each file.

    Parameters
    ----------
    value : list
        Three pairs (X, y) of rows for training, validation and test. X: floats, shape (N, 784),
        each a pixel 0 to 255 divided by 256, which is exact; y: integers.
    where : str
        The file's name, for the message.

    Returns
    -------
    dict of str to bytes
        The four IDX files.

    Raises
    ------
    DataError
        If it has another structure, other numbers, or rows that are not MNIST's.
    """
    try:
        return _rebuild(value)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _rebuild(value: Any) -> dict[str, bytes]:
    if not is_form(value):
        raise DataError("it does not hold three pairs (images of 784 pixels, labels)")
    images = [_pixels(X, part) for (X, _), part in zip(value, _PART_NAMES, strict=True)]
    labels = [_labels(y, part) for (_, y), part in zip(value, _PART_NAMES, strict=True)]
    train = np.concatenate(images[:2]), np.concatenate(labels[:2])
    return {
        known.name: _verified(array, known)
        for known, array in zip(MNIST.files.values(), (*train, images[2], labels[2]), strict=True)
    }


def _pixels(X: npt.NDArray[Any], part: str) -> npt.NDArray[np.uint8]:
    pixels = np.empty((len(X), 28, 28), np.uint8)
    for start in range(0, len(X), _BLOCK):
        scaled = X[start : start + _BLOCK] * 256
        good = ((scaled >= 0) & (scaled <= 255) & (scaled == np.floor(scaled))).all(axis=1)
        if not good.all():
            row = start + int(np.argmin(good))
            raise DataError(
                f"its {part} images must be whole pixels, 0 to 255, divided by 256; row {row} "
                "holds other numbers"
            )
        pixels[start : start + _BLOCK] = scaled.reshape(-1, 28, 28)
    return pixels


def _labels(y: npt.NDArray[Any], part: str) -> npt.NDArray[np.uint8]:
    wrong = np.flatnonzero((y < 0) | (y > 9) | (y != np.floor(y)))
    if wrong.size:
        raise DataError(f"its {part} labels must be 0 to 9; row {wrong[0]} has {y[wrong[0]]}")
    return y.astype(np.uint8)


def _verified(array: npt.NDArray[np.uint8], known: KnownFile) -> bytes:
    raw = write_idx(array)
    if sha256_of(raw) != known.sha256:
        raise DataError(
            f"it is a {FORM}; but the {known.name} that this gives is not MNIST's (SHA-256 "
            f"{sha256_of(raw)[:12]}..., expected {known.sha256[:12]}...), so nothing was taken"
        )
    return raw
