"""Infinities and NaN: what is 0 by selection stays 0, and engines spread no more than layers do.

0 times infinity is NaN, so that a mask that is multiplied by spoils what it closes. Held here: each
number that the layers give as a finite one, every engine gives alike.
"""

import copy

import numpy as np
import pytest
from engines import each_engine as each_engine

from handgrad import layers as L
from handgrad.descriptions import Context
from handgrad.network import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    Network,
    ReLU,
    SiLU,
    Tanh,
)

BAD = [np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_closed_unit_pays_nothing(bad, dtype):
    _, cache = L.relu_forward(np.array([-1, 0, 2, np.nan, -np.inf], dtype))
    dx = L.relu_backward(np.full(5, bad), cache)
    np.testing.assert_array_equal(dx, np.array([0, 0, bad, 0, 0], dtype))


@pytest.mark.parametrize("bad", BAD)
def test_a_dropped_unit_pays_nothing(bad):
    out, cache = L.dropout_forward(np.ones(50), {"p": 0.5, "mode": "train", "seed": 0})
    dx = L.dropout_backward(np.full(50, bad), cache)
    np.testing.assert_array_equal(dx, np.where(out == 1, bad, 0))
    assert 0 < (dx == 0).sum() < 50


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_losers_of_a_window_are_paid_nothing(each_engine, bad, stride):
    x = np.arange(25.0).reshape(1, 1, 5, 5)  # the last of each window is its largest
    out, cache = L.max_pool_forward(x, {"pool_height": 2, "pool_width": 2, "stride": stride})
    dx = L.max_pool_backward(np.full(out.shape, bad), cache)
    last = np.zeros(25, bool)
    last[out.astype(int).ravel()] = True
    np.testing.assert_array_equal(dx.ravel(), np.where(last, bad, 0))


NETWORKS = {
    "dense": [Flatten(), Dense(8), ReLU(), Dense(3)],
    "conv": [Conv(4, 3, bias=True), ReLU(), MaxPool(2), Flatten(), Dense(6), ReLU(), Dense(3)],
    "deep": [Conv(4, 3, padding=1), ReLU(), MaxPool(2), Conv(5, 3), ReLU(), Flatten(), Dense(3)],
    "norm": [Conv(4, 3), BatchNorm(), ReLU(), MaxPool(2), Flatten(), Dense(3)],
    "smooth": [Flatten(), Dense(8), GELU(), Dense(6), SiLU(), LayerNorm(), Tanh(), Dense(3)],
    "averages": [Conv(4, 3), GELU(True), AvgPool(2), LeakyReLU(), GlobalAvgPool(), Dense(3)],
    "dropout": [Flatten(), Dense(8), BatchNorm(), ReLU(), Dropout(0.5), Dense(3)],
}


def by_layers(network, X, y):
    """Loss and gradients, one layer after the other; the network's rng is left as it was."""
    context = Context("train", copy.deepcopy(network.rng))
    out, kept, grads = X, [], {}
    for layer, names in network.named_layers:
        own = {o: network.params.get(n, network.state.get(n)) for o, n in names.items()}
        out, cache = layer.forward(out, own, context)
        kept.append((layer, names, cache))
    loss, dx = L.softmax_loss(out, y)
    for layer, names, cache in reversed(kept):
        dx, own_grads = layer.backward(dx, cache, need_dx=True)
        grads |= {names[own]: grad for own, grad in own_grads.items()}
    return loss, grads


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_agree_with_their_layers_on_what_is_not_finite(each_engine, kind, bad):
    X = np.random.default_rng(0).standard_normal((6, 1, 8, 8))
    X[4, 0, 5, 5] = bad
    network = Network(NETWORKS[kind], (1, 8, 8), rng=np.random.default_rng(1))
    with np.errstate(invalid="ignore"):
        scores, alone = network.loss(X), network.activations(X)[-1]
        want, expected = by_layers(network, X, np.arange(6) % 3)
        loss, grads = network.loss(X, np.arange(6) % 3)
    np.testing.assert_allclose(scores, alone, rtol=1e-10)
    assert np.isfinite(scores[:4]).all()
    np.testing.assert_allclose(loss, want, rtol=1e-10)
    for name, grad in grads.items():
        finite = np.isfinite(expected[name])
        np.testing.assert_allclose(grad[finite], expected[name][finite], rtol=1e-8, atol=1e-12)
