"""Open a table, whatever its file is: recognised by its content, its name only breaks ties."""

from __future__ import annotations

import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from handgrad.tables.arff import ArffTable
from handgrad.tables.delimited import DelimitedTable
from handgrad.tables.libsvm import LibsvmTable
from handgrad.tables.npz import NpzTable
from handgrad.tables.parquet import ParquetTable
from handgrad.tables.streams import Head, read_head
from handgrad.tables.table import Table

FORMATS = ("csv", "tsv", "parquet", "npz", "arff", "libsvm")
_OPENERS: dict[str, Callable[[Head], Table]] = {
    "csv": DelimitedTable,
    "tsv": DelimitedTable,
    "parquet": ParquetTable,
    "npz": NpzTable,
    "arff": ArffTable,
    "libsvm": LibsvmTable,
}
_ENDINGS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".npz": "npz",
    ".arff": "arff",
    ".libsvm": "libsvm",
    ".svmlight": "libsvm",
    ".svm": "libsvm",
}
_PAIRS = rb"(?:\d+:[-+.\deEinfa]+(?:\s+|$))"
_SVM_LINE = re.compile(rb"(?:[-+.\deE,]+(?:\s+|$))?(?:qid:\d+(?:\s+|$))?" + _PAIRS + rb"*(?:#.*)?")
_SVM_LABEL = re.compile(rb"[-+.\deE,]+\s+(?:qid:\d+\s+)?" + _PAIRS)


def open_table(path: str | PathLike[str], *, format: str | None = None) -> Table:
    """Open a table: CSV, TSV (any delimiter, quotes, gzip), Parquet, NPZ, ARFF or libsvm.

    Parameters
    ----------
    path : path of a file
    format : str, optional
        One of `FORMATS`, where the content does not tell.

    Returns
    -------
    Table
        Whose ``recognised`` says what it was taken for; rows are read when they are asked for.

    Raises
    ------
    DataError
        In one line: what is wrong with the file, or that its format is none of these.
    MissingExtraError
        If pandas or pyarrow is needed and not installed.
    """
    if format is not None and format not in FORMATS:
        raise ValueError(f"open_table: format must be one of {', '.join(FORMATS)}; got {format!r}")
    head = read_head(Path(path))
    return _OPENERS[format or _format_of(head)](head)


def _format_of(head: Head) -> str:
    content = head.content
    if content.startswith(b"PAR1"):
        return "parquet"
    if content.startswith(b"PK\x03\x04") and re.match(rb".{26}..*?\.npy", content, re.DOTALL):
        return "npz"
    lines = [line.strip() for line in content.split(b"\n")[:-1] or [content]]
    spoken = [line for line in lines if line and not line.startswith(b"%")]
    if spoken and spoken[0].lower().startswith(b"@relation"):
        return "arff"
    lines = [line for line in lines[:50] if line and not line.startswith(b"#")]
    alike = lines and all(_SVM_LINE.fullmatch(line) for line in lines)
    if alike and any(_SVM_LABEL.match(line) for line in lines):
        return "libsvm"
    name = head.path.name.lower().removesuffix(".gz")
    return next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), "csv")
