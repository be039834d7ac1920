"""A model that writes down what a Solver does with it; its accuracy follows a plan.

Each row of X starts with the row's number. ``params['W']`` is one number that every step of plain
SGD moves; where it stands decides how many validation rows the model gets right. Imports nothing
of handgrad: the child loads this file by its path.
"""

from typing import Any

import numpy as np


class Probe:
    """A binary-or-more model with one parameter, planned scores and a record of visits.

    Parameters
    ----------
    classes : int
        Columns of the scores.
    plan : list of float
        ``plan[k]`` is the fraction of rows that the model gets right once W has made k epochs'
        worth of steps (W moves by 1 a step; ``steps`` is an epoch's).
    steps : int
    """

    def __init__(self, classes: int, plan: list[float], steps: int) -> None:
        self.params: dict[str, Any] = {"W": np.zeros(1)}
        self.classes, self.plan, self.steps = classes, plan, steps
        self.visits: list[float] = []
        self.batches: list[int] = []
        self.reg = 0.0

    def loss(self, X: Any, y: Any = None) -> Any:
        """Record the rows of a training batch, or give scores of the planned accuracy."""
        X = np.asarray(X)
        numbers = X.reshape(len(X), -1)[:, 0]
        if y is None:
            done = round(float(self.params["W"][0]))
            fraction = self.plan[min(done // self.steps, len(self.plan) - 1)]
            label = numbers.astype(int) % self.classes
            wrong = (numbers % 100) >= round(100 * fraction)
            scores = np.zeros((len(X), self.classes))
            scores[np.arange(len(X)), (label + wrong) % self.classes] = 1.0
            return scores
        self.visits += [float(number) for number in numbers]
        self.batches.append(len(X))
        return float(len(self.batches)), {"W": np.array([-1.0])}
