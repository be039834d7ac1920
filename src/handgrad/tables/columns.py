"""Some rows of a table: its columns by name, and where each row stands in its file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.errors import DataError
from handgrad.tables.values import Column, objects

Rows = npt.NDArray[np.int64]


class Columns(Mapping[str, Column]):
    """The columns of some rows of a table, by name, in the table's order.

    Each column is a float64 array in which NaN is a missing value, or an array of objects: texts,
    and None for a missing value. A mapping of names to such arrays; ``len`` counts the columns.

    Parameters
    ----------
    values : mapping of str to array-like, each of shape (rows,)
        Numbers of any type become float64; booleans the texts ``True`` and ``False``; dates (
        datetime64) their ISO texts; anything else its ``str``. None, NaN and NaT are missing.
    source : str
        What messages call the table, its file's name most often.
    numbers : int64 array (rows,), optional
        The row numbers that messages give: of a text file each row's first line, counted from 1
        as an editor does. Default: 1, 2, ...
    absent : float, optional
        What a column that is not there holds in every row: 0 in the sparse format of libsvm.

    Raises
    ------
    ValueError
        If the columns are not 1-D, or not equally long.
    """

    def __init__(
        self,
        values: Mapping[str, npt.ArrayLike],
        *,
        source: str = "the table",
        numbers: Rows | None = None,
        absent: float | None = None,
    ) -> None:
        self._values = {str(name): _column(name, value) for name, value in values.items()}
        self.source = source
        self.absent = absent
        lengths = {len(column) for column in self._values.values()}
        if len(lengths) > 1:
            raise ValueError(f"Columns: all columns must be equally long; got {sorted(lengths)}")
        self.rows = lengths.pop() if lengths else 0
        self.numbers = np.arange(1, self.rows + 1) if numbers is None else numbers

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(self._values)

    def __getitem__(self, name: str) -> Column:
        """Give a column; KeyError where there is none (`find` says it in a sentence)."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names, in order."""
        return iter(self._values)

    def __len__(self) -> int:
        """Count the columns."""
        return len(self._values)

    def find(self, name: str) -> Column:
        """Give a column; DataError names the nearest one where there is none of that name."""
        require_column(name, self.names, self.source)
        return self._values[name]

    def take(self, rows: npt.ArrayLike) -> Columns:
        """Give the rows of these indices, or of this mask, in their order."""
        index = np.asarray(rows)
        values = {name: column[index] for name, column in self._values.items()}
        return self._like(values, self.numbers[index])

    def select(self, names: Sequence[str]) -> Columns:
        """Give the columns of these names alone, in the order asked for."""
        return self._like({name: self.find(name) for name in names}, self.numbers)

    def without(self, names: Sequence[str]) -> Columns:
        """Give the columns but for these."""
        return self.select([name for name in self.names if name not in set(names)])

    def _like(self, values: dict[str, Column], numbers: Rows) -> Columns:
        """Make columns of columns, which need no second look."""
        made = Columns({}, source=self.source, absent=self.absent)
        made._values, made.rows, made.numbers = values, len(numbers), numbers
        return made

    def at(self, index: int, name: str) -> str:
        """Say where a cell is, for the beginning of a message."""
        return f"{self.source}: row {self.numbers[index]}, column {name!r}"


def require_column(name: str, names: Sequence[str], source: str) -> None:
    """Refuse the name of a column that is not there, and name the nearest one."""
    if name in names:
        return
    raise DataError(f"{source} has no column {name!r}{nearest(name, names)}")


def nearest(name: str, names: Sequence[str]) -> str:
    """Say which of the names is meant, or which there are: the end of a sentence."""
    folded = {each.casefold().strip(): each for each in reversed(names)}
    close = difflib.get_close_matches(name.casefold().strip(), folded, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {folded[close[0]]!r}?"
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"; its columns are {shown}" if names else "; it has no columns"


def joined(parts: Sequence[Columns]) -> Columns:
    """Put the rows of several pieces of one table under each other.

    A column must have the same type, numbers or texts, in all of them.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    values = {name: np.concatenate([part[name] for part in parts]) for name in first}
    return first._like(values, np.concatenate([part.numbers for part in parts]))


def _column(name: object, value: npt.ArrayLike) -> Column:
    array = np.asarray(value)
    if array.ndim != 1:
        raise ValueError(f"Columns: {name!r} must have one axis, the rows; got {array.shape}")
    if array.dtype == np.float64 and array.dtype.isnative:
        return array
    if array.dtype.kind in "fiu":
        return array.astype(np.float64)
    if array.dtype.kind == "M":
        texts = np.datetime_as_string(array).astype(object)
        texts[np.isnat(array)] = None
        return texts
    if array.dtype.kind == "O" and all(v is None or type(v) is str for v in array):
        return array
    return _plain(array.tolist())


def _plain(values: list[Any]) -> Column:
    """Of values of any type: numbers if all of them are, texts otherwise."""
    empty = [value is None or value != value for value in values]  # NaN and NaT are not themselves
    present = [value for value, none in zip(values, empty, strict=True) if not none]
    if present and all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool)
        for value in present
    ):
        plain = [np.nan if none else value for value, none in zip(values, empty, strict=True)]
        return np.array(plain, np.float64)
    return objects(
        [None if none else _text(value) for value, none in zip(values, empty, strict=True)]
    )


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
