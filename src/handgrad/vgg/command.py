"""The command line of question 6: train one recipe, alone or under torchrun."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from handgrad.errors import HandgradError
from handgrad.results import Epoch
from handgrad.terminal import escape_what_streams_cannot_take, say
from handgrad.vgg.distributed import leave
from handgrad.vgg.memory import keep_freed_memory
from handgrad.vgg.recipes import RECIPES, Recipe
from handgrad.vgg.training import RunResult, run_recipe

_LIST = "\n".join(f"{recipe.name:14} {recipe.summary}" for recipe in RECIPES.values())
HELP = f"""Train VGG11 on CIFAR-10 (question 6) and report its accuracy.

\b
Recipes:
{_LIST}

A run that was stopped, by Ctrl-C or worse, goes on from its last finished epoch when the same
command is given again. Its folder holds checkpoint.pt, history.jsonl and result.json.

Several processes share the work under torchrun; they must divide the recipe's batch size:

\b
  torchrun --nproc-per-node 2 -m handgrad.vgg --recipe wide
"""


@dataclass(frozen=True)
class Options:
    """The options of the command, as they were given."""

    name: str
    out: Path | None
    seed: int
    data_dir: Path | None
    offline: bool
    device: str
    threads: int | None
    epochs: int | None
    compiled: bool
    evaluate_test: bool

    @property
    def recipe(self) -> Recipe:
        """The recipe of that name, with the epochs and the compiler that were asked for."""
        recipe = RECIPES[self.name]
        if self.epochs is not None:
            recipe = recipe.lasting(self.epochs)
        return replace(recipe, compile=True) if self.compiled else recipe

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self.out or Path("runs", "vgg", f"{self.name}-{self.seed}")


@click.command(
    help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--recipe",
    "name",
    type=click.Choice(list(RECIPES)),
    default="improved",
    show_default=True,
    help="What to train; see the list above.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run.  [default: runs/vgg/RECIPE-SEED]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything random.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder with CIFAR-10; without it the usual places are searched, then it is fetched.",
)
@click.option("--offline", is_flag=True, help="Never use the network to get CIFAR-10.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads per process.")
@click.option("--epochs", type=click.IntRange(1), help="Train so many epochs instead.")
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Run through torch.compile; needs a C++ compiler, and pays only in long runs.",
)
@click.option(
    "--test",
    "evaluate_test",
    is_flag=True,
    help="Judge the 10,000 test rows too: once, when everything has been chosen.",
)
def command(**options: Any) -> None:
    """Train VGG11 on CIFAR-10 (question 6) and report its accuracy."""
    asked = Options(**options)
    recipe, folder = asked.recipe, asked.folder
    try:
        from handgrad.datasets import load_cifar10

        data = load_cifar10(asked.data_dir, offline=asked.offline)
        keep_freed_memory()
        result = run_recipe(
            recipe,
            data,
            seed=asked.seed,
            out=folder,
            evaluate_test=asked.evaluate_test,
            progress=lambda line: say(_epoch(line, recipe.epochs)),
            threads=asked.threads,
            device=asked.device,
        )
        leave()
    except KeyboardInterrupt:
        say(
            f"\nStopped. Finished epochs are in {folder}; the same command goes on from there.",
            err=True,
        )
        sys.exit(130)
    except (HandgradError, ValueError, OSError) as error:
        rank = os.environ.get("RANK")
        say(f"Error: {f'[rank {rank}] ' if rank else ''}{error}", err=True)
        sys.exit(2)
    if os.environ.get("RANK", "0") == "0":
        say(_summary(result, folder))


def main() -> None:
    """Run the command line; the assignment's `main()`."""
    escape_what_streams_cannot_take()
    try:
        command.main(standalone_mode=False)
    except click.ClickException as error:
        say(f"Error: {' '.join(error.format_message().split())}", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)


def _epoch(line: Epoch, epochs: int) -> str:
    judged = f"  validation {line['val_accuracy']:7.2%}" if "val_accuracy" in line else ""
    return (
        f"epoch {line['epoch']:3d}/{epochs}  loss {line['train_loss']:.3f}  "
        f"training {line['train_accuracy']:7.2%}{judged}  {line['seconds']:.1f} s"
    )


def _summary(result: RunResult, folder: Path) -> str:
    lines = [
        f"{result.recipe}, seed {result.seed}: {result.parameters:,} parameters, "
        f"{result.seconds:.0f} s",
        f"validation {result.val_accuracy:.2%}, with flip {result.val_accuracy_tta:.2%}",
    ]
    if result.test_accuracy is not None:
        lines.append(
            f"test       {result.test_accuracy:.2%}, with flip {result.test_accuracy_tta:.2%}"
        )
    return "\n".join([*lines, f"written to {folder}"])
