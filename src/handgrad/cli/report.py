"""`handgrad report`: the page of a results folder, made again from its records."""

from pathlib import Path

import click

from handgrad import report
from handgrad.report.pdf import write_pdf
from handgrad.terminal import say


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the page here.  [default: FOLDER/report.html]",
)
@click.option(
    "--pdf",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write it as a PDF (needs `pip install 'handgrad[pdf]'`).",
)
def report_command(folder: Path, output: Path | None, pdf: Path | None) -> None:
    """Make the page of a results folder from its records alone.

    FOLDER is one that `handgrad reproduce` or `handgrad train` wrote. Neither data, nor PyTorch,
    nor a network is needed; the same records give the same page, to the byte.
    """
    page = report.write(folder, output)
    say(page)
    if pdf is not None:
        write_pdf(page.read_text(encoding="utf-8"), pdf)
        say(pdf)
