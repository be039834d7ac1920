"""Look at every data file on this machine without changing or fetching any, and judge each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from handgrad.datasets import course
from handgrad.datasets.cifar10_files import CIFAR10
from handgrad.datasets.file_set import FileSet
from handgrad.datasets.mnist_files import MNIST
from handgrad.datasets.places import cache_place
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
    findings = [*_course(data_dir), *_files(MNIST, data_dir)]
    if (keras := MNIST.keras()) is not None:
        problem = _problem(partial(MNIST.read_keras, keras))
        findings.append(Finding("mnist", "Keras", keras, keras.stat().st_size, problem))
    return [*findings, *_files(CIFAR10, data_dir)]


def _course(data_dir: Path | None) -> Iterator[Finding]:
    for label, path in course.candidates(data_dir):
        problem = _problem(partial(course.read, path))
        yield Finding("course", label, path, path.stat().st_size, problem)


def _files(kept: FileSet[Any], data_dir: Path | None) -> Iterator[Finding]:
    seen: set[Path] = set()
    places = [*kept.places(data_dir), cache_place(kept.name)]
    for _, group in groupby(places, key=lambda place: place.label):
        incomplete, whole = [], False
        for place in group:
            if place.folder.resolve() in seen:
                continue
            seen.add(place.folder.resolve())
            found = kept.copies(place.folder)
            good = set()
            for name, path in [(name, path) for name, paths in found.items() for path in paths]:
                problem = _problem(partial(kept.read, path, kept.files[name]))
                if problem is None:
                    good.add(name)
                yield Finding(kept.name, place.label, path, path.stat().st_size, problem)
            whole = whole or len(good) == len(kept.files)
            missing = [name for name in kept.files if name not in found]
            # The cache may be incomplete: it is filled up. Elsewhere half a data set is an error,
            # unless a whole one lies in another folder of the same source.
            if found and missing and place.owner != "cache":
                problem = f"{place.folder}: {', '.join(missing)} is missing"
                incomplete.append(Finding(kept.name, place.label, place.folder, 0, problem))
        if not whole:
            yield from incomplete


def _problem(read: Callable[[], object]) -> str | None:
    try:
        read()
    except DataError as error:
        return str(error)
    return None
