"""ARFF, Weka's format: declared attributes, then rows, dense or sparse."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from handgrad.errors import DataError
from handgrad.tables.columns import Columns
from handgrad.tables.streams import Head, encoding_of, utf8_stream
from handgrad.tables.table import CHUNK_ROWS, Table, require_names
from handgrad.tables.values import as_texts, counted, number_of, objects, shortened

_CELL = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,\t]*?))\s*(?:[,\t]|$)""")
_NAME = re.compile(
    r"""@attribute\s+(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|(\S+))\s*(.*)""", re.I
)
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True)
class _Attribute:
    """A declared column: "number", "nominal" with its values, "text" or "date"."""

    name: str
    kind: str
    values: tuple[str, ...] = ()


class ArffTable(Table):
    """A table in an ARFF file; values are held to what its header declares.

    Raises
    ------
    DataError
        If the header is not understood or has no rows; in `chunks`, naming the row and the column
        of a value that is not what was declared.
    """

    def __init__(self, head: Head) -> None:
        self.path, self._packed = head.path, head.packed
        self._encoding = encoding_of(head)
        self._attributes: list[_Attribute] = []
        rows = sum(1 for _ in self._lines())
        self.names = tuple(each.name for each in self._attributes)
        require_names(self.names, self.path)
        if not rows:
            raise DataError(f"{self.path} has a header but no rows")
        self.targets = tuple(name for name in self.names if name.casefold() == "class")[:1]
        self.recognised = f"ARFF, {counted(rows, 'row')}"

    def chunks(self, rows: int = CHUNK_ROWS, *, text: Collection[str] = ()) -> Iterator[Columns]:
        """Give the rows in order, at most ``rows`` at a time; see `Table.chunks`."""
        held: list[list[str | None]] = []
        numbers: list[int] = []
        for number, line in self._lines():
            held.append(self._row(number, line))
            numbers.append(number)
            if len(held) == rows:
                yield self._columns(held, numbers, text)
                held, numbers = [], []
        if held:
            yield self._columns(held, numbers, text)

    def _columns(
        self, rows: list[list[str | None]], numbers: list[int], text: Collection[str]
    ) -> Columns:
        values: dict[str, object] = {}
        for attribute, column in zip(self._attributes, zip(*rows, strict=True), strict=True):
            if attribute.kind != "number":
                values[attribute.name] = objects(column)
                continue
            read = [np.nan if cell is None else number_of(cell) for cell in column]
            if None in read:
                index = read.index(None)
                raise DataError(
                    f"{self.path}: row {numbers[index]}, column {attribute.name!r}: "
                    f"{shortened(column[index] or '')} is no number"
                )
            found = np.array(read, np.float64)
            values[attribute.name] = as_texts(found) if attribute.name in text else found
        return Columns(values, source=str(self.path), numbers=np.array(numbers))  # type: ignore[arg-type]

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Give the lines with data, each with its number; the attributes are read on the way."""
        attributes: list[_Attribute] = []
        in_data = False
        with utf8_stream(self.path, self._packed, self._encoding) as stream:
            for number, raw in enumerate(stream, start=1):
                line = raw.decode("utf-8", "replace").strip()
                if not line or line.startswith("%"):
                    continue
                if in_data:
                    yield number, line
                elif line.lower().startswith("@attribute"):
                    attributes.append(self._attribute(number, line))
                elif line.lower().startswith("@data"):
                    in_data, self._attributes = True, attributes
                elif not line.lower().startswith("@relation"):
                    raise DataError(
                        f"{self.path}: row {number}: {shortened(line)} stands before @data"
                    )
        if not in_data or not attributes:
            raise DataError(f"{self.path} is not ARFF: it has no @attribute or no @data")

    def _attribute(self, number: int, line: str) -> _Attribute:
        found = _NAME.fullmatch(line)
        if not found:
            raise DataError(f"{self.path}: row {number}: {shortened(line)} names no attribute")
        name = _unquoted(found[1], found[2], found[3]) or ""
        declared = found[4].partition("%")[0].strip()
        if declared.startswith("{"):
            cells = self._split(number, declared[1:].rpartition("}")[0])
            return _Attribute(name, "nominal", tuple(cell for cell in cells if cell is not None))
        word = declared.split(maxsplit=1)[0].lower() if declared else ""
        kinds = {"numeric": "number", "real": "number", "integer": "number", "string": "text"}
        if word != "date" and word not in kinds:
            raise DataError(
                f"{self.path}: row {number}: attribute {name!r} is declared {shortened(declared)}; "
                "numeric, string, date and {values} are read"
            )
        return _Attribute(name, kinds.get(word, "date"))

    def _row(self, number: int, line: str) -> list[str | None]:
        if line.startswith("{"):
            return self._sparse_row(number, line)
        row = self._split(number, line)
        if len(row) == len(self._attributes) + 1 and (row[-1] or "").startswith("{"):
            row.pop()  # the weight of an instance
        if len(row) != len(self._attributes):
            raise DataError(
                f"{self.path}: row {number} has {len(row)} values; {len(self._attributes)} "
                "attributes are declared"
            )
        for attribute, cell in zip(self._attributes, row, strict=True):
            if attribute.values and cell is not None and cell not in attribute.values:
                raise DataError(
                    f"{self.path}: row {number}, column {attribute.name!r}: {shortened(cell)} is "
                    "none of the values declared"
                )
        return row

    def _sparse_row(self, number: int, line: str) -> list[str | None]:
        """Read ``{index value, ...}``; what is left out is 0, or the first value declared."""
        row: list[str | None] = [
            attribute.values[0] if attribute.values else "0" for attribute in self._attributes
        ]
        inside = line[1 : line.rindex("}")] if "}" in line else line[1:]
        for pair in re.findall(
            r"""\d+\s+(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,]*)|[^,\s]+""", inside
        ):
            index, _, value = pair.partition(" ")
            if not index.isdigit() or int(index) >= len(row):
                raise DataError(
                    f"{self.path}: row {number}: {shortened(pair)} is no index (from 0 to "
                    f"{len(row) - 1}) and value"
                )
            row[int(index)] = self._split(number, value)[0]
        return row

    def _split(self, number: int, line: str) -> list[str | None]:
        if "'" not in line and '"' not in line:
            found = line.replace("\t", ",").split(",")
            return [None if (cell := each.strip()) in ("?", "") else cell for each in found]
        row: list[str | None] = []
        place = 0
        while place <= len(line):
            match = _CELL.match(line, place)
            if match is None:
                raise DataError(f"{self.path}: row {number}: quotes that do not enclose a value")
            whole = _unquoted(match[1], match[2], match[3])
            row.append(None if match[3] in ("?", "") else whole)
            if match.end() == len(line) and line[match.end() - 1 : match.end()] not in ",\t":
                break
            place = match.end()
            if place == len(line):
                row.append(None)
                break
        return row


def _unquoted(single: str | None, double: str | None, bare: str | None) -> str | None:
    """Give what stands in quotes, its backslashes resolved, or what stands without."""
    quoted = single if single is not None else double
    return bare if quoted is None else _ESCAPE.sub(r"\1", quoted)
