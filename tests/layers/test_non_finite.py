"""Infinities and NaN: what is 0 by selection stays 0, and engines spread no more than layers do.

0 times infinity is NaN, so that a mask that is multiplied by spoils what it closes. Held here: each
number that the layers give as a finite one, every engine gives alike.
"""

import copy

import numpy as np
import pytest
from kernel_engines import ENGINES, each_engine as each_engine

from handgrad import layers as L
from handgrad.descriptions import Context
from handgrad.network import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool, Network, ReLU

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


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
def test_the_cut_of_a_dense_layer_selects(engine):
    x, w = np.array([[-np.inf, 1.0], [np.nan, 1.0], [2.0, np.inf]]), np.eye(2)
    w[0, 1] = 1e-300  # no 0 times infinity in the second column
    out = engine.dense_forward(x, w, np.zeros(2), relu=True)
    # Rows: -inf and 1 - inf; NaN spreads; 2 + inf * 0 is NaN by the product itself.
    np.testing.assert_array_equal(out, [[0, 0], [np.nan, np.nan], [np.nan, np.inf]])
    dout = np.full((3, 2), np.inf)
    dx, _, db = engine.dense_backward(dout, out, np.ones((3, 2)), w, relu=True, need_dx=True)
    assert (dx[:2] == 0).all()
    np.testing.assert_array_equal(db, [0, np.inf])


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
def test_norm_and_dropout_select(engine, bad):
    x = np.random.default_rng(0).standard_normal((8, 3))
    out, mean, var = engine.norm_forward(x, np.ones(3), np.zeros(3), 1e-5, relu=True)
    dout = np.where(out > 0, 1.0, bad)
    back = engine.norm_backward(dout, out, x, np.ones(3), mean, var, 1e-5, relu=True)
    want = engine.norm_backward(
        np.where(out > 0, 1.0, 0), out, x, np.ones(3), mean, var, 1e-5, relu=True
    )
    for one, two in zip(back, want, strict=True):
        np.testing.assert_array_equal(one, two)
    _, mask = engine.dropout_forward(x, np.random.default_rng(0), 0.5)
    dx = engine.dropout_backward(np.full(x.shape, bad), mask)
    np.testing.assert_array_equal(dx, np.where(mask, bad, 0))


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
def test_one_pixel_spoils_its_own_windows_only(engine, size, bad):
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, size, size, 1)), rng.standard_normal((8, 1, 3, 3)), np.ones(8)
    x[1, 2, 3, 0] = bad
    options = {"stride": 1, "padding": 0, "pool": (2, 2)}
    with np.errstate(invalid="ignore"):
        conv, cache = L.conv_forward(x.transpose(0, 3, 1, 2), w)
        pooled, pool_cache = L.max_pool_forward(
            conv + b[:, None, None], {"pool_height": 2, "pool_width": 2, "stride": 2}
        )
        want, relu_cache = L.relu_forward(pooled)
        out, win = engine.block_forward(x, w, b, relu=True, **options)
        np.testing.assert_allclose(out.transpose(0, 3, 1, 2), want, rtol=1e-12)
        dout = rng.standard_normal(out.shape)
        _, dw, _ = engine.block_backward(dout, win, x, w, need_dx=False, **options)
        dpool = L.relu_backward(dout.transpose(0, 3, 1, 2), relu_cache)
        dconv = L.max_pool_backward(dpool, pool_cache)
        _, want_dw = L.conv_backward(dconv, cache)
    finite = np.isfinite(want_dw)
    np.testing.assert_allclose(dw[finite], want_dw[finite], rtol=1e-10)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("pool", [(1, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
def test_one_gradient_spoils_its_own_window_only(engine, pool, padding, bad):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 8, 8, 1)), rng.standard_normal((4, 1, 3, 3))
    options = {"stride": 1, "padding": padding, "pool": pool}
    out, win = engine.block_forward(x, w, np.zeros(4), relu=True, **options)
    dout = rng.standard_normal(out.shape)
    at = tuple(np.argwhere((out > 0).all(axis=3))[0])
    dout[at] = bad
    closed = np.argwhere(out == 0)
    if len(closed):
        dout[tuple(closed[0])] = bad
    with np.errstate(invalid="ignore"):
        conv, cache = L.conv_forward(x.transpose(0, 3, 1, 2), w, padding=padding)
        pooled, pool_cache = L.max_pool_forward(
            conv, {"pool_height": pool[0], "pool_width": pool[0], "stride": pool[1]}
        )
        _, relu_cache = L.relu_forward(pooled)
        dpool = L.relu_backward(dout.transpose(0, 3, 1, 2), relu_cache)
        dconv = L.max_pool_backward(dpool, pool_cache)
        want_dx, _ = L.conv_backward(dconv, cache)
        dx, _, _ = engine.block_backward(dout, win, x, w, need_dx=True, **options)
    want_dx = want_dx.transpose(0, 2, 3, 1)
    finite = np.isfinite(want_dx)
    assert 0 < finite.sum() < finite.size
    np.testing.assert_array_equal(np.isfinite(dx), finite)
    np.testing.assert_allclose(dx[finite], want_dx[finite], rtol=1e-10, atol=1e-12)


NETWORKS = {
    "dense": [Flatten(), Dense(8), ReLU(), Dense(3)],
    "conv": [Conv(4, 3, bias=True), ReLU(), MaxPool(2), Flatten(), Dense(6), ReLU(), Dense(3)],
    "deep": [Conv(4, 3, padding=1), ReLU(), MaxPool(2), Conv(5, 3), ReLU(), Flatten(), Dense(3)],
    "norm": [Conv(4, 3), BatchNorm(), ReLU(), MaxPool(2), Flatten(), Dense(3)],
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
