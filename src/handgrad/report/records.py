"""A results folder's records, read as they are, and references that remember where a value lies."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from handgrad.analysis import Analysis
from handgrad.errors import ResultsError
from handgrad.results import Results


class Ref:
    """A value in a record file, with its place: ``ref["trials"][0]`` goes down into it.

    Attributes
    ----------
    value : any JSON value
    place : str
        File name and JSON pointer (RFC 6901): 'results.json#/experiments/0/seeds'.
    """

    __slots__ = ("place", "value")

    def __init__(self, place: str, value: Any) -> None:
        self.place, self.value = place, value

    def __getitem__(self, key: str | int) -> "Ref":
        """Go down; KeyError or IndexError where there is nothing."""
        step = str(key).replace("~", "~0").replace("/", "~1")
        return Ref(f"{self.place}/{step}", self.value[key])

    def __iter__(self) -> Iterator["Ref"]:
        """The entries of a list."""
        return (self[position] for position in range(len(self.value)))

    def __len__(self) -> int:
        """Entries of a list or mapping."""
        return len(self.value)

    def __bool__(self) -> bool:
        """Whether there is something: not null, not empty; zero is something."""
        return self.value is not None and self.value not in ("", [], {}, False)

    def items(self) -> list[tuple[str, "Ref"]]:
        """The entries of a mapping."""
        return [(key, self[key]) for key in self.value]

    def lists(self) -> Any:
        """The bare value, for a plot."""
        return self.value


def read(folder: Path) -> Ref:
    """Read results.json."""
    path = folder / "results.json"
    Results.read(path)  # refuses what is damaged or of another schema
    return Ref("results.json#", json.loads(path.read_text(encoding="utf-8")))


def history(folder: Path, name: str) -> Ref | None:
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


def analysis(folder: Path, name: str) -> Ref | None:
    """Read a run's analysis.json; None if it is not there."""
    path = folder / name
    if not path.is_file():
        return None
    Analysis.read(path)
    return Ref(f"{name}#", json.loads(path.read_text(encoding="utf-8")))
