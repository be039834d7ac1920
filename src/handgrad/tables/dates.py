"""Dates in texts: which of a few usual orders they are in, and as days since 1970."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date

import numpy as np

from handgrad.tables.values import Numbers, Texts

_EPOCH = date(1970, 1, 1).toordinal()
_CLOCK = (
    r"(?:[T ](?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d(?:\.\d*)?))?"
    r"\s?(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?)?"
)
_YEAR, _MONTH, _DAY = r"(?P<year>\d{4})", r"(?P<month>\d{1,2})", r"(?P<day>\d{1,2})"
ORDERS = {
    "year-month-day": re.compile(rf"{_YEAR}-{_MONTH}-{_DAY}{_CLOCK}"),
    "year/month/day": re.compile(rf"{_YEAR}/{_MONTH}/{_DAY}{_CLOCK}"),
    "day.month.year": re.compile(rf"{_DAY}\.{_MONTH}\.{_YEAR}{_CLOCK}"),
    "month/day/year": re.compile(rf"{_MONTH}/{_DAY}/{_YEAR}{_CLOCK}"),
    "day/month/year": re.compile(rf"{_DAY}/{_MONTH}/{_YEAR}{_CLOCK}"),
}
"""The orders that are understood, with or without a time of day; of two that fit, the first."""


def date_orders(texts: Iterable[str]) -> tuple[str, ...]:
    """Give the orders in which all of some texts are dates; none where they are no dates."""
    orders = list(ORDERS)
    for text in texts:
        orders = [order for order in orders if _days(text, order) is not None]
        if not orders:
            break
    return tuple(orders)


def as_days(column: Texts, order: str) -> tuple[Numbers, int | None]:
    """Give days since 1970-01-01 (UTC where a zone is given), NaN for None.

    Returns
    -------
    days : float64 array (rows,)
    wrong : int or None
        The index of the first text that is no date in this order.
    """
    known: dict[str | None, float | None] = {None: np.nan}
    days = np.full(len(column), np.nan)
    for index, text in enumerate(column):
        if text not in known:
            known[text] = _days(text, order)
        value = known[text]
        if value is None:
            return days, index
        days[index] = value
    return days, None


def _days(text: str, order: str) -> float | None:
    found = ORDERS[order].fullmatch(text)
    if not found:
        return None
    try:
        day = date(int(found["year"]), int(found["month"]), int(found["day"])).toordinal() - _EPOCH
    except ValueError:  # the 31st of February
        return None
    if not found["hour"]:
        return float(day)
    seconds = int(found["hour"]) * 3600 + int(found["minute"]) * 60 + float(found["second"] or 0)
    if (zone := found["zone"]) and zone[0] in "+-":
        offset = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        seconds -= offset if zone[0] == "+" else -offset
    return day + seconds / 86400


def date_text(days: float) -> str:
    """Spell the day of a number of days since 1970."""
    return date.fromordinal(int(np.floor(days)) + _EPOCH).isoformat()
