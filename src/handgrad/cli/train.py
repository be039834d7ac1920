"""`handgrad train`: a net for data of one's own, with the baselines it has to beat."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from handgrad.cli.own_data_view import TerminalTraining
from handgrad.own_data.request import Request
from handgrad.own_data.run import train

_ENDINGS = {
    *(".csv", ".tsv", ".txt", ".dat", ".data", ".tab", ".arff", ".parquet", ".pq", ".npz"),
    *(".libsvm", ".svm", ".svmlight", ".gz", ".idx"),
}
_IDX = re.compile(r"\.idx\d-ubyte")


class Size(click.ParamType[tuple[int, int]]):
    """A height and width as '32x48'."""

    name = "HxW"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Parse."""
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,5})\s*[xX×]\s*(\d{1,5})", value.strip())
        if found is None or not all(map(int, found.groups())):
            self.fail(f"{value!r} is no height and width such as 32x32")
        return int(found[1]), int(found[2])


@click.command("train")
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="COLUMN",
    help="The column to predict; of several, each is given. Images need none.",
)
@click.option(
    "--task",
    type=click.Choice(["classify", "regress"]),
    help="Classes or numbers.  [default: as the target looks]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for model, record and report.  [default: DATA's name and -model]",
)
@click.option(
    "--time",
    "seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds that training may take, the search included.",
)
@click.option(
    "--search",
    "candidates",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Try N settings of the net, and train the best (needs the extra `search`).",
)
@click.option(
    "--storage",
    metavar="URL",
    help="Optuna's storage for the search, which several machines may share.  "
    "[default: a journal in the folder, which several processes may share]",
)
@click.option("--group", metavar="COLUMN", help="Rows of one value stay in one part.")
@click.option(
    "--time-column",
    metavar="COLUMN",
    help="Validation and test rows are the last by this column.",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="COLUMN",
    help="Learn from this column although it gives the target away; may be repeated.",
)
@click.option("--resize", type=Size(), help="Resize images to this height and width.")
@click.option("--skip-bad", is_flag=True, help="Leave out images that cannot be read.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def train_command(data: Path, out: Path | None, **options: Any) -> None:
    """Train a net on DATA: a table, or a folder of images with a folder a class.

    Tables are CSV, TSV, Parquet, NPZ, ARFF or libsvm; images PNG or JPEG, or IDX files as MNIST's.
    Says what is in the data, trains a net beside two baselines, and leaves the model, a record and
    report.html. Ctrl-C keeps the best so far; the same command goes on.
    """
    if options["storage"] and not options["candidates"]:
        raise click.UsageError("--storage is for --search; give --search N as well")
    request = Request(
        data=data,
        out=out or Path(f"{_stem(data)}-model"),
        command=_command(click.get_current_context()),
        **options,
    )
    with TerminalTraining() as watcher:
        record = train(request, watcher)
        watcher.concluded(record, request.out)


def _stem(data: Path) -> str:
    """A file's or folder's name without the endings that say its format.

    >>> _stem(Path("a/sales.2023.csv.gz")), _stem(Path("a/pictures/"))
    ('sales.2023', 'pictures')
    """
    name = data.resolve().name
    while (ending := Path(name).suffix.lower()) in _ENDINGS or _IDX.fullmatch(ending):
        name = name[: -len(ending)]
    return name.strip(".") or "data"


def _command(context: click.Context) -> str:
    """The command as it was given, of DATA and --out their names alone: records name no folders."""
    words = ["handgrad", context.info_name or "train"]
    for parameter in context.command.params:
        name = parameter.name or ""
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        given = context.params[name]
        if isinstance(parameter, click.Argument):
            words.append(given.resolve().name)
        elif given is True:
            words.append(parameter.opts[0])
        else:
            for value in given if parameter.multiple else [given]:
                words += [parameter.opts[0], _written(name, value)]
    return shlex.join(words)


def _written(name: str, value: Any) -> str:
    if name == "out":
        return str(value.resolve().name)
    if name == "resize":
        return "{}x{}".format(*value)
    if name == "storage":  # may hold a password
        return re.sub(r"//[^/@]*@", "//...@", value)
    return f"{value:g}" if isinstance(value, float) else str(value)
