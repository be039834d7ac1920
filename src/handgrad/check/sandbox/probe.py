"""A model that writes down what a Solver does with it; its accuracy follows a plan.

Each row of X starts with the row's number. ``params['W']`` is one number that every step of plain
SGD moves; where it stands decides how many validation rows the model gets right. Imports nothing
of handgrad: the child loads this file by its path.
"""

from typing import Any

import numpy as np


class Probe:
    """A model with one parameter, planned scores and a record of visits.

    Parameters
    ----------
    classes : int
        Columns of the scores; 1: binary scores (N,), right where their sign is the label's.
    plan : list of float
        ``plan[W // steps]`` is the fraction of rows that the model gets right, of rows whose
        label is ``number % max(classes, 2)``.
    steps : int
        Of an epoch: W moves by the learning rate a step.
    second : bool, default False
        Another parameter of W's shape, ``params['V']``, whose gradient is three times W's.
    """

    def __init__(self, classes: int, plan: list[float], steps: int, second: bool = False) -> None:
        self.params: dict[str, Any] = {"W": np.zeros(1)}
        if second:
            self.params["V"] = np.zeros(1)
        self.classes, self.plan, self.steps = classes, plan, steps
        self.visits: list[float] = []
        self.batches: list[int] = []
        self.path: list[float] = []  # W before each step
        self.second_path: list[float] = []  # V
        self.reg = 0.0

    def loss(self, X: Any, y: Any = None) -> Any:
        """Record the rows of a training batch, or give scores of the planned accuracy."""
        X = np.asarray(X)
        numbers = X.reshape(len(X), -1)[:, 0]
        if y is None:
            return self._scores(numbers)
        self.visits += [float(number) for number in numbers]
        self.batches.append(len(X))
        self.path.append(float(self.params["W"][0]))
        grads = {"W": np.array([-1.0])}
        if "V" in self.params:
            self.second_path.append(float(self.params["V"][0]))
            grads["V"] = np.array([-3.0])
        return float(len(self.batches)), grads

    def _scores(self, numbers: Any) -> Any:
        done = int(float(self.params["W"][0]) / self.steps + 1e-6)
        fraction = self.plan[min(max(done, 0), len(self.plan) - 1)]
        wrong = (numbers % 100) >= round(100 * fraction)
        label = (numbers.astype(int) + wrong) % max(self.classes, 2)
        if self.classes == 1:
            return np.where(label == 1, 1.0, -1.0)
        scores = np.zeros((len(numbers), self.classes))
        scores[np.arange(len(numbers)), label] = 1.0
        return scores
