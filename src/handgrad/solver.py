"""The training loop: shuffled batches, updates, histories, the best snapshot, checkpoints."""

import copy
import math
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from handgrad import engine, optim, solver_checkpoint, solver_inputs
from handgrad.arrays import Array
from handgrad.errors import NonFiniteLossError
from handgrad.randomness import default_rng
from handgrad.solver_progress import progress_bar


class Model(Protocol):
    """What a Solver needs of a model: the assignment's ``params`` and ``loss``.

    ``state`` (running statistics, a dict of arrays) and ``rng`` (a numpy Generator) are used when
    the model has them: the first travels with the best parameters, both with checkpoints.
    """

    params: dict[str, Array]

    def loss(self, X: Any, y: Any = None) -> Any:
        """Return test-mode scores, or with y the training loss and its gradients."""


class Readable:
    """Steps of any model as they are told: its loss and gradients, then the rule.

    Takes what `handgrad.engine.stepper` takes, and is what stands behind that door, in plain
    words: ``run`` gives the losses of its batches up to one that is not finite.
    """

    batches_at_once = 1

    def __init__(
        self,
        model: Model,
        rule: optim.Rule,
        configs: dict[str, optim.Config],
        X: Array,
        y: Array,
        batch_size: int,
        augment: Callable[[Array], Array] | None,
    ) -> None:
        self._model, self._rule, self._configs = model, rule, configs
        self._X, self._y, self._batch_size, self._augment = X, y, batch_size, augment

    def own(self) -> None:
        """Nothing is changed in place."""

    def run(self, rows: Array, rates: list[float | None]) -> list[float]:
        """Step once for each batch of these rows."""
        losses: list[float] = []
        for batch, rate in enumerate(rates):
            chosen = rows[batch * self._batch_size : (batch + 1) * self._batch_size]
            X = self._X[chosen]
            if self._augment is not None:
                X = self._augment(X)
            loss, grads = self._model.loss(X, self._y[chosen])
            losses.append(float(loss))
            if not math.isfinite(losses[-1]):
                break
            for name, w in self._model.params.items():
                if rate is not None:
                    self._configs[name]["learning_rate"] = rate
                stepped = self._rule(w, grads[name], self._configs[name])
                self._model.params[name], self._configs[name] = stepped
        return losses

    def scores(self, X: ArrayLike) -> Any:
        """The model's test-mode scores."""
        return self._model.loss(X)


class Solver:
    """Train a model.

    Parameters
    ----------
    model : object with ``params`` and ``loss(X, y=None)``
    data : mapping, or object with attributes
        X_train, y_train, X_val, y_val.
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
        Training accuracy is measured on so many evenly spaced rows; None for all.
    checkpoint : path, optional
        Written after every epoch; if the file exists, ``train`` goes on from it, to the same
        parameters and histories, to the last bit, as a run that was never interrupted. A
        checkpoint of other settings, another model or other data is a CheckpointError. Weights
        and random states come from the checkpoint: another seed is not noticed.
    on_epoch : function, optional
        Called with each epoch's record (see ``history``).
    augment : function, optional
        ``augment(X, rng)`` replaces each training batch, with the shuffling's rng.

    Attributes
    ----------
    loss_history : list of float, one an iteration
    train_acc_history, val_acc_history : lists of float, one an epoch
    history : list of dict, one an epoch
        epoch, loss (mean over the epoch's rows), train_accuracy, val_accuracy, learning_rate (of
        the epoch's last step), seconds (since the start of training, interruptions not counted).
    best_val_acc, best_params, best_state :
        The best validation accuracy (the first of equals), and the parameters and running
        statistics of that moment. ``train`` leaves them in the model.
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
    ) -> None:
        self.model = model
        self.X_train, self.y_train, self.X_val, self.y_val = solver_inputs.rows(data)
        self.rule = solver_inputs.named_rule(update_rule)
        self.optim_config = dict(optim_config or {})
        counts = {"batch_size": batch_size, "num_epochs": num_epochs}
        if num_train_samples is not None:
            counts["num_train_samples"] = num_train_samples
        for name, value in counts.items():
            if not (isinstance(value, int | np.integer) and value >= 1):
                raise ValueError(f"Solver: {name} must be a whole number from 1; got {value!r}")
        if schedule is not None and lr_decay != 1.0:
            raise ValueError(
                f"Solver: give schedule or lr_decay, not both; got lr_decay={lr_decay}"
            )
        self.lr_decay, self.batch_size, self.num_epochs = lr_decay, int(batch_size), int(num_epochs)
        if solver_inputs.norm_of_one_row(model, len(self.X_train), self.batch_size):
            text = (
                f"Solver: of {len(self.X_train)} training rows a batch_size of {self.batch_size} "
                "leaves a batch of one row, of which batch norm makes its beta: no gradient goes "
                "through it, and it moves the running variance towards 0; take another batch_size"
            )
            warnings.warn(text, UserWarning, stacklevel=2)
        self.schedule = schedule or optim.per_epoch_decay(lr_decay, self.num_epochs)
        self.print_every, self.verbose = max(1, print_every), verbose
        self.rng = default_rng(rng, "Solver")
        self.num_train_samples = num_train_samples
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.on_epoch, self.augment = on_epoch, augment

        self.optim_configs = {
            name: self._initial_config(array) for name, array in model.params.items()
        }
        # The rate that the schedule multiplies: the given one, or the rule's own default.
        _, probed = self.rule(np.zeros(1), np.zeros(1), dict(self.optim_config))
        self._base_rate: float | None = (probed or {}).get("learning_rate")
        defaults = solver_inputs.defaults(self.rule)
        unknown = set(self.optim_config) - set(defaults) if defaults else set()
        if unknown:
            raise ValueError(
                f"Solver: optim_config of {self.rule.__name__} may hold {', '.join(defaults)}; "
                f"got also {', '.join(sorted(unknown))}"
            )
        self._stepper: engine.Stepper | None = None
        self.epoch = 0
        self.loss_history: list[float] = []
        self.history: list[dict[str, Any]] = []
        self.best_val_acc = -math.inf
        self.best_params: dict[str, Array] = {}
        self.best_state: dict[str, Array] = {}
        if self.checkpoint is not None:
            solver_checkpoint.require_ready(self, self.checkpoint)

    @property
    def train_acc_history(self) -> list[float]:
        """Training accuracy after each epoch, a fraction."""
        return [record["train_accuracy"] for record in self.history]

    @property
    def val_acc_history(self) -> list[float]:
        """Validation accuracy after each epoch, a fraction."""
        return [record["val_accuracy"] for record in self.history]

    def _initial_config(self, array: Array) -> dict[str, Any]:
        config = copy.deepcopy(self.optim_config)
        if self.rule is optim.adamw and array.ndim < 2:
            config["weight_decay"] = 0.0
        return config

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
        self._stepper = None  # a checkpoint has replaced what the last one had
        start = _copies(self.model.params), _copies(getattr(self.model, "state", {}))
        try:
            self._epochs(seconds_before)
        except NonFiniteLossError as error:
            kept = self._give_back(*start)
            raise NonFiniteLossError(f"{error}; the model has {kept}") from None
        self._give_back(*start)

    def _give_back(self, params: dict[str, Array], state: dict[str, Array]) -> str:
        """Leave the best parameters in the model, or these where no epoch ended; say which."""
        which = "the parameters from before this training"
        if self.best_params:
            params, state = self.best_params, self.best_state
            best = max(self.history, key=lambda record: float(record["val_accuracy"]))
            which = f"the best epoch's parameters (epoch {best['epoch']})"
        self.model.params.update(_copies(params))
        if state:
            self.model.state.update(_copies(state))  # type: ignore[attr-defined]
        return which

    def _epochs(self, seconds_before: float) -> None:
        """Train the epochs that are left."""
        started = time.perf_counter()
        # A diverging run overflows on its way to infinity; the check of the loss reports it.
        quiet = np.errstate(over="ignore", invalid="ignore", under="ignore")
        with progress_bar(self) as show, quiet:
            while self.epoch < self.num_epochs:
                first = len(self.loss_history)
                rate = self._one_epoch(show)
                self.epoch += 1
                self._require_finite(rate)
                val_accuracy = self.check_accuracy(self.X_val, self.y_val)
                record = {
                    "epoch": self.epoch,
                    "loss": self._mean_over_rows(self.loss_history[first:]),
                    "train_accuracy": self.check_accuracy(
                        self.X_train, self.y_train, self.num_train_samples
                    ),
                    "val_accuracy": val_accuracy,
                    "learning_rate": rate,
                    "seconds": seconds_before + time.perf_counter() - started,
                }
                self.history.append(record)
                if val_accuracy > self.best_val_acc:
                    self.best_val_acc = val_accuracy
                    self.best_params = _copies(self.model.params)
                    self.best_state = _copies(getattr(self.model, "state", {}))
                if self.checkpoint is not None:
                    solver_checkpoint.save(self, self.checkpoint)
                if self.on_epoch is not None:
                    self.on_epoch(record)

    def _mean_over_rows(self, losses: list[float]) -> float:
        """Give the mean of an epoch's losses, the last batch's weighed by the rows it has."""
        rows = np.full(len(losses), self.batch_size)
        rows[-1] = len(self.X_train) - self.batch_size * (len(losses) - 1)
        return float(np.average(losses, weights=rows))

    def _one_epoch(self, show: Callable[[], None]) -> float | None:
        """Visit every row once; return the learning rate of the last step."""
        rows = self.rng.permutation(len(self.X_train))
        batches = math.ceil(len(rows) / self.batch_size)
        stepper = self._stepper = self._stepper or self._new_stepper()
        stepper.own()
        rate = self._base_rate
        for first in range(0, batches, stepper.batches_at_once):
            last = min(first + stepper.batches_at_once, batches)
            rates = [self._rate(batch, batches) for batch in range(first, last)]
            shown = len(self.loss_history) // self.print_every
            losses = stepper.run(rows[first * self.batch_size : last * self.batch_size], rates)
            rate = rates[len(losses) - 1]
            self._note(losses, rate)
            if len(self.loss_history) // self.print_every > shown:
                show()
        return rate

    def _rate(self, batch: int, batches: int) -> float | None:
        """The learning rate of a step, if the rule has one."""
        if self._base_rate is None:
            return None
        progress = (self.epoch + batch / batches) / self.num_epochs
        return self._base_rate * float(self.schedule(progress))

    def _new_stepper(self) -> engine.Stepper:
        """The engine's stepper, or the readable one."""
        augment = self.augment and (lambda X: self.augment(X, self.rng))  # type: ignore[misc]
        rows = (self.X_train, self.y_train, self.batch_size)
        arguments = (self.model, self.rule, self.optim_configs, *rows, augment)
        return engine.stepper(*arguments) or Readable(*arguments)

    def _note(self, losses: list[float], rate: float | None) -> None:
        """Keep finite losses; refuse the first other one."""
        count = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
        self.loss_history += losses[:count]
        if count < len(losses):
            at = f"iteration {len(self.loss_history) + 1} (epoch {self.epoch + 1})"
            raise _diverged(f"the loss became {losses[count]} at {at}", rate)

    def _require_finite(self, rate: float | None) -> None:
        """An epoch's last step has no loss after it to tell that it went astray."""
        for name, array in self.model.params.items():
            if not np.isfinite(array).all():
                at = f"iteration {len(self.loss_history)} (epoch {self.epoch})"
                raise _diverged(f"{name} became non-finite at {at}", rate)

    def check_accuracy(
        self, X: ArrayLike, y: ArrayLike, num_samples: int | None = None, batch_size: int = 100
    ) -> float:
        """Return the model's accuracy in test mode, a fraction.

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
            If X and y do not belong together, or a label is none of the model's.
        """
        X, y = np.asarray(X), np.asarray(y)
        if len(X) == 0 or len(X) != len(y):
            raise ValueError(
                "check_accuracy: X and y must have the same number of rows, at least 1; "
                f"got {len(X)} and {len(y)}"
            )
        if num_samples is not None and num_samples < 1:
            raise ValueError(f"check_accuracy: num_samples must be at least 1; got {num_samples}")
        if num_samples is not None and num_samples < len(X):
            chosen = np.linspace(0, len(X) - 1, num_samples).round().astype(np.intp)
            X, y = X[chosen], y[chosen]
        correct = 0
        for start in range(0, len(X), batch_size):
            scores = np.asarray(self._scores(X[start : start + batch_size]))
            labels = y[start : start + batch_size].reshape(-1)
            binary = scores.ndim == 1 or scores.shape[1] == 1
            solver_inputs.require_labels(
                labels, (-1, 0, 1) if binary else range(scores.shape[1]), len(scores)
            )
            if binary:
                correct += int(np.sum((scores.reshape(-1) > 0) == (labels > 0)))
            else:
                correct += int(np.sum(scores.argmax(axis=1) == labels))
        return correct / len(X)

    def _scores(self, X: Array) -> Any:
        """Test-mode scores: the stepper's, once there is one."""
        return self.model.loss(X) if self._stepper is None else self._stepper.scores(X)


def _diverged(what: str, rate: float | None) -> NonFiniteLossError:
    with_rate = "" if rate is None else f", learning rate {rate:.3g}"
    return NonFiniteLossError(
        f"{what}{with_rate}: try a learning rate 3 to 10 times smaller, smaller initial weights, "
        "or batch normalisation; and check that the inputs are finite and scaled"
    )


def _copies(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array.copy() for name, array in arrays.items()}
