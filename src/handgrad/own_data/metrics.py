"""How good predictions are, by the names of `training_record.METRICS`; scikit-learn's definitions.

The first metric of a task is what the Solver chooses the best epoch by.
"""

import numpy as np

from handgrad.arrays import Array
from handgrad.solver_scores import r2
from handgrad.training_record import Metrics, finite

_SMALLEST = float(np.finfo(np.float64).eps)  # a probability of 0 would make one row's loss infinite


def of_classes(labels: Array, probabilities: Array) -> Metrics:
    """Measure a classification.

    Parameters
    ----------
    labels : int array (N,), in [0, C)
    probabilities : array (N, C)
        The class of the largest is predicted, the first of equals. For the log loss they are
        clipped at the spacing of float64, as scikit-learn does.

    Returns
    -------
    mapping
        accuracy; balanced_accuracy, the mean share that is right of each class that is there;
        log_loss in nats.
    """
    right = probabilities.argmax(axis=1) == labels
    classes = np.unique(labels)
    of_class = [float(right[labels == c].mean()) for c in classes]
    own = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "accuracy": finite(float(right.mean())),
        "balanced_accuracy": finite(float(np.mean(of_class))),
        "log_loss": finite(float(-np.log(np.clip(own, _SMALLEST, 1)).mean())),
    }


def of_labels(labels: Array, probabilities: Array) -> Metrics:
    """Measure several labels at once, each of which may be true.

    Parameters
    ----------
    labels : array (N, L) of 0 and 1
    probabilities : array (N, L)
        Of a 1; more than a half predicts it.
    """
    predicted = probabilities > 0.5
    truth = labels > 0.5
    pairs = [
        of_classes(truth[:, j].astype(np.int64), np.stack([1 - p, p], axis=1))
        for j, p in enumerate(probabilities.astype(np.float64).T)
    ]
    means = {
        name: finite(float(np.mean([_number(pair[name]) for pair in pairs])))
        for name in ("balanced_accuracy", "log_loss")
    }
    return {
        "accuracy": finite(float((predicted == truth).all(axis=1).mean())),
        "label_accuracy": finite(float((predicted == truth).mean())),
        **means,
    }


def of_numbers(truth: Array, predicted: Array) -> Metrics:
    """Measure a regression, in the target's units; of several targets the mean over them.

    Parameters
    ----------
    truth, predicted : arrays (N,) or (N, L)

    Returns
    -------
    mapping
        r2 is 1 - sum((truth - predicted)²) / sum((truth - mean(truth))²), None where a target does
        not vary among these rows; rmse; mae.
    """
    truth = truth.reshape(len(truth), -1).astype(np.float64)
    errors = predicted.reshape(truth.shape).astype(np.float64) - truth
    varies = bool((np.ptp(truth, axis=0) > 0).all())
    return {
        "r2": finite(r2(predicted, truth)) if varies else None,
        "rmse": finite(float(np.sqrt(np.square(errors).mean(axis=0)).mean())),
        "mae": finite(float(np.abs(errors).mean())),
    }


def of(task: str, truth: Array, predicted: Array) -> Metrics:
    """Measure by the task: probabilities for labels, values for numbers."""
    function = {"classify": of_classes, "multilabel": of_labels, "regress": of_numbers}[task]
    return function(truth, predicted)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
