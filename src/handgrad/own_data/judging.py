"""The kept net on the test rows, and which columns it lives by: what the report shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from handgrad.analysis import Analysis, analyse
from handgrad.arrays import Array
from handgrad.own_data import metrics
from handgrad.training_record import Importance, Regression, Residual, TargetAnalysis

_POINTS = 1000
_WORST = 24
_BINS = 30
_REPEATS = 5
_MOST_ROWS = 2000  # of the validation rows, for importances
_MOST_PASSES = 300


def of_labels(
    names: Sequence[str], labels: Array, probabilities: Array, numbers: Array, seed: int
) -> tuple[TargetAnalysis, ...]:
    """Analyse each of several labels."""
    found = []
    for j, name in enumerate(names):
        p = probabilities[:, j]
        both = np.stack([1 - p, p], axis=1)
        analysis = analyse(
            (labels[:, j] > 0.5).astype(np.int64), seed=seed, classes=("0", "1"), probabilities=both
        )
        found.append(TargetAnalysis(name, numbered(analysis, numbers), None))
    return tuple(found)


def of_numbers(
    names: Sequence[str], truth: Array, predicted: Array, numbers: Array
) -> tuple[TargetAnalysis, ...]:
    """Analyse each target of a regression, in its own units.

    Parameters
    ----------
    truth, predicted : arrays (N,) or (N, L)
    numbers : int array (N,)
        The rows' numbers in the data.
    """
    truth, predicted = truth.reshape(len(truth), -1), predicted.reshape(len(truth), -1)
    found = []
    for j, name in enumerate(names):
        errors = predicted[:, j] - truth[:, j]
        shown = np.linspace(0, len(errors) - 1, min(_POINTS, len(errors))).round().astype(np.int64)
        worst = np.argsort(-np.abs(errors), kind="stable")[:_WORST]
        counts, edges = np.histogram(errors, _BINS)
        pairs = [
            tuple(
                Residual(
                    int(numbers[row]),
                    float(truth[row, j]),
                    float(predicted[row, j]),
                    float(errors[row]),
                )
                for row in rows
            )
            for rows in (shown, worst)
        ]
        regression = Regression(
            len(errors), pairs[0], tuple(edges.tolist()), tuple(counts.tolist()), pairs[1]
        )
        found.append(TargetAnalysis(name, None, regression))
    return tuple(found)


def numbered(analysis: Analysis, numbers: Array) -> Analysis:
    """Give the mistakes the numbers that their rows have in the data."""
    mistakes = [replace(each, row=int(numbers[each.row])) for each in analysis.mistakes]
    return replace(analysis, mistakes=tuple(mistakes))


def importances(
    X: Array,
    y: Array,
    groups: Mapping[str, slice],
    score: Callable[[Array, Array], float | None],
    rng: np.random.Generator,
) -> tuple[tuple[Importance, ...], int]:
    """Measure how much the score falls when a column's inputs are shuffled among the rows.

    Parameters
    ----------
    X : array (N, D)
        Inputs of validation rows; at most 2,000 of them are used.
    y : array (N, ...)
    groups : mapping of str to slice
        A column's inputs: all that are made of it move together.
    score : function
        Of inputs and y.
    rng : numpy.random.Generator

    Returns
    -------
    importances : tuple of Importance
        The largest first. Each is measured five times, less often where there are many columns.
    rows : int
    """
    if len(X) > _MOST_ROWS:
        rows = rng.permutation(len(X))[:_MOST_ROWS]
        X, y = X[rows], y[rows]
    repeats = max(1, min(_REPEATS, _MOST_PASSES // max(1, len(groups))))
    whole = score(X, y)
    found = []
    for name, inputs in groups.items():
        falls = []
        for _ in range(repeats):
            shuffled = X.copy()
            shuffled[:, inputs] = X[rng.permutation(len(X)), inputs]
            now = score(shuffled, y)
            falls.append(0.0 if whole is None or now is None else whole - now)
        std = float(np.std(falls, ddof=1)) if repeats > 1 else 0.0
        found.append(Importance(name, float(np.mean(falls)), std, repeats))
    return tuple(sorted(found, key=lambda each: -each.mean)), len(X)


def first_metric(task: str, truth: Array, predicted: Array) -> float | None:
    """Give the metric that the best epoch is chosen by."""
    return metrics.of(task, truth, predicted)["r2" if task == "regress" else "accuracy"]
