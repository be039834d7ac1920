"""What the classifiers share: classes, their weights, predictions and probabilities."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from handgrad.arrays import Array
from handgrad.estimators import fitting, inputs
from handgrad.estimators.base import Estimator
from handgrad.network_losses import LossName
from handgrad.probabilities import log_logistic, log_softmax
from handgrad.solver_inputs import ClassWeight, Rows


class Classifier(Estimator):
    """An estimator whose targets are classes, or several labels of 0 or 1 each.

    Attributes
    ----------
    classes_ : array
        The classes in order; of several labels their numbers.
    """

    class_weight: ClassWeight
    label_smoothing: float
    classes_: Array
    _several: bool
    _kind = "classifier"

    def _encoded(self, y: Any, *, reset: bool, classes: Any = None) -> Array:
        """Give codes (n,) of classes, or 0 and 1 (n, L) of several labels."""
        y = inputs.labels(self, y)
        name = type(self).__name__
        if reset:
            self._several = y.ndim == 2
            found = np.arange(y.shape[1]) if self._several else np.unique(y)
            self.classes_ = found if classes is None or self._several else np.unique(classes)
            if len(self.classes_) < 2 and not self._several:
                raise ValueError(
                    f"{name}: y must have at least 2 classes to tell apart; got one class, "
                    f"{self.classes_[0]!r}"
                )
            if self._several and self.class_weight is not None:
                raise ValueError(f"{name}: class_weight is for classes, and y has several labels")
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"{name}: classes must be those of the first call, {self.classes_.tolist()}; got "
                f"{np.unique(classes).tolist()}"
            )
        if self._several != (y.ndim == 2) or (self._several and y.shape[1] != len(self.classes_)):
            raise ValueError(
                f"{name}: y must have the form of the first call's; got shape {y.shape}"
            )
        if self._several:
            return np.asarray(y, np.float64)
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ValueError(
                f"{name}: y has classes that were not seen before: {unknown[:10].tolist()}; "
                f"known are {self.classes_[:20].tolist()}"
            )
        return np.asarray(np.searchsorted(self.classes_, y), np.int64)

    def _loss(self) -> tuple[LossName, int, dict[str, Any]]:
        if self._several:
            return "multilabel", len(self.classes_), {}
        if len(self.classes_) == 2 and not self.label_smoothing:
            return "logistic", 1, {}
        smoothing = {"label_smoothing": self.label_smoothing} if self.label_smoothing else {}
        return "softmax", len(self.classes_), smoothing

    def _class_weights(self, rows: Rows) -> ClassWeight:
        """Give class_weight as the Solver takes it: of codes, those that these rows have."""
        known, name = self.classes_.tolist(), type(self).__name__
        if self.class_weight is None or self.class_weight == "balanced":
            return self.class_weight
        if not isinstance(self.class_weight, Mapping):
            raise ValueError(
                f"{name}: class_weight must be None, 'balanced' or a mapping of classes to "
                f"weights; got {self.class_weight!r}"
            )
        unknown = [each for each in self.class_weight if each not in known]
        if unknown:
            raise ValueError(f"{name}: class_weight has weights of unknown classes: {unknown}")
        given = {known.index(each): weight for each, weight in self.class_weight.items()}
        return {code: weight for code, weight in given.items() if (rows.y == code).any()}

    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Self:
        """Train for one epoch on X and y, on from the last call or fit.

        The update rule's state is kept between calls; the schedule is not followed, and inputs are
        scaled as the first rows decided. With early stopping (``early_stopping=True``, or X_val
        and y_val) the network that predicts and the one that is trained are both scored on the
        call's validation rows, the same ones of the same rows; the second becomes the first where
        it is no worse (of equal scores: where its loss is no higher), and is trained on either way.

        Parameters
        ----------
        X, y : as `fit` takes them
        classes : array-like, optional
            All classes that will come; needed in the first call where y lacks some.
        sample_weight, X_val, y_val : as `fit` takes them
        """
        val = (X_val, y_val, None)
        return self._with_callbacks(fitting.partial_fit, X, y, classes, sample_weight, val)

    def decision_function(self, X: Any) -> Array:
        """Give the network's scores: (n,) for two classes (above 0 the second), else (n, C)."""
        scores = self._scores(X)
        if not self._several and len(self.classes_) == 2 and scores.ndim == 2:
            return np.asarray(scores[:, 1] - scores[:, 0])
        return scores

    def predict(self, X: Any) -> Array:
        """Give the likeliest class of each example (n,); of several labels 0 or 1 each (n, L)."""
        scores = self.decision_function(X)
        if self._several:
            return (scores > 0).astype(np.int64)
        codes = (scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def predict_log_proba(self, X: Any) -> Array:
        """Give the logarithms of `predict_proba`, without its underflow for classes."""
        scores = self.decision_function(X)
        if self._several:
            return log_logistic(scores)
        if scores.ndim == 1:
            scores = np.column_stack([np.zeros(len(scores)), scores])
        return log_softmax(scores)

    def predict_proba(self, X: Any) -> Array:
        """Give each class's probability (n, C); of several labels each one's (n, L)."""
        with np.errstate(under="ignore"):
            return np.asarray(np.exp(self.predict_log_proba(X)))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Give the share of examples that are predicted right, in all of their labels."""
        predicted, y = self.predict(X), np.asarray(y)
        if y.shape != predicted.shape and y.shape != (len(predicted), 1):
            raise ValueError(
                f"{type(self).__name__}.score: y must have the shape {predicted.shape}; "
                f"got {y.shape}"
            )
        right = np.asarray(predicted == y.reshape(predicted.shape))
        right = np.asarray(right.all(axis=1)) if right.ndim == 2 else right
        weight = inputs.weights(self, sample_weight, len(right))
        return float(np.average(right, weights=weight))
