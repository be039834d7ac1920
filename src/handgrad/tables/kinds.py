"""What kind of column it is: a number, a category, a date, or nothing to learn from."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np

from handgrad import scaling
from handgrad.errors import DataError
from handgrad.tables.columns import Columns
from handgrad.tables.dates import as_days, date_orders
from handgrad.tables.summary import ColumnSummary
from handgrad.tables.values import Numbers, Texts, as_texts, number_of, shortened

MOST_CATEGORIES = 50
"""Values of a category that get a feature each; the others share one."""

BOOLEANS = {
    **dict.fromkeys(("true", "yes", "t", "y", "on"), 1.0),
    **dict.fromkeys(("false", "no", "f", "n", "off"), 0.0),
}
_PAIRS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"}, {"on", "off"})
_FAR = 1e6  # distances between quartiles from the median: a typing error, a unit, or a marker
_HUGE = 1e100
_ID_NAME = re.compile(
    r"(?:.*[_\s.-])?(?:id|ids|uid|uuid|guid|index|idx|rowid|rownames?|unnamed: ?\d+)", re.IGNORECASE
)
_CAMEL_ID = re.compile(r".*[a-z]I[dD]")


def is_constant(present: Numbers) -> bool:
    """Tell whether finite numbers are all the same up to the rounding of float64.

    0.3 and 0.1 + 0.2 are; 1e8 and 1e8 + 1e-3 are not: standardised before they are cast to
    float32, such columns lose nothing.
    """
    if not len(present):
        return True
    return bool(scaling.is_constant(present.min(), present.max(), np.float64))


def summarise_column(columns: Columns, name: str, *, category: bool) -> ColumnSummary:
    """Look at one column; ``category`` says that it is one whatever it looks like.

    Raises
    ------
    DataError
        If most of its cells are numbers and one is a text: naming the row.
    """
    column = columns[name]
    if column.dtype == object:
        return _of_texts(columns, name, column, category=category)
    if category:
        return _of_texts(columns, name, as_texts(column), category=True)
    return _of_numbers(columns, name, column)


def _plain(name: str, kind: str, missing: int, distinct: int) -> ColumnSummary:
    return ColumnSummary(
        name, kind, missing, 0, distinct, None, None, None, (), None, used=True, note=""
    )


def _of_numbers(columns: Columns, name: str, column: Numbers) -> ColumnSummary:
    infinite = int(np.isinf(column).sum())
    present = np.sort(column[np.isfinite(column)])
    missing = len(column) - len(present)
    distinct = int((present[1:] != present[:-1]).sum()) + 1 if len(present) else 0
    found = _plain(name, "number", missing - infinite, distinct)
    if not len(present):
        return replace(found, kind="constant", infinite=infinite, used=False, note="has no values")
    low, high = float(present[0]), float(present[-1])
    mean = float(np.sum(present / len(present)))  # a sum of huge numbers overflows
    found = replace(found, infinite=infinite, lowest=low, highest=high, mean=mean)
    if is_constant(present) and not missing:
        same = "is the same in every row" + (" up to rounding" if distinct > 1 else "")
        return replace(found, kind="constant", used=False, note=same)
    if distinct == 2 and (low, high) == (0.0, 1.0):
        return replace(found, kind="boolean")
    if _is_identifier(name, columns, present, distinct):
        note = "is a whole number of its own in every row: it names rows"
        return replace(found, kind="identifier", used=False, note=note)
    return replace(found, note=_what_is_strange(columns, column, present, infinite))


def _is_identifier(name: str, columns: Columns, present: Numbers, distinct: int) -> bool:
    if distinct < columns.rows or not (present == np.floor(present)).all():
        return False
    unnamed = name == "column 1" and columns.names[0] == name and (np.diff(present) == 1).all()
    return bool(unnamed or _ID_NAME.fullmatch(name) or _CAMEL_ID.fullmatch(name))


def _what_is_strange(columns: Columns, column: Numbers, present: Numbers, infinite: int) -> str:
    """Name infinite values, and those so far from the rest that little is left of it."""
    notes = []
    if infinite:
        row = columns.numbers[np.flatnonzero(np.isinf(column))[0]]
        notes.append(f"has infinite values (first in row {row}), taken for missing")
    low, median, high = np.quantile(present / 4, [0.25, 0.5, 0.75])
    away = np.abs(column / 4 - median)
    away[~np.isfinite(away)] = 0
    farthest = int(np.argmax(away))
    spread = high - low
    value = float(column[farthest])
    if abs(value) > _HUGE or (spread > 0 and away[farthest] / _FAR > spread):
        notes.append(f"has huge values ({value:.3g} in row {columns.numbers[farthest]})")
    return "; ".join(notes)


def _of_texts(columns: Columns, name: str, column: Texts, *, category: bool) -> ColumnSummary:
    counts = Counter(column.tolist())
    missing = counts.pop(None, 0)
    present = len(column) - missing
    common = tuple(text for text, _ in counts.most_common(5))
    found = replace(_plain(name, "category", missing, len(counts)), common=common)
    if not counts:
        return replace(found, kind="constant", used=False, note="has no values")
    if len(counts) == 1 and not missing:
        return replace(found, kind="constant", used=False, note="is the same in every row")
    if category:
        return _categories(found, counts)
    numbers = {text for text in counts if number_of(text) is not None}
    if numbers:
        _refuse_texts_among_numbers(columns, name, counts, numbers, present)
    if len(numbers) == len(counts):
        read = np.array([np.nan if text is None else float(text) for text in column])
        return _of_numbers(columns, name, read)
    if {text.casefold() for text in counts} in _PAIRS:
        mean = sum(BOOLEANS[text.casefold()] * count for text, count in counts.items()) / present
        return replace(found, kind="boolean", lowest=0.0, highest=1.0, mean=mean)
    if orders := date_orders(counts):
        days = as_days(np.array(list(counts), object), orders[0])[0]
        unsure = "could be day/month/year as well as month/day/year, which it is taken for"
        return replace(
            found, kind="date", order=orders[0], lowest=float(days.min()),
            highest=float(days.max()), note=unsure if len(orders) > 1 else "",
        )  # fmt: skip
    return _categories(found, counts)


def _categories(found: ColumnSummary, counts: Counter[str]) -> ColumnSummary:
    """Tell a category from what names rows, and from prose."""
    present = counts.total()
    if present >= 20 and len(counts) > 0.95 * present:
        prose = sum(" " in text for text in counts) > len(counts) / 2
        note = "differs in almost every row"
        return replace(found, kind="text" if prose else "identifier", used=False, note=note)
    length = sum(len(text) * count for text, count in counts.items()) / present
    if len(counts) > MOST_CATEGORIES and len(counts) > 0.5 * present and length > 30:
        return replace(found, kind="text", used=False, note="is prose")
    if len(counts) > MOST_CATEGORIES:
        note = (
            f"has {len(counts):,} different values: the {MOST_CATEGORIES} most frequent get a "
            "feature each, the others share one, and one says how frequent the value is"
        )
        return replace(found, note=note)
    return found


def _refuse_texts_among_numbers(
    columns: Columns, name: str, counts: Counter[str], numbers: set[str], present: int
) -> None:
    """Refuse a text in a column of numbers; codes such as 8, 10, S, M are a category."""
    texts = counts.keys() - numbers
    if not texts or sum(counts[text] for text in numbers) < present / 2:
        return
    repeated = all(counts[text] > 1 for text in counts)
    if len(texts) > 1 and repeated and len(counts) <= MOST_CATEGORIES:
        return
    index = next(i for i, text in enumerate(columns[name]) if text in texts)
    raise DataError(
        f"{columns.at(index, name)} holds {shortened(columns[name][index])}, and "
        f"{sum(counts[text] for text in numbers):,} of {present:,} values are numbers; "
        "correct it or leave the cell empty"
    )
