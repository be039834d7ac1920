"""How one column becomes features: numbers, categories, dates; each learnt from training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from handgrad.errors import DataError
from handgrad.scaling import mean_and_deviation
from handgrad.tables.columns import Columns
from handgrad.tables.dates import as_days
from handgrad.tables.kinds import BOOLEANS, MOST_CATEGORIES, is_constant
from handgrad.tables.summary import ColumnSummary
from handgrad.tables.values import (
    Column,
    Numbers,
    Texts,
    as_numbers,
    as_texts,
    number_of,
    shortened,
)

Features = npt.NDArray[np.float32]

MOST_DEVIATIONS = 10.0
"""A standardised value beyond it is taken for it.

A pixel that was lit in one training row of a thousand would else be 70 deviations away in another
row, and the network's answer arbitrary; and 1e300 would be infinite in float32.
"""

_RARE = 2  # rows: a category with fewer shares a feature with the other rare ones
CYCLE_DAYS: Mapping[str, float] = {"year": 365.2425, "week": 7.0, "day": 1.0}
"""The circles on which a date has a place, and their lengths."""


@dataclass(frozen=True)
class Scale:
    """Standardisation in float64: ``(x - center) / scale``, a missing x as ``median``.

    At most `MOST_DEVIATIONS` to either side.

    A constant (up to rounding) has scale 0, and gives 0.
    """

    median: float
    center: float
    scale: float

    @classmethod
    def of(cls, present: Numbers) -> Scale:
        """Learn from finite numbers, which may be as large as float64 has them."""
        if not len(present):
            return cls(0.0, 0.0, 0.0)
        size = 2.0 ** np.frexp(np.abs(present).max())[1].clip(-1000, 1000)  # exact to divide by
        scaled = present / size
        median = float(np.median(scaled))
        mean, deviation = map(float, mean_and_deviation(scaled))
        scale = 0.0 if is_constant(present) else deviation
        return cls(median * size, mean * size, scale * size)

    def apply(self, x: Numbers) -> Numbers:
        """Standardise numbers of which those that are not finite are taken for missing."""
        if self.scale == 0:
            return np.zeros(len(x))
        filled = np.where(np.isfinite(x), x, self.median)
        with np.errstate(over="ignore"):
            z = (filled - self.center) / self.scale
        return np.clip(z, -MOST_DEVIATIONS, MOST_DEVIATIONS)


@dataclass(frozen=True)
class NumberEncoder:
    """A number or a boolean: standardised, missing values as the median, and marked.

    ``indicator``: a second feature of 0 and 1 says that the value was missing, where some were in
    training. ``words``: the column held booleans as texts.
    """

    kind: ClassVar[str] = "number"
    name: str
    scaling: Scale
    indicator: bool
    words: bool

    @classmethod
    def fit(cls, columns: Columns, summary: ColumnSummary) -> NumberEncoder:
        """Learn from the training rows."""
        column = columns.find(summary.name)
        words = summary.kind == "boolean" and column.dtype == object
        made = cls(summary.name, Scale(0.0, 0.0, 0.0), indicator=False, words=words)
        x = made.cells(columns, column)
        finite = np.isfinite(x)
        return cls(summary.name, Scale.of(x[finite]), bool((~finite).any()), words)

    @property
    def features(self) -> tuple[str, ...]:
        """The column's name, and of the indicator."""
        return (self.name, f"{self.name} (missing)") if self.indicator else (self.name,)

    def encode(self, columns: Columns, column: Column, out: Features) -> None:
        """Write one or two features; DataError names the row of a text."""
        x = self.cells(columns, column)
        out[0] = self.scaling.apply(x)
        if self.indicator:
            out[1] = ~np.isfinite(x)

    def cells(self, columns: Columns, column: Column) -> Numbers:
        """Read a column as numbers, NaN where missing; DataError names the row of a text."""
        if self.words and column.dtype == object:
            values = [
                None if t is None else BOOLEANS.get(t.casefold(), number_of(t)) for t in column
            ]
            wrong = next(
                (i for i, v in enumerate(values) if v is None and column[i] is not None), None
            )
            x = np.array([np.nan if value is None else value for value in values], np.float64)
            expected = "true or false"
        else:
            x, wrong = as_numbers(column)
            expected = "a number"
            if wrong is not None and BOOLEANS.keys() >= {t.casefold() for t in column if t}:
                return np.array([BOOLEANS.get((t or "").casefold(), np.nan) for t in column])
        if wrong is not None:
            raise DataError(
                f"{columns.at(wrong, self.name)} holds {shortened(column[wrong])}, where the "
                f"training rows had {expected}; correct it or leave the cell empty"
            )
        return x

    def to_header(self) -> dict[str, Any]:
        """Give what JSON can keep."""
        return {"name": self.name, "indicator": self.indicator, "words": self.words}


@dataclass(frozen=True)
class CategoryEncoder:
    """A category: a feature of 0 and 1 for each frequent value, less its share in training.

    What is not known takes the place of the rare values of the training rows ("other"); where
    there were none, all its features are 0: the mean of the training rows. The same holds for a
    missing value where none was missing in training; else "missing" is a value of its own. With
    many values, one feature is the standardised logarithm of a value's frequency.

    Attributes
    ----------
    values : tuple of str
        With a feature each, the most frequent first.
    shares : tuple of float
        In the training rows, of the values, then of other and of missing where they have features.
    other, missing : bool
    frequencies : mapping of str to int, empty where there are few values
    log_scale : Scale
    numbers_too : bool
        Whether some values read as numbers.
    """

    kind: ClassVar[str] = "category"
    name: str
    values: tuple[str, ...]
    shares: tuple[float, ...]
    other: bool
    missing: bool
    frequencies: Mapping[str, int]
    log_scale: Scale
    numbers_too: bool

    @classmethod
    def fit(cls, columns: Columns, summary: ColumnSummary) -> CategoryEncoder:
        """Learn from the training rows."""
        column = as_texts(columns.find(summary.name))
        counts = Counter(column.tolist())
        missing = counts.pop(None, 0)
        ranked = sorted(counts, key=lambda each: (-counts[each], each))
        many = len(ranked) > MOST_CATEGORIES
        values = tuple(v for v in ranked[:MOST_CATEGORIES] if counts[v] >= _RARE)
        rare = counts.total() - sum(counts[value] for value in values)
        amounts = [counts[value] for value in values]
        amounts += [rare] * bool(rare) + [missing] * bool(missing)
        logs = np.log1p([counts[value] for value in counts.elements()]) if many else np.zeros(0)
        return cls(
            summary.name, values, tuple(each / max(len(column), 1) for each in amounts), bool(rare),
            bool(missing), dict(counts) if many else {}, Scale.of(logs),
            any(number_of(value) is not None for value in counts),
        )  # fmt: skip

    @property
    def features(self) -> tuple[str, ...]:
        """The column's name with each value."""
        named = [f"{self.name} = {value}" for value in self.values]
        named += [f"{self.name} (other)"] * self.other + [f"{self.name} (missing)"] * self.missing
        return (*named, *[f"{self.name} (frequency)"] * bool(self.frequencies))

    def encode(self, columns: Columns, column: Column, out: Features) -> None:
        """Write the features; DataError where numbers stand for texts."""
        texts = self.cells(columns, column)
        places_of: dict[str | None, int] = {v: index for index, v in enumerate(self.values)}
        unknown = len(self.values) if self.other else -1
        nothing = len(self.values) + self.other if self.missing else unknown
        places_of[None] = nothing
        found = map(places_of.get, texts.tolist(), repeat(unknown))
        codes = np.fromiter(found, np.int64, len(texts))
        width = len(self.shares)
        out[:width] = -np.array(self.shares, np.float32)[:, None]
        rows = np.flatnonzero(codes >= 0)
        out[codes[rows], rows] += 1
        out[:width, codes < 0] = 0
        if self.frequencies:
            counts = map(self.frequencies.get, texts.tolist(), repeat(0))
            logs = np.log1p(np.fromiter(counts, np.float64, len(texts)))
            out[width] = self.log_scale.apply(logs)

    def cells(self, columns: Columns, column: Column) -> Texts:
        """Read a column as texts, None where missing; DataError where numbers stand for texts."""
        if column.dtype != object and not self.numbers_too and not np.isnan(column).all():
            index = int(np.argmin(np.isnan(column)))
            known = f"texts such as {shortened(self.values[0])}" if self.values else "texts"
            raise DataError(
                f"{columns.at(index, self.name)} holds the number {column[index]:g}, where the "
                f"training rows had {known}"
            )
        return as_texts(column)

    def to_header(self) -> dict[str, Any]:
        """Give what JSON can keep."""
        return {
            "name": self.name,
            "values": list(self.values),
            "other": self.other,
            "missing": self.missing,
            "frequencies": dict(self.frequencies),
            "numbers_too": self.numbers_too,
        }


@dataclass(frozen=True)
class DateEncoder:
    """A date: days since 1970, standardised, and its place in the year, the week and the day.

    A place on a circle is a sine and a cosine, so that December is beside January: in the year
    where training spans two thirds of one, in the week where it spans two, in the day where times
    are given. A missing date has the median day, 0 for places, and a mark.
    """

    kind: ClassVar[str] = "date"
    name: str
    order: str
    scaling: Scale
    indicator: bool
    cycles: tuple[str, ...]

    @classmethod
    def fit(cls, columns: Columns, summary: ColumnSummary) -> DateEncoder:
        """Learn from the training rows."""
        made = cls(summary.name, summary.order or "", Scale(0.0, 0.0, 0.0), False, ())
        days = made.cells(columns, columns.find(summary.name))
        present = days[np.isfinite(days)]
        span = float(np.ptp(present)) if len(present) else 0.0
        cycles = (
            ("year",) * (span > CYCLE_DAYS["year"] * 2 / 3)
            + ("week",) * (span >= 2 * CYCLE_DAYS["week"])
            + ("day",) * bool((present % 1 != 0).any())
        )
        missing = len(present) < len(days)
        return cls(summary.name, made.order, Scale.of(present), missing, cycles)

    @property
    def features(self) -> tuple[str, ...]:
        """The column's name with each number made of it."""
        named = [f"{self.name} (days)"]
        named += [f"{self.name} ({c} {wave})" for c in self.cycles for wave in ("sin", "cos")]
        return (*named, *[f"{self.name} (missing)"] * self.indicator)

    def encode(self, columns: Columns, column: Column, out: Features) -> None:
        """Write the features; DataError names the row of what is no such date."""
        days = self.cells(columns, column)
        missing = np.isnan(days)
        out[0] = self.scaling.apply(days)
        for index, cycle in enumerate(self.cycles):
            angle = 2 * np.pi * np.where(missing, 0.0, days / CYCLE_DAYS[cycle] % 1)
            out[1 + 2 * index] = np.where(missing, 0.0, np.sin(angle))
            out[2 + 2 * index] = np.where(missing, 0.0, np.cos(angle))
        if self.indicator:
            out[-1] = missing

    def cells(self, columns: Columns, column: Column) -> Numbers:
        """Read days since 1970, NaN where missing; DataError names the row of what is no date."""
        if column.dtype != object:
            if np.isnan(column).all():
                return column
            place = int(np.argmin(np.isnan(column)))
            text = f"the number {column[place]:g}"
        else:
            days, wrong = as_days(column, self.order)
            if wrong is None:
                return days
            place, text = wrong, shortened(column[wrong])
        raise DataError(
            f"{columns.at(place, self.name)} holds {text}, where the training rows had dates "
            f"written as {self.order}"
        )

    def to_header(self) -> dict[str, Any]:
        """Give what JSON can keep."""
        return {
            "name": self.name,
            "order": self.order,
            "indicator": self.indicator,
            "cycles": list(self.cycles),
        }
