"""A results folder's records, each read once, and references that remember where a value lies."""

import json
from collections.abc import Iterator, Sized
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from handgrad.analysis import Analysis
from handgrad.errors import ResultsError
from handgrad.results import Epoch, Results

T = TypeVar("T")


class Ref(Generic[T]):
    """A value in a record file, with its place: ``ref["trials"][0]`` goes down into it.

    Attributes
    ----------
    value : a record, or any JSON value
    place : str
        File name and JSON pointer (RFC 6901): 'results.json#/experiments/0/seeds'.
    """

    __slots__ = ("place", "value")

    def __init__(self, place: str, value: T) -> None:
        self.place, self.value = place, value

    def __getitem__(self, key: str | int) -> "Ref[Any]":
        """Go down; AttributeError, KeyError or IndexError where there is nothing."""
        value: Any = self.value
        step = str(key).replace("~", "~0").replace("/", "~1")
        found = getattr(value, str(key)) if is_dataclass(value) else value[key]
        return Ref(f"{self.place}/{step}", found)

    def __iter__(self) -> Iterator["Ref[Any]"]:
        """The entries of a list."""
        return (self[position] for position in range(len(self)))

    def __len__(self) -> int:
        """Entries of a list or mapping."""
        assert isinstance(self.value, Sized), self.place
        return len(self.value)

    def __bool__(self) -> bool:
        """Whether there is something: not null, not empty; zero is something."""
        empty = isinstance(self.value, Sized) and not len(self.value)
        return self.value is not None and self.value is not False and not empty

    def items(self: "Ref[dict[str, Any]]") -> list[tuple[str, "Ref[Any]"]]:
        """The entries of a mapping."""
        return [(key, self[key]) for key in self.value]


def read(folder: Path) -> Ref[Results]:
    """Read results.json; ResultsError for what is damaged or of another schema."""
    return Ref("results.json#", Results.read(folder / "results.json"))


def history(folder: Path, name: str) -> Ref[list[Epoch]] | None:
    """Read a run's history.jsonl, a list of epochs; None if it is not there."""
    path = folder / name
    if not path.is_file():
        return None
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise ResultsError(
            f"{path} is damaged ({error}); delete its folder and run again"
        ) from None
    return Ref(f"{name}#", lines) if lines else None


def analysis(folder: Path, name: str) -> Ref[Analysis] | None:
    """Read a run's analysis.json; None if it is not there."""
    path = folder / name
    return Ref(f"{name}#", Analysis.read(path)) if path.is_file() else None
