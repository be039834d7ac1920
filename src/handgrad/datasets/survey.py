"""Look at every data file on this machine without changing or fetching any, and judge each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from handgrad.datasets import cifar10_files, course, mnist_files
from handgrad.datasets.files import KnownFile
from handgrad.datasets.places import Place, cache_place, keras_folder
from handgrad.errors import DataError

NAMES = ("course", "mnist", "cifar10")


@dataclass(frozen=True)
class Finding:
    """One file of a data set: where it lies, its size in bytes, what is wrong (None: verified)."""

    dataset: str
    label: str
    path: Path
    size: int
    problem: str | None


def survey(data_dir: Path | None = None) -> list[Finding]:
    """Rehash every file of every data set, in all the places where loaders look.

    Parameters
    ----------
    data_dir : Path, optional
        The folder to look at first, as for the loaders.

    Returns
    -------
    list of Finding
        In the order of the search. A folder that holds only some of a data set's files gives one
        more finding, with the folder as its path.

    Raises
    ------
    DataError
        If a folder that the user named does not exist.
    """
    findings = list(_course(data_dir))
    mnist = [*mnist_files.places(data_dir), cache_place("mnist")]
    findings += _sets("mnist", mnist, mnist_files.FILES, mnist_files.copies, mnist_files.read)
    keras = keras_folder() / "mnist.npz"
    if keras.is_file():
        problem = _problem(partial(mnist_files.read_keras, keras))
        findings.append(Finding("mnist", "Keras", keras, keras.stat().st_size, problem))
    cifar10 = [*cifar10_files.places(data_dir), cache_place("cifar10")]
    findings += _sets(
        "cifar10", cifar10, cifar10_files.FILES, cifar10_files.copies, cifar10_files.read
    )
    return findings


def _course(data_dir: Path | None) -> Iterator[Finding]:
    for label, path in course.candidates(data_dir):
        problem = _problem(partial(course.read, path))
        yield Finding("course", label, path, path.stat().st_size, problem)


def _sets(
    dataset: str,
    places: list[Place],
    files: Mapping[str, KnownFile],
    copies: Callable[[Path], dict[str, list[Path]]],
    read: Callable[[Path, KnownFile], Any],
) -> Iterator[Finding]:
    seen: set[Path] = set()
    for _, group in groupby(places, key=lambda place: place.label):
        incomplete, whole = [], False
        for place in group:
            if place.folder.resolve() in seen:
                continue
            seen.add(place.folder.resolve())
            found = copies(place.folder)
            good = set()
            for name, path in [(name, path) for name, paths in found.items() for path in paths]:
                problem = _problem(partial(read, path, files[name]))
                if problem is None:
                    good.add(name)
                yield Finding(dataset, place.label, path, path.stat().st_size, problem)
            whole = whole or len(good) == len(files)
            missing = [name for name in files if name not in found]
            # The cache may be incomplete: it is filled up. Elsewhere half a data set is an error,
            # unless a whole one lies in another folder of the same source.
            if found and missing and place.owner != "cache":
                problem = f"{place.folder}: {', '.join(missing)} is missing"
                incomplete.append(Finding(dataset, place.label, place.folder, 0, problem))
        if not whole:
            yield from incomplete


def _problem(read: Callable[[], object]) -> str | None:
    try:
        read()
    except DataError as error:
        return str(error)
    return None
