"""Question 5: convolutional networks on MNIST, as given, and with batch norm and dropout."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from handgrad import optim
from handgrad.cnn import ConvNet
from handgrad.experiments.base import Budget, Experiment, nesterov
from handgrad.network import Network
from handgrad.spaces import Params

_FC, _BOTH = ["dense"], ["conv", "dense"]


def _net(blocks: int, batchnorm: list[str], dropout_at: list[str]) -> dict[str, Any]:
    return {"blocks": blocks, "batchnorm": batchnorm, "dropout_at": dropout_at}


# 5.4's architectures: convolution blocks, where batch norm stands, where dropout stands.
ARCHITECTURES = {
    "1 block, norm after fc, dropout after fc": _net(1, _FC, _FC),
    "1 block, norm everywhere, dropout after fc": _net(1, _BOTH, _FC),
    "2 blocks, norm after conv, dropout after fc": _net(2, ["conv"], _FC),
    "2 blocks, norm everywhere, dropout after fc": _net(2, _BOTH, _FC),
    "2 blocks, norm everywhere, dropout everywhere": _net(2, _BOTH, _BOTH),
}

# 5.4 asks for nets with dropout; beside them stand the same nets without.
_CONTROL = {"keep": 1.0}


def _build_plain(params: Params, input_shape: Sequence[int], rng: np.random.Generator) -> Network:
    return ConvNet(
        input_shape,
        num_filters=32,
        filter_size=params["filter_size"],
        hidden_dim=params["hidden_dim"],
        weight_scale="he",
        reg=3e-4,
        rng=rng,
    )


def _build_regularised(
    params: Params, input_shape: Sequence[int], rng: np.random.Generator
) -> Network:
    return ConvNet(
        input_shape,
        num_filters=16,
        filter_size=5,
        hidden_dim=128,
        weight_scale="he",
        reg=3e-4,
        dropout=params["keep"],
        rng=rng,
        **ARCHITECTURES[params["architecture"]],
    )


def _solver(params: Params) -> Mapping[str, Any]:
    return nesterov(0.05, optim.one_cycle(), 100)


def _solver_with_norm(params: Params) -> Mapping[str, Any]:
    # Batch norm bears, and with dropout gains from, twice the rate.
    return nesterov(0.1, optim.one_cycle(), 100)


EXPERIMENTS = (
    Experiment(
        "5.3",
        "ConvNet",
        "mnist",
        _build_plain,
        _solver,
        {
            "smoke": Budget({"hidden_dim": [50], "filter_size": [5, 7]}, 1, 2, 1, train_rows=6000),
            "standard": Budget(
                {"hidden_dim": [100, 200, 400], "filter_size": [3, 5, 7, 9]}, 1, 8, 3, finalists=3
            ),
            "full": Budget(
                {"hidden_dim": [50, 100, 200, 500, 1000], "filter_size": [3, 5, 7, 9, 11]},
                6,
                20,
                3,
                finalists=4,
            ),
        },
    ),
    Experiment(
        "5.4",
        "ConvNet with batch normalisation and dropout",
        "mnist",
        _build_regularised,
        _solver_with_norm,
        {
            "smoke": Budget(
                {"architecture": list(ARCHITECTURES)[1:2], "keep": [0.5, 1.0]},
                1,
                1,
                1,
                train_rows=2000,
                control=_CONTROL,
            ),
            "standard": Budget(
                {"architecture": list(ARCHITECTURES), "keep": [0.55, 0.7, 0.85, 1.0]},
                1,
                10,
                3,
                finalists=3,
                control=_CONTROL,
            ),
            "full": Budget(
                {"architecture": list(ARCHITECTURES), "keep": [0.3, 0.5, 0.7, 0.8, 0.9, 1.0]},
                5,
                30,
                3,
                finalists=4,
                control=_CONTROL,
            ),
        },
    ),
)
