"""Question 5: convolutional networks on MNIST, as given, and with batch norm and dropout."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from handgrad import optim
from handgrad.cnn import ConvNet
from handgrad.experiments.base import Budget, Experiment
from handgrad.network import Network
from handgrad.selection import Params

# 5.4's architectures: convolution blocks, where batch norm stands, where dropout stands.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "1 block, norm after fc, dropout after fc": {
        "blocks": 1,
        "batchnorm": ["dense"],
        "dropout_at": ["dense"],
    },
    "1 block, norm everywhere, dropout after fc": {
        "blocks": 1,
        "batchnorm": ["conv", "dense"],
        "dropout_at": ["dense"],
    },
    "2 blocks, norm after conv, dropout after fc": {
        "blocks": 2,
        "batchnorm": ["conv"],
        "dropout_at": ["dense"],
    },
    "2 blocks, norm everywhere, dropout after fc": {
        "blocks": 2,
        "batchnorm": ["conv", "dense"],
        "dropout_at": ["dense"],
    },
    "2 blocks, norm everywhere, dropout everywhere": {
        "blocks": 2,
        "batchnorm": ["conv", "dense"],
        "dropout_at": ["conv", "dense"],
    },
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
    return {
        "update_rule": "nesterov",
        "optim_config": {"learning_rate": 0.05, "momentum": 0.9},
        "schedule": optim.one_cycle(),
        "batch_size": 100,
    }


def _solver_with_norm(params: Params) -> Mapping[str, Any]:
    # Batch norm bears, and with dropout gains from, twice the rate.
    return {**_solver(params), "optim_config": {"learning_rate": 0.1, "momentum": 0.9}}


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
                {"hidden_dim": [100, 200, 400], "filter_size": [3, 5, 7, 9]},
                1,
                8,
                3,
                finalists=3,
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
