"""Seconds to an accuracy: handgrad and scikit-learn on MNIST, each with an optimiser of its own.

Steps cannot be compared where the optimisers differ: what counts is how long a user waits.
"""

import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.datasets import load_mnist

Trainer = Callable[[Array, Array, Array, Array, float], float]

_EPOCHS = 40


class _ReachedError(Exception):
    """Training may end here."""


@dataclass(frozen=True)
class Goal:
    """A model and the validation accuracy to reach."""

    title: str
    accuracy: float
    hidden: tuple[int, ...]


GOALS = (Goal("softmax 784-10", 0.92, ()), Goal("784-100-10", 0.97, (100,)))


def _handgrad(goal: Goal) -> Trainer:
    from handgrad.softmax import SoftmaxClassifier
    from handgrad.solver import Solver

    def train(X: Array, y: Array, X_val: Array, y_val: Array, accuracy: float) -> float:
        rng = np.random.default_rng(0)
        hidden = goal.hidden[0] if goal.hidden else None
        model = SoftmaxClassifier(784, hidden, weight_scale="he", dtype=np.float32, rng=rng)
        data = {"X_train": X, "y_train": y, "X_val": X_val, "y_val": y_val}
        reached: list[float] = []

        def look(record: Any) -> None:
            reached.append(record["val_accuracy"])
            if record["val_accuracy"] >= accuracy:
                raise _ReachedError

        solver = Solver(
            model,
            data,
            "adam",
            {"learning_rate": 1e-3},
            batch_size=100,
            num_epochs=_EPOCHS,
            num_train_samples=1,
            rng=rng,
            verbose=False,
            on_epoch=look,
        )
        with contextlib.suppress(_ReachedError):
            solver.train()
        return max(reached)

    return train


def _by_epochs(make: Callable[[], Any]) -> Trainer:
    def train(X: Array, y: Array, X_val: Array, y_val: Array, accuracy: float) -> float:
        model, best = make(), 0.0
        rng, classes = np.random.default_rng(0), np.unique(y)
        for _ in range(_EPOCHS):
            rows = rng.permutation(len(X))
            model.partial_fit(X[rows], y[rows], classes=classes)
            best = max(best, float(model.score(X_val, y_val)))
            if best >= accuracy:
                break
        return best

    return train


def _trainers(goal: Goal) -> dict[str, Trainer]:
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.neural_network import MLPClassifier

    trainers = {"handgrad": _handgrad(goal)}
    if goal.hidden:
        trainers["MLPClassifier"] = _by_epochs(
            lambda: MLPClassifier(goal.hidden, batch_size=100, alpha=0.0, random_state=0)
        )
        return trainers

    def converge(X: Array, y: Array, X_val: Array, y_val: Array, accuracy: float) -> float:
        model = LogisticRegression(max_iter=_EPOCHS).fit(X, y)
        return float(model.score(X_val, y_val))

    trainers["SGDClassifier"] = _by_epochs(lambda: SGDClassifier(loss="log_loss", random_state=0))
    trainers["LogisticRegression"] = converge
    return trainers


def seconds_to_accuracy(repeats: int) -> list[dict[str, Any]]:
    """Let the sides take turns; give medians and the accuracies reached."""
    digits = load_mnist(offline=True)

    def rows(X: Array) -> Array:
        return np.asarray(X, dtype=np.float32).reshape(len(X), -1)

    X, X_val = rows(digits.X_train), rows(digits.X_val)
    found = []
    for goal in GOALS:
        trainers = _trainers(goal)
        seconds: dict[str, list[float]] = {name: [] for name in trainers}
        best: dict[str, float] = {}
        for _ in range(repeats):
            for name, train in trainers.items():
                started = time.perf_counter()
                best[name] = train(X, digits.y_train, X_val, digits.y_val, goal.accuracy)
                seconds[name].append(time.perf_counter() - started)
        found.append(
            {
                "title": goal.title,
                "accuracy": goal.accuracy,
                "sides": [
                    {
                        "side": name,
                        "seconds": statistics.median(times),
                        "lowest": min(times),
                        "highest": max(times),
                        "reached": best[name],
                    }
                    for name, times in seconds.items()
                ],
            }
        )
    return found
