"""One training of one net on a problem: within a time, with patience, keeping the best epoch."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from handgrad import checkpoint as checkpoints
from handgrad.arrays import Array
from handgrad.models import outputs
from handgrad.network import Network
from handgrad.own_data.problem import LOSS_OF_TASK, Problem
from handgrad.own_data.settings import MOST_EPOCHS, Settings
from handgrad.solver import Solver
from handgrad.training_record import EpochRecord, finite


@dataclass(frozen=True)
class Limits:
    """When a training ends at the latest, and who is told of each epoch.

    Attributes
    ----------
    seconds : float
        Of training, those before an interruption counted.
    checkpoint : Path or None
        What the training goes on from; beside it lie the best parameters so far.
    on_epoch : function or None
        Told of each epoch; True stops the training.
    """

    seconds: float
    checkpoint: Path | None = None
    on_epoch: Callable[[EpochRecord], bool | None] | None = None


@dataclass(frozen=True)
class Net:
    """A trained net.

    Attributes
    ----------
    task : str
    network : Network
        With the best epoch's parameters.
    history : tuple of EpochRecord
    best : EpochRecord
        The epoch that is kept.
    stopped : str
        Why training ended, a sentence.
    interrupted : bool
    """

    task: str
    network: Network
    history: tuple[EpochRecord, ...]
    best: EpochRecord
    stopped: str
    interrupted: bool = False

    def predict(self, X: Array) -> Array:
        """Give probabilities, or standardised targets, of inputs (N, ...)."""
        return outputs(self.network, X, self.task)


def best_epoch(history: Sequence[EpochRecord]) -> EpochRecord:
    """Choose the epoch that is kept: the best validation score, of equals the lowest loss.

    Few validation rows have few different accuracies; the loss tells which of the epochs is surest.
    """
    return max(history, key=lambda e: (e.val_score, -np.inf if e.val_loss is None else -e.val_loss))


def last_progress(history: Sequence[EpochRecord]) -> int:
    """Give the last epoch with a better score than before, or with an equal one a lower loss.

    A loss is lower by a hundredth and by 0.0001 at least: near 0 it falls for ever.
    """
    score, loss, last = -np.inf, np.inf, 0
    for each in history:
        own = np.inf if each.val_loss is None else each.val_loss
        if each.val_score > score or (each.val_score == score and own < 0.99 * loss - 1e-4):
            score, loss, last = each.val_score, own, each.epoch
    return last


@dataclass
class _Watch:
    """A Solver's callback: keeps the best epoch, knows patience and the clock, tells others."""

    task: str
    limits: Limits
    patience: int
    history: list[EpochRecord] = field(default_factory=list)
    kept: dict[str, Array] = field(default_factory=dict)
    why: str = ""
    deadline: float = 0.0

    def on_train_begin(self, solver: Solver) -> None:
        """Go on from the best parameters of a checkpoint; at once to the end where it is over."""
        self.history = [epoch_record(record, self.task) for record in solver.history]
        before = self.history[-1].seconds if self.history else 0.0
        self.deadline = time.perf_counter() + self.limits.seconds - before
        path = self._path()
        if self.history and path is not None and path.exists():
            self.kept, _ = checkpoints.read(path)
            solver.stopped_early = self._judge(solver.epoch)

    def on_batches_end(self, solver: Solver) -> bool:
        """End an epoch in its middle when the time is up."""
        return time.perf_counter() >= self.deadline

    def on_epoch_end(self, solver: Solver, record: Mapping[str, Any]) -> bool:
        """Keep the epoch where it is the best; True stops."""
        epoch = epoch_record(record, self.task)
        self.history.append(epoch)
        if best_epoch(self.history) is epoch:
            model = solver.model
            arrays = {**model.params, **getattr(model, "state", {})}
            self.kept = {name: array.copy() for name, array in arrays.items()}
            if (path := self._path()) is not None:
                checkpoints.write(path, self.kept, {"epoch": epoch.epoch})
        told = self.limits.on_epoch is not None and bool(self.limits.on_epoch(epoch))
        return self._judge(epoch.epoch) or told

    def _judge(self, now: int) -> bool:
        last = last_progress(self.history)
        if time.perf_counter() >= self.deadline:
            epochs = "one epoch or a part of it" if now == 1 else f"{now} epochs"
            self.why = f"the time was up after {epochs}"
        elif now - last >= self.patience:
            self.why = f"epoch {last} was the last that was better, for {self.patience} epochs"
        return bool(self.why)

    def _path(self) -> Path | None:
        path = self.limits.checkpoint
        return None if path is None else best_path(path)

    def give_back(self, network: Network) -> None:
        """Put the best epoch's parameters into the network."""
        for arrays in (network.params, network.state):
            arrays.update({name: self.kept[name] for name in arrays})


def best_path(checkpoint: Path) -> Path:
    """Name the file of the best parameters, beside a checkpoint."""
    return checkpoint.with_name("best.safetensors")


def epoch_record(record: Mapping[str, Any], task: str) -> EpochRecord:
    """Turn a line of the Solver's history into the record's."""
    score = "r2" if task == "regress" else "accuracy"
    train = record.get(f"train_{score}")
    return EpochRecord(
        epoch=int(record["epoch"]),
        loss=float(record["loss"]),
        val_loss=finite(record["val_loss"]),
        train_score=None if train is None else finite(train),
        val_score=float(record[f"val_{score}"]),
        learning_rate=record["learning_rate"],
        seconds=float(record["seconds"]),
    )


def fit(problem: Problem, settings: Settings, limits: Limits, seed: int) -> Net:
    """Train a net; Ctrl-C ends it with the best epoch so far.

    Raises
    ------
    KeyboardInterrupt
        Where Ctrl-C came before the first epoch ended: there is nothing to keep.
    NonFiniteLossError
        Where training diverged.
    """
    streams = [np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(2)]
    network = Network(
        settings.layers(problem.input_shape, problem.outputs),
        problem.input_shape,
        loss=LOSS_OF_TASK[problem.task],  # type: ignore[arg-type]
        dtype=np.float32,
        rng=streams[0],
    )
    train, val = problem.train, problem.val
    watch = _Watch(problem.task, limits, settings.patience(len(train.y)))
    solver = Solver(
        network,
        {"X_train": train.X, "y_train": train.y, "X_val": val.X, "y_val": val.y},
        "adamw",
        {"learning_rate": settings.learning_rate, "weight_decay": settings.weight_decay},
        batch_size=settings.rows_a_batch(len(train.y)),
        num_epochs=MOST_EPOCHS,
        verbose=False,
        rng=streams[1],
        checkpoint=limits.checkpoint,
        callbacks=[watch],
    )
    interrupted = False
    try:
        solver.train()
    except KeyboardInterrupt:
        if not watch.kept:
            raise
        interrupted = True
        watch.why = f"Ctrl-C after {len(watch.history)} epochs"
    watch.give_back(network)
    return Net(
        task=problem.task,
        network=network,
        history=tuple(watch.history),
        best=best_epoch(watch.history),
        stopped=watch.why or f"all {MOST_EPOCHS} epochs were done",
        interrupted=interrupted,
    )
