"""`handgrad show`: a trained model as one page on which its passes can be walked."""

from pathlib import Path

import click

from handgrad import show
from handgrad.export.writing import named_after
from handgrad.report import missing_libraries
from handgrad.terminal import say


@click.command("show")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Labelled rows or images to look at and to train on.  [default: of a model of "
    "reproduce the assignment's]",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.  [default: MODEL's name in this folder, with .html]",
)
@click.option("--force", is_flag=True, help="Replace a file that exists.")
def show_command(model: Path, data: Path | None, out: Path | None, force: bool) -> None:
    """Make a page of a trained MODEL: draw, look inside, step back and forth, train.

    MODEL is what `handgrad train` or `reproduce` left, a file or its folder. The page is one
    file that opens in a browser and makes no request. It holds some hundred rows of the data.
    """
    target = named_after(model, ".html") if out is None else out
    path = show.write(model, target, data, force=force)
    say(f"{model} as a page: {path}, {path.stat().st_size:,} bytes", err=True)
    if (large := show.too_large(path)) is not None:
        say(f"note: {large}", err=True)
    if (lacking := missing_libraries(show.FORMULAS_NEED)) is not None:
        say(f"note: the page has no formulas of the derivations: {lacking}", err=True)
