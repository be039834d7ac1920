"""What was found in a table: records that `summarise` fills and JSON keeps."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("number", "category", "boolean", "date", "constant", "identifier", "text")


@dataclass(frozen=True)
class ColumnSummary:
    """One column.

    Attributes
    ----------
    name : str
    kind : str
        One of `KINDS`: a "constant" has one value, up to rounding; an "identifier" names rows; a
        "text" is prose, or differs in almost every row.
    missing, infinite, distinct : int
        Cells without a value (an infinite number is none); different values.
    lowest, highest, mean : float or None
        Of numbers, booleans (shares of true), and dates (days since 1970).
    common : tuple of str
        The most frequent texts, at most five.
    order : str or None
        Of a date: how it is written, one of `handgrad.tables.dates.ORDERS`.
    used : bool
        Whether `Preprocessor.fit` makes features of it.
    note : str
        Why it is not used, or what is to be known; often empty.
    """

    name: str
    kind: str
    missing: int
    infinite: int
    distinct: int
    lowest: float | None
    highest: float | None
    mean: float | None
    common: tuple[str, ...]
    order: str | None
    used: bool
    note: str


@dataclass(frozen=True)
class TargetSummary:
    """What is to be predicted.

    Attributes
    ----------
    names : tuple of str
        Of the target columns.
    task : str
        "classify", "regress" or "multilabel".
    classes : tuple of str
        The labels, sorted, numbers by their size; of "multilabel" the names of the columns.
    counts, shares : tuple
        Rows of each class (with each label), and their share of all rows.
    lowest, highest, mean : tuple of float
        Of each target column of a regression.
    """

    names: tuple[str, ...]
    task: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    shares: tuple[float, ...]
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    mean: tuple[float, ...]


@dataclass(frozen=True)
class Leak:
    """A column that gives the target away: "equal", "one-to-one", or "linear" (other units)."""

    name: str
    target: str
    how: str


@dataclass(frozen=True)
class TableSummary:
    """What `summarise` found.

    Attributes
    ----------
    source : str
        The file, or what the caller called the table.
    rows : int
    duplicates : int
        Rows that equal an earlier one in every column.
    columns : tuple of ColumnSummary
        All but the targets, in the table's order.
    target : TargetSummary
    leaking : tuple of Leak
    warnings : tuple of str
        One line each, for people.
    """

    source: str
    rows: int
    duplicates: int
    columns: tuple[ColumnSummary, ...]
    target: TargetSummary
    leaking: tuple[Leak, ...]
    warnings: tuple[str, ...]

    def column(self, name: str) -> ColumnSummary:
        """Give what was found of one column; KeyError where there is none."""
        for each in self.columns:
            if each.name == name:
                return each
        raise KeyError(name)
