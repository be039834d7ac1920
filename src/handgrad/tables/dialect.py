"""How a delimited text file is written: its delimiter, its header, its decimal mark."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass

from handgrad.errors import DataError
from handgrad.tables.streams import Head, encoding_of
from handgrad.tables.values import MISSING_WORDS, number_of

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_LINES = 100  # lines of the file that decide
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written.

    Attributes
    ----------
    delimiter, decimal : str
    header : bool
        Whether the first line names the columns.
    names : tuple of str
        Of the columns; ``column 1`` and so on where the file has none.
    encoding : str
    bytes_per_row : float
        Mean length of the lines looked at.
    """

    delimiter: str
    decimal: str
    header: bool
    names: tuple[str, ...]
    encoding: str
    bytes_per_row: float


def recognise(head: Head) -> Dialect:
    """Tell from the first lines of a file how it is written.

    Raises
    ------
    DataError
        If it is no text, or has a header only.
    """
    encoding = encoding_of(head)
    text = head.content.decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if not head.whole and len(lines) > 1:
        lines.pop()  # cut off
    sample = "\n".join(lines[:_LINES])
    if found := re.match(r"\ufeff?\"?sep=(.)\"?\n", sample):
        raise DataError(
            f"{head.path}: row 1 is a note for Excel (sep={found[1]}), no header; delete that row"
        )
    delimiter = _delimiter(sample, head.path.name)
    rows = split_rows(sample, delimiter)
    if len(rows) > 2 and not head.whole:
        rows = rows[:-1]  # may be a record with line breaks that the sample cuts
    if not rows:
        raise DataError(f"{head.path} has no rows")
    _require_no_blanks(rows, head)
    first = [cell.strip() for cell in rows[0]]
    header = _is_header(first, rows[1:])
    if header and len(rows) == 1:
        raise DataError(f"{head.path} has a header but no rows")
    names = tuple(
        name if header and name else f"column {index + 1}" for index, name in enumerate(first)
    )
    decimal = "," if _has_decimal_commas(rows, delimiter) else "."
    size = len(sample.encode("utf-8")) / max(sample.count("\n"), 1)
    return Dialect(delimiter, decimal, header, names, encoding, size)


def _require_no_blanks(rows: list[list[str]], head: Head) -> None:
    """Refuse a file of numbers in one column each of whose lines is several, set off by blanks."""
    if len(rows) < 3 or any(len(row) != 1 for row in rows):
        return
    words = [row[0].split() for row in rows[1:]]
    alike = len({len(line) for line in words}) == 1 and len(words[0]) > 1
    if alike and all(number_of(line[0]) is not None for line in words):
        raise DataError(
            f"{head.path}: its cells seem to be separated by blanks; "
            "separate them by commas or tabs"
        )


def split_rows(text: str, delimiter: str) -> list[list[str]]:
    """Split a few lines into records and cells, blank lines left out."""
    reader = csv.reader(io.StringIO(text, ""), delimiter=delimiter, skipinitialspace=True)
    try:
        return [row for row in reader if any(cell.strip() for cell in row) or len(row) > 1]
    except csv.Error:  # a cell above csv's limit of 128 KiB
        return [line.split(delimiter) for line in text.split("\n") if line.strip()]


def _delimiter(sample: str, name: str) -> str:
    """Choose what splits most lines into the same number of cells, more than one.

    Ties go to what the name promises, then to the order of `DELIMITERS`.
    """
    promised = "\t" if re.search(r"\.(tsv|tab)(\.gz)?$", name, re.IGNORECASE) else ","
    best, most = promised, (0.0, 0)
    for delimiter in dict.fromkeys((promised, *DELIMITERS)):
        widths = Counter(len(row) for row in split_rows(sample, delimiter))
        if not widths:
            continue
        width, rows = widths.most_common(1)[0]
        if width > 1 and (rows / widths.total(), width) > most:
            best, most = delimiter, (rows / widths.total(), width)
    return best


def _is_header(first: list[str], others: list[list[str]]) -> bool:
    """Tell a line of names from a row of values.

    Values are: numbers throughout (but for 0, 1, 2, ..., which name columns too); or some numbers,
    beside texts that come again below them.
    """
    numbers = [number_of(cell) is not None or cell in MISSING_WORDS - {""} for cell in first]
    if not any(numbers):
        return True
    if first in ([str(index + start) for index in range(len(first))] for start in (0, 1)):
        return len(first) > 1
    if all(numbers):
        return False
    texts = [index for index, is_number in enumerate(numbers) if not is_number and first[index]]
    return not any(
        first[index] == row[index].strip()
        for row in others
        if len(row) == len(first)
        for index in texts
    )


def _has_decimal_commas(rows: list[list[str]], delimiter: str) -> bool:
    """Tell whether 1,5 means one and a half: some cells are so, and none has a point instead."""
    if delimiter == ",":
        return False
    found = [cell.strip() for row in rows[1:] for cell in row]
    commas = any(_DECIMAL_COMMA.fullmatch(cell) for cell in found)
    return commas and not any("." in cell and number_of(cell) is not None for cell in found)
