"""Columns that give the target away: equal to it, renamed, or in other units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from handgrad.tables.columns import Columns
from handgrad.tables.summary import Leak, TargetSummary
from handgrad.tables.values import Column, coded

_EXACT = 1e-9  # of the target's spread: a column that was multiplied and rounded again


def find_leaks(
    columns: Columns, features: Sequence[str], target: TargetSummary
) -> tuple[Leak, ...]:
    """Compare every column with every target.

    Equal: the same values. One-to-one: as many values as the target has classes, each of them
    always with the same class. Linear: of a regression, a straight line with no noise. Cells that
    are missing decide nothing, where at most a tenth is.
    """
    leaks: dict[str, Leak] = {}
    for name in target.names:
        aim = columns[name]
        codes, values = coded(aim)
        for each in features:
            how = _how(columns[each], aim, codes, len(values), regress=target.task == "regress")
            if how and each not in leaks:
                leaks[each] = Leak(each, name, how)
    return tuple(leaks[each] for each in features if each in leaks)


def _how(
    column: Column, aim: Column, codes: np.ndarray, classes: int, *, regress: bool
) -> str | None:
    if column.dtype == aim.dtype:
        same = column == aim
        if column.dtype != object:
            same |= np.isnan(column) & np.isnan(aim)
        if same.all():
            return "equal"
    if regress:
        return "linear" if column.dtype != object and _is_line(column, aim) else None
    if column.dtype != object and len(np.unique(column[~np.isnan(column)])) != classes:
        return None
    own, values = coded(column)
    present = own >= 0
    if len(values) != classes or present.mean() < 0.9:
        return None
    pairs = np.unique(own[present] * classes + codes[present])
    return "one-to-one" if len(pairs) == classes == len(np.unique(pairs % classes)) else None


def _is_line(column: Column, aim: Column) -> bool:
    if aim.dtype == object:
        return False
    present = np.isfinite(column) & np.isfinite(aim)
    if present.mean() < 0.9:
        return False
    x, y = column[present], aim[present]
    with np.errstate(over="ignore", invalid="ignore"):
        x, y = x - x.mean(), y - y.mean()
        size = np.sqrt(x @ x) * np.sqrt(y @ y)
        if not np.isfinite(size) or size == 0 or abs(x @ y) < (1 - 1e-6) * size:
            return False
        residual = y - (x @ y) / (x @ x) * x
        return bool(np.abs(residual).max() <= _EXACT * np.abs(y).max())
