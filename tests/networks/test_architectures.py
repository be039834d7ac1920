"""The usual networks as lists of layers."""

import numpy as np
import pytest

from handgrad.architectures import ACTIVATIONS, convnet, mlp
from handgrad.network import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    MaxPool,
    Network,
    ReLU,
    Sigmoid,
)


def test_an_mlp_has_its_parts_in_order():
    assert mlp((), 3) == [Dense(3)]
    assert mlp((5,), 3) == [Dense(5), ReLU(), Dense(3)]
    net = mlp((5, 4), 2, activation="logistic", dropout=0.25, batch_norm=True)
    hidden = [BatchNorm(), Sigmoid(), Dropout(0.75)]
    assert net == [Dense(5), *hidden, Dense(4), *hidden, Dense(2)]
    assert mlp((5,), 3, activation="identity") == [Dense(5), Dense(3)]


def test_a_convnet_pools_as_long_as_there_is_something_to_pool():
    net = convnet((1, 3, 8), 2, filters=(4, 6, 6), hidden_layer_sizes=(7,), dropout=0.5)
    first = [Conv(4, 3, padding=1, bias=True), ReLU(), MaxPool(2)]
    rest = [Conv(6, 3, padding=1, bias=True), ReLU()]
    assert net == [*first, *rest, *rest, Flatten(), Dense(7), ReLU(), Dropout(0.5), Dense(2)]


def test_batch_norms_beta_is_a_convolutions_bias():
    assert convnet((1, 4, 4), 2, filters=(3,), hidden_layer_sizes=(), batch_norm=True)[:2] == [
        Conv(3, 3, padding=1, bias=False),
        BatchNorm(),
    ]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 5), (1, 8, 8)])
def test_a_network_of_any_of_them_runs(activation, kernel_size, shape):
    rng = np.random.default_rng(0)
    layers = convnet(shape, 3, kernel_size=kernel_size, activation=activation, batch_norm=True)
    net = Network(layers, shape, rng=rng)
    loss, grads = net.loss(rng.random((4, *shape)), np.array([0, 1, 2, 0]))
    assert np.isfinite(loss)
    assert set(grads) == set(net.params)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mlp((0,), 2), "mlp: hidden_layer_sizes must be whole numbers from 1; got 0"),
        (lambda: mlp((2.5,), 2), "mlp: hidden_layer_sizes must be whole numbers from 1; got 2.5"),
        (lambda: mlp((5,), 0), "mlp: outputs must be whole numbers from 1; got 0"),
        (lambda: mlp((5,), 2, dropout=1.0), "the fraction dropped, must be in .0, 1.; got 1.0"),
        (lambda: mlp((5,), 2, activation="step"), "activation must be one of relu, .*got 'step'"),
        (lambda: convnet((4, 4), 2), r"input_shape must be \(C, H, W\); got \(4, 4\)"),
        (lambda: convnet((1, 4, 4), 2, filters=(0,)), "convnet: filters must be whole numbers"),
    ],
)
def test_what_cannot_stand_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
