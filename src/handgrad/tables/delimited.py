"""CSV, TSV and their relatives: pandas parses blocks of records whose shape was checked before."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from handgrad.errors import DataError, MissingExtraError
from handgrad.tables.columns import Columns, Rows
from handgrad.tables.dialect import DELIMITERS, recognise
from handgrad.tables.lines import Block, blocks
from handgrad.tables.streams import Head, utf8_stream
from handgrad.tables.table import CHUNK_ROWS, Table, require_names
from handgrad.tables.values import MISSING_WORDS, Column, cells, counted, settled

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

    import pandas

_COUNTED_BYTES = 1 << 25  # files up to this size have their rows counted when they are opened


class DelimitedTable(Table):
    """A table in a text file with a delimiter between cells.

    Raises
    ------
    DataError
        If the file is no text, has no rows, or two columns of one name.
    MissingExtraError
        If pandas is not installed.
    """

    def __init__(self, head: Head, kind: str = "") -> None:
        _pandas()
        self.path = head.path
        self.dialect = recognise(head)
        self.names = self.dialect.names
        self._packed = head.packed
        require_names(self.names, self.path)
        self.recognised = self._describe(kind, self._count(head))

    def chunks(self, rows: int = CHUNK_ROWS, *, text: Collection[str] = ()) -> Iterator[Columns]:
        """Give the rows in order, at most ``rows`` at a time; see `Table.chunks`.

        Memory holds a block of 8 MiB of text, and its columns.
        """
        dialect, header = self.dialect, self.dialect.header
        with utf8_stream(self.path, self._packed, dialect.encoding) as stream:
            for block in blocks(stream, dialect.delimiter, self.path):
                if not block.regular:
                    yield from self._slowly(block, stream, rows, text)
                    return
                self._require_width(block)
                first = int(header)
                header = False
                for start in range(first, len(block.lines), rows):
                    yield self._parse(block, start, min(start + rows, len(block.lines)), text)

    def _parse(self, block: Block, start: int, stop: int, text: Collection[str]) -> Columns:
        content = block.content[block.starts[start] : block.starts[stop]]
        numbers = block.lines[start:stop]
        as_text = [index for index, name in enumerate(self.names) if name in text]
        try:
            frame = self._frame(content, dict.fromkeys(as_text, str))
            # true, True or TRUE, and what is no number for pandas: as the file spells it.
            again = [i for i in frame.columns if frame[i].dtype.kind in "bO"]
            spelt = self._frame(content, dict.fromkeys(again, str), again) if again else frame
        except UnicodeDecodeError:
            raise self._no_utf8(block) from None
        if len(frame) != stop - start:  # pandas sees other records than we do: ask a third reader
            rows = list(_csv_reader(io.StringIO(content.decode(), ""), self.dialect.delimiter))
            return self._columns(rows, numbers, text)
        values = {
            name: self._column((spelt if i in again else frame)[i], i in as_text)
            for i, name in enumerate(self.names)
        }
        return Columns(values, source=str(self.path), numbers=numbers)

    def _frame(
        self, content: bytes, types: dict[int, type[str]], only: list[int] | None = None
    ) -> pandas.DataFrame:
        return _pandas().read_csv(
            io.BytesIO(content),
            sep=self.dialect.delimiter,
            decimal=self.dialect.decimal,
            header=None,
            names=list(range(len(self.names))),
            usecols=only,
            index_col=False,
            dtype=types,
            na_values=list(MISSING_WORDS),
            keep_default_na=False,
            skipinitialspace=True,
            skip_blank_lines=False,
            lineterminator="\n",
            low_memory=False,
            encoding="utf-8",
        )

    def _slowly(
        self, block: Block, stream: BinaryIO, most: int, text: Collection[str]
    ) -> Iterator[Columns]:
        """Read the rest of a file in which quotes stand where they should not, cell by cell."""
        rest = io.BufferedReader(_After(block.content, stream), 1 << 16)
        lines = io.TextIOWrapper(rest, encoding="utf-8", newline="")
        # A blank line more is a row without cells, unless a quote is open.
        reader = _csv_reader(chain(lines, ["\n"]), self.dialect.delimiter)
        row: list[str] = []
        last = offset = int(block.lines[0])
        header = self.dialect.header and offset == 1
        try:
            while True:
                rows, numbers = [], []
                begun = reader.line_num
                for row in reader:
                    if len(row) > 1 or any(cell.strip() for cell in row):
                        self._require_cells(len(row), offset + begun)
                        rows.append(row)
                        numbers.append(last := offset + begun)
                    begun = reader.line_num
                    if len(rows) == most:
                        break
                if row and len(rows) < most:
                    raise DataError(f"{self.path}: row {last} opens a quote that is never closed")
                if not rows:
                    return
                first = int(header)
                header = False
                if len(rows) > first:
                    yield self._columns(rows[first:], np.array(numbers[first:]), text)
        except UnicodeDecodeError:
            raise self._no_utf8(block) from None
        except csv.Error as error:
            raise DataError(f"{self.path}: line {offset + begun}: {error}") from None

    def _columns(self, rows: list[list[str]], numbers: Rows, text: Collection[str]) -> Columns:
        texts = dict(zip(self.names, zip(*rows, strict=True), strict=True))
        values = {name: self._cells(column, name in text) for name, column in texts.items()}
        return Columns(values, source=str(self.path), numbers=numbers)

    def _cells(self, found: Iterable[str | None], as_text: bool) -> Column:
        """Strip texts; give numbers where all of them are some, and are not to be texts."""
        texts = cells(found)
        if as_text or self.dialect.decimal == ".":
            return texts if as_text else settled(texts)
        numbers = settled(cells(text and _with_point(text) for text in texts))
        return texts if numbers.dtype == object else numbers

    def _column(self, series: pandas.Series, as_text: bool) -> Column:
        """Give numbers as float64, and the rest as texts."""
        if series.dtype.kind in "iuf" and not as_text:
            return np.asarray(series.to_numpy(np.float64), np.float64)
        # Each different text is looked at once, and kept once.
        codes, values = _pandas().factorize(series)
        different = self._cells([str(value) for value in values], as_text)
        nothing = None if different.dtype == object else np.nan
        known = np.append(different, np.array([nothing], different.dtype))
        return np.asarray(known[codes])

    def _require_width(self, block: Block) -> None:
        wrong = np.flatnonzero(block.cells != len(self.names))
        if len(wrong):
            self._require_cells(int(block.cells[wrong[0]]), int(block.lines[wrong[0]]))

    def _require_cells(self, received: int, line: int) -> None:
        if received != len(self.names):
            named = "the header" if self.dialect.header else "the first line"
            raise DataError(
                f"{self.path}: row {line} has {counted(received, 'cell')} where {named} has "
                f"{len(self.names)} (cells are separated by a {DELIMITERS[self.dialect.delimiter]})"
            )

    def _no_utf8(self, block: Block) -> DataError:
        for start, stop, line in zip(block.starts[:-1], block.starts[1:], block.lines, strict=True):
            try:
                block.content[start:stop].decode()
            except UnicodeDecodeError:
                return DataError(f"{self.path}: row {line} is not UTF-8; save the file as UTF-8")
        return DataError(f"{self.path} is not UTF-8 throughout; save the file as UTF-8")

    def _count(self, head: Head) -> str:
        """Count the rows of a small file, estimate those of a large one."""
        size = self.path.stat().st_size
        if size > _COUNTED_BYTES >> (3 if self._packed else 0):
            if self._packed:
                return "rows not counted"
            return f"about {size / self.dialect.bytes_per_row:,.0f} rows"
        rows = 0
        with utf8_stream(self.path, self._packed, self.dialect.encoding) as stream:
            for block in blocks(stream, self.dialect.delimiter, self.path):
                if not block.regular:
                    rest = io.TextIOWrapper(
                        io.BufferedReader(_After(block.content, stream)), "utf-8", "replace", ""
                    )
                    rows += sum(
                        len(row) > 1 or any(row)
                        for row in _csv_reader(rest, self.dialect.delimiter)
                    )
                    break
                rows += len(block.lines)
        rows -= self.dialect.header
        if not rows:
            raise DataError(f"{self.path} has a header but no rows")
        return counted(rows, "row")

    def _describe(self, kind: str, rows: str) -> str:
        dialect = self.dialect
        parts = [kind or ("TSV" if dialect.delimiter == "\t" else "CSV")]
        parts[0] += " (gzip)" if self._packed else ""
        parts += [rows, DELIMITERS[dialect.delimiter]]
        parts.append("header" if dialect.header else "no header: column 1, column 2, …")
        parts += ["decimal comma"] if dialect.decimal == "," else []
        shown = {"utf-8": "", "utf-8-sig": "", "utf-16": "UTF-16", "cp1252": "Windows-1252"}
        parts += [shown[dialect.encoding]] if shown[dialect.encoding] else []
        return ", ".join(parts)


def _pandas() -> ModuleType:
    try:
        return importlib.import_module("pandas")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"CSV files need {error.name}, which is not installed; "
            "`pip install 'handgrad[tables]'` brings it"
        ) from error


def _csv_reader(lines: Iterable[str], delimiter: str) -> CsvReader:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True)


def _with_point(cell: str) -> str:
    """Spell a number with a decimal comma as one with a point."""
    bare = cell.strip().lstrip("+-")
    return cell.replace(",", ".") if bare.replace(",", "", 1).isdigit() else cell


class _After(io.RawIOBase):
    """Some bytes, then what another stream has left."""

    def __init__(self, first: bytes, stream: BinaryIO) -> None:
        self._first, self._stream = io.BytesIO(first), stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._first.read(len(buffer)) or self._stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)
