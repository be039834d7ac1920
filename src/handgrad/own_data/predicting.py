"""Predictions of a model for a table or images, a piece at a time, as a CSV file has them."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from handgrad.arrays import Array
from handgrad.errors import DataError, ModelError
from handgrad.images import ImagePreprocessor, holds_images
from handgrad.models import Model
from handgrad.tables import Columns, open_table

_ROWS = 16384  # a piece: its inputs, scores and text are in memory


@dataclass(frozen=True)
class Predicted:
    """Predictions of some rows.

    Attributes
    ----------
    names : list of str
        Each row's number, as messages and reports count it (a text file's line; otherwise from
        1), or the image's file.
    answers : array (N,) or (N, L)
    probabilities : array (N, C) or (N, L), or None for a regression
    skipped : list of str
        A line for each image that was left out.
    """

    names: list[str]
    answers: Array
    probabilities: Array | None
    skipped: list[str]


def predictions(model: Model, data: Path, *, skip_bad: bool = False) -> Iterator[Predicted]:
    """Predict row after row, with no more than some thousand rows in memory.

    Raises
    ------
    DataError
        Naming the file and the row: a column is missing or of another type, an image of another
        size or damaged.
    ModelError
        For a table where the model takes images, or the other way round.
    """
    if isinstance(model.preprocessor, ImagePreprocessor):
        if not holds_images(data):
            raise ModelError(f"the model takes images; {data} is a table, or something else")
        for batch in model.preprocessor.stream(data, skip_bad=skip_bad):
            yield _predicted(model, batch.X, batch.names, batch.skipped)
        return
    if data.is_dir():
        raise ModelError(f"the model takes a table; {data} is a folder")
    if holds_images(data):
        raise ModelError(f"the model takes a table; {data} holds images")
    table, rows = open_table(data), 0
    # Of those that the model reads as texts, the ones that are there: it says which are missing.
    text = [name for name in model.preprocessor.text_columns if name in table.names]
    for columns in table.chunks(_ROWS, text=text):
        rows += columns.rows
        yield _predicted(model, columns, [str(number) for number in columns.numbers], [])
    if not rows:
        raise DataError(f"{data} has a header but no rows")


def header(model: Model, *, probabilities: bool) -> str:
    """Give the first line: the names of the predictions' columns.

    The row or file; the prediction, named as the target; with ``probabilities`` one of each class
    or label, as ``p(setosa)``.
    """
    first = "file" if model.of_images else "row"
    shown = [f"p({name})" for name in model.coder.classes] if probabilities else []
    return _lines([[first, *model.coder.names, *shown]])


def as_csv(piece: Predicted, *, probabilities: bool) -> str:
    """Write some rows as a CSV file has them."""
    columns = [piece.names, *_columns(piece.answers)]
    if probabilities and piece.probabilities is not None:
        columns += [[f"{p:.6g}" for p in column] for column in piece.probabilities.T.tolist()]
    return _lines(zip(*columns, strict=True))


def _lines(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _columns(answers: Array) -> list[list[object]]:
    return [column.tolist() for column in answers.reshape(len(answers), -1).T]


def _predicted(
    model: Model, data: Columns | Array, names: list[str], skipped: list[str]
) -> Predicted:
    outputs = model.outputs(data)
    probabilities = None if model.task == "regress" else outputs
    return Predicted(names, model.answers(outputs), probabilities, skipped)
