"""Batch norm of features that do not vary, or hardly, far from zero: beta, and no rounding."""

import numpy as np
import pytest
from engines import each_engine as each_engine

from handgrad import layers as L
from handgrad.network import BatchNorm, Conv, Dense, Flatten, MaxPool, Network, ReLU

CONSTANTS = [0.1, 14.62, 1234.567, 12345.678, 1e7 / 3, -1e10 / 3, 1e-30]


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("N", [1, 7, 100, 1000])
def test_a_constant_feature_gives_beta(N, dtype, constant):
    x = np.full((N, 3), constant, dtype)
    beta, bn_param = np.array([0.5, -1, 0], dtype), {"mode": "train", "momentum": 0}
    out, cache = L.batchnorm_forward(x, np.ones(3), beta, bn_param)
    np.testing.assert_array_equal(out, np.tile(beta, (N, 1)))
    np.testing.assert_array_equal(bn_param["running_mean"], x[0])
    np.testing.assert_array_equal(bn_param["running_var"], 0)
    # dx = (dout - its mean) / sqrt(eps): x_hat = 0 takes nothing away.
    dout = np.arange(N * 3.0).reshape(N, 3)
    dx, dgamma, dbeta = L.batchnorm_backward(dout, cache)
    np.testing.assert_allclose(dx, (dout - dout.mean(axis=0)) / np.sqrt(1e-5), rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(dgamma, 0)
    np.testing.assert_allclose(dbeta, dout.sum(axis=0))


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_channel_gives_beta(dtype, constant):
    x = np.random.default_rng(0).standard_normal((8, 2, 12, 11)).astype(dtype)
    x[:, 1] = constant
    out, _ = L.spatial_batchnorm_forward(x, np.ones(2), np.array([3, 0.25]), {"mode": "train"})
    np.testing.assert_array_equal(out[:, 1], dtype(0.25))
    np.testing.assert_allclose(out[:, 0].mean(), 3, rtol=1e-6)
    np.testing.assert_allclose(out[:, 0].std(), 1, rtol=1e-4)


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_feature_gives_beta_in_networks(each_engine, dtype, constant):
    network = Network([BatchNorm(momentum=0.0), Dense(1)], (5,), loss="logistic", dtype=dtype)
    network.params["beta1"] = np.arange(5).astype(dtype)
    network.params["W1"] = np.array([[0], [0], [0], [1], [0]], dtype)
    x = np.random.default_rng(0).standard_normal((100, 5)).astype(dtype)
    x[:, 3] = constant
    loss, _ = network.loss(x, np.ones(100))
    assert loss == pytest.approx(np.log1p(np.exp(-3)), rel=1e-5)  # all scores are beta, 3
    assert network.state["running_mean1"][3] == x[0, 3]
    assert network.state["running_var1"][3] == 0


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("channels", [1, 4])
def test_blocks_of_images_far_from_zero(each_engine, channels, pool, padding, constant):
    """In float32 as in float64 of the same pixels, ``constant`` with noise of 1 part in 8."""
    rng = np.random.default_rng(0)
    layers = [Conv(8, 3, padding=padding), BatchNorm(momentum=0.0), MaxPool(pool), Flatten()]
    for noise in (0, 1 / 8):
        x = constant * (1 + noise * rng.standard_normal((20, channels, 6, 6)))
        x, results = x.astype(np.float32), []
        for dtype in (np.float32, np.float64):
            network = Network([*layers, Dense(3)], (channels, 6, 6), dtype=dtype,
                              rng=np.random.default_rng(1))  # fmt: skip
            network.loss(x.astype(dtype), np.arange(20) % 3)
            results.append([network.state[name] for name in ("running_mean1", "running_var1")])
        (mean, var), (want_mean, want_var) = results
        spread = np.sqrt(want_var + 1e-5)
        assert (np.abs(mean - want_mean) <= 1e-5 * (np.abs(want_mean) + spread)).all()
        if noise == padding == 0:
            np.testing.assert_array_equal(var, 0)
        else:
            np.testing.assert_allclose(var, want_var, rtol=1e-2, atol=1e-6)


def test_a_network_learns_from_images_far_from_zero(each_engine):
    """The gradients are those of the same images near zero: batch norm takes the rest away."""
    layers = [Conv(4, 3), BatchNorm(), ReLU(), MaxPool(2), Flatten(), Dense(3)]
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (12, 1, 10, 10)).astype(np.float32), rng.integers(0, 3, 12)
    near, far = (
        Network(layers, (1, 10, 10), dtype=np.float32, rng=np.random.default_rng(1))
        for _ in range(2)
    )
    loss, grads = near.loss(X, y)
    shifted, same = far.loss(X + 60_000, y)
    assert shifted == pytest.approx(loss, rel=1e-5)
    for name, grad in grads.items():
        size = np.abs(grad).max()
        np.testing.assert_allclose(same[name], grad, atol=1e-4 * size)
    moved = 0.1 * 60_000 * near.params["W1"].sum(axis=(1, 2, 3), dtype=np.float64)
    away = far.state["running_mean1"] - near.state["running_mean1"]
    np.testing.assert_allclose(away, moved, rtol=1e-5, atol=1)
