"""A Solver's epochs in TensorBoard, wandb or trackio: callbacks, each of a few lines.

>>> from handgrad.run_logging import RunLog, TensorBoard
>>> callbacks = [TensorBoard("logs/first"), RunLog("trackio", "digits", run="first")]

Give them as ``Solver(..., callbacks=callbacks)``. A training that goes on from its checkpoint goes
on in the same log, at the epoch after the checkpoint's. Each library is imported when a training
begins, and not before.
"""

import importlib
import inspect
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handgrad.errors import need

if TYPE_CHECKING:
    from handgrad.solver import Solver


class TensorBoard:
    """Write each epoch's numbers as event files: `tensorboard --logdir FOLDER` shows them.

    Needs tensorboardX, which the extra ``tensorboard`` brings. A training from its first epoch on
    hides what the folder had before; one that goes on from a checkpoint is added to it.

    Parameters
    ----------
    folder : path
        Made where it is not there: one for each run, side by side in one folder to compare them.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._writer: Any = None

    def on_train_begin(self, solver: "Solver") -> None:
        """Open a file; what another session wrote of epochs that come again is hidden."""
        need("tensorboardX", "tensorboard", "logging to TensorBoard")
        library = importlib.import_module("tensorboardX")
        again = solver.epoch + 1
        # Files are named by the second: a second one in it would replace the first.
        self._writer = library.SummaryWriter(
            str(self.folder), purge_step=again, filename_suffix=f".{time.time_ns()}"
        )
        self._writer.add_text("settings", f"```\n{json.dumps(settings(solver), indent=2)}\n```", 0)

    def on_epoch_end(self, solver: "Solver", record: Mapping[str, Any]) -> None:
        """Write an epoch's numbers, at once."""
        for name, value in numbers(record).items():
            self._writer.add_scalar(name, value, record["epoch"])
        self._writer.flush()

    def on_train_end(self, solver: "Solver") -> None:
        """Close the file."""
        self._writer.close()


class RunLog:
    """Log each epoch's numbers with wandb, trackio, or what has their init, log and finish.

    Parameters
    ----------
    library : str or object
        'wandb', 'trackio', another module's name, or an object with ``init(project=, name=,
        resume=, config=)``, ``log(numbers, step=)`` and ``finish()``.
    project : str
    run : str, optional
        The run's name, and its id where ``init`` takes one; a run of that name is gone on with.
        Default: a new run each time, which the library names.
    **options
        Handed to ``init``: ``mode="offline"``, ``entity=...``.
    """

    def __init__(
        self, library: str | object, project: str, *, run: str | None = None, **options: Any
    ) -> None:
        self._given, self.project, self.run, self._options = library, project, run, options
        self._library: Any = None

    def on_train_begin(self, solver: "Solver") -> None:
        """Begin the run, or go on with it."""
        self._library = self._given
        if isinstance(name := self._given, str):
            need(name, name, "logging the run")
            self._library = importlib.import_module(name)
        init = self._library.init
        named: dict[str, Any] = {}
        if self.run is not None:
            named = {"name": self.run, "resume": "allow"}
            if "id" in inspect.signature(init).parameters:  # wandb knows runs by it, not by name
                named["id"] = self.run
        init(project=self.project, config=settings(solver), **(named | self._options))

    def on_epoch_end(self, solver: "Solver", record: Mapping[str, Any]) -> None:
        """Log an epoch's numbers, its number as the step."""
        self._library.log(numbers(record), step=record["epoch"])

    def on_train_end(self, solver: "Solver") -> None:
        """End the run."""
        self._library.finish()


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """Give the finite numbers of an epoch's record, but for its own number."""
    found = {
        name: float(value)
        for name, value in record.items()
        if name != "epoch" and isinstance(value, int | float)
    }
    return {name: value for name, value in found.items() if math.isfinite(value)}


def settings(solver: "Solver") -> dict[str, Any]:
    """Give a Solver's settings as JSON has them: what a run is compared by."""
    model = solver.model
    layers = [str(layer) for layer in getattr(model, "layers", ())]
    given = {
        "model": repr(model) if layers else type(model).__name__,
        "layers": layers,
        "loss": getattr(model, "loss_name", None),
        "reg": getattr(model, "reg", None),
        "update_rule": getattr(solver.rule, "__name__", type(solver.rule).__name__),
        **solver.optim_config,
        "lr_decay": solver.lr_decay,
        "batch_size": solver.batch_size,
        "num_epochs": solver.num_epochs,
        "max_norm": solver.max_norm,
        "n_iter_no_change": solver.n_iter_no_change,
        "train_rows": len(solver.X_train),
    }
    plain = json.loads(json.dumps(given, default=str))
    return {name: value for name, value in plain.items() if value not in (None, [])}
