"""How good a model is on rows: accuracy or R2, loss and metrics, all of scores made once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.solver_inputs import Rows, TrainingData, task_of

Metric = Callable[[Array, Array], float]
Record = dict[str, Any]  # of an epoch, as in Solver.history


def scores_of(scores: Callable[[Array], Any], X: Array, batch_size: int = 100) -> Array:
    """Give the scores of rows, made by batches."""
    parts = [np.asarray(scores(X[i : i + batch_size])) for i in range(0, len(X), batch_size)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class Judge:
    """What an epoch's record says of a model, beside its training loss.

    Parameters
    ----------
    model : object with ``params`` and ``loss``
    data : TrainingData
    num_train_samples : int or None
        Of so many training rows accuracy or R2 is measured.
    metrics : mapping of names to functions of (y, scores)
    """

    def __init__(
        self,
        model: object,
        data: TrainingData,
        num_train_samples: int | None,
        metrics: Mapping[str, Metric],
    ) -> None:
        self._loss = getattr(model, "loss_of", None)
        self._task = task_of(model)
        self._train, self._val = data.train.evenly_spaced(num_train_samples), data.val
        self._weighted = {} if data.val_weights is None else {"sample_weight": data.val_weights}
        self._metrics = metrics

    def judged(self, scores: Callable[[Array], Any]) -> Record:
        """Give val_loss, train_NAME, val_NAME (accuracy or r2) and the metrics, those there are.

        scores : gives test-mode scores of rows.
        """
        name = "r2" if self._task == "regress" else "accuracy"
        of_val: Record = {}
        record: Record = {}
        if self._val is not None:
            y = self._val.y
            given = scores_of(scores, self._val.X)
            of_val[f"val_{name}"] = score(self._task, given, y, self._val.sample_weight)
            if self._loss is not None:
                record["val_loss"] = float(self._loss(given, y, **self._weighted))
            for each, metric in self._metrics.items():
                of_val[f"val_{each}"] = float(metric(y, given))
        given = scores_of(scores, self._train.X)
        record[f"train_{name}"] = score(self._task, given, self._train.y, self._train.sample_weight)
        return record | of_val


def watched(record: Record) -> float:
    """The number whose rise is progress: validation accuracy or R2, else minus the loss."""
    for name in ("val_accuracy", "val_r2"):
        if name in record:
            value = float(record[name])
            return -np.inf if np.isnan(value) else value
    return -float(record["loss"])


def standing(record: Record) -> tuple[float, float]:
    """Give the watched number and minus the validation loss, by which equal epochs are told.

    Few validation rows have few different accuracies; the loss says which epoch is surest.
    """
    loss = float(record.get("val_loss", np.inf))
    return watched(record), -np.inf if np.isnan(loss) else -loss


def accuracy(
    model: object, scores: Callable[[Array], Any], rows: Rows, num_samples: int | None, batch: int
) -> float:
    """Check rows, and give the accuracy on so many of them; see `Solver.check_accuracy`."""
    if task_of(model) == "regress":
        raise ValueError("check_accuracy: the model's task is regression, which has no accuracy")
    if len(rows.X) == 0 or len(rows.X) != len(rows.y):
        raise ValueError(
            "check_accuracy: X and y must have the same number of rows, at least 1; "
            f"got {len(rows.X)} and {len(rows.y)}"
        )
    if num_samples is not None and num_samples < 1:
        raise ValueError(f"check_accuracy: num_samples must be at least 1; got {num_samples}")
    chosen = rows.evenly_spaced(num_samples)
    return score(task_of(model), scores_of(scores, chosen.X, batch), chosen.y)


def score(task: str, scores: Array, y: Array, weights: Array | None = None) -> float:
    """Give the accuracy of scores, or for 'regress' their R2; rows count by their weights.

    Raises
    ------
    ValueError
        If y does not belong to the scores, or has a label that is none of the model's.
    """
    if task == "regress":
        return r2(scores, y, weights)
    right = _all_right(scores, y) if task == "multilabel" else _right(scores, y)
    if weights is not None:
        return float(np.average(right, weights=weights))
    return int(np.count_nonzero(right)) / len(right)


def _right(scores: Array, y: Array) -> Array:
    """Whether each row's label is the one that the scores say."""
    labels = y.reshape(-1)
    binary = scores.ndim == 1 or scores.shape[1] == 1
    _require_labels(labels, (-1, 0, 1) if binary else range(scores.shape[1]), len(scores))
    if binary:
        found: Array = (scores.reshape(-1) > 0) == (labels > 0)
        return found
    found = scores.argmax(axis=1) == labels
    return found


def _all_right(scores: Array, y: Array) -> Array:
    """Whether all labels of each row are as the scores say."""
    if y.shape != scores.shape:
        raise ValueError(
            f"check_accuracy: y must be (N, L) = {scores.shape}, 0 or 1 a label; got {y.shape}"
        )
    _require_labels(y.reshape(-1), (0, 1), scores.size)
    found: Array = ((scores > 0) == (y > 0)).all(axis=1)
    return found


def _require_labels(labels: Array, known: Sequence[int], count: int) -> None:
    """Refuse labels that the model cannot mean: they would only look like bad accuracy."""
    if len(labels) != count:
        raise ValueError(
            f"check_accuracy: y must be (N,), one label a row; got {len(labels)} for {count} rows"
        )
    if labels.dtype.kind in "iu" and known[0] <= labels.min() and labels.max() <= known[-1]:
        return  # whole numbers from the first to the last: the usual labels are told at once
    unknown = np.setdiff1d(labels, known)
    if unknown.size:
        shown = ", ".join(str(label) for label in unknown[:10].tolist())
        raise ValueError(
            f"check_accuracy: the model's labels are {', '.join(map(str, known))}; got {shown}"
        )


def r2(scores: Array, y: Array, weights: Array | None = None) -> float:
    """Give R2 = 1 - sum_n w_n (y_n - s_n)^2 / sum_n w_n (y_n - mean(y))^2, the mean over outputs.

    Of an output whose y is constant R2 is 1 where all scores are it, else 0, as scikit-learn has
    it.

    Parameters
    ----------
    scores, y : arrays (N,), (N, 1) or (N, K)
    weights : array (N,), optional

    Raises
    ------
    ValueError
        If y is of another shape than the scores.
    """
    if len(y) != len(scores) or y.size != scores.size:
        raise ValueError(
            f"r2: y must have the scores' shape {scores.shape}, a number an output; got {y.shape}"
        )
    truth = y.reshape(len(y), -1).astype(np.float64)
    given = scores.reshape(len(y), -1).astype(np.float64)
    w = np.ones((len(y), 1)) if weights is None else weights[:, None]
    left = (w * (truth - given) ** 2).sum(axis=0)
    around = (w * (truth - np.average(truth, axis=0, weights=w[:, 0])) ** 2).sum(axis=0)
    varies = around > 0
    each = np.where(left == 0, 1.0, 0.0)
    each[varies] = 1 - left[varies] / around[varies]
    return float(each.mean())
