"""From the columns of a table to the network's features, learnt once and kept with the model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.arrays import Array
from handgrad.errors import DataError
from handgrad.tables.columns import Columns, nearest
from handgrad.tables.encoders import CategoryEncoder, DateEncoder, NumberEncoder, Scale
from handgrad.tables.summary import ColumnSummary, TableSummary
from handgrad.tables.values import Column

AnyEncoder = NumberEncoder | CategoryEncoder | DateEncoder


@dataclass(frozen=True)
class Preprocessor:
    """What turns the columns of a table into float32 features, the same in training and after.

    Numbers are standardised in float64 and then cast; a missing one is the median, and a feature
    says so where training rows lacked values. Booleans are numbers. Categories have a feature a
    value. Dates become days, and places in the year, the week and the day.
    """

    encoders: tuple[AnyEncoder, ...]

    @classmethod
    def fit(
        cls, columns: Columns, summary: TableSummary, *, keep: Collection[str] = ()
    ) -> Preprocessor:
        """Learn from the training rows; `keep` names columns to use though the summary does not.

        Raises
        ------
        DataError
            If no column is left.
        """
        used = [each for each in summary.columns if each.used or each.name in keep]
        encoders = [_encoder_of(columns, each) for each in used]
        if not encoders:
            raise DataError(f"{columns.source} has no column to learn from")
        return cls(tuple(encoders))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are needed."""
        return tuple(each.name for each in self.encoders)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns to read as texts: ``table.chunks(text=preprocessor.text_columns)``."""
        return tuple(each.name for each in self.encoders if isinstance(each, CategoryEncoder))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features, in order: a column's name, with what was made of it."""
        return tuple(name for each in self.encoders for name in each.features)

    def transform(self, columns: Columns) -> npt.NDArray[np.float32]:
        """Make features of rows; columns may be in any order, further ones are ignored.

        Returns
        -------
        float32 array (rows, features), C-contiguous and finite

        Raises
        ------
        DataError
            In one line: a missing column, and which is nearest; or the row and column of a value
            of another type.
        """
        made = np.empty((len(self.feature_names), columns.rows), np.float32)
        place = 0
        for encoder in self.encoders:
            width = len(encoder.features)
            encoder.encode(columns, self._find(columns, encoder.name), made[place : place + width])
            place += width
        return np.ascontiguousarray(made.T)

    def cells(self, columns: Columns) -> dict[str, Column]:
        """Read the columns that are needed: numbers, and days since 1970, as float64; texts.

        Raises what `transform` does.
        """
        return {
            each.name: each.cells(columns, self._find(columns, each.name)) for each in self.encoders
        }

    def _find(self, columns: Columns, name: str) -> Column:
        if name in columns:
            return columns[name]
        if columns.absent is not None:
            return np.full(columns.rows, columns.absent)
        lacking = [each for each in self.names if each not in columns]
        others = [each for each in columns.names if each not in set(self.names)]
        also = f" (and {len(lacking) - 1} more of the model's columns)" if len(lacking) > 1 else ""
        close = nearest(name, others) if others else ""
        close = close if "did you mean" in close else ""
        raise DataError(
            f"{columns.source} has no column {name!r}, which the model needs{also}{close}"
        )

    def to_header(self) -> dict[str, Any]:
        """Give what JSON can keep; `restore` takes it back with `arrays`."""
        return {"encoders": [{"kind": each.kind, **each.to_header()} for each in self.encoders]}

    def arrays(self) -> dict[str, Array]:
        """Give the numbers that were learnt, by name, float64."""
        scales = [
            each.log_scale if isinstance(each, CategoryEncoder) else each.scaling
            for each in self.encoders
        ]
        shares = [s for e in self.encoders if isinstance(e, CategoryEncoder) for s in e.shares]
        table = [(each.median, each.center, each.scale) for each in scales]
        return {
            "scales": np.array(table, np.float64).reshape(-1, 3),
            "shares": np.array(shares, np.float64),
        }

    @classmethod
    def restore(cls, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Preprocessor:
        """Make the preprocessor again, to the bit, of what `to_header` and `arrays` gave."""
        shares, place = np.asarray(arrays["shares"], np.float64), 0
        encoders: list[AnyEncoder] = []
        for entry, row in zip(header["encoders"], arrays["scales"].tolist(), strict=True):
            fields = {name: value for name, value in entry.items() if name != "kind"}
            scale = Scale(*row)
            if entry["kind"] == "number":
                encoders.append(NumberEncoder(scaling=scale, **fields))
            elif entry["kind"] == "date":
                cycles = tuple(fields.pop("cycles"))
                encoders.append(DateEncoder(scaling=scale, cycles=cycles, **fields))
            else:
                values = tuple(fields.pop("values"))
                width = len(values) + fields["other"] + fields["missing"]
                own = tuple(shares[place : place + width].tolist())
                encoders.append(
                    CategoryEncoder(values=values, shares=own, log_scale=scale, **fields)
                )
                place += width
        return cls(tuple(encoders))


def _encoder_of(columns: Columns, summary: ColumnSummary) -> AnyEncoder:
    """Learn how one column is encoded; one that is kept against advice by what it holds."""
    if summary.kind == "date":
        return DateEncoder.fit(columns, summary)
    numbers = columns.find(summary.name).dtype != object
    if summary.kind in ("number", "boolean") or (numbers and summary.kind != "category"):
        return NumberEncoder.fit(columns, summary)
    return CategoryEncoder.fit(columns, summary)
