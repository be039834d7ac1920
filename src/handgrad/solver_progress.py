"""The bar that a Solver shows on a terminal while it trains."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from handgrad.solver_stopping import Patience


class Training(Protocol):
    """What the bar reads of a Solver."""

    verbose: bool
    X_train: Any
    batch_size: int
    num_epochs: int
    epoch: int
    loss_history: list[float]
    history: list[dict[str, Any]]
    patience: Patience


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
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=steps, epoch="", numbers="")

        def show() -> None:
            bar.update(
                task,
                completed=len(training.loss_history),
                epoch=f"{min(training.epoch + 1, training.num_epochs)}/{training.num_epochs}",
                numbers=_numbers(training),
            )

        show()
        yield show
        show()


def _numbers(training: Training) -> str:
    """The last loss, what the last epoch came to on validation rows, and how patience stands."""
    losses, record = training.loss_history, training.history[-1] if training.history else {}
    shown = [f"loss {losses[-1]:.4f}" if losses else "loss -"]
    if "val_accuracy" in record:
        shown.append(f"validation {record['val_accuracy']:.2%}")
    if "val_r2" in record:
        shown.append(f"validation R2 {record['val_r2']:.4f}")
    if training.patience.epochs is not None and training.patience.waited:
        shown.append(f"no better for {training.patience.waited} of {training.patience.epochs}")
    return ", ".join(shown)
