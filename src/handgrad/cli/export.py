"""`handgrad export`: a trained model for other programs."""

from pathlib import Path
from typing import Any

import click

from handgrad.export import FORMATS, export
from handgrad.export.source import source_of
from handgrad.export.writing import named_after
from handgrad.terminal import say

_ENDINGS = {"onnx": ".onnx", "torch": "_torch.py", "c": ".c"}


@click.command("export")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(list(FORMATS)), required=True, help="The format.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.  [default: MODEL's name in this folder, with the format's ending]",
)
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.option("--logits", is_flag=True, help="onnx: give the scores, too.")
@click.option(
    "--check-finite",
    is_flag=True,
    help="onnx: an example with a NaN or an infinity on its way gets NaN, whatever the runtime.",
)
@click.option("--int8", is_flag=True, help="c: weights and arithmetic of 8 bits; with --calibrate.")
@click.option(
    "--calibrate",
    type=click.Path(exists=True, path_type=Path),
    metavar="DATA",
    help="c: rows like the training's, by which --int8 chooses its scales.",
)
def export_command(model: Path, to: str, out: Path | None, force: bool, **options: Any) -> None:
    """Write a trained MODEL as ONNX, as a PyTorch module or as C.

    MODEL is what `handgrad train` or `reproduce` left, a file or its folder.
    onnx: raw rows in, labels and probabilities out, for ONNX Runtime and all that reads ONNX.
    torch: weights and a module of plain PyTorch. c: one file of C99 and its header.
    """
    given = _of_format(to, options)
    target = named_after(model, _ENDINGS[to]) if out is None else out
    source = source_of(model)
    if rows := given.pop("calibrate", None):
        from handgrad.export.calibration import network_inputs

        given["calibration"] = network_inputs(source, rows)
    if to == "c":
        from handgrad.export.c_source import write_c

        made = write_c(source, target, force=force, **given)
        say(f"{model} as c: {made.path} and {made.header.name}; {made.said}", err=True)
        return
    path = export(source, to, target, force=force, **given)
    say(f"{model} as {to}: {path}, {path.stat().st_size:,} bytes", err=True)


def _of_format(to: str, options: dict[str, Any]) -> dict[str, Any]:
    """Take the options that are given, and refuse those of another format."""
    owner = {"logits": "onnx", "check_finite": "onnx", "int8": "c", "calibrate": "c"}
    given = {name: value for name, value in options.items() if value}
    for name in given:
        if owner[name] != to:
            flag = "--" + name.replace("_", "-")
            raise click.UsageError(f"{flag} is for --to {owner[name]}; got --to {to}")
    if given.get("int8") and "calibrate" not in given:
        raise click.UsageError("--int8 needs --calibrate DATA: rows to choose its scales by")
    if "calibrate" in given and "int8" not in given:
        raise click.UsageError("--calibrate is for --int8")
    return given
