"""Questions 2 and 3: logistic and hinge loss on the course's data.pkl, linear and two layers.

500 training rows of 20 features, each standardised by the training rows' mean and deviation.
The two questions differ in the loss only, so they share this file. Many candidates
and long training cost nothing here: an epoch is 25 steps of 20 rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from handgrad import optim
from handgrad.experiments.base import Budget, Experiment, nesterov
from handgrad.logistic import LogisticClassifier
from handgrad.network import Network
from handgrad.spaces import Params
from handgrad.svm import SVM

# Strong penalties first: of equally accurate candidates, the simplest is chosen.
_REG = [0.1, 0.03, 0.01, 0.003, 0.001, 0.0]
# Small, as the assignment's default: 500 rows are few, and a two-layer net that starts near zero
# stays near the linear model for longer than one from a He start.
_WEIGHT_SCALE = 0.1
_RATES = [0.01, 0.03, 0.1]
# A linear model's loss is convex and its gradient small: it bears far larger rates.
_LINEAR_RATES = [*_RATES, 0.3, 1.0]
_HIDDEN = [1, 2, 5, 10, 20, 40, 80, 160]

_LINEAR = {
    "smoke": Budget({"reg": [0.01, 0.001], "learning_rate": [0.1]}, 5, 5, 2),
    "standard": Budget({"reg": [0.3, *_REG], "learning_rate": _LINEAR_RATES}, 40, 40, 5),
    "full": Budget(
        {"reg": [1.0, 0.3, *_REG[:-1], 0.0003, 0.0], "learning_rate": [0.003, *_LINEAR_RATES, 3.0]},
        80,
        80,
        5,
    ),
}
_TWO_LAYERS = {
    "smoke": Budget({"hidden_dim": [5, 20], "reg": [0.01], "learning_rate": [0.1]}, 5, 5, 2),
    "standard": Budget(
        {"hidden_dim": _HIDDEN, "reg": _REG, "learning_rate": _RATES}, 40, 40, 5, repeats=3
    ),
    "full": Budget(
        {"hidden_dim": [*_HIDDEN, 320], "reg": [0.3, *_REG], "learning_rate": [*_RATES, 0.3]},
        80,
        80,
        5,
        repeats=5,
    ),
}


def _solver(params: Params) -> Mapping[str, Any]:
    return nesterov(params["learning_rate"], optim.cosine(), 20)


def _experiment(id: str, title: str, model: type[LogisticClassifier] | type[SVM]) -> Experiment:
    def build(params: Params, input_shape: Sequence[int], rng: np.random.Generator) -> Network:
        return model(
            int(np.prod(input_shape)),
            params.get("hidden_dim"),
            weight_scale=_WEIGHT_SCALE,
            reg=params["reg"],
            rng=rng,
        )

    two_layers = id.endswith(".4")
    return Experiment(id, title, "course", build, _solver, _TWO_LAYERS if two_layers else _LINEAR)


EXPERIMENTS = (
    _experiment("2.3", "Logistic regression", LogisticClassifier),
    _experiment("2.4", "Logistic loss, one hidden layer", LogisticClassifier),
    _experiment("3.3", "Linear SVM", SVM),
    _experiment("3.4", "Hinge loss, one hidden layer", SVM),
)
