"""Layer norm: hand values, loops, numeric gradients, laws, constant examples, errors."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from references import LAWS, check_contract, layernorm_backward_loops, layernorm_forward_loops

from handgrad.gradcheck import check_gradients
from handgrad.layers import batchnorm_forward, layernorm_backward, layernorm_forward

SHAPES = pytest.mark.parametrize("shape", [(4, 5), (1, 3), (3, 2), (2, 3, 2, 2), (1, 1, 4, 3)])


def arguments(shape, seed=0):
    rng = np.random.default_rng(seed)
    one = shape[1:]
    return rng.normal(3, 2, shape), rng.standard_normal(one), rng.standard_normal(one)


def test_forward_by_hand():
    x = np.array([[1.0, 3.0], [10.0, 30.0]])
    out, _ = layernorm_forward(x, np.array([2.0, 1.0]), np.array([5.0, -1.0]), {"eps": 0.0})
    # Means 2 and 20, deviations 1 and 10: x_hat is (-1, 1) in both rows.
    np.testing.assert_allclose(out, [[3, 0], [3, 0]], rtol=1e-15)


def test_backward_by_hand():
    # One row (1, 2, 3): 1/sigma = sqrt(3/2), x_hat = (-1, 0, 1) times that. With gamma = 1 and
    # dout = (6, 0, 0): less its mean (4, -2, -2), less x_hat * mean(g x_hat) = (3, 0, -3).
    root = np.sqrt(1.5)
    _, cache = layernorm_forward(np.array([[1.0, 2.0, 3.0]]), np.ones(3), np.zeros(3), {"eps": 0})
    dx, dgamma, dbeta = layernorm_backward(np.array([[6.0, 0.0, 0.0]]), cache)
    np.testing.assert_allclose(dx, [[root, -2 * root, root]], rtol=1e-14)
    np.testing.assert_allclose(dgamma, [-6 * root, 0, 0], rtol=1e-14)
    np.testing.assert_array_equal(dbeta, [6, 0, 0])


@SHAPES
def test_both_passes_match_loops(shape):
    x, gamma, beta = arguments(shape)
    out, cache = layernorm_forward(x, gamma, beta, {"eps": 1e-3})
    rows, g, b = x.reshape(len(x), -1), gamma.ravel(), beta.ravel()
    wanted = layernorm_forward_loops(rows, g, b, eps=1e-3)
    np.testing.assert_allclose(out, wanted.reshape(shape), rtol=1e-12, atol=1e-13)
    dout = np.random.default_rng(1).standard_normal(shape)
    found = layernorm_backward(dout, cache)
    wanted = layernorm_backward_loops(dout.reshape(rows.shape), rows, g, eps=1e-3)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours.ravel(), theirs.ravel(), rtol=1e-10, atol=1e-13)


@SHAPES
@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_gradients_match_numbers(shape, eps):
    def forward(x, gamma, beta):
        return layernorm_forward(x, gamma, beta, {"eps": eps})

    names = ("x", "gamma", "beta")
    rng = np.random.default_rng(2)
    check_gradients(forward, layernorm_backward, arguments(shape), rng=rng, names=names)


@SHAPES
def test_contract(shape):
    check_contract(layernorm_forward, layernorm_backward, arguments(shape), tolerance=2e-5)


@LAWS
@given(seed=st.integers(0, 10_000), shift=st.floats(-100, 100), scale=st.floats(0.1, 10))
def test_shift_and_scale_of_an_example_change_nothing(seed, shift, scale):
    x, gamma, beta = arguments((3, 6), seed)
    dout = np.random.default_rng(seed).standard_normal((3, 6))
    out, cache = layernorm_forward(x, gamma, beta, {"eps": 0.0})
    moved, moved_cache = layernorm_forward(scale * x + shift, gamma, beta, {"eps": 0.0})
    np.testing.assert_allclose(moved, out, rtol=1e-9, atol=1e-9)
    dx = layernorm_backward(dout, cache)[0]
    # So the gradient is orthogonal to both, and shrinks as x grows.
    np.testing.assert_allclose(dx.sum(axis=1), 0, atol=1e-11)
    np.testing.assert_allclose((dx * x).sum(axis=1), 0, atol=1e-10)
    np.testing.assert_allclose(scale * layernorm_backward(dout, moved_cache)[0], dx, atol=1e-8)


def test_it_is_batch_norm_of_the_transpose():
    x, _, _ = arguments((5, 4))
    ours, _ = layernorm_forward(x, np.ones(4), np.zeros(4))
    turned, _ = batchnorm_forward(x.T, np.ones(5), np.zeros(5), {"mode": "train"})
    np.testing.assert_allclose(ours, turned.T, rtol=1e-12)


def test_examples_do_not_see_each_other():
    x, gamma, beta = arguments((4, 5))
    out, _ = layernorm_forward(x, gamma, beta)
    x[2] = np.nan
    spoilt, _ = layernorm_forward(x, gamma, beta)
    np.testing.assert_array_equal(spoilt[[0, 1, 3]], out[[0, 1, 3]])
    none, cache = layernorm_forward(x[:0], gamma, beta)
    assert none.shape == (0, 5)
    assert [g.shape for g in layernorm_backward(none, cache)] == [(0, 5), (5,), (5,)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.1, 1e8, -3.3])
def test_a_constant_example_gives_beta_to_the_last_bit(dtype, value):
    beta = np.arange(7, dtype=dtype)
    out, _ = layernorm_forward(np.full((2, 7), value, dtype), np.ones(7), beta)
    np.testing.assert_array_equal(out, [beta, beta])


@pytest.mark.parametrize(
    ("x", "gamma", "beta", "eps", "text"),
    [
        ((4,), (4,), (4,), 1e-5, r"x must be \(N, D\) or \(N, C, H, W\).*\(4,\)"),
        ((2, 3, 4), (3, 4), (3, 4), 1e-5, r"x must be .*\(2, 3, 4\)"),
        ((2, 0), (0,), (0,), 1e-5, r"at least one number an example.*\(2, 0\)"),
        ((2, 3), (2,), (3,), 1e-5, r"gamma must be \(3,\).*\(2,\)"),
        ((2, 3), (3,), (1,), 1e-5, r"beta must be \(3,\).*\(1,\)"),
        ((2, 3, 4, 5), (3,), (3, 4, 5), 1e-5, r"gamma must be \(3, 4, 5\).*\(3,\)"),
        ((2, 3), (3,), (3,), -1.0, r"ln_param\['eps'\] must be at least 0; got eps = -1.0"),
    ],
)
def test_forward_says_what_is_wrong(x, gamma, beta, eps, text):
    with pytest.raises(ValueError, match="layernorm_forward: .*" + text):
        layernorm_forward(np.zeros(x), np.zeros(gamma), np.zeros(beta), {"eps": eps})


def test_backward_says_which_shape_is_wrong():
    _, cache = layernorm_forward(*arguments((2, 3)))
    with pytest.raises(ValueError, match=r"layernorm_backward: .*\(2, 3\).*\(3,\)"):
        layernorm_backward(np.zeros(3), cache)
