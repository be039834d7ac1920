"""libsvm's sparse text: labels, then index:value pairs; what is not listed is 0."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from handgrad.errors import DataError
from handgrad.tables.columns import Columns
from handgrad.tables.streams import Head, encoding_of, utf8_stream
from handgrad.tables.table import CHUNK_ROWS, Table
from handgrad.tables.values import as_texts, counted, number_of, shortened

_MOST_FEATURES = 20_000  # 65,536 rows of them, dense in float64, are 10 GB
_CHUNK_VALUES = 1 << 23


@dataclass
class _Line:
    """One row: its labels as texts, its query or None, its indices and values."""

    number: int
    labels: list[str]
    query: float | None
    indices: list[int]
    values: list[float]


class LibsvmTable(Table):
    """A table in libsvm's format (svmlight's): ``label index:value ...``, ``# comment``.

    The columns are ``label``, ``qid`` where queries are given, and the features by their indices
    as written: ``x1``, ``x2``, ... where they count from 1, ``x0``, ... where any index is 0.
    Where a row has several labels (``2,5``) each label has a column ``label 2`` of 0 and 1. A
    feature that a file does not mention is 0 in it.

    Raises
    ------
    DataError
        Naming the row that is not of this form.
    """

    def __init__(self, head: Head) -> None:
        self.path, self._packed = head.path, head.packed
        self._encoding = encoding_of(head)
        rows, lowest, highest = 0, 1, -1
        labels: dict[str, None] = {}
        several, queries = False, False
        for row in self._lines():
            rows += 1
            several |= len(row.labels) != 1
            queries |= row.query is not None
            if len(labels) < _MOST_FEATURES:  # amounts may all differ: they need no list
                labels.update(dict.fromkeys(row.labels))
            if row.indices:
                lowest, highest = min(lowest, min(row.indices)), max(highest, max(row.indices))
        if highest < 0:
            raise DataError(f"{self.path} has no index:value pairs")
        if highest - lowest >= _MOST_FEATURES:
            raise DataError(
                f"{self.path} has {highest - lowest + 1:,} features; tables are held dense, and at "
                f"most {_MOST_FEATURES:,} columns are read: choose or combine features first"
            )
        self._first, self._width = lowest, highest - lowest + 1
        if several:
            spelt = sorted(labels, key=lambda each: (number_of(each) or 0.0, each))
            self.targets = tuple(f"label {each}" for each in spelt)
        else:
            self.targets = ("label",)
        query = ("qid",) if queries else ()
        features = tuple(f"x{index}" for index in range(lowest, highest + 1))
        self.names = (*self.targets, *query, *features)
        self.recognised = (
            f"libsvm, {counted(rows, 'row')}, indices from {lowest}, "
            + counted(self._width, "feature")
            + (f", {len(self.targets)} labels, several in a row" if several else "")
            + (", query ids" if queries else "")
        )

    def chunks(self, rows: int = CHUNK_ROWS, *, text: Collection[str] = ()) -> Iterator[Columns]:
        """Give the rows in order, at most ``rows`` at a time; see `Table.chunks`."""
        rows = max(1, min(rows, _CHUNK_VALUES // max(self._width, 1)))
        held: list[_Line] = []
        for line in self._lines():
            held.append(line)
            if len(held) == rows:
                yield self._dense(held, text)
                held = []
        if held:
            yield self._dense(held, text)

    def _dense(self, lines: list[_Line], text: Collection[str]) -> Columns:
        features = np.zeros((self._width, len(lines)))
        for column, line in enumerate(lines):
            features[np.array(line.indices, np.int64) - self._first, column] = line.values
        values: dict[str, object] = {}
        if self.targets == ("label",):
            values["label"] = np.array([number_of(line.labels[0]) for line in lines], np.float64)
        else:
            sets = [frozenset(line.labels) for line in lines]
            for name in self.targets:
                label = name.removeprefix("label ")
                values[name] = np.array([label in each for each in sets], np.float64)
        if "qid" in self.names:
            values["qid"] = np.array([line.query for line in lines], np.float64)
        for index in range(self._width):
            values[f"x{index + self._first}"] = features[index]
        numbers = np.array([line.number for line in lines])
        made = Columns(values, source=str(self.path), numbers=numbers, absent=0.0)  # type: ignore[arg-type]
        if not set(text) & set(self.names):
            return made
        spelt = {n: as_texts(c) if n in text else c for n, c in made.items()}
        return Columns(spelt, source=made.source, numbers=numbers, absent=0.0)

    def _lines(self) -> Iterator[_Line]:
        with utf8_stream(self.path, self._packed, self._encoding) as stream:
            for number, raw in enumerate(stream, start=1):
                words = raw.decode("utf-8", "replace").partition("#")[0].split()
                if words:
                    yield self._parse(number, words)

    def _parse(self, number: int, words: list[str]) -> _Line:
        labels: list[str] = []
        if ":" not in words[0]:
            labels = words.pop(0).split(",")
        query = None
        if words and words[0].startswith("qid:"):
            query = number_of(words.pop(0)[4:])
        try:
            pairs = [word.split(":") for word in words]
            indices = [int(index) for index, _ in pairs]
            values = [float(value) for _, value in pairs]
        except ValueError:
            wrong = next((word for word in words if not _is_pair(word)), words[0])
            raise DataError(
                f"{self.path}: row {number}: {shortened(wrong)} is not of the form index:value"
            ) from None
        if indices and min(indices) < 0:
            raise DataError(f"{self.path}: row {number}: the index {min(indices)} is below 0")
        if len(set(indices)) < len(indices):
            twice = next(index for index in indices if indices.count(index) > 1)
            raise DataError(f"{self.path}: row {number}: the index {twice} comes twice")
        for label in labels:
            if number_of(label) is None or math.isnan(number_of(label) or 0.0):
                raise DataError(
                    f"{self.path}: row {number}: the label {shortened(label)} is no number"
                )
        return _Line(number, labels, query, indices, values)


def _is_pair(word: str) -> bool:
    index, _, value = word.partition(":")
    return index.isascii() and index.isdigit() and number_of(value) is not None
