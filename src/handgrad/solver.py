"""The training loop: shuffled batches, updates, histories, the best snapshot, checkpoints."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from handgrad import engine, optim, solver_checkpoint, solver_inputs, solver_scores
from handgrad.arrays import Array
from handgrad.errors import NonFiniteLossError
from handgrad.randomness import default_rng
from handgrad.solver_progress import progress_bar
from handgrad.solver_scores import Judge, watched
from handgrad.solver_steps import Average, Model, Readable, copies, state_of
from handgrad.solver_stopping import Patience, tell

__all__ = ["Model", "Readable", "Solver"]


class Solver:
    """Train a model.

    Parameters
    ----------
    model : object with ``params`` and ``loss(X, y=None)``
        See ``Model`` for what else is used. With weights its loss takes ``sample_weight``.
    data : mapping, or object with attributes
        X_train, y_train, X_val, y_val. Without the last two the last parameters are kept in place
        of the best. ``sample_weight_val`` (M,), if it is there, is what validation rows count.
    update_rule : str or function, default 'sgd'
        A rule of ``handgrad.optim`` by name, or one's own ``rule(w, dw, config)``.
    optim_config : mapping, optional
        The rule's hyperparameters, e.g. ``{"learning_rate": 1e-3}``. With 'adamw', arrays of one
        dimension (biases, gamma, beta) are not decayed.
    lr_decay : float, default 1
        The learning rate is multiplied by this after each epoch.
    batch_size : int, default 100
    num_epochs : int, default 10
        Each visits every training row once, in shuffled order; the last batch may be smaller. One
        row alone is no batch for batch norm: a UserWarning says so.
    print_every : int, default 10
        The progress bar moves every so many iterations.
    verbose : bool, default True
        Show a progress bar (only on a terminal).
    schedule : function, optional
        Progress in [0, 1) to a factor on the learning rate (``handgrad.optim.one_cycle()``...),
        in place of lr_decay.
    rng : numpy.random.Generator, optional
        Shuffles. Default: seeded from NumPy's global generator, as the models'.
    num_train_samples : int or None, default 1000
        Training accuracy or R2 is measured on so many evenly spaced rows; None for all.
    checkpoint : path, optional
        Written after every epoch; if the file exists, ``train`` goes on from it, to the same
        parameters and histories, to the last bit, as a run that was never interrupted. A
        checkpoint of other settings, another model or other data is a CheckpointError. Weights
        and random states come from the checkpoint: another seed is not noticed.
    on_epoch : function, optional
        Called with each epoch's record (see ``history``), when the checkpoint has been written.
    augment : function, optional
        ``augment(X, rng)`` replaces each training batch, with the shuffling's rng.
    sample_weight : array (N,), optional
        What each training row counts in the loss, of a batch sum_n w_n l_n / sum_n w_n, and in the
        training accuracy or R2: finite, from 0.
    class_weight : 'balanced' or mapping of labels to weights, optional
        Multiplies the weights of each class's rows in training and validation loss, not in
        accuracies. A label that the mapping lacks has 1; 'balanced' gives all classes of the
        training rows the same total.
    n_iter_no_change : int, optional
        Training ends when validation accuracy or R2 (without validation rows: the training loss)
        has not become better by more than ``tol`` for so many epochs.
    tol : float, default 0
    max_norm : float, optional
        Gradients longer than this, all together, are shortened to it (``handgrad.optim.clipped``).
    callbacks : sequence of objects, default none
        Each has any of ``on_train_begin(solver)``; ``on_batches_end(solver)``, several times an
        epoch, which gives True to end the epoch there; ``on_epoch_end(solver, record)``, before
        the checkpoint is written, which gives True to end training; ``on_train_end(solver)``,
        however training ends. What a callback keeps is not in checkpoints; ``solver.history`` is
        there again in on_train_begin.
    averaging : float in (0, 1), optional
        The decay, a step, of moving averages of parameters and running statistics. They are what
        is scored and kept; training goes on from the parameters themselves, which callbacks see.
    metrics : mapping of names to functions, optional
        Each ``f(y, scores)`` of the validation rows goes into the history as 'val_NAME'.
    optim_state : mapping, optional
        Another Solver's ``optim_configs``, from whose state (velocity, moments, step counts) the
        rule goes on; the hyperparameters are this Solver's.

    Attributes
    ----------
    loss_history : list of float, one an iteration
    train_acc_history, val_acc_history : lists of float, one an epoch
        Empty where the model is no classifier, or there are no validation rows.
    history : list of dict, one an epoch
        epoch, loss (mean over the epoch's rows, by weight), val_loss (of the kept parameters, with
        the penalty; for models with ``loss_of``, as a Network), train_accuracy and val_accuracy (of
        several labels: all right) or train_r2 and val_r2 (regression), val_NAME of each metric,
        learning_rate (of the epoch's last step), seconds (since the start of training,
        interruptions not counted). What is of validation rows is left out without them.
    best_val_acc, best_params, best_state :
        The best validation accuracy, of a regression R2 (the first of equals), and the parameters
        and running statistics of that moment. ``train`` leaves them in the model. Without
        validation rows: -inf, and those of the last epoch.
    stopped_early : bool
        Whether patience or a callback ended training before num_epochs.
    optim_configs : dict
        Each parameter's config of the rule, with its state.
    """

    def __init__(
        self,
        model: Model,
        data: Any,
        update_rule: str | optim.Rule = "sgd",
        optim_config: Mapping[str, Any] | None = None,
        lr_decay: float = 1.0,
        batch_size: int = 100,
        num_epochs: int = 10,
        print_every: int = 10,
        verbose: bool = True,
        *,
        schedule: optim.Schedule | None = None,
        rng: np.random.Generator | None = None,
        num_train_samples: int | None = 1000,
        checkpoint: str | Path | None = None,
        on_epoch: Callable[[dict[str, Any]], None] | None = None,
        augment: Callable[[Array, np.random.Generator], Array] | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: solver_inputs.ClassWeight = None,
        n_iter_no_change: int | None = None,
        tol: float = 0.0,
        max_norm: float | None = None,
        callbacks: Sequence[object] = (),
        averaging: float | None = None,
        metrics: Mapping[str, solver_scores.Metric] | None = None,
        optim_state: Mapping[str, optim.Config] | None = None,
    ) -> None:
        self.model = model
        self.data = solver_inputs.training_data(model, data, sample_weight, class_weight)
        train, val = self.data.train, self.data.val
        self.X_train, self.y_train = train.X, train.y
        self.X_val = None if val is None else val.X
        self.y_val = None if val is None else val.y
        self.rule = solver_inputs.named_rule(update_rule)
        self.optim_config = dict(optim_config or {})
        solver_inputs.require_counts(
            batch_size=batch_size, num_epochs=num_epochs, num_train_samples=num_train_samples,
            n_iter_no_change=n_iter_no_change,
        )  # fmt: skip
        solver_inputs.require_numbers(tol, max_norm, averaging)
        if schedule is not None and lr_decay != 1.0:
            raise ValueError(
                f"Solver: give schedule or lr_decay, not both; got lr_decay={lr_decay}"
            )
        self.lr_decay, self.batch_size, self.num_epochs = lr_decay, int(batch_size), int(num_epochs)
        warning = solver_inputs.one_row_warning(model, len(self.X_train), self.batch_size)
        if warning is not None:
            warnings.warn(warning, UserWarning, stacklevel=2)
        self.schedule = schedule or optim.per_epoch_decay(lr_decay, self.num_epochs)
        self._one_rate_an_epoch = schedule is None
        self.print_every, self.verbose = max(1, print_every), verbose
        self.rng = default_rng(rng, "Solver")
        self.num_train_samples = num_train_samples
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.on_epoch, self.augment, self.max_norm = on_epoch, augment, max_norm
        self.callbacks = solver_inputs.require_callbacks(callbacks)
        self.n_iter_no_change, self.tol = n_iter_no_change, tol
        self.metrics = solver_inputs.require_metrics(metrics, val is not None)
        self.average = None if averaging is None else Average(averaging)

        self.optim_configs = solver_inputs.first_configs(
            self.rule, self.optim_config, model.params, optim_state
        )
        self._base_rate = solver_inputs.base_rate(self.rule, self.optim_config)
        self._stepper: engine.Stepper | None = None
        self.epoch = 0
        self.loss_history: list[float] = []
        self.history: list[dict[str, Any]] = []
        self.patience = Patience(n_iter_no_change, tol)
        self.stopped_early = False
        self.best_val_acc = -math.inf
        self.best_params: dict[str, Array] = {}
        self.best_state: dict[str, Array] = {}
        if self.checkpoint is not None:
            solver_checkpoint.require_ready(self, self.checkpoint)

    @property
    def train_acc_history(self) -> list[float]:
        """Training accuracy after each epoch, a fraction."""
        return [record["train_accuracy"] for record in self.history if "train_accuracy" in record]

    @property
    def val_acc_history(self) -> list[float]:
        """Validation accuracy after each epoch, a fraction."""
        return [record["val_accuracy"] for record in self.history if "val_accuracy" in record]

    def train(self) -> None:
        """Train to the end (or on from the checkpoint), and leave the best parameters in the model.

        A second call does nothing; to train on, make a new Solver.

        Raises
        ------
        NonFiniteLossError
            When a loss is NaN or infinite: names the iteration, the learning rate, what to try.
            The model has the best epoch's parameters then, or those it came with.
        CheckpointError
            When the checkpoint cannot be used.
        """
        if self.checkpoint is not None and self.checkpoint.exists():
            solver_checkpoint.resume(self, self.checkpoint)
        seconds_before = self.history[-1]["seconds"] if self.history else 0.0
        self.patience = Patience(self.n_iter_no_change, self.tol, self.history)
        self._stepper = None  # a checkpoint has replaced what the last one had
        start = copies(self.model.params), copies(state_of(self.model))
        if self.average is not None:
            self.average.start(self.model)
        tell(self.callbacks, "on_train_begin", self)
        try:
            self._epochs(seconds_before)
            self._give_back(*start)
        except NonFiniteLossError as error:
            kept = self._give_back(*start)
            raise NonFiniteLossError(f"{error}; the model has {kept}") from None
        finally:
            tell(self.callbacks, "on_train_end", self)

    def _epochs(self, seconds_before: float) -> None:
        """Train the epochs that are left."""
        started = time.perf_counter()
        judge = Judge(self.model, self.data, self.num_train_samples, self.metrics)
        # A diverging run overflows on its way to infinity; the check of the loss reports it.
        quiet = np.errstate(over="ignore", invalid="ignore", under="ignore")
        with progress_bar(self) as show, quiet:
            while self.epoch < self.num_epochs and not self.stopped_early:
                rows, rate = self._one_epoch(show)
                self.epoch += 1
                self._require_finite(rate)
                with self.average.inside(self.model) if self.average else nullcontext():
                    record = {
                        "epoch": self.epoch,
                        "loss": self._mean_over_rows(rows),
                        **judge.judged(self._scores),
                        "learning_rate": rate,
                        "seconds": seconds_before + time.perf_counter() - started,
                    }
                    self.history.append(record)
                    self._keep_if_best(record)
                over = self.patience.is_over(record)
                over |= tell(self.callbacks, "on_epoch_end", self, record)
                self.stopped_early = over and self.epoch < self.num_epochs
                if self.checkpoint is not None:
                    solver_checkpoint.save(self, self.checkpoint)
                if self.on_epoch is not None:
                    self.on_epoch(record)

    def _one_epoch(self, show: Callable[[], None]) -> tuple[Array, float | None]:
        """Visit every row once; return their order and the learning rate of the last step.

        Where a callback ends the epoch, the rows that were visited.
        """
        rows = self.rng.permutation(len(self.X_train))
        batches = math.ceil(len(rows) / self.batch_size)
        stepper = self._stepper = self._stepper or self._new_stepper()
        stepper.own()
        at_once = 1 if self.average else stepper.batches_at_once
        rate = self._base_rate
        for first in range(0, batches, at_once):
            last = min(first + at_once, batches)
            rates = self._rates(range(first, last), batches)
            shown = len(self.loss_history) // self.print_every
            losses = stepper.run(rows[first * self.batch_size : last * self.batch_size], rates)
            rate = rates[len(losses) - 1]
            self._note(losses, rate)
            if self.average is not None:
                self.average.follow(self.model, len(self.loss_history))
            if len(self.loss_history) // self.print_every > shown:
                show()
            if tell(self.callbacks, "on_batches_end", self):
                return rows[: last * self.batch_size], rate
        return rows, rate

    def _rates(self, steps: range, batches: int) -> list[float | None]:
        """The learning rate of each of these steps of the epoch, if the rule has one."""
        if self._base_rate is None:
            return [None] * len(steps)
        if self._one_rate_an_epoch:
            return [self._rate(self._base_rate, 0.0)] * len(steps)
        return [self._rate(self._base_rate, batch / batches) for batch in steps]

    def _rate(self, base: float, of_the_epoch: float) -> float:
        return base * float(self.schedule((self.epoch + of_the_epoch) / self.num_epochs))

    def _new_stepper(self) -> engine.Stepper:
        """The engine's stepper, or the readable one."""
        augment = self.augment and (lambda X: self.augment(X, self.rng))  # type: ignore[misc]
        rows = replace(self.data.train, sample_weight=self.data.train_weights)
        arguments = (self.model, self.rule, self.optim_configs)
        return engine.stepper(
            *arguments, rows.X, rows.y, self.batch_size, augment, rows.sample_weight, self.max_norm
        ) or Readable(*arguments, rows, self.batch_size, augment, self.max_norm)

    def _note(self, losses: list[float], rate: float | None) -> None:
        """Keep finite losses; refuse another one, which is the last of ``Stepper.run``."""
        if math.isfinite(losses[-1]):
            self.loss_history += losses
            return
        self.loss_history += losses[:-1]
        at = f"iteration {len(self.loss_history) + 1} (epoch {self.epoch + 1})"
        raise _diverged(f"the loss became {losses[-1]} at {at}", rate)

    def _require_finite(self, rate: float | None) -> None:
        """An epoch's last step has no loss after it to tell that it went astray."""
        for name, array in self.model.params.items():
            if not np.isfinite(array).all():
                at = f"iteration {len(self.loss_history)} (epoch {self.epoch})"
                raise _diverged(f"{name} became non-finite at {at}", rate)

    def _mean_over_rows(self, rows: Array) -> float:
        """Give the mean of an epoch's losses, each batch's weighed by what its rows count."""
        starts = np.arange(0, len(rows), self.batch_size)
        if self.data.train_weights is None:
            counts = np.diff(starts, append=len(rows))
        else:
            counts = np.add.reduceat(self.data.train_weights[rows], starts)
        # Rows of an epoch that a callback has ended may count nothing: their losses are all 0 then.
        known = counts if counts.any() else None
        return float(np.average(self.loss_history[-len(starts) :], weights=known))

    def _keep_if_best(self, record: dict[str, Any]) -> None:
        """Keep what the model has now: the best, or without validation rows the last."""
        if self.data.val is not None:
            if self.best_params and watched(record) <= self.best_val_acc:
                return
            self.best_val_acc = watched(record)
        self.best_params = copies(self.model.params)
        self.best_state = copies(state_of(self.model))

    def _give_back(self, params: dict[str, Array], state: dict[str, Array]) -> str:
        """Leave the best parameters in the model, or these where no epoch ended; say which."""
        which = "the parameters from before this training"
        if self.best_params:
            params, state = self.best_params, self.best_state
            best, word = max(self.history, key=watched), "best"
            if self.data.val is None:
                best, word = self.history[-1], "last"
            which = f"the {word} epoch's parameters (epoch {best['epoch']})"
        self.model.params.update(copies(params))
        state_of(self.model).update(copies(state))
        return which

    def check_accuracy(
        self, X: ArrayLike, y: ArrayLike, num_samples: int | None = None, batch_size: int = 100
    ) -> float:
        """Return the model's accuracy in test mode, a fraction; of several labels, all right.

        Parameters
        ----------
        X, y : arrays
            y as the model's loss takes it; a binary model predicts 1 where its score is > 0.
        num_samples : int, optional
            Use only so many rows, evenly spaced.
        batch_size : int, default 100

        Raises
        ------
        ValueError
            If X and y do not belong together, or a label is none of the model's, or the model is
            a regression.
        """
        rows = solver_inputs.Rows(np.asarray(X), np.asarray(y))
        return solver_scores.accuracy(self.model, self._scores, rows, num_samples, batch_size)

    def _scores(self, X: Array) -> Any:
        """Test-mode scores: the stepper's, once there is one."""
        return self.model.loss(X) if self._stepper is None else self._stepper.scores(X)


def _diverged(what: str, rate: float | None) -> NonFiniteLossError:
    with_rate = "" if rate is None else f", learning rate {rate:.3g}"
    return NonFiniteLossError(
        f"{what}{with_rate}: try a learning rate 3 to 10 times smaller, smaller initial weights, "
        "or batch normalisation; and check that the inputs are finite and scaled"
    )
