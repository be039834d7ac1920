"""A peer: the same network in scikit-learn, whose MLPClassifier has dense layers alone."""

import numpy as np
from sklearn.neural_network import MLPClassifier

from handgrad.arrays import Array
from handgrad.bench.workloads import RATE, Workload
from handgrad.descriptions import Dense


class SklearnSide:
    """scikit-learn's MLPClassifier with the same batches, Adam and no penalty."""

    def __init__(self, work: Workload, X: Array, y: Array) -> None:
        hidden = [layer.units for layer in work.layers if isinstance(layer, Dense)][:-1]
        self.model = MLPClassifier(
            hidden,
            batch_size=work.batch_size,
            learning_rate_init=RATE,
            alpha=0.0,
            max_iter=1,
            random_state=0,
        )
        self.X, self.y = X.reshape(len(X), -1), y
        self.batch = self.X[: work.batch_size]
        self.classes = np.unique(y)

    def epoch(self) -> list[float]:
        """One partial_fit is one shuffled epoch."""
        self.model.partial_fit(self.X, self.y, classes=self.classes)
        return [float(self.model.loss_)]

    def predict(self) -> None:
        """Probabilities of one batch."""
        self.model.predict_proba(self.batch)
