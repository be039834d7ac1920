"""Choose among several copies of the same data: a whole, good one wins, whatever lies beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from handgrad.datasets.files import KnownFile, log
from handgrad.datasets.places import Place
from handgrad.errors import DataError

T = TypeVar("T")


def copies_in(folder: Path, spellings: Mapping[str, Iterable[str]]) -> dict[str, list[Path]]:
    """Return, for each file that lies in a folder under any of its names, all its copies."""
    found = {}
    for name, names in spellings.items():
        if paths := [folder / each for each in names if (folder / each).is_file()]:
            found[name] = paths
    return found


def first_good(paths: Iterable[Path], known: KnownFile, read: Callable[[Path, KnownFile], T]) -> T:
    """Read the first good one of several copies of a file, and log the bad ones before it.

    Raises
    ------
    DataError
        If none is good; it says what is wrong with the first.
    """
    errors: list[DataError] = []
    for path in paths:
        try:
            value = read(path, known)
        except DataError as error:
            errors.append(error)
            continue
        pass_over(errors)
        return value
    raise errors[0]


def whole_set(
    folder: Path,
    copies: Mapping[str, list[Path]],
    files: Mapping[str, KnownFile],
    read: Callable[[Path, KnownFile], T],
) -> dict[str, T] | None:
    """Read all files of a data set from their copies in a folder; None when there is no copy.

    Files in different forms may complete each other: each is verified to the byte.

    Raises
    ------
    DataError
        If a file has no good copy, or none at all.
    """
    if not copies:
        return None
    # What is wrong with a file that lies there is said before what is missing beside it.
    good = {name: first_good(copies[name], files[name], read) for name in files if name in copies}
    if missing := [name for name in files if name not in copies]:
        raise DataError(
            f"{folder}: {', '.join(missing)} is missing beside {', '.join(copies)}; "
            f"put all {len(files)} files there"
        )
    return good


def search(
    places: Iterable[Place], read: Callable[[Place], T | None], notes: list[str]
) -> tuple[T, Place] | None:
    """Return what `read` gives for the first place that has it, and the place; None if none has.

    A bad or incomplete set is passed over and noted in `notes`. What the user named is different:
    unless the same folder, or a usual one inside it, holds a good set, it is an error.

    Raises
    ------
    DataError
        If all that the user named under one label is bad or incomplete.
    """
    for _, group in groupby(places, key=lambda place: place.label):
        errors: list[DataError] = []
        found = None
        for place in group:
            try:
                value = read(place)
            except DataError as error:
                errors.append(error)
                continue
            if value is not None:
                found = value, place
                break
        if errors and found is None and place.owner == "user":
            raise errors[0]
        pass_over(errors)
        notes.extend(str(error) for error in errors)
        if found is not None:
            return found
    return None


def pass_over(errors: Iterable[DataError]) -> None:
    """Say which bad files are not used."""
    for error in errors:
        log.warning("passed over: %s", error)
