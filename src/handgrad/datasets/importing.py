"""Take files that the user downloaded, recognise them by their content, and fill the cache."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from handgrad.datasets import cifar10_files, course, fetch, mnist_files
from handgrad.datasets.cache import cache_lock, scratch_folder
from handgrad.datasets.files import read_bounded, sha256_of, write_bytes
from handgrad.datasets.places import cache_place
from handgrad.errors import DataError

_LIMIT = 1 << 26  # 64 MiB: more than any single data file
_ARCHIVES = (".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class Imported:
    """A file that was put into the cache: of which data set, under which name, from where."""

    dataset: str
    name: str
    origin: Path


def import_path(path: Path) -> list[Imported]:
    """Verify a file or all files of a folder, and copy what is known into the cache.

    Understood are data.pkl, the four MNIST files (plain or .gz), Keras's mnist.npz, CIFAR-10's
    binary files, pickles and pictures, and tar archives of these. Names do not matter, except that
    a file with a known name and unknown content is reported as bad.

    Parameters
    ----------
    path : Path

    Returns
    -------
    list of Imported
        One entry for each file in the cache, never empty.

    Raises
    ------
    DataError
        If a file is damaged, or nothing is recognised. Files before it may have been imported.
    """
    path = path.expanduser()
    if not path.exists():
        raise DataError(f"{path} does not exist; name a downloaded file or a folder of them")
    imported: list[Imported] = []
    for file in _files(path):
        imported += _import_archive(file) if file.name.endswith(_ARCHIVES) else _import_file(file)
    for folder in {file.parent for file in _files(path) if file.name in cifar10_files.PNG_LABELS}:
        imported += _install_cifar10(cifar10_files.rebuild_pictures(folder), folder)
    if not imported:
        raise DataError(
            f"{path}: no data file that handgrad knows (data.pkl, the MNIST files, mnist.npz, "
            "CIFAR-10's batches or archives)"
        )
    return imported


def _files(path: Path) -> Iterator[Path]:
    """Yield the file itself, or the files of a folder and its sub-folders, links not followed."""
    if path.is_file():
        yield path
        return
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))


def _import_archive(path: Path) -> list[Imported]:
    if not tarfile.is_tarfile(path):
        raise DataError(f"{path}: truncated or corrupt archive; download it again")
    names = {
        *mnist_files.FILES,
        *(f"{name}.gz" for name in mnist_files.FILES),
        *cifar10_files.FILES,
        *cifar10_files.PICKLES,
        *cifar10_files.PICTURES,
        *cifar10_files.PNG_LABELS,
    }
    with cache_lock(cache_place("import").folder), scratch_folder("import") as scratch:
        fetch.extract(path, names, scratch, _LIMIT)
        if not any(scratch.iterdir()):
            return []
        try:
            return [Imported(each.dataset, each.name, path) for each in import_path(scratch)]
        except DataError as error:
            raise DataError(f"{path}: {error}") from error


def _import_file(path: Path) -> list[Imported]:
    """Import one file if its content is known; complain if only its name is."""
    if path.stat().st_size > _LIMIT or path.suffix in (".png", ".json"):
        return []
    if path.name == "mnist.npz":
        return _install_mnist(mnist_files.read_keras(path), path)
    idx_name = next((n for n, p in mnist_files.copies(path.parent).items() if p == path), None)
    try:
        raw = read_bounded(path, _LIMIT)
    except DataError:
        if idx_name:
            raise
        return []  # some other program's broken .gz is not our business
    digest = sha256_of(raw)
    for name, known in mnist_files.FILES.items():
        if digest == known.sha256:
            return _install_mnist({name: raw}, path)
    for name, known in cifar10_files.FILES.items():
        if digest == known.sha256:
            return [_install("cifar10", name, raw, path)]
    if path.name == course.FILE.name or sha256_of(course.repair(raw)) == course.FILE.sha256:
        _, repaired = course.decode(raw, str(path))
        return [_install("course", course.FILE.name, repaired, path)]
    if name := cifar10_files.PICKLES.get(path.name, ""):
        records = cifar10_files.read_pickle(path, cifar10_files.FILES[name])
        return _install_cifar10({name: records}, path)
    # The content is unknown. When the name is not, reading it as that file says what is wrong.
    if path.name in cifar10_files.FILES:
        cifar10_files.read(path, cifar10_files.FILES[path.name])
    if idx_name:
        mnist_files.read(path, mnist_files.FILES[idx_name])
    return []


def _install(dataset: str, name: str, raw: bytes | memoryview, origin: Path) -> Imported:
    folder = cache_place(dataset).folder
    with cache_lock(folder):
        write_bytes(folder / name, raw)
    return Imported(dataset, name, origin)


def _install_mnist(raws: dict[str, bytes], origin: Path) -> list[Imported]:
    return [_install("mnist", name, raw, origin) for name, raw in raws.items()]


def _install_cifar10(batches: dict[str, cifar10_files.Records], origin: Path) -> list[Imported]:
    return [
        _install("cifar10", name, records.data.cast("B"), origin)
        for name, records in batches.items()
    ]
