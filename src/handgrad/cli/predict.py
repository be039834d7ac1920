"""`handgrad predict`: a model of `handgrad train` on other rows or images."""

import os
from collections.abc import Iterator
from pathlib import Path

import click

from handgrad.errors import OutputError
from handgrad.files import writing_atomically
from handgrad.models import Model, load
from handgrad.own_data.predicting import as_csv, header, predictions
from handgrad.terminal import say


@click.command("predict")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the CSV file there, whole or not at all.  [default: standard output]",
)
@click.option("--proba", is_flag=True, help="Add the probability of each class.")
@click.option("--skip-bad", is_flag=True, help="Leave out images that cannot be read.")
def predict_command(model: Path, data: Path, out: Path | None, proba: bool, skip_bad: bool) -> None:
    """Predict DATA with MODEL, the file or folder that `handgrad train` wrote.

    Gives CSV: a line a row (or image) in DATA's order, with its number (or file) and the
    prediction. A row's number is its line in a text file, below a header from 2 on; in other
    files, and of images in one file, rows count from 1. Columns are found by name, in any order;
    others are ignored.
    """
    trained = load(model)
    if proba and trained.task == "regress":
        raise click.UsageError("--proba is for classes; this model predicts numbers")
    if out is None:
        for text in _pieces(trained, data, proba, skip_bad):
            say(text.removesuffix("\n"))
        return
    rows = -1  # the header
    try:
        with writing_atomically(out) as file:
            for text in _pieces(trained, data, proba, skip_bad):
                file.write(text.encode())
                rows += text.count("\n")
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OutputError(f"cannot write {out} ({reason}); name another file with --out") from None
    say(f"{rows:,} predictions in {out}", err=True)


def _pieces(model: Model, data: Path, proba: bool, skip_bad: bool) -> Iterator[str]:
    """Give the text of the CSV file; the first piece is made before its header is given."""
    line = header(model, probabilities=proba)
    for piece in predictions(model, data, skip_bad=skip_bad):
        for text in piece.skipped:
            say(f"note: {text}", err=True)
        yield line + as_csv(piece, probabilities=proba)
        line = ""
