"""What a cell of a table says: nothing, a number, or a text; arrays of cells as columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]
Column = npt.NDArray[Any]
"""float64 with NaN for what is missing, or objects: str, and None for what is missing."""

# What stands for a missing value in a text file: pandas' words, and the ? of Weka and of UCI.
_EMPTY = ("", "?", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NULL", "null", "None")
_NOT_A_NUMBER = ("NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN")
MISSING_WORDS = frozenset((*_EMPTY, *_NOT_A_NUMBER))


def number_of(text: str) -> float | None:
    """Read a number as a file spells it: 3, -1.5e3, inf; None for any other text.

    Python's ``1_000`` is a text here, as it is for every other reader of tables.
    """
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def cells(texts: Iterable[str | None], missing: frozenset[str] = MISSING_WORDS) -> Texts:
    """Strip the cells of one column as a file has them; words for missing values become None."""
    stripped = [None if text is None else text.strip() for text in texts]
    return objects([None if text in missing else text for text in stripped])


def objects(values: Sequence[object]) -> Texts:
    """Put values into an array of objects, one by one, whatever they are."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def as_numbers(column: Column) -> tuple[Numbers, int | None]:
    """Read a column as numbers; also the index of the first cell that is none, or None.

    Where one is given, the numbers after it may be missing.
    """
    if column.dtype != object:
        return column.astype(np.float64, copy=False), None
    numbers = np.full(len(column), np.nan)
    for index, value in enumerate(column):
        if value is not None:
            number = number_of(value)
            if number is None:
                return numbers, index
            numbers[index] = number
    return numbers, None


def as_texts(column: Column) -> Texts:
    """Spell a column of numbers: whole ones without a point, others as Python does."""
    if column.dtype == object:
        return column
    return objects([label_text(value) for value in column.tolist()])


def label_text(value: float) -> str | None:
    """Spell one number; None for NaN.

    Examples
    --------
    >>> label_text(7.0), label_text(0.1), label_text(float("nan"))
    ('7', '0.1', None)
    """
    if math.isnan(value):
        return None
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def settled(column: Texts) -> Column:
    """Turn a column of texts into numbers where all of it is numbers, and leave it where not."""
    numbers, stopped = as_numbers(column)
    return numbers if stopped is None else column


def missing_in(column: Column) -> npt.NDArray[np.bool_]:
    """Mark the missing cells of a column."""
    if column.dtype == object:
        return np.fromiter((value is None for value in column), bool, len(column))
    return np.isnan(column)


def coded(column: Column) -> tuple[npt.NDArray[np.int64], list[Any]]:
    """Number the different values of a column as they first come; missing ones are -1.

    Returns
    -------
    codes : int64 array (rows,)
    values : list
        The value behind each code, floats or texts.
    """
    if column.dtype != object:
        present = ~np.isnan(column)
        values, first, inverse = np.unique(column[present], return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        codes = np.full(len(column), -1, np.int64)
        codes[present] = rank[inverse]
        return codes, values[order].tolist()
    known: dict[str | None, int] = {}
    codes = np.fromiter(
        (-1 if value is None else known.setdefault(value, len(known)) for value in column),
        np.int64,
        len(column),
    )
    return codes, list(known)


def shortened(text: str, most: int = 40) -> str:
    """Quote a text for a message: on one line, and not all of a long one."""
    return repr(text if len(text) <= most else text[: most - 1] + "…")


def counted(count: int, noun: str) -> str:
    """Say how many: 1 row, 2,000 rows."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
