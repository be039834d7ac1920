"""The bar that a Solver shows on a terminal while it trains."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Training(Protocol):
    """What the bar reads of a Solver."""

    verbose: bool
    X_train: Any
    batch_size: int
    num_epochs: int
    epoch: int
    loss_history: list[float]
    history: list[dict[str, Any]]


@contextmanager
def progress_bar(training: Training) -> Iterator[Callable[[], None]]:
    """Give a function that brings the bar up to date; one that does nothing off a terminal."""
    console = Console(stderr=True)
    if not (training.verbose and console.is_terminal):
        yield lambda: None
        return
    steps = math.ceil(len(training.X_train) / training.batch_size) * training.num_epochs
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]}, validation {task.fields[accuracy]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=steps, epoch="", loss="", accuracy="")

        def show() -> None:
            history, losses = training.history, training.loss_history
            bar.update(
                task,
                completed=len(losses),
                epoch=f"{min(training.epoch + 1, training.num_epochs)}/{training.num_epochs}",
                loss=f"{losses[-1]:.4f}" if losses else "-",
                accuracy=f"{history[-1]['val_accuracy']:.2%}" if history else "-",
            )

        show()
        yield show
        show()
