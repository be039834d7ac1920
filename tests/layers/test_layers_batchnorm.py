"""Batch normalisation of features and of images: hand values, loops, numeric gradients, errors.

The upstream gradients are random: under one of ones, a backward that returns zero would pass.
"""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from references import LAWS, batchnorm_forward_loops, check_contract

from handgrad.gradcheck import check_gradients
from handgrad.layers import (
    batchnorm_backward,
    batchnorm_forward,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
)


def train(**extra):
    return {"mode": "train", **extra}


def test_forward_by_hand():
    x = np.array([[1.0, 10.0], [3.0, 30.0]])
    out, _ = batchnorm_forward(x, np.array([2.0, 1.0]), np.array([5.0, -1.0]), train())
    # Means 2 and 20; biased variances ((-1)^2 + 1^2) / 2 = 1 and 100; eps = 1e-5.
    first, second = 2 / np.sqrt(1 + 1e-5), 10 / np.sqrt(100 + 1e-5)
    np.testing.assert_allclose(
        out, [[5 - first, -1 - second], [5 + first, -1 + second]], rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(("N", "D"), [(1, 3), (2, 1), (5, 4), (30, 7)])
def test_forward_matches_loops(N, D):
    rng = np.random.default_rng(N)
    x = rng.normal(3, 2, (N, D))
    gamma, beta = rng.standard_normal(D), rng.standard_normal(D)
    param = train(eps=1e-3)
    out, _ = batchnorm_forward(x, gamma, beta, param)
    wanted, mean, variance = batchnorm_forward_loops(x, gamma, beta, eps=1e-3)
    np.testing.assert_allclose(out, wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(param["running_mean"], 0.1 * mean, rtol=1e-12)
    np.testing.assert_allclose(param["running_var"], 0.1 * variance, rtol=1e-12)


def test_running_statistics_start_at_zero_with_the_biased_variance():
    param = train()
    batchnorm_forward(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), param)
    # 0.9 * 0 + 0.1 * 2 and 0.9 * 0 + 0.1 * 1; the unbiased variance, 2, would give 0.2.
    np.testing.assert_allclose(param["running_mean"], [0.2], rtol=1e-15)
    np.testing.assert_allclose(param["running_var"], [0.1], rtol=1e-15)


def test_running_statistics_accumulate_with_the_given_momentum():
    param = train(momentum=0.75, running_mean=np.array([4.0]), running_var=np.array([8.0]))
    batchnorm_forward(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), param)
    # 0.75 * 4 + 0.25 * 2 and 0.75 * 8 + 0.25 * 1.
    np.testing.assert_array_equal(param["running_mean"], [3.5])
    np.testing.assert_array_equal(param["running_var"], [6.25])
    batchnorm_forward(np.array([[2.0], [8.0]]), np.ones(1), np.zeros(1), param)
    # The second batch has mean 5 and variance 9: 0.75 * 3.5 + 0.25 * 5, 0.75 * 6.25 + 0.25 * 9.
    np.testing.assert_array_equal(param["running_mean"], [3.875])
    np.testing.assert_array_equal(param["running_var"], [6.9375])


def test_training_replaces_the_running_arrays_and_never_writes_into_them():
    # A snapshot of the best moment holds these arrays; a later batch must not change it.
    mean, variance = np.array([4.0]), np.array([8.0])
    param = train(running_mean=mean, running_var=variance)
    batchnorm_forward(np.array([[1.0], [3.0]]), np.ones(1), np.zeros(1), param)
    assert (mean[0], variance[0]) == (4.0, 8.0)


def test_training_output_does_not_depend_on_the_running_statistics():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 3))
    fresh, _ = batchnorm_forward(x, np.ones(3), np.zeros(3), train())
    used, _ = batchnorm_forward(
        x, np.ones(3), np.zeros(3), train(running_mean=np.full(3, 9.0), running_var=np.ones(3))
    )
    np.testing.assert_array_equal(fresh, used)


def test_test_mode_uses_the_running_statistics_by_hand():
    param = {
        "mode": "test",
        "eps": 1.0,
        "running_mean": np.array([2.0, -1.0]),
        "running_var": np.array([3.0, 8.0]),
    }
    out, _ = batchnorm_forward(
        np.array([[4.0, 5.0]]), np.array([10.0, 2.0]), np.array([1.0, 0.0]), param
    )
    # 10 * (4 - 2) / sqrt(3 + 1) + 1 and 2 * (5 + 1) / sqrt(8 + 1): a batch of one is enough.
    np.testing.assert_allclose(out, [[11.0, 4.0]], rtol=1e-15)


def test_test_mode_changes_no_statistic():
    param = {"mode": "test", "running_mean": np.array([2.0]), "running_var": np.array([3.0])}
    batchnorm_forward(np.array([[7.0], [9.0]]), np.ones(1), np.zeros(1), param)
    np.testing.assert_array_equal(param["running_mean"], [2.0])
    np.testing.assert_array_equal(param["running_var"], [3.0])
    assert param["mode"] == "test"


def test_test_mode_without_statistics_takes_zeros():
    out, _ = batchnorm_forward(np.array([[3.0]]), np.ones(1), np.zeros(1), {"mode": "test"})
    np.testing.assert_allclose(out, [[3 / np.sqrt(1e-5)]], rtol=1e-12)


def test_test_mode_after_many_batches_normalises_like_training():
    rng = np.random.default_rng(1)
    param = train()
    for _ in range(200):
        batchnorm_forward(rng.normal(5, 3, (500, 2)), np.ones(2), np.zeros(2), param)
    param["mode"] = "test"
    out, _ = batchnorm_forward(rng.normal(5, 3, (20_000, 2)), np.ones(2), np.zeros(2), param)
    # Standard errors: 1/sqrt(20000) = 0.007 of the sample, 0.01 of the moving average.
    np.testing.assert_allclose(out.mean(axis=0), [0, 0], atol=0.05)
    np.testing.assert_allclose(out.std(axis=0), [1, 1], atol=0.05)


# gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("N", "D"), [(2, 1), (3, 4), (10, 3)])
@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_gradients_in_training_match_numbers(N, D, eps):
    rng = np.random.default_rng(2)
    args = rng.normal(3, 2, (N, D)), rng.standard_normal(D), rng.standard_normal(D)

    def forward(x, gamma, beta):
        return batchnorm_forward(x, gamma, beta, train(eps=eps))

    check_gradients(forward, batchnorm_backward, args, rng=rng, names=("x", "gamma", "beta"))


@pytest.mark.parametrize("N", [1, 4])
def test_gradients_after_a_test_mode_forward_match_numbers(N):
    rng = np.random.default_rng(3)
    args = rng.normal(3, 2, (N, 3)), rng.standard_normal(3), rng.standard_normal(3)
    statistics = {"running_mean": rng.standard_normal(3), "running_var": rng.uniform(0.5, 2, 3)}

    def forward(x, gamma, beta):
        return batchnorm_forward(x, gamma, beta, {"mode": "test", **statistics})

    check_gradients(forward, batchnorm_backward, args, rng=rng, names=("x", "gamma", "beta"))


def test_backward_by_hand():
    x = np.array([[1.0], [3.0], [1.0], [3.0]])  # mean 2, variance 1, x_hat = -1, 1, -1, 1
    _, cache = batchnorm_forward(x, np.array([5.0]), np.zeros(1), train(eps=0.0))
    dx, dgamma, dbeta = batchnorm_backward(np.array([[4.0], [0.0], [0.0], [0.0]]), cache)
    np.testing.assert_allclose(dbeta, [4], rtol=1e-15)
    np.testing.assert_allclose(dgamma, [-4], rtol=1e-15)  # sum dout * x_hat
    # gamma / sigma * (dout - dbeta / N - x_hat * dgamma / N) = 5 * (dout - 1 + x_hat).
    np.testing.assert_allclose(dx, [[10], [0], [-10], [0]], atol=1e-14)


@LAWS
@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 10), shift=st.floats(-10, 10))
def test_output_ignores_the_scale_and_shift_of_its_input(seed, scale, shift):
    x = np.random.default_rng(seed).standard_normal((8, 3))
    plain, _ = batchnorm_forward(x, np.ones(3), np.zeros(3), train(eps=1e-12))
    moved, _ = batchnorm_forward(scale * x + shift, np.ones(3), np.zeros(3), train(eps=1e-12))
    np.testing.assert_allclose(moved, plain, atol=1e-8)


@LAWS
@given(seed=st.integers(0, 10_000))
def test_gradient_of_the_input_sums_to_zero_over_the_batch(seed):
    rng = np.random.default_rng(seed)  # because adding a constant to a feature changes nothing
    _, cache = batchnorm_forward(
        rng.standard_normal((8, 3)), rng.standard_normal(3), rng.standard_normal(3), train()
    )
    dx, _, _ = batchnorm_backward(rng.standard_normal((8, 3)), cache)
    assert np.abs(dx).max() > 1e-6
    np.testing.assert_allclose(dx.sum(axis=0), np.zeros(3), atol=1e-12)


# numbers at the edge --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("N", [1, 4])
def test_a_feature_without_variance_gives_beta_and_finite_gradients(dtype, N):
    x = np.full((N, 2), 0.5, dtype)
    gamma, beta = np.array([3, -2], dtype), np.array([1, 7], dtype)
    out, cache = batchnorm_forward(x, gamma, beta, train())
    np.testing.assert_array_equal(out, np.tile(beta, (N, 1)))
    dout = np.random.default_rng(4).standard_normal((N, 2)).astype(dtype)
    for gradient in batchnorm_backward(dout, cache):
        assert np.isfinite(gradient).all()


def test_a_large_mean_does_not_drown_the_variance_in_float32():
    # E[x^2] - E[x]^2 would subtract two numbers of 1e6 whose difference is 1.
    x = np.random.default_rng(5).normal(1000, 1, (64, 3)).astype(np.float32)
    out, _ = batchnorm_forward(x, np.ones(3, np.float32), np.zeros(3, np.float32), train())
    wanted, _, _ = batchnorm_forward_loops(x.astype(np.float64), np.ones(3), np.zeros(3))
    np.testing.assert_allclose(out, wanted, atol=1e-3)


# the contract and the errors ------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["train", "test"])
def test_contract(mode):
    rng = np.random.default_rng(6)
    args = rng.standard_normal((5, 3)), rng.standard_normal(3), rng.standard_normal(3)

    def forward(x, gamma, beta):
        # Statistics and settings in float64 must not promote float32 activations.
        param = {"mode": mode, "eps": np.float64(1e-5), "momentum": np.float64(0.9)}
        param |= {"running_mean": np.ones(3), "running_var": np.full(3, 2.0)}
        return batchnorm_forward(x, gamma, beta, param)

    check_contract(forward, batchnorm_backward, args, tolerance=1e-5)


def test_training_writes_only_the_running_statistics():
    param = {"mode": "train", "eps": 1e-4, "momentum": 0.8}
    batchnorm_forward(np.eye(3), np.ones(3), np.zeros(3), param)
    assert param.keys() == {"mode", "eps", "momentum", "running_mean", "running_var"}
    assert (param["mode"], param["eps"], param["momentum"]) == ("train", 1e-4, 0.8)
    assert param["running_mean"].shape == param["running_var"].shape == (3,)


def test_a_missing_or_unknown_mode_is_refused():
    with pytest.raises(ValueError, match=r"batchnorm_forward: .*mode"):
        batchnorm_forward(np.eye(3), np.ones(3), np.zeros(3), {})
    with pytest.raises(ValueError, match=r"batchnorm_forward: .*eval"):
        batchnorm_forward(np.eye(3), np.ones(3), np.zeros(3), {"mode": "eval"})


@pytest.mark.parametrize(
    ("x_shape", "gamma_shape", "beta_shape", "text"),
    [
        ((4, 3, 2), (3,), (3,), r"batchnorm_forward: .*\(4, 3, 2\)"),
        ((4, 3), (2,), (3,), r"batchnorm_forward: .*\(2,\)"),
        ((4, 3), (1,), (3,), r"batchnorm_forward: .*\(1,\)"),
        ((4, 3), (3,), (4,), r"batchnorm_forward: .*\(4,\)"),
        ((4, 3), (3,), (4, 3), r"batchnorm_forward: .*\(4, 3\)"),
    ],
)
def test_wrong_shapes_are_named(x_shape, gamma_shape, beta_shape, text):
    with pytest.raises(ValueError, match=text):
        batchnorm_forward(np.zeros(x_shape), np.ones(gamma_shape), np.ones(beta_shape), train())


def test_backward_says_which_shape_is_wrong():
    _, cache = batchnorm_forward(np.eye(3), np.ones(3), np.zeros(3), train())
    with pytest.raises(ValueError, match=r"batchnorm_backward: .*\(3, 3\).*\(2, 3\)"):
        batchnorm_backward(np.zeros((2, 3)), cache)


# spatial batch norm ---------------------------------------------------------------------------


def as_rows(images):
    """(N, C, H, W) -> (N*H*W, C): each pixel is an example, each channel a feature."""
    return images.transpose(0, 2, 3, 1).reshape(-1, images.shape[1])


@pytest.mark.parametrize("mode", ["train", "test"])
def test_spatial_batchnorm_is_batchnorm_of_the_pixels(mode):
    rng = np.random.default_rng(12)
    x, dout = rng.normal(3, 2, (2, 3, 4, 5)), rng.standard_normal((2, 3, 4, 5))
    gamma, beta = rng.standard_normal(3), rng.standard_normal(3)
    param = {"mode": mode, "eps": 0.01, "momentum": 0.7}
    param |= {"running_mean": rng.standard_normal(3), "running_var": rng.uniform(0.5, 2, 3)}
    twin = dict(param)
    out, cache = spatial_batchnorm_forward(x, gamma, beta, param)
    rows, rows_cache = batchnorm_forward(as_rows(x), gamma, beta, twin)
    np.testing.assert_allclose(as_rows(out), rows, rtol=1e-12, atol=1e-12)
    for name in ("running_mean", "running_var"):
        np.testing.assert_allclose(param[name], twin[name], rtol=1e-12)

    dx, dgamma, dbeta = spatial_batchnorm_backward(dout, cache)
    rows_dx, rows_dgamma, rows_dbeta = batchnorm_backward(as_rows(dout), rows_cache)
    np.testing.assert_allclose(as_rows(dx), rows_dx, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(dgamma, rows_dgamma, rtol=1e-11)
    np.testing.assert_allclose(dbeta, rows_dbeta, rtol=1e-11)


@pytest.mark.parametrize("mode", ["train", "test"])
def test_spatial_batchnorm_gradients_match_numbers(mode):
    rng = np.random.default_rng(13)
    args = rng.normal(3, 2, (2, 3, 2, 4)), rng.standard_normal(3), rng.standard_normal(3)

    def forward(x, gamma, beta):
        param = {"mode": mode, "running_mean": np.ones(3), "running_var": np.full(3, 2.0)}
        return spatial_batchnorm_forward(x, gamma, beta, param)

    names = ("x", "gamma", "beta")
    check_gradients(forward, spatial_batchnorm_backward, args, rng=rng, names=names)
    check_contract(forward, spatial_batchnorm_backward, args, tolerance=1e-5)


def test_spatial_batchnorm_keeps_one_statistic_per_channel_by_hand():
    x = np.array([[1.0, 3.0], [10.0, 30.0]]).reshape(1, 2, 1, 2)
    param = {"mode": "train"}
    spatial_batchnorm_forward(x, np.ones(2), np.zeros(2), param)
    # Channel means 2 and 20, biased variances 1 and 100, a tenth of each.
    np.testing.assert_allclose(param["running_mean"], [0.2, 2], rtol=1e-15)
    np.testing.assert_allclose(param["running_var"], [0.1, 10], rtol=1e-15)


def test_spatial_batchnorm_says_what_is_wrong():
    x, ones = np.zeros((2, 3, 4, 5)), np.ones(3)
    with pytest.raises(ValueError, match=r"spatial_batchnorm_forward: .*\(2, 3\)"):
        spatial_batchnorm_forward(np.zeros((2, 3)), ones, ones, {"mode": "train"})
    with pytest.raises(ValueError, match=r"spatial_batchnorm_forward: .*\(5,\)"):
        spatial_batchnorm_forward(x, np.ones(5), ones, {"mode": "train"})
    with pytest.raises(ValueError, match=r"batchnorm_forward: .*mode"):
        spatial_batchnorm_forward(x, ones, ones, {})
    _, cache = spatial_batchnorm_forward(x, ones, ones, {"mode": "train"})
    with pytest.raises(ValueError, match=r"spatial_batchnorm_backward: .*\(2, 3, 4, 5\)"):
        spatial_batchnorm_backward(np.zeros((2, 3, 5, 4)), cache)
