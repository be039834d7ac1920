"""Question 4: softmax loss on MNIST, linear and with one hidden layer.

Pixels are standardised by one mean and one deviation over all training pixels. The learning rate
makes one cycle over the training.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from handgrad import optim
from handgrad.experiments.base import Budget, Experiment, nesterov
from handgrad.network import Network
from handgrad.softmax import SoftmaxClassifier
from handgrad.spaces import Params


def _build(params: Params, input_shape: Sequence[int], rng: np.random.Generator) -> Network:
    return SoftmaxClassifier(
        int(np.prod(input_shape)),
        params.get("hidden_dim"),
        weight_scale="he",
        reg=params["reg"],
        dtype=np.float32,
        rng=rng,
    )


def _solver(params: Params) -> Mapping[str, Any]:
    return nesterov(params["learning_rate"], optim.one_cycle(), 100)


EXPERIMENTS = (
    Experiment(
        "4.3",
        "Softmax regression",
        "mnist",
        _build,
        _solver,
        {
            "smoke": Budget(
                {"reg": [1e-3], "learning_rate": [0.01, 0.03]}, 1, 2, 1, train_rows=6000
            ),
            "standard": Budget(
                {"reg": [1e-3, 3e-4, 1e-4, 0.0], "learning_rate": [0.003, 0.01, 0.03, 0.1, 0.3]},
                6,
                20,
                3,
            ),
            "full": Budget(
                {
                    "reg": [3e-3, 1e-3, 3e-4, 1e-4, 0.0],
                    "learning_rate": [0.003, 0.01, 0.03, 0.1, 0.3],
                },
                20,
                40,
                3,
            ),
        },
    ),
    Experiment(
        "4.4",
        "Softmax, one hidden layer",
        "mnist",
        _build,
        _solver,
        {
            "smoke": Budget(
                {"hidden_dim": [50, 100], "reg": [1e-4], "learning_rate": [0.1]},
                1,
                2,
                1,
                train_rows=6000,
                finalists=2,
                finalist_seeds=2,
            ),
            "standard": Budget(
                {
                    "hidden_dim": [50, 100, 200, 400, 800],
                    "reg": [1e-3, 3e-4, 1e-4],
                    "learning_rate": [0.05, 0.1, 0.2],
                },
                2,
                15,
                3,
                finalists=3,
            ),
            "full": Budget(
                {
                    "hidden_dim": [50, 100, 200, 400, 800, 1600, 3200],
                    "reg": [3e-3, 1e-3, 3e-4, 1e-4],
                    "learning_rate": [0.03, 0.05, 0.1, 0.2],
                },
                10,
                40,
                3,
                finalists=5,
            ),
        },
    ),
)
