"""Batch norm of features that do not vary, or hardly, far from zero: beta, and no rounding."""

import numpy as np
import pytest
from kernel_engines import ENGINES, each_engine as each_engine

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
@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
def test_a_constant_feature_gives_beta_in_kernels(engine, dtype, constant):
    x = np.random.default_rng(0).standard_normal((100, 5)).astype(dtype)
    x[:, 3] = constant
    gamma, beta = np.ones(5, dtype), np.arange(5).astype(dtype)
    out, mean, var = engine.norm_forward(x, gamma, beta, 1e-5, relu=False)
    np.testing.assert_array_equal(out[:, 3], 3)
    np.testing.assert_array_equal((mean[3], var[3]), (x[0, 3], 0))


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("pool", [(1, 1), (2, 2)])
@pytest.mark.parametrize("need_dx", [False, True])
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
def test_blocks_of_images_far_from_zero(engine, channels, need_dx, pool, padding, constant):
    """In float32 as in float64 of the same pixels, ``constant`` with noise of 1 part in 8."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((8, channels, 3, 3)).astype(np.float32)
    gamma, beta = np.ones(8, np.float32), np.zeros(8, np.float32)
    options = {"stride": 1, "padding": padding, "pool": pool}
    for noise in (0, 1 / 8):
        x = constant * (1 + noise * rng.standard_normal((20, 6, 6, channels)))
        x = x.astype(np.float32)
        results = []
        for dtype in (np.float32, np.float64):
            arrays = [array.astype(dtype) for array in (w, gamma, beta)]
            out, mean, var, cache = engine.norm_block_forward(
                x.astype(dtype), *arrays, 1e-5, relu=False, need_dx=need_dx, **options
            )
            dout = np.random.default_rng(1).standard_normal(out.shape).astype(dtype)
            back = engine.norm_block_backward(
                dout, cache, x.astype(dtype), arrays[0], arrays[1], 1e-5, need_dx=need_dx, **options
            )
            results.append((out, mean, var, *back))
        single, double = results
        if noise == padding == 0:
            np.testing.assert_array_equal(single[0], 0)
            np.testing.assert_array_equal(single[2], 0)
        spread = np.sqrt(double[2] + 1e-5)
        np.testing.assert_allclose(single[0], double[0], atol=1e-3)
        assert (np.abs(single[1] - double[1]) <= 1e-5 * (np.abs(double[1]) + spread)).all()
        for one, two in zip(single[3:], double[3:], strict=True):
            if two is not None:
                assert one.shape == two.shape
                size = np.abs(two).max(initial=1e-30)
                np.testing.assert_allclose(one, two, atol=2e-3 * size)


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
