"""How long will it take? Time a few real training steps of each experiment before starting.

A worker does it, so that workers do it side by side.
"""

import math
import time
from dataclasses import dataclass

import numpy as np

from handgrad.blas import limited_to
from handgrad.datasets import Dataset
from handgrad.experiments import Budget, Experiment
from handgrad.reproduce.training import streams
from handgrad.solver import Solver
from handgrad.spaces import Params

# An epoch also measures accuracies: on 1,000 training rows and the validation rows.
_EVALUATION = 1.15
_TIMED_CANDIDATES = 3


@dataclass(frozen=True)
class Estimate:
    """Expected seconds of one worker for a candidate of the search and for one retraining."""

    candidate_seconds: float
    final_seconds: float


def _step_seconds(experiment: Experiment, params: Params, data: Dataset) -> tuple[float, int]:
    """Time training steps of one candidate; return (seconds a step, steps an epoch)."""
    network_rng, shuffling_rng = streams(experiment, 0)
    network = experiment.build(params, data.X_train.shape[1:], network_rng)
    settings = dict(experiment.solver(params))
    rows = settings["batch_size"]
    few = {
        "X_train": np.asarray(data.X_train[: 3 * rows]),
        "y_train": data.y_train[: 3 * rows],
        "X_val": np.asarray(data.X_val[:1]),
        "y_val": data.y_val[:1],
    }
    solver = Solver(
        network,
        few,
        num_epochs=2,
        rng=shuffling_rng,
        verbose=False,
        num_train_samples=1,
        **settings,
    )
    with limited_to(1):
        started = time.perf_counter()
        solver.train()
        first, both = solver.history[0]["seconds"], time.perf_counter() - started
    return max(both - first, 1e-6) / 3, math.ceil(len(data.X_train) / rows)


def estimate(experiment: Experiment, budget: Budget, data: Dataset) -> Estimate:
    """Estimate an experiment's times from steps of its first, middle and last candidate."""
    candidates = budget.candidates
    chosen = np.linspace(0, len(candidates) - 1, _TIMED_CANDIDATES).round().astype(int)
    seconds = []
    for index in sorted(set(chosen.tolist())):
        step, steps = _step_seconds(experiment, candidates[index], data)
        seconds.append(step * steps * _EVALUATION)
    epoch = float(np.mean(seconds))
    return Estimate(
        candidate_seconds=epoch * budget.search_epochs * budget.repeats,
        final_seconds=epoch * budget.final_epochs,
    )
