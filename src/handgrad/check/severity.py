"""What a case that does not pass is worth: against the text, unsure, or beyond what it asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol, get_args

Level = Literal["wrong", "fragile", "beyond"]
LEVELS: tuple[Level, ...] = get_args(Level)
COUNTED: tuple[Level, ...] = ("wrong", "fragile")
"""What counts where nobody says otherwise."""

_KEYS = {"of", "cases", "level", "because"}


class Asked(Protocol):
    """What a severity is looked up by: a case, or its result."""

    @property
    def group(self) -> str: ...
    @property
    def function(self) -> str: ...
    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Severity:
    """How much it matters that a case does not pass.

    Attributes
    ----------
    level : 'wrong', 'fragile' or 'beyond'
        'wrong': against the assignment's mathematics or stated interface; 'fragile': right on
        ordinary inputs, not on extreme, odd or repeated ones; 'beyond': good practice that the
        text does not ask for.
    because : str
        One sentence: what of the text decides it.
    """

    level: Level
    because: str


@dataclass(frozen=True)
class Entry:
    """One line of a course's table.

    Attributes
    ----------
    of : tuple of str
        Functions or groups; patterns, in which * stands for any text.
    cases : tuple of str
        Names of cases, or patterns.
    severity : Severity
    """

    of: tuple[str, ...]
    cases: tuple[str, ...]
    severity: Severity

    def holds(self, case: Asked) -> bool:
        """Whether it speaks of this case."""
        owners = (case.group, case.function)
        return any(fnmatchcase(owner, p) for owner in owners for p in self.of) and any(
            fnmatchcase(case.name, pattern) for pattern in self.cases
        )


@dataclass(frozen=True)
class Severities:
    """A course's table: each case is spoken of by exactly one entry."""

    entries: tuple[Entry, ...]

    def speaks_of(self, case: Asked) -> bool:
        """Whether an entry, or more than one, is about a case."""
        return any(entry.holds(case) for entry in self.entries)

    def of(self, case: Asked) -> Severity:
        """Give the severity of a case.

        Raises
        ------
        LookupError
            When no entry speaks of it, or more than one.
        """
        found = [entry.severity for entry in self.entries if entry.holds(case)]
        if len(found) != 1:
            many = "no entry" if not found else f"{len(found)} entries"
            raise LookupError(f"severities: {many} for {case.function}: {case.name}, not one")
        return found[0]

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Severities":
        """Read the table from what TOML gives: a list ``severity`` of entries.

        Raises
        ------
        ValueError
            For an entry that is damaged; the text names its key.
        """
        entries = record.get("severity")
        if not isinstance(entries, list) or not entries:
            raise ValueError("severity: at least one [[severity]] is needed")
        return cls(tuple(_entry(entry, f"severity[{n}]") for n, entry in enumerate(entries, 1)))


def _entry(entry: Any, where: str) -> Entry:
    if not isinstance(entry, dict) or set(entry) != _KEYS:
        raise ValueError(f"{where}: needs the keys {', '.join(sorted(_KEYS))}, and no other")
    level, because = entry["level"], entry["because"]
    if level not in LEVELS:
        raise ValueError(f"{where}.level: must be one of {', '.join(LEVELS)}; got {level!r}")
    if not isinstance(because, str) or not because.strip():
        raise ValueError(f"{where}.because: must be a sentence; got {because!r}")
    names = {}
    for key in ("of", "cases"):
        given: Sequence[Any] = entry[key]
        if not (isinstance(given, list) and given and all(isinstance(n, str) for n in given)):
            raise ValueError(f"{where}.{key}: must be a list of names; got {given!r}")
        names[key] = tuple(given)
    return Entry(names["of"], names["cases"], Severity(level, " ".join(because.split())))
