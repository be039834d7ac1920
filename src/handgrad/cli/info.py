"""`handgrad info`: what a model's file says of itself."""

from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from handgrad.cli.own_data_view import results_table
from handgrad.images import ImagePreprocessor
from handgrad.models import Model, load
from handgrad.network_spec import layers_of
from handgrad.own_data.keeping import SO_FAR
from handgrad.terminal import say, written

_MOST = 20
_PARTS = {"train": "to train", "val": "to validate", "test": "to test"}


@click.command("info")
@click.argument("model", type=click.Path(path_type=Path))
def info_command(model: Path) -> None:
    """Say what a trained MODEL takes and predicts, and how good it is."""
    trained = load(model)
    console = Console() if Console().is_terminal else Console(width=100, soft_wrap=True)
    say(f"{model}: {_what(trained)}")
    say(f"takes: {_takes(trained)}")
    say(f"net: {sum(a.size for a in trained.network.params.values()):,} parameters")
    layers = Table("layer", "settings", "output", "parameters", box=box.SIMPLE, pad_edge=False)
    for each in layers_of(trained.network):
        shape = " x ".join(map(str, each.output_shape))
        layers.add_row(each.kind, each.settings, shape, f"{each.parameters:,}")
    with written():
        console.print(layers)
    if "validation" in trained.metrics:
        test = trained.metrics.get("test")
        with written():
            console.print(results_table(trained.task, trained.metrics["validation"], test))
    for name, value in trained.about.items():
        if name == SO_FAR:
            say("training: interrupted; the command that began it goes on, and tests it at its end")
        else:
            say(f"{name}: {_words(value)}")


def _words(value: Any) -> str:
    """What is known of the training, as a person would write it.

    >>> _words({"train": 1050, "val": 23}), _words({"hidden": [128, 64], "batch_norm": False})
    ('1,050 to train, 23 to validate', 'hidden 128, 64; batch norm no')
    """
    if not isinstance(value, dict):
        if isinstance(value, bool):
            return "yes" if value else "no"
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if all(type(each) is int for each in value.values()):
        return ", ".join(f"{each:,} {_PARTS.get(name, name)}" for name, each in value.items())
    return "; ".join(
        f"{name.replace('_', ' ')} {_words(each) or 'none'}" for name, each in value.items()
    )


def _what(model: Model) -> str:
    names = ", ".join(model.coder.names)
    if model.task == "regress":
        return f"a regression of {names}"
    classes = _shown(model.coder.classes)
    kind = "labels" if model.task == "multilabel" else "classes"
    return f"a classification of {names}, {len(model.coder.classes)} {kind}: {classes}"


def _takes(model: Model) -> str:
    if isinstance(model.preprocessor, ImagePreprocessor):
        channels, height, width = model.preprocessor.input_shape
        kind = "grey" if channels == 1 else "coloured"
        return f"{kind} images of {height} x {width} pixels"
    return f"a table with the columns {_shown(model.preprocessor.names)}"


def _shown(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MOST:,} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more
