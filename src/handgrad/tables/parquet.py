"""Parquet files: pyarrow reads them batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from handgrad.errors import DataError, MissingExtraError
from handgrad.tables.columns import Columns
from handgrad.tables.streams import Head, reading
from handgrad.tables.table import CHUNK_ROWS, Table, require_names
from handgrad.tables.values import Column, as_texts, counted

if TYPE_CHECKING:
    import pyarrow

_PANDAS_INDEX = "__index_level_"


class ParquetTable(Table):
    """A table in a Parquet file; the index that pandas keeps in it is left out.

    Raises
    ------
    DataError
        If the file is damaged or cut off, has no rows, or a column of lists or records.
    MissingExtraError
        If pyarrow is not installed.
    """

    def __init__(self, head: Head) -> None:
        self.path = head.path
        try:
            import pyarrow
            from pyarrow import parquet
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"Parquet files need {error.name}, which is not installed; "
                "`pip install 'handgrad[tables]'` brings it"
            ) from error
        # Damage is an OSError as well, for some of its readers.
        self._broken = (pyarrow.ArrowException, OSError, UnicodeDecodeError)
        if head.packed or not head.content.startswith(b"PAR1"):
            raise DataError(f"{self.path} is not a Parquet file: it does not begin with PAR1")
        self._open: Callable[[], Any] = lambda: parquet.ParquetFile(self.path)
        with reading(self.path):
            try:
                with self._open() as file:
                    schema, rows = file.schema_arrow, file.metadata.num_rows
            except self._broken as error:
                raise self._damaged(error) from None
        fields = [field for field in schema if not field.name.startswith(_PANDAS_INDEX)]
        for field in fields:
            if pyarrow.types.is_nested(field.type):
                raise DataError(
                    f"{self.path}: column {field.name!r} holds a {field.type} in each row; "
                    "only numbers, booleans, texts and dates are read"
                )
        self.names = tuple(field.name for field in fields)
        require_names(self.names, self.path)
        if not rows:
            raise DataError(f"{self.path} has columns but no rows")
        self.recognised = f"Parquet, {counted(rows, 'row')}"

    def chunks(self, rows: int = CHUNK_ROWS, *, text: Collection[str] = ()) -> Iterator[Columns]:
        """Give the rows in order, at most ``rows`` at a time; see `Table.chunks`."""
        first = 1
        with reading(self.path):
            try:
                with self._open() as file:
                    for batch in file.iter_batches(rows, columns=list(self.names)):
                        values = {name: _column(batch.column(name)) for name in self.names}
                        for name in values.keys() & set(text):
                            values[name] = as_texts(values[name])
                        numbers = np.arange(first, first + batch.num_rows)
                        first += batch.num_rows
                        yield Columns(values, source=str(self.path), numbers=numbers)
            except self._broken as error:
                raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> DataError:
        line = " ".join(str(error).split()).rstrip(".")
        return DataError(f"{self.path} is damaged or cut off: {line}; copy or write it again")


def _column(array: pyarrow.Array) -> Column:
    """Numbers as float64 with NaN for null, all else as texts."""
    import pyarrow
    from pyarrow import types

    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if types.is_decimal(kind) or types.is_duration(kind):
        array = array.cast(pyarrow.float64() if types.is_decimal(kind) else pyarrow.int64())
        kind = array.type
    if types.is_integer(kind) or types.is_floating(kind):
        plain = array.to_numpy(zero_copy_only=False)  # nulls make floats of integers
        return np.asarray(plain, np.float64)
    if types.is_boolean(kind):
        names = np.array(["False", "True"], object)
        places = array.fill_null(False).to_numpy(zero_copy_only=False)
        texts: Column = names[np.asarray(places, np.int64)]
        texts[array.is_null().to_numpy(zero_copy_only=False)] = None
        return texts
    if types.is_binary(kind) or types.is_large_binary(kind):
        values = [None if v is None else v.decode("utf-8", "replace") for v in array.to_pylist()]
    elif types.is_string(kind) or types.is_large_string(kind):
        values = array.to_pylist()
    else:  # timestamps, dates and times, spelt as ISO 8601 does
        values = array.cast(pyarrow.string()).to_pylist()
    column = np.empty(len(values), object)
    column[:] = values
    return column
