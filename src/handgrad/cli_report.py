"""`handgrad report`: the page of a results folder, made again from its records."""

from pathlib import Path

import click

from handgrad import report


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the page here.  [default: FOLDER/report.html]",
)
def report_command(folder: Path, output: Path | None) -> None:
    """Make the page of a results folder from its records alone.

    FOLDER is one that `handgrad reproduce` wrote. Neither data, nor PyTorch, nor a network is
    needed; the same records give the same page, to the byte.
    """
    click.echo(report.write(folder, output))
