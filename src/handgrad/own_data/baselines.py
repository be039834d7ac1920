"""What a net has to beat: the most frequent class or the mean, and a linear model."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from handgrad.arrays import Array
from handgrad.errors import NonFiniteLossError
from handgrad.own_data.fitting import Limits, fit
from handgrad.own_data.problem import Problem
from handgrad.own_data.settings import Settings

_PENALTIES = (1e-3, 1e-1, 1e1, 1e3)
_MOST_INPUTS = 4096  # beyond, the normal equations take longer than steps


@dataclass(frozen=True)
class Fitted:
    """A baseline, trained; ``predict`` takes inputs (N, ...) and gives what the net gives.

    ``said`` is what people should know of its training, most often nothing.
    """

    name: str
    description: str
    predict: Callable[[Array], Array]
    seconds: float
    said: str = ""


def majority(problem: Problem) -> Fitted:
    """Say the same of every row: the training rows' shares of the classes, or their mean."""
    y = problem.train.y
    if problem.task == "regress":
        constant = np.asarray(y.mean(axis=0, dtype=np.float64))
        name, description = "mean", "the mean of the training rows, for every row"
    elif problem.task == "multilabel":
        constant = y.mean(axis=0, dtype=np.float64)
        name, description = "majority", "each label's share of the training rows, for every row"
    else:
        constant = np.bincount(y, minlength=problem.outputs) / len(y)
        name = "majority"
        description = "the most frequent class of the training rows, for every row"
    return Fitted(
        name, description, lambda X: np.broadcast_to(constant, (len(X), *constant.shape)), 0.0
    )


def linear(problem: Problem, limits: Limits, seed: int) -> Fitted:
    """Fit a linear model to the same inputs: logistic regression, or ridge regression.

    The penalty of the ridge is the one of four that is best on the validation rows. Where logistic
    regression diverges in its first epoch, what `majority` says stands in its place.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C.
    """
    started = time.perf_counter()
    inputs = int(np.prod(problem.input_shape))
    if problem.task == "regress" and inputs <= _MOST_INPUTS:
        predict, penalty = _ridge(problem)
        text = f"ridge regression on the same inputs, penalty {penalty:g}"
        return Fitted("linear", text, predict, time.perf_counter() - started)
    settings = Settings(
        hidden=(),
        filters=(),
        dropout=0.0,
        learning_rate=1e-2 if inputs < 500 else 1e-3,
        weight_decay=1e-3,
        batch_size=min(256, max(16, len(problem.train.y) // 20)),
        batch_norm=False,
    )
    kind = "linear" if problem.task == "regress" else "logistic"
    try:
        net = fit(problem, settings, limits, seed)
    except NonFiniteLossError:
        constant = majority(problem)
        text = f"{kind} regression diverged; in its place {constant.description}"
        return Fitted("linear", text, constant.predict, time.perf_counter() - started, text)
    if net.interrupted:
        raise KeyboardInterrupt  # half trained, it would be too easy to beat
    text = f"{kind} regression on the same inputs, {len(net.history)} epochs"
    said = f"the linear baseline: {net.stopped}" if net.diverged else ""
    return Fitted("linear", text, net.predict, time.perf_counter() - started, said)


def _ridge(problem: Problem) -> tuple[Callable[[Array], Array], float]:
    """Solve (X'X + penalty) w = X'y about the means, for each penalty from one decomposition."""
    X = problem.train.X.reshape(len(problem.train.X), -1)
    y = problem.train.y.reshape(len(X), -1).astype(np.float64)
    x_mean, y_mean = X.mean(axis=0, dtype=np.float64), y.mean(axis=0)
    gram = np.zeros((X.shape[1], X.shape[1]))
    moment = np.zeros((X.shape[1], y.shape[1]))
    for start in range(0, len(X), 65536):  # in float64, a piece at a time
        piece = X[start : start + 65536] - x_mean
        gram += piece.T @ piece
        moment += piece.T @ (y[start : start + 65536] - y_mean)
    values, vectors = np.linalg.eigh(gram)
    turned = vectors.T @ moment
    truth = problem.val.y.reshape(len(problem.val.y), -1)
    best = (np.inf, 0.0, np.zeros_like(moment))
    for penalty in _PENALTIES:
        w = vectors @ (turned / (np.maximum(values, 0) + penalty)[:, None])
        predicted = (problem.val.X.reshape(len(truth), -1) - x_mean) @ w + y_mean
        error = float(np.square(predicted - truth).mean())
        if error < best[0]:
            best = (error, penalty, w)
    _, penalty, w = best
    shape = problem.train.y.shape[1:]

    def predict(X: Array) -> Array:
        return np.asarray(((X.reshape(len(X), -1) - x_mean) @ w + y_mean).reshape(-1, *shape))

    return predict, penalty
