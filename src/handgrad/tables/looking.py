"""Look at a table before anything is trained on it, and say what was found."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from handgrad.errors import DataError
from handgrad.tables.columns import Columns
from handgrad.tables.kinds import summarise_column
from handgrad.tables.leaks import find_leaks
from handgrad.tables.summary import ColumnSummary, Leak, TableSummary
from handgrad.tables.targets import summarise_target
from handgrad.tables.values import Column, coded

FEWEST_ROWS = 20
"""A table with fewer rows is refused: nothing can be learnt and judged from so few."""


def summarise(
    columns: Columns,
    target: str | Sequence[str],
    task: str | None = None,
    *,
    categories: Collection[str] = (),
    keep: Collection[str] = (),
) -> TableSummary:
    """Look at all columns: kinds, missing values, classes, leaks, duplicates.

    Parameters
    ----------
    columns : Columns
    target : str or sequence of str
        The column to predict; several of 0 and 1 are labels ("multilabel"), several of amounts a
        regression.
    task : "classify", "regress" or "multilabel", optional
        Default: by the target's values. Texts, booleans and few different whole numbers are
        classes.
    categories : collection of str
        Columns to take as categories whatever they look like.
    keep : collection of str
        Columns to learn from although they give the target away; they are still said to.

    Returns
    -------
    TableSummary

    Raises
    ------
    DataError
        In one line: no such column, fewer rows than `FEWEST_ROWS`, a target without values, with a
        missing, infinite or unreadable one (the row is named), one class, a text in a column of
        numbers, or no column to learn from.
    """
    targets = (target,) if isinstance(target, str) else tuple(target)
    for name in (*targets, *categories, *keep):
        columns.find(name)
    if columns.rows < FEWEST_ROWS:
        counted = "1 row" if columns.rows == 1 else f"{columns.rows} rows"
        raise DataError(
            f"{columns.source} has {counted}: too few to train on and to judge by; at least "
            f"{FEWEST_ROWS} are needed"
        )
    aim, said = summarise_target(columns, targets, task)
    features = [name for name in columns.names if name not in targets]
    found = [summarise_column(columns, name, category=name in categories) for name in features]
    leaks = find_leaks(columns, features, aim)
    found = [_not_if_leaking(each, leaks, each.name in keep) for each in found]
    repeated = _duplicates(columns)
    if not any(each.used for each in found):
        why = "; ".join(f"{each.name!r} {each.note}" for each in found[:3])
        raise DataError(
            f"{columns.source} has no column to learn {', '.join(targets)} from"
            + (f": {why}" if why else " but the target")
            + ("; to learn from one all the same, name it with --keep (keep=)" if leaks else "")
        )
    warnings = [*said, *_warnings(found, leaks), *_of_duplicates(repeated, columns.rows)]
    return TableSummary(
        columns.source, columns.rows, repeated, tuple(found), aim, leaks, tuple(warnings)
    )


def _not_if_leaking(column: ColumnSummary, leaks: Sequence[Leak], kept: bool) -> ColumnSummary:
    for leak in leaks:
        if leak.name == column.name:
            how = {
                "equal": "equals the target",
                "one-to-one": "is the target under other names: one value for each of",
                "linear": "is the target in other units: a straight line through",
            }[leak.how]
            note = f"{how} {leak.target!r}"
            if kept:
                return replace(column, note=f"{note}, and is kept")
            return replace(column, used=False, note=note)
    return column


def _warnings(found: Sequence[ColumnSummary], leaks: Sequence[Leak]) -> list[str]:
    """Make a line of each note; many columns with the same note share one."""
    names: dict[tuple[str, bool], list[str]] = {}
    for each in found:
        if each.note:
            names.setdefault((each.note, each.used), []).append(each.name)
    leaking = {leak.name for leak in leaks}
    lines = []
    for (note, used), those in names.items():
        shown = ", ".join(repr(name) for name in those[:5])
        more = f" and {len(those) - 5:,} more" if len(those) > 5 else ""
        unless = ", unless named with --keep (keep=)" if those[0] in leaking else ""
        noun = "column" if len(those) == 1 else "each of the columns"
        lines.append(f"{noun} {shown}{more} {note}" + ("" if used else f"; not used{unless}"))
    return lines


def _of_duplicates(repeated: int, rows: int) -> list[str]:
    if not repeated:
        return []
    verb = "rows equals" if repeated == 1 else "rows equal"
    return [
        f"{repeated:,} of {rows:,} {verb} an earlier one: "
        "copies may be in training and in test rows"
    ]


def _duplicates(columns: Columns) -> int:
    """Count the rows that equal an earlier one, by a 64-bit hash of their cells."""
    hashes = np.zeros(columns.rows, np.uint64)
    factors = np.random.default_rng(0).integers(2**63, size=len(columns), dtype=np.uint64) * 2 + 1
    for factor, column in zip(factors, columns.values(), strict=True):
        hashes = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
        hashes += _bits(column) * factor
    return columns.rows - len(np.unique(hashes))


def _bits(column: Column) -> np.ndarray:
    if column.dtype == object:
        return coded(column)[0].astype(np.uint64)
    plain = np.where(np.isnan(column), np.nan, column + 0.0)  # one NaN, and no -0
    bits = plain.view(np.uint64)
    return bits ^ (bits >> np.uint64(32))
