"""NPZ files of NumPy: the arrays of as many rows are the columns; X and y where they are there."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator

import numpy as np

from handgrad.arrays import Array
from handgrad.errors import DataError
from handgrad.tables.columns import Columns
from handgrad.tables.streams import Head, reading
from handgrad.tables.table import CHUNK_ROWS, Table, require_names
from handgrad.tables.values import as_texts, objects

_TARGETS = ("y", "Y", "target", "targets", "label", "labels")
_NAMES = ("feature_names", "columns", "names")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


class NpzTable(Table):
    """A table in an NPZ file; it is held in memory, as NumPy reads it.

    Of the arrays that have as many rows as most, each 1-D one is a column of its name, and each
    column j of a 2-D one is ``NAMEj``, or named by an array ``feature_names`` of texts beside it.

    Raises
    ------
    DataError
        If the file is damaged, holds pickled objects, pictures, or no two-dimensional table.
    """

    def __init__(self, head: Head) -> None:
        self.path = head.path
        arrays = self._load(head)
        named = next((arrays.pop(name) for name in _NAMES if name in arrays), None)
        tables = {name: array for name, array in arrays.items() if array.ndim}
        if not tables:
            raise DataError(f"{self.path} holds no table: none of its arrays has rows")
        rows = Counter(len(array) for array in tables.values()).most_common()
        most = max(count for length, count in rows)
        length = max(length for length, count in rows if count == most)
        left = [name for name, array in tables.items() if len(array) != length]
        columns: list[tuple[str, Array]] = []
        targets: list[str] = []
        for name, array in tables.items():
            if name in left:
                continue
            found = self._columns_of(name, array, named)
            columns += found
            targets += [each for each, _ in found] if name in _TARGETS else []
        self.names = tuple(name for name, _ in columns)
        require_names(self.names, self.path)
        if not length:
            raise DataError(f"{self.path} has columns but no rows")
        self.targets = tuple(targets)
        self._all = Columns(dict(columns), source=str(self.path))
        shapes = ", ".join(f"{n} {a.shape}" for n, a in tables.items() if n not in left)
        ignored = f"; left out: {', '.join(left)}, of another length" if left else ""
        self.recognised = f"NPZ, {length:,} rows, {shapes}{ignored}"

    def chunks(self, rows: int = CHUNK_ROWS, *, text: Collection[str] = ()) -> Iterator[Columns]:
        """Give the rows in order, at most ``rows`` at a time; see `Table.chunks`."""
        for start in range(0, self._all.rows, rows):
            part = self._all.take(np.arange(start, min(start + rows, self._all.rows)))
            spelt = {n: as_texts(c) if n in text else c for n, c in part.items()}
            yield Columns(spelt, source=part.source, numbers=part.numbers)

    def _load(self, head: Head) -> dict[str, Array]:
        if not head.content.startswith(b"PK"):
            raise DataError(f"{self.path} is not an NPZ file: it is no ZIP archive")
        with reading(self.path):
            try:
                with self.path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                    return {name: file[name] for name in file.files}
            except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
                raise DataError(
                    f"{self.path} is damaged or cut off: {error}; copy or write it again"
                ) from None
            except ValueError as error:
                if "allow_pickle" in str(error):
                    raise DataError(
                        f"{self.path} holds pickled objects, which can run any program; "
                        "save arrays of numbers or of texts (dtype str)"
                    ) from None
                raise DataError(f"{self.path} cannot be read as NPZ: {_line(error)}") from None

    def _columns_of(self, name: str, array: Array, named: Array | None) -> list[tuple[str, Array]]:
        if array.dtype.kind not in "biufSUM":
            raise DataError(
                f"{self.path}: array {name!r} is of {array.dtype}: no column of a table"
            )
        if array.dtype.kind == "S":
            array = np.char.decode(array, "utf-8", "replace")
        if array.dtype.kind in "USb":
            array = objects([str(v) for v in array.ravel().tolist()]).reshape(array.shape)
            array[array == ""] = None
        if array.ndim == 1:
            return [(name, array)]
        if array.ndim > 2:
            raise DataError(
                f"{self.path}: array {name!r} has shape {array.shape}: pictures, not a table"
            )
        width = array.shape[1]
        if name not in _TARGETS and named is not None and named.shape == (width,):
            names = [str(each) for each in named.tolist()]
        else:
            names = [f"{name}{index}" for index in range(width)] if width > 1 else [name]
        return [(each, array[:, index]) for index, each in enumerate(names)]
