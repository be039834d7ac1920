"""The readable step of any model, one batch after another; and averages of what it steps."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from handgrad import optim
from handgrad.arrays import Array
from handgrad.solver_inputs import Rows


class Model(Protocol):
    """What a Solver needs of a model: the assignment's ``params`` and ``loss``.

    Used when the model has them: ``state`` (running statistics, a dict of arrays) and ``rng`` (a
    numpy Generator), of which the first travels with the best parameters, both with checkpoints;
    ``task`` ('classify', 'multilabel' or 'regress'); ``loss(X, y, sample_weight)`` for weights;
    ``loss_of(scores, y, sample_weight)`` for the validation loss.
    """

    params: dict[str, Array]

    def loss(self, X: Any, y: Any = None) -> Any:
        """Return test-mode scores, or with y the training loss and its gradients."""


class Readable:
    """Steps of any model as they are told: its loss and gradients, then the rule.

    What stands behind `handgrad.engine.stepper`, in plain words: ``run`` gives the losses of its
    batches up to one that is not finite.

    Parameters
    ----------
    model, rule, configs, batch_size, augment, max_norm : as `handgrad.engine.stepper` takes them
    rows : Rows
        To train on, with what they count in the loss.
    """

    batches_at_once = 1

    def __init__(
        self,
        model: Model,
        rule: optim.Rule,
        configs: dict[str, optim.Config],
        rows: Rows,
        batch_size: int,
        augment: Callable[[Array], Array] | None,
        max_norm: float | None,
    ) -> None:
        self._model, self._rule, self._configs = model, rule, configs
        self._rows, self._batch_size, self._augment = rows, batch_size, augment
        self._max_norm = max_norm

    def own(self) -> None:
        """Nothing is changed in place."""

    def run(self, rows: Array, rates: list[float | None]) -> list[float]:
        """Step once for each batch of these rows."""
        losses: list[float] = []
        for batch, rate in enumerate(rates):
            loss, grads = self._loss(
                rows[batch * self._batch_size : (batch + 1) * self._batch_size]
            )
            losses.append(float(loss))
            if not math.isfinite(losses[-1]):
                break
            if self._max_norm is not None:
                grads = optim.clipped(grads, self._max_norm)
            for name, w in self._model.params.items():
                if rate is not None:
                    self._configs[name]["learning_rate"] = rate
                stepped = self._rule(w, grads[name], self._configs[name])
                self._model.params[name], self._configs[name] = stepped
        return losses

    def _loss(self, chosen: Array) -> tuple[float, dict[str, Array]]:
        """The loss of a batch, and its gradients."""
        X, y, weights = self._rows.X[chosen], self._rows.y[chosen], self._rows.sample_weight
        if self._augment is not None:
            X = self._augment(X)
        weighted = {} if weights is None else {"sample_weight": weights[chosen]}
        loss: tuple[float, dict[str, Array]] = self._model.loss(X, y, **weighted)
        return loss

    def scores(self, X: ArrayLike) -> Any:
        """The model's test-mode scores."""
        return self._model.loss(X)


class Average:
    """Moving averages of a model's parameters and statistics: mean' = d mean + (1 - d) now.

    After step t, from 1 on, d = min(decay, t / (9 + t)): the first steps, and the parameters
    before them, are soon forgotten. Polyak & Juditsky, "Acceleration of stochastic approximation by
    averaging", 1992; d as in TensorFlow's ExponentialMovingAverage.

    Attributes
    ----------
    params, state : dicts of arrays
        The averages; empty until ``start``.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.params: dict[str, Array] = {}
        self.state: dict[str, Array] = {}

    def start(self, model: Model) -> None:
        """Begin with the model as it is, unless there are averages to go on from."""
        if not self.params:
            self.params.update(copies(model.params))
            self.state.update(copies(state_of(model)))

    def follow(self, model: Model, step: int) -> None:
        """Take in the model as it is after a step, counted from 1."""
        share = 1 - min(self.decay, step / (9 + step))
        for means, now in ((self.params, model.params), (self.state, state_of(model))):
            for name, mean in means.items():
                mean += np.asarray(share * (now[name] - mean), mean.dtype)

    @contextmanager
    def inside(self, model: Model) -> Iterator[None]:
        """Let the model have the averages for a while."""
        own = dict(model.params), dict(state_of(model))
        model.params.update(self.params)
        state_of(model).update(self.state)
        try:
            yield
        finally:
            model.params.update(own[0])
            state_of(model).update(own[1])


def state_of(model: Model) -> dict[str, Array]:
    """The model's running statistics, if it has any."""
    state: dict[str, Array] = getattr(model, "state", {})
    return state


def copies(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays that nobody else has."""
    return {name: array.copy() for name, array in arrays.items()}
