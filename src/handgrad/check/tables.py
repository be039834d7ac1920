"""A course's TOML, read with care: what is wrong is said in one line that names file and key."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from handgrad.errors import CourseError

_REQUIRED: Any = object()


class Table:
    """A table of a TOML file that knows where it stands.

    Parameters
    ----------
    record : mapping
    file : str
        For messages, as the user would name it.
    at : str, default ''
        The table's own key, '' for the file's top.
    """

    def __init__(self, record: Mapping[str, Any], file: str, at: str = "") -> None:
        self.record, self.file, self.at = record, file, at

    def fail(self, key: str, said: str) -> NoReturn:
        """Raise CourseError for a key."""
        raise CourseError(f"{self.file}: {self.key(key)}: {said}")

    def key(self, key: str) -> str:
        """A key with the tables that it is in."""
        return f"{self.at}.{key}" if self.at else key

    def only(self, *known: str) -> None:
        """Refuse keys that nothing reads: they are misspelt."""
        for key in self.record:
            if key not in known:
                self.fail(key, f"unknown key; choose from {', '.join(known)}")

    def _of(self, key: str, kind: Any, said: str, default: Any) -> Any:
        value = self.record.get(key, default)
        if value is _REQUIRED:
            self.fail(key, f"is missing; it must be {said}")
        if key in self.record and (
            not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        ):
            self.fail(key, f"must be {said}; got {value!r}")
        return value

    def text(self, key: str, default: str = _REQUIRED) -> str:
        """A text that is not empty."""
        value: str = self._of(key, str, "text", default)
        if key in self.record and not value.strip():
            self.fail(key, "is empty; it must be text")
        return value

    def number(self, key: str, default: float = _REQUIRED) -> float:
        """A number."""
        return float(self._of(key, (int, float), "a number", default))

    def yes(self, key: str) -> bool:
        """True or false; false where it is not there."""
        return bool(self._of(key, bool, "true or false", False))

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A text, or a list of them."""
        value = self._of(key, (str, list), "text, or a list of texts", default)
        listed = (value,) if isinstance(value, str) else tuple(value)
        if not all(isinstance(item, str) for item in listed):
            self.fail(key, f"must be text, or a list of texts; got {value!r}")
        return listed

    def named(self, key: str) -> dict[str, str]:
        """A table of texts."""
        table = self.table(key)
        return {name: table.text(name) for name in table.record}

    def table(self, key: str) -> "Table":
        """A table; an empty one where it is not there."""
        return Table(self._of(key, dict, "a table", {}), self.file, self.key(key))

    def tables(self, key: str) -> Iterator["Table"]:
        """Each of an array of tables."""
        for number, item in enumerate(self._of(key, list, "an array of tables", []), 1):
            if not isinstance(item, dict):
                self.fail(key, f"must be an array of tables; got {item!r} in it")
            yield Table(item, self.file, f"{self.key(key)}[{number}]")

    def each(self, key: str) -> Iterator[tuple[str, "Table"]]:
        """Each table of a table of tables, with its name."""
        holder = self.table(key)
        for name in holder.record:
            yield name, holder.table(name)


def named_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The TOML files of a folder, in their names' order, and each one's name.

    A number in front (``1-linear.toml``) gives the order and is no part of it.
    """
    for file in sorted(folder.glob("*.toml")):
        yield file.stem.lstrip("0123456789").lstrip("-_") or file.stem, file


def read_text(path: Path, shown: str) -> str:
    """Read a file of a course.

    Raises
    ------
    CourseError
        It cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors put a byte-order mark in front
    except OSError as error:
        raise CourseError(f"{shown}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise CourseError(f"{shown}: not UTF-8 text") from error


def read_table(path: Path, shown: str) -> Table:
    """Read a TOML file of a course.

    Raises
    ------
    CourseError
        It cannot be read, or is no TOML.
    """
    try:
        return Table(tomllib.loads(read_text(path, shown)), shown)
    except tomllib.TOMLDecodeError as error:
        raise CourseError(f"{shown}: not valid TOML: {error}") from error
