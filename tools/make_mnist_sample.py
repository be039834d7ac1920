"""Regenerate the MNIST sample that handgrad ships: 100 training and 50 test digits of each class.

Run as `python tools/make_mnist_sample.py FOLDER`, FOLDER holding the four MNIST files. The choice
follows a rule instead of a random generator: of each class, rows at even distances through the
file, kept in the file's order. The printed table is SAMPLE_FILES of handgrad/datasets/mnist.py.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from handgrad.datasets import mnist_files as mnist
from handgrad.datasets.known import sha256_of

TARGET = Path(mnist.__file__).parent / "sample"


def chosen_rows(labels: npt.NDArray[np.uint8], per_class: int) -> npt.NDArray[np.intp]:
    """Return `per_class` rows of each class, evenly spaced within the class, in file order."""
    rows = []
    for digit in range(10):
        of_class = np.flatnonzero(labels == digit)
        rows.append(of_class[np.arange(per_class) * len(of_class) // per_class])
    return np.sort(np.concatenate(rows))


def main(folder: Path) -> None:
    """Write the four .gz files and print their sizes and SHA-256s."""
    raws = mnist.MNIST.read_folder(folder)
    if raws is None:
        raise SystemExit(f"{folder}: the four MNIST files are not there")
    for images_name, labels_name, per_class in (
        (mnist.TRAIN_IMAGES, mnist.TRAIN_LABELS, 100),
        (mnist.TEST_IMAGES, mnist.TEST_LABELS, 50),
    ):
        labels = mnist.read_idx(raws[labels_name], 1)
        rows = chosen_rows(labels, per_class)
        images = mnist.read_idx(raws[images_name], 3)[rows]
        for name, values in ((images_name, images), (labels_name, labels[rows])):
            raw = mnist.write_idx(values)
            (TARGET / f"{name}.gz").write_bytes(gzip.compress(raw, 9, mtime=0))
            print(f'    ({name!r}, {len(raw):_}, "{sha256_of(raw)}"),')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
