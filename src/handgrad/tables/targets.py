"""What is to be predicted: its task, its classes, and their numbers for the network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.arrays import Array
from handgrad.errors import DataError
from handgrad.scaling import mean_and_deviation
from handgrad.tables.columns import Columns
from handgrad.tables.kinds import BOOLEANS, is_constant
from handgrad.tables.summary import TableSummary, TargetSummary
from handgrad.tables.values import (
    Column,
    Numbers,
    as_numbers,
    as_texts,
    label_text,
    missing_in,
    number_of,
    shortened,
)

TASKS = ("classify", "regress", "multilabel")
_MOST_WHOLE_CLASSES = 30  # letters, and some more; above that whole numbers are amounts


def summarise_target(
    columns: Columns, names: tuple[str, ...], task: str | None
) -> tuple[TargetSummary, list[str]]:
    """Find the task and the classes; also lines for people.

    Raises
    ------
    DataError
        If the target cannot be learnt; ValueError for a task that does not exist.
    """
    if task is not None and task not in TASKS:
        raise ValueError(f"summarise: task must be one of {', '.join(TASKS)}; got {task!r}")
    if not names or len(set(names)) < len(names):
        raise DataError(f"{columns.source}: name one target column or several different ones")
    for name in names:
        _require_values(columns, name)
    said: list[str] = []
    if task is None:
        task, said = _task_of(columns, names)
    if len(names) > 1 and task == "classify":
        raise DataError(
            f"{columns.source}: {', '.join(names)} are {len(names)} target columns; "
            "to classify, name one (several of 0 and 1 are the task multilabel)"
        )
    if task == "classify":
        found, more = _classes(columns, names[0])
        return found, said + more
    values = np.stack([_amounts(columns, name, task) for name in names], axis=1)
    if task == "regress":
        for index, name in enumerate(names):
            if is_constant(values[:, index]):
                raise DataError(
                    f"{columns.source}: target {name!r} is {values[0, index]:g} in every row: "
                    "there is nothing to learn"
                )
        ranges = (values.min(axis=0), values.max(axis=0), values.mean(axis=0))
        low, high, mean = (tuple(each.tolist()) for each in ranges)
        return TargetSummary(names, task, (), (), (), low, high, mean), said
    counts = values.sum(axis=0).astype(int).tolist()
    for name, count in zip(names, counts, strict=True):
        if count in (0, columns.rows):
            said.append(f"label {name!r} is {int(count > 0)} in every row")
    shares = tuple(count / columns.rows for count in counts)
    return TargetSummary(names, task, names, tuple(counts), shares, (), (), ()), said


def _require_values(columns: Columns, name: str) -> None:
    column = columns[name]
    missing = missing_in(column)
    if missing.all():
        raise DataError(f"{columns.source}: target {name!r} has no values: all are missing")
    if column.dtype != object:
        infinite = np.isinf(column)
        if infinite.any():
            index = int(np.argmax(infinite))
            raise DataError(f"{columns.at(index, name)}: the target is infinite; correct it")
    if missing.any():
        index = int(np.argmax(missing))
        raise DataError(
            f"{columns.at(index, name)}: the target is missing, as in {missing.sum():,} of "
            f"{columns.rows:,} rows; fill it in or take such rows out"
        )


def _task_of(columns: Columns, names: tuple[str, ...]) -> tuple[str, list[str]]:
    if len(names) > 1:
        binary = all(_binary(columns[name]) is not None for name in names)
        return ("multilabel" if binary else "regress"), []
    column = columns[names[0]]
    if column.dtype == object:
        numbers, stopped = as_numbers(column)
        if stopped is not None:
            _refuse_stray_text(columns, names[0], stopped)
            return "classify", []
        column = numbers
    values = np.unique(column)
    whole = bool((values == np.floor(values)).all())
    few = len(values) <= min(_MOST_WHOLE_CLASSES, max(2, math.isqrt(len(column))))
    if not whole or not few:
        return "regress", []
    if len(values) > 2:
        return "classify", [
            f"target {names[0]!r} has {len(values)} different whole numbers: taken for classes; "
            "if they are amounts, the task is regress"
        ]
    return "classify", []


def _refuse_stray_text(columns: Columns, name: str, index: int) -> None:
    """Refuse the few texts in a target of many different numbers."""
    texts = [text for text in columns[name] if number_of(text) is None]
    numbers = len({text for text in columns[name] if number_of(text) is not None})
    if numbers > _MOST_WHOLE_CLASSES and len(texts) < columns.rows / 2:
        raise DataError(
            f"{columns.at(index, name)} holds {shortened(columns[name][index])}, and most values "
            "of the target are numbers; correct it or take the row out"
        )


def _classes(columns: Columns, name: str) -> tuple[TargetSummary, list[str]]:
    texts = as_texts(columns[name])
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    classes = _in_order(counts)
    if len(classes) == 1:
        raise DataError(
            f"{columns.source}: target {name!r} has one class, {classes[0]!r}: "
            "there is nothing to learn"
        )
    if len(classes) > columns.rows / 2:
        raise DataError(
            f"{columns.source}: target {name!r} has {len(classes):,} different values in "
            f"{columns.rows:,} rows: no classes"
            + ("" if columns[name].dtype == object else "; the task is regress if they are amounts")
        )
    shares = tuple(counts[each] / columns.rows for each in classes)
    rare = [each for each in classes if counts[each] < 5]
    said = []
    if rare:
        shown = ", ".join(f"{each!r} ({counts[each]})" for each in rare[:5])
        said.append(
            f"{len(rare)} of {len(classes)} classes have fewer than 5 rows: {shown}"
            + (", …" if len(rare) > 5 else "")
        )
    amounts = tuple(counts[each] for each in classes)
    return TargetSummary((name,), "classify", classes, amounts, shares, (), (), ()), said


def _in_order(labels: Sequence[str] | Mapping[str, int]) -> tuple[str, ...]:
    """Sort labels: numbers by size where all are numbers, texts by their letters."""
    numbers = {label: number_of(label) for label in labels}
    if all(number is not None for number in numbers.values()):
        return tuple(sorted(labels, key=lambda each: (numbers[each] or 0.0, each)))
    return tuple(sorted(labels))


def _amounts(columns: Columns, name: str, task: str) -> Numbers:
    """Read a target as numbers; of "multilabel" as 0 and 1."""
    column = columns[name]
    if task == "multilabel":
        binary = _binary(column)
        if binary is None:
            raise DataError(
                f"{columns.source}: label {name!r} must be 0 or 1 (or yes, no) in each row"
            )
        return binary
    numbers, stopped = as_numbers(column)
    if stopped is not None:
        raise DataError(
            f"{columns.at(stopped, name)} holds {shortened(column[stopped])}; the target of a "
            "regression must be a number"
        )
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        index = int(np.argmax(wrong))
        raise DataError(f"{columns.at(index, name)}: the target is missing or infinite")
    return numbers


def _binary(column: Column) -> Numbers | None:
    """Read 0 and 1, or words for them; None where there is anything else."""
    if column.dtype == object:
        words = [BOOLEANS.get(str(text).casefold(), number_of(str(text))) for text in column]
        column = np.array([np.nan if word is None else word for word in words], np.float64)
    return column if bool(np.isin(column, (0.0, 1.0)).all()) else None


@dataclass(frozen=True, eq=False)
class TargetCoder:
    """Labels of any type to 0 .. C - 1 and back; amounts standardised and back.

    Attributes
    ----------
    task : str
        "classify", "regress" or "multilabel".
    names : tuple of str
        Of the target columns.
    classes : tuple of str
        As `TargetSummary.classes`.
    numeric : bool
        Whether `decode` gives labels as numbers.
    mean, scale : float64 arrays (targets,)
        Of a regression's training rows.
    """

    task: str
    names: tuple[str, ...]
    classes: tuple[str, ...]
    numeric: bool
    mean: Numbers
    scale: Numbers

    @classmethod
    def fit(cls, columns: Columns, summary: TableSummary) -> TargetCoder:
        """Learn classes from the summary, mean and scale from these (the training) rows."""
        aim = summary.target
        mean, scale = np.zeros(len(aim.names)), np.ones(len(aim.names))
        if aim.task == "regress":
            values = np.stack([_amounts(columns, name, aim.task) for name in aim.names], axis=1)
            beyond = max(0, int(np.frexp(np.abs(values).max())[1]) - 900)  # whose sum overflows
            size = 2.0**beyond
            mean, scale = (each * size for each in mean_and_deviation(values / size))
        numeric = all(number_of(label) is not None for label in aim.classes)
        return cls(aim.task, aim.names, aim.classes, numeric, mean, scale)

    def encode(self, columns: Columns) -> Array:
        """Give what the network is trained on.

        Returns
        -------
        int64 array (rows,) of class numbers; int64 (rows, labels) of 0 and 1; float32 (rows,) or
        (rows, targets), standardised.

        Raises
        ------
        DataError
            Naming the row of a missing target or of a class that was not there.
        """
        for name in self.names:
            columns.find(name)
            _require_values(columns, name)
        if self.task == "classify":
            return self._codes(columns)
        values = np.stack([_amounts(columns, name, self.task) for name in self.names], axis=1)
        if self.task == "multilabel":
            return values.astype(np.int64)
        scaled = ((values - self.mean) / self.scale).astype(np.float32)
        return scaled[:, 0] if len(self.names) == 1 else scaled

    def amounts(self, columns: Columns) -> Numbers:
        """Read a regression's targets as they are: float64 (rows,) or (rows, targets)."""
        values = np.stack([_amounts(columns, name, self.task) for name in self.names], axis=1)
        return values[:, 0] if len(self.names) == 1 else values

    def _codes(self, columns: Columns) -> npt.NDArray[np.int64]:
        code = {label: index for index, label in enumerate(self.classes)}
        texts = as_texts(columns[self.names[0]])
        codes = np.fromiter((code.get(text, -1) for text in texts), np.int64, len(texts))
        if (codes < 0).any():
            index = int(np.argmin(codes))
            raise DataError(
                f"{columns.at(index, self.names[0])} holds {shortened(texts[index])}, which is "
                f"none of the {len(self.classes)} classes of the training rows"
            )
        return codes

    def decode(self, predicted: npt.ArrayLike) -> Array:
        """Give labels of class numbers, or amounts of standardised scores.

        Returns
        -------
        Of "classify": int64 or float64 labels where all were numbers, else an array of str
        objects. Of "multilabel": what was given. Of "regress": float64 in the target's units.
        """
        given = np.asarray(predicted)
        if self.task == "regress":
            shift = (self.mean[0], self.scale[0]) if given.ndim == 1 else (self.mean, self.scale)
            return given.astype(np.float64) * shift[1] + shift[0]
        if self.task == "multilabel":
            return given
        labels: Array = self.labels[given]
        return labels

    @property
    def labels(self) -> Array:
        """The labels, in the order of their numbers."""
        if not self.numeric:
            return np.array([*self.classes, None], object)[:-1]
        numbers = np.array([float(label) for label in self.classes])
        whole = (
            all(
                label_text(number) == text
                for number, text in zip(numbers.tolist(), self.classes, strict=True)
            )
            and (numbers == np.floor(numbers)).all()
        )
        return numbers.astype(np.int64) if whole else numbers

    def to_header(self) -> dict[str, Any]:
        """Give what JSON can keep; `restore` takes it back with `arrays`."""
        return {
            "task": self.task,
            "names": list(self.names),
            "classes": list(self.classes),
            "numeric": self.numeric,
        }

    def arrays(self) -> dict[str, Array]:
        """Give mean and scale."""
        return {"mean": self.mean, "scale": self.scale}

    @classmethod
    def restore(cls, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> TargetCoder:
        """Make the coder again of what `to_header` and `arrays` gave."""
        return cls(
            header["task"], tuple(header["names"]), tuple(header["classes"]), header["numeric"],
            np.asarray(arrays["mean"], np.float64), np.asarray(arrays["scale"], np.float64),
        )  # fmt: skip
