"""One training of one net on a problem: within a time, with patience, keeping the best epoch."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.errors import NonFiniteLossError
from handgrad.models import outputs
from handgrad.network import Network
from handgrad.own_data.problem import LOSS_OF_TASK, Problem
from handgrad.own_data.resuming import Checkpoint
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
        What the training goes on from, the best parameters so far with it.
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
    interrupted, diverged : bool
    """

    task: str
    network: Network
    history: tuple[EpochRecord, ...]
    best: EpochRecord
    stopped: str
    interrupted: bool = False
    diverged: bool = False

    def predict(self, X: Array) -> Array:
        """Give probabilities, or standardised targets, of inputs (N, ...)."""
        return outputs(self.network, X, self.task)


def is_better(epoch: EpochRecord, than: EpochRecord) -> bool:
    """Whether an epoch is better: by its validation score, or at an equal one by its loss.

    Few validation rows have few different accuracies; the loss tells which of the epochs is surest.
    It is lower by a hundredth and by 0.0001 at least: near 0 it falls for ever.
    """
    own, other = (np.inf if e.val_loss is None else e.val_loss for e in (epoch, than))
    if epoch.val_score != than.val_score:
        return epoch.val_score > than.val_score
    return own < 0.99 * other - 1e-4


def best_epoch(history: Sequence[EpochRecord]) -> EpochRecord:
    """Choose the epoch that is kept: the last one that was better than the best before it."""
    return reduce(lambda best, each: each if is_better(each, best) else best, history)


@dataclass
class _Watch:
    """A Solver's callback: keeps the best epoch, knows patience and the clock, tells others."""

    task: str
    limits: Limits
    patience: int
    checkpoint: Checkpoint | None = None
    history: list[EpochRecord] = field(default_factory=list)
    best: EpochRecord | None = None
    kept: dict[str, Array] = field(default_factory=dict)
    why: str = ""
    deadline: float = 0.0

    def on_train_begin(self, solver: Solver) -> None:
        """Go on from a checkpoint's best parameters; at once to the end where it is over."""
        self.history = [epoch_record(record, self.task) for record in solver.history]
        before = self.history[-1].seconds if self.history else 0.0
        self.deadline = time.perf_counter() + self.limits.seconds - before
        if self.history:
            self.best = best_epoch(self.history)
            solver.stopped_early = self._judge(solver.epoch)

    def on_batches_end(self, solver: Solver) -> bool:
        """End an epoch in its middle when the time is up."""
        return time.perf_counter() >= self.deadline

    def on_epoch_end(self, solver: Solver, record: Mapping[str, Any]) -> bool:
        """Keep the epoch where it is the best; True stops."""
        epoch = epoch_record(record, self.task)
        self.history.append(epoch)
        if self.best is None or is_better(epoch, self.best):
            self.best = epoch
            model = solver.model
            arrays = {**model.params, **getattr(model, "state", {})}
            self.kept = {name: array.copy() for name, array in arrays.items()}
        if self.checkpoint is not None:
            self.checkpoint.note(solver, self.kept)
        told = self.limits.on_epoch is not None and bool(self.limits.on_epoch(epoch))
        return self._judge(epoch.epoch) or told

    def _judge(self, now: int) -> bool:
        last = 0 if self.best is None else self.best.epoch
        if time.perf_counter() >= self.deadline:
            epochs = "one epoch or a part of it" if now == 1 else f"{now} epochs"
            self.why = f"the time was up after {epochs}"
        elif now - last >= self.patience:
            self.why = f"epoch {last} was the last that was better, for {self.patience} epochs"
        return bool(self.why)

    def give_back(self, network: Network) -> None:
        """Put the best epoch's parameters into the network."""
        for arrays in (network.params, network.state):
            arrays.update({name: self.kept[name] for name in arrays})


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
    """Train a net; Ctrl-C, or a loss that diverges, ends it with the best epoch so far.

    Raises
    ------
    CheckpointError
        Where the checkpoint is damaged, or of other settings or data.
    KeyboardInterrupt
        Where Ctrl-C came before the first epoch ended: there is nothing to keep.
    NonFiniteLossError
        Where training diverged in its first epoch.
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
    checkpoint = None if limits.checkpoint is None else Checkpoint(limits.checkpoint)
    watch = _Watch(problem.task, limits, settings.patience(len(train.y)), checkpoint)
    solver = Solver(
        network,
        {"X_train": train.X, "y_train": train.y, "X_val": val.X, "y_val": val.y},
        "adamw",
        {"learning_rate": settings.learning_rate, "weight_decay": settings.weight_decay},
        batch_size=settings.rows_a_batch(len(train.y)),
        num_epochs=MOST_EPOCHS,
        verbose=False,
        rng=streams[1],
        callbacks=[watch],
    )
    interrupted = diverged = False
    if checkpoint is not None:
        watch.kept = checkpoint.resume(solver)
    try:
        solver.train()
    except KeyboardInterrupt:
        if watch.best is None:
            raise
        interrupted = True
        watch.why = f"Ctrl-C after {len(watch.history)} epochs"
    except NonFiniteLossError:
        if watch.best is None:
            raise
        diverged = True
        where = f"training diverged in epoch {len(watch.history) + 1}"
        watch.why = f"{where}; epoch {watch.best.epoch}, the best before, is kept"
    finally:
        if checkpoint is not None:
            checkpoint.flush()
    watch.give_back(network)
    return Net(
        task=problem.task,
        network=network,
        history=tuple(watch.history),
        best=best_epoch(watch.history) if watch.best is None else watch.best,
        stopped=watch.why or f"all {MOST_EPOCHS} epochs were done",
        interrupted=interrupted,
        diverged=diverged,
    )
