"""What a net is trained with where nobody says it."""

from dataclasses import replace

import numpy as np

from handgrad.own_data.fitting import Limits, fit
from handgrad.own_data.problem import Part, Problem
from handgrad.own_data.settings import default_settings


def noisy(seed):
    """A regression on 120 rows that a line explains but for a quarter of the variance."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(120, 8)).astype(np.float32)
    y = X[:, :3].sum(axis=1) / 2 + rng.normal(size=120) / 2
    ends = [84, 102]
    parts = [
        Part(X[rows], y[rows].astype(np.float32), rows) for rows in np.split(np.arange(120), ends)
    ]
    return Problem("regress", 1, *parts)


def test_a_regression_on_few_rows_is_decayed():
    default = default_settings(84, (8,), "regress")
    weak = replace(default, weight_decay=default_settings(84, (8,)).weight_decay)
    scores = [
        [fit(noisy(seed), each, Limits(600.0), seed).best.val_score for seed in range(3)]
        for each in (default, weak)
    ]
    assert np.mean(scores[0]) > np.mean(scores[1]) + 0.01
