"""Split rows into training, validation and test rows: by class, by group, or by time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from handgrad.errors import DataError
from handgrad.tables.columns import Columns
from handgrad.tables.dates import as_days, date_orders
from handgrad.tables.values import Numbers, as_numbers, coded, missing_in, shortened

Rows = npt.NDArray[np.int64]
_TRAIN, _VAL, _TEST = range(3)


@dataclass(frozen=True)
class Split:
    """Indices of rows, each sorted: int64 arrays that share no row and hold all of them."""

    train: Rows
    val: Rows
    test: Rows


def split(
    y: npt.ArrayLike | None = None,
    *,
    groups: npt.ArrayLike | None = None,
    times: npt.ArrayLike | None = None,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int,
    rows: int | None = None,
) -> Split:
    """Split rows at random, each class alike; groups stay whole; times go in order.

    By class: every part has each class's share to within one row, and each class is in the
    training rows, a class of one row in them alone. Labels of several columns are split by their
    combinations. By group: each group, as a whole, goes where rows (of its classes) are missing
    most. By time: the oldest rows train, the newest test; rows of one time stay together.

    Parameters
    ----------
    y : array (rows,) or (rows, labels), optional
        Classes of any type. Floating-point numbers are amounts, and do not steer the split.
    groups : array (rows,), optional
        What each row belongs to (a patient, a machine), of any type.
    times : array (rows,), optional
        Numbers or datetime64.
    fractions : three floats
        Of training, validation and test rows; they add up to 1, and the first is not 0.
    seed : int
        The same rows, fractions and seed give the same split.
    rows : int, optional
        How many rows there are, where neither y nor groups nor times says it.

    Raises
    ------
    ValueError
        If arguments do not fit each other.
    DataError
        If a part would have no rows.
    """
    _require_fractions(fractions)
    given = {"y": y, "groups": groups, "times": times}
    arrays = {name: np.asarray(each) for name, each in given.items() if each is not None}
    lengths = {len(each) for each in arrays.values()} | ({rows} if rows is not None else set())
    if len(lengths) != 1:
        raise ValueError(
            "split: y, groups, times and rows must agree on one number of rows; got "
            f"{sorted(lengths) or 'none of them'}"
        )
    count = lengths.pop()
    if "groups" in arrays and "times" in arrays:
        raise ValueError("split: groups or times can steer the split, not both")
    rng = np.random.default_rng(seed)
    steered = "y" in arrays and arrays["y"].dtype.kind != "f"
    classes = _codes(arrays["y"]) if steered else np.zeros(count, np.int64)
    if "times" in arrays:
        parts = _by_time(arrays["times"], fractions)
    elif "groups" in arrays:
        parts = _by_group(_codes(arrays["groups"]), classes, fractions, rng)
    else:
        parts = _by_class(classes, fractions, rng)
    _require_parts(parts, fractions)
    return Split(*(np.flatnonzero(parts == part) for part in (_TRAIN, _VAL, _TEST)))


def time_values(columns: Columns, name: str) -> Numbers:
    """Read a column by which rows are ordered: numbers, or dates as days since 1970.

    Raises
    ------
    DataError
        Naming the row of a missing time, or of one that cannot be read.
    """
    column = columns.find(name)
    missing = missing_in(column)
    if missing.any():
        raise DataError(f"{columns.at(int(np.argmax(missing)), name)}: the time is missing")
    values, wrong = as_numbers(column)
    if wrong is not None:
        orders = date_orders(dict.fromkeys(column[: min(len(column), 1000)]))
        order = orders[0] if orders else "year-month-day"
        values, wrong = as_days(column, order)
    if wrong is not None:
        raise DataError(
            f"{columns.at(wrong, name)} holds {shortened(column[wrong])}, which is no number and "
            f"no date written as {order}"
        )
    return values


def _require_fractions(fractions: tuple[float, float, float]) -> None:
    good = len(fractions) == 3 and all(0 <= each <= 1 for each in fractions)
    if not good or abs(sum(fractions) - 1) > 1e-9 or fractions[0] == 0:
        raise ValueError(
            "split: fractions must be three numbers from 0 to 1 that add up to 1, the first "
            f"above 0; got {fractions}"
        )


def _require_parts(parts: Rows, fractions: tuple[float, float, float]) -> None:
    counts = np.bincount(parts, minlength=3)
    for name, count, fraction in zip(
        ("training", "validation", "test"), counts, fractions, strict=True
    ):
        if fraction and not count:
            raise DataError(
                f"the split leaves no {name} rows: {len(parts)} rows cannot be split so; "
                "give more rows, smaller groups or other fractions"
            )


def _codes(y: npt.NDArray[np.generic]) -> Rows:
    """Number the different values, or rows of values; missing ones are a value like others."""
    if y.dtype.kind == "O":
        y = coded(y)[0]
    axis = 0 if y.ndim == 2 else None
    return np.asarray(np.unique(y, axis=axis, return_inverse=True)[1], np.int64).reshape(-1)


def _by_class(
    classes: Rows, fractions: tuple[float, float, float], rng: np.random.Generator
) -> Rows:
    """Deal out the rows, sorted by class and shuffled within, at even distances.

    Every 1 / fraction-th row of the sorted ones gives each class its share to within a row, and
    the whole its share as well, however many classes have fewer rows than 1 / fraction.
    """
    mixed = rng.permutation(len(classes))
    sizes = np.bincount(classes)
    order = mixed[np.lexsort((classes[mixed], -sizes[classes[mixed]]))]
    parts = np.full(len(classes), _TRAIN, np.int64)
    _, val, test = fractions
    left = order
    for part, fraction, of_all in ((_TEST, test, 1.0), (_VAL, val, 1.0 - test)):
        if fraction:
            taken = _evenly(len(left), fraction / of_all, float(rng.random()))
            parts[left[taken]] = part
            left = left[~taken]
    _train_on_every_class(parts, classes, rng)
    return parts


def _evenly(count: int, fraction: float, start: float) -> npt.NDArray[np.bool_]:
    """Mark round(fraction * count) of the places, at even distances."""
    chosen = round(fraction * count)
    marks = np.zeros(count, bool)
    if chosen:
        marks[((np.arange(chosen) + start) * (count / chosen)).astype(np.int64)] = True
    return marks


def _train_on_every_class(parts: Rows, classes: Rows, rng: np.random.Generator) -> None:
    """Move a row of each class without training rows there, against one of the largest class."""
    trained = np.bincount(classes[parts == _TRAIN], minlength=int(classes.max(initial=0)) + 1)
    for lacking in np.flatnonzero((trained == 0) & (np.bincount(classes) > 0)):
        moved = rng.choice(np.flatnonzero(classes == lacking))
        largest = int(np.argmax(trained))
        if trained[largest] > 1:
            swapped = rng.choice(np.flatnonzero((classes == largest) & (parts == _TRAIN)))
            parts[swapped] = parts[moved]
            trained[largest] -= 1
        parts[moved] = _TRAIN
        trained[lacking] = 1


def _by_group(
    groups: Rows, classes: Rows, fractions: tuple[float, float, float], rng: np.random.Generator
) -> Rows:
    """Give each group, the largest first, to the part that lacks most of its rows.

    The last ones, where only as many are left as parts have no rows yet, go to these.
    """
    count = int(groups.max(initial=-1)) + 1
    width = int(classes.max(initial=0)) + 1
    mixed = rng.permutation(count)
    sizes = np.bincount(groups, minlength=count)
    wanted = np.outer(fractions, np.bincount(classes, minlength=width))
    have = np.zeros_like(wanted)
    rows = np.argsort(groups, kind="stable")
    ends = np.cumsum(sizes)
    parts = np.zeros(len(groups), np.int64)
    open_parts = [part for part, fraction in enumerate(fractions) if fraction]
    for place, group in enumerate(mixed[np.argsort(-sizes[mixed], kind="stable")]):
        empty = [part for part in open_parts if not have[part].any()]
        candidates = empty if count - place <= len(empty) else open_parts
        own = rows[ends[group] - sizes[group] : ends[group]]
        kinds, amounts = np.unique(classes[own], return_counts=True)
        lack = (wanted[:, kinds] - have[:, kinds]) @ amounts / amounts.sum()
        full = have.sum(axis=1) >= wanted.sum(axis=1)
        part = max(candidates, key=lambda each: (not full[each], lack[each]))
        have[part, kinds] += amounts
        parts[own] = part
    return parts


def _by_time(times: npt.NDArray[np.generic], fractions: tuple[float, float, float]) -> Rows:
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    parts = np.empty(len(times), np.int64)
    # Rows of the time at a border all go to the earlier part.
    first = round(fractions[0] * len(times))
    second = round((fractions[0] + fractions[1]) * len(times))
    first, second = (
        int(np.searchsorted(ordered, ordered[border - 1], side="right")) if border else 0
        for border in (first, second)
    )
    parts[order[:first]] = _TRAIN
    parts[order[first:second]] = _VAL
    parts[order[second:]] = _TEST
    return parts
