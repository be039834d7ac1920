"""Take files that the user downloaded, recognise them by their content, and fill the cache."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from handgrad.datasets import archives, course, mnist_files, mnist_pickle, unpickle
from handgrad.datasets.cache import cache_lock, scratch_folder
from handgrad.datasets.cifar10_files import ARCHIVES, CIFAR10, PNG_LABELS, pack
from handgrad.datasets.known import (
    Content,
    pass_over,
    read_bounded,
    sha256_of,
    sha256_of_file,
    unpacked,
    write_bytes,
)
from handgrad.datasets.mnist_files import MNIST
from handgrad.datasets.places import cache_place, expanded
from handgrad.errors import DataError

_LIMIT = 1 << 26  # 64 MiB: more than any single data file, but for an unpacked mnist.pkl
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")


@dataclass(frozen=True)
class Imported:
    """A file that was put into the cache: of which data set, under which name, from where.

    `form` says what the origin is when it is not the file itself.
    """

    dataset: str
    name: str
    origin: Path
    form: str = ""


def import_path(path: Path) -> list[Imported]:
    """Verify a file or all files of a folder, and copy what is known into the cache.

    Understood are data.pkl, the four MNIST files, Keras's mnist.npz, Theano's mnist.pkl, CIFAR-10's
    binary files, pickles and pictures, any of them packed by gzip, and tar and zip archives of
    these. Names do not matter, except those of the pictures, and that a file with a known name and
    unknown content is reported as bad.

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
        If a file is damaged and no other gave the same data, or nothing is recognised. The good
        files are in the cache all the same.
    """
    path = expanded(path)
    if not path.exists():
        raise DataError(f"{path} does not exist; name a downloaded file or a folder of them")
    work = _Import()
    work.take_all(path)
    work.judge()
    if not work.imported:
        raise DataError(
            f"{path}: no data file that handgrad knows (data.pkl, the MNIST files, mnist.npz, "
            "mnist.pkl.gz, CIFAR-10's batches or archives)"
        )
    return work.imported


class _Import:
    """One import: what was put into the cache, and which files were bad."""

    def __init__(self) -> None:
        self.imported: list[Imported] = []
        self.problems: list[tuple[set[str], DataError]] = []  # what it would have given; why not
        self.archive: Path | None = None  # out of which the files at hand come

    def judge(self) -> None:
        """Raise the first problem whose data nothing else gave; log the others."""
        got = {each.name for each in self.imported}
        for names, error in self.problems:
            if not got:
                raise error
            if not names <= got:
                raise DataError(f"{error} ({len(got)} good files were imported)") from error
        pass_over(error for _, error in self.problems)

    def take_all(self, path: Path) -> None:
        """Import a file, or each file of a folder and its sub-folders."""
        for file in _files(path):
            try:
                self.take(file)
            except DataError as error:
                self.problems.append((_named(file), self.without_scratch(error, path)))
        for folder in sorted({file.parent for file in _files(path) if file.name in PNG_LABELS}):
            try:
                self.install("cifar10", CIFAR10.rebuild_pictures(folder), folder)
            except DataError as error:
                self.problems.append((set(CIFAR10.files), self.without_scratch(error, path)))

    def without_scratch(self, error: DataError, scratch: Path) -> DataError:
        """Name the archive instead of the folder it was unpacked to, gone when this is read."""
        if self.archive is None:
            return error
        return DataError(f"{self.archive}: {str(error).replace(f'{scratch}/', '')}")

    def take(self, path: Path) -> None:
        """Import one file if its content is known; raise DataError if only its name is."""
        size = path.stat().st_size
        if CIFAR10.is_of_package(path.name):
            return  # see take_all
        if path.name == "mnist.npz" or (
            size <= _LIMIT and sha256_of_file(path) == mnist_files.KERAS_SHA256
        ):
            self.install("mnist", MNIST.read_keras(path), path, "Keras's mnist.npz")
        elif archives.is_archive(path):
            self.take_archive(path)
        elif path.name.endswith(_ARCHIVES):
            raise DataError(f"{path}: truncated or corrupt archive; download it again")
        elif size <= _LIMIT or _is_pickle(path):
            self.take_file(path)

    def take_archive(self, path: Path) -> None:
        """Import what an archive holds, but for archives in it: no data set comes so."""
        if self.archive is not None:
            return
        with cache_lock(cache_place("import").folder), scratch_folder("import") as scratch:
            archives.extract(path, _is_worth_a_look, scratch, mnist_pickle.LIMIT)
            self.archive = path
            try:
                self.take_all(scratch)
            finally:
                self.archive = None

    def take_file(self, path: Path) -> None:
        """Import a file that is no archive, plain or gzip."""
        try:
            raw = read_bounded(path, _LIMIT)
        except DataError:
            if _named(path):
                raise
            return  # some other program's broken .gz is not our business
        digest = sha256_of(raw)
        for kept in (MNIST, CIFAR10):
            for name, known in kept.files.items():
                if digest == known.sha256:
                    self.install(kept.name, {name: raw}, path)
                    return
        if path.name == course.FILE.name or sha256_of(course.repair(raw)) == course.FILE.sha256:
            _, repaired = course.decode(raw, str(path))
            self.install("course", {course.FILE.name: repaired}, path)
        elif not self.take_pickle(path, raw):
            _say_what_is_wrong(path)

    def take_pickle(self, path: Path, raw: bytes) -> bool:
        """Import a pickle of MNIST or of a CIFAR-10 batch; False if it is another's.

        `raw` is the file's content, or more than `_LIMIT` bytes of it.
        """
        if not unpickle.is_pickle(raw[:1]):
            return False
        try:
            value = mnist_pickle.load(path) if len(raw) > _LIMIT else unpickle.loads(raw)
        except DataError:
            return False
        if mnist_pickle.is_form(value):
            self.install("mnist", mnist_pickle.rebuild(value, str(path)), path, mnist_pickle.FORM)
            return True
        try:
            records = pack(value, None, str(path))
        except DataError:
            return False
        digest = sha256_of(records.data.cast("B"))
        found = [name for name, known in CIFAR10.files.items() if known.sha256 == digest]
        self.install("cifar10", dict.fromkeys(found, records), path)
        return bool(found)

    def install(
        self, dataset: str, values: Mapping[str, Content], origin: Path, form: str = ""
    ) -> None:
        """Put verified files of a data set into the cache."""
        folder = cache_place(dataset).folder
        for name, value in values.items():
            with cache_lock(folder):
                write_bytes(folder / name, value)
            self.imported.append(Imported(dataset, name, self.archive or origin, form))


def _files(path: Path) -> Iterator[Path]:
    """Yield the file itself, or the files of a folder and its sub-folders, links not followed."""
    if path.is_file():
        yield path
        return
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))


def _is_pickle(path: Path) -> bool:
    with unpacked(path) as stream:
        return unpickle.is_pickle(stream.read(1))


def _named(path: Path) -> set[str]:
    """Return the data files that a file of this name gives when its content is right."""
    if path.name == course.FILE.name:
        return {path.name}
    if path.name in ("mnist.npz", *mnist_pickle.NAMES):
        return set(MNIST.files)
    if path.name in ARCHIVES:
        return set(CIFAR10.files)
    for kept in (MNIST, CIFAR10):
        for name in kept.files:
            if path.name in kept.spellings(name):
                return {name}
    return set()


def _is_worth_a_look(name: str, size: int) -> bool:
    """Tell whether a member of an archive may be a data file, by its name or its size."""
    if _named(Path(name)) or CIFAR10.is_of_package(name):
        return True
    known = (*MNIST.files.values(), *CIFAR10.files.values(), course.FILE)
    return name.endswith((".gz", ".pkl", ".npz")) or size in {each.size for each in known}


def _say_what_is_wrong(path: Path) -> None:
    """Raise DataError if the file's name is known: its content is not. Reading it says how."""
    if path.name in mnist_pickle.NAMES:
        mnist_pickle.rebuild(mnist_pickle.load(path), str(path))
    for name in _named(path):
        for kept in (MNIST, CIFAR10):
            if name in kept.files:
                kept.read(path, kept.files[name])
