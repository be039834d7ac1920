"""A table in a file: its columns' names, and its rows a chunk at a time or all at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from pathlib import Path

from handgrad.errors import DataError
from handgrad.tables.columns import Columns, joined, require_column

CHUNK_ROWS = 65536


class Table(ABC):
    """A table in a file, found by `open_table`; its rows are read when they are asked for.

    Attributes
    ----------
    path : Path
    names : tuple of str
        Of the columns, in the file's order.
    recognised : str
        One line for people: what the file was taken for, as ``CSV, 150 rows, comma, header``.
    targets : tuple of str
        The columns that the format itself holds to be labels: libsvm's, the y of an NPZ; often
        empty.
    """

    path: Path
    names: tuple[str, ...]
    recognised: str
    targets: tuple[str, ...] = ()

    @abstractmethod
    def chunks(self, rows: int = CHUNK_ROWS, *, text: Collection[str] = ()) -> Iterator[Columns]:
        """Give the rows in order, at most ``rows`` at a time; each call begins afresh.

        A column of texts may look like numbers in one chunk: a column that must be read as texts,
        as the file spells them, is named in ``text`` (`Preprocessor.text_columns`).

        Raises
        ------
        DataError
            Naming the file, the row and what is wrong with it.
        """

    def read(self, *, text: Collection[str] = ()) -> Columns:
        """Read all rows; each column is numbers throughout or texts throughout."""
        for name in text:
            require_column(name, self.names, str(self.path))
        parts = list(self.chunks(text=text))
        if not parts:
            raise DataError(f"{self.path} has a header but no rows")
        mixed = {name for name in parts[0] if len({part[name].dtype.kind for part in parts}) > 1}
        if mixed:  # as the file spells them: 007 is 7 in a chunk that has numbers alone
            parts = list(self.chunks(text={*text, *mixed}))
        return joined(parts)


def require_names(names: tuple[str, ...], path: Path) -> None:
    """Refuse a table in which two columns have the same name."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            first = names.index(name) + 1
            raise DataError(
                f"{path}: columns {first} and {index + 1} are both named {name!r}; "
                "give every column a name of its own"
            )
        seen.add(name)
