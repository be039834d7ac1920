"""The gradient checker itself: accepts right derivatives, rejects wrong ones, says where."""

import re

import numpy as np
import pytest

from handgrad.gradcheck import (
    GradientMismatchError,
    check_gradients,
    check_loss,
    numeric_gradient,
)
from handgrad.layers import (
    batchnorm_backward,
    batchnorm_forward,
    fc_backward,
    fc_forward,
    huber_loss,
    relu_backward,
    relu_forward,
    softmax_loss,
)

FC_NAMES = ("x", "w", "b")


def fc_arguments(shape=(4, 3, 3)):
    """Return x (N, D), w (D, M), b (M,); w is square by default: transposed it has its shape."""
    N, D, M = shape
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, D)), rng.standard_normal((D, M)), rng.standard_normal(M)


def check_fc(backward, shape=(4, 3, 3)):
    rng = np.random.default_rng(1)
    return check_gradients(fc_forward, backward, fc_arguments(shape), rng=rng, names=FC_NAMES)


def bn_forward(x, gamma, beta):
    return batchnorm_forward(x, gamma, beta, {"mode": "train"})


def bn_arguments():
    rng = np.random.default_rng(2)
    return rng.standard_normal((6, 4)), rng.standard_normal(4), rng.standard_normal(4)


# numeric_gradient -----------------------------------------------------------------------------


def test_numeric_gradient_of_a_number_by_hand():
    # d(x0^2 x1)/dx = (2 x0 x1, x0^2) at (3, 5).
    gradient = numeric_gradient(lambda x: x[0] ** 2 * x[1], np.array([3.0, 5.0]))
    np.testing.assert_allclose(gradient, [30, 9], rtol=1e-9)


def test_numeric_gradient_weights_the_outputs_by_the_upstream():
    x, dout = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, -2.0], [0.5, 0.0]])
    gradient = numeric_gradient(lambda x: x**2, x, dout)
    np.testing.assert_allclose(gradient, [[2, -8], [3, 0]], rtol=1e-9, atol=1e-9)


def test_numeric_gradient_of_a_cubic_has_exactly_the_central_error():
    # ((x+h)^3 - (x-h)^3) / 2h = 3x^2 + h^2; a one-sided difference would be off by 3xh.
    gradient = numeric_gradient(lambda x: (x**3).sum(), np.array([2.0]), step=0.5)
    np.testing.assert_allclose(gradient, [12 + 0.25], rtol=1e-12)


def test_numeric_gradient_leaves_x_alone_and_computes_in_float64():
    x = np.array([[0.1, 0.2, 0.3]], dtype=np.float32)
    before = x.copy()
    gradient = numeric_gradient(lambda x: np.sin(x).sum(), x)
    assert gradient.dtype == np.float64
    np.testing.assert_allclose(gradient, np.cos(before.astype(np.float64)), rtol=1e-9)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("x", [np.arange(6).reshape(2, 3), np.ones((3, 4)).T[:, ::2]])
def test_numeric_gradient_takes_integers_and_views(x):
    gradient = numeric_gradient(lambda x: x * x, x)
    np.testing.assert_allclose(gradient, 2 * x, rtol=1e-8, atol=1e-9)


# check_gradients ------------------------------------------------------------------------------


def test_accepts_right_derivatives_and_returns_the_errors():
    errors = check_fc(fc_backward, (4, 3, 5))
    assert list(errors) == ["x", "w", "b"]
    assert all(0 <= error < 1e-8 for error in errors.values())


def test_accepts_one_gradient_without_a_tuple_and_names_arguments_by_itself():
    x = np.array([[0.5, -1.0, 2.0]])
    errors = check_gradients(relu_forward, relu_backward, (x,), rng=np.random.default_rng(0))
    assert list(errors) == ["argument 0"]


def test_skips_arguments_whose_gradient_is_none():
    assert list(check_fc(lambda dout, cache: (None, *fc_backward(dout, cache)[1:]))) == ["w", "b"]


def test_nothing_checked_is_not_a_success():
    with pytest.raises(GradientMismatchError, match="no gradient at all"):
        check_fc(lambda dout, cache: (None, None, None))


def one_entry_wrong(dout, cache):
    dx, dw, db = fc_backward(dout, cache)
    dw[2, 1] += 1e-4
    return dx, dw, db


def one_entry_nan(dout, cache):
    dx, dw, db = fc_backward(dout, cache)
    dx[3, 0] = np.nan
    return dx, dw, db


def one_entry_infinite(dout, cache):
    dx, dw, db = fc_backward(dout, cache)
    db[1] = -np.inf
    return dx, dw, db


WRONG = {
    "a factor 2": ("w", lambda dx, dw, db: (dx, 2 * dw, db)),
    "a factor 1.000001": ("w", lambda dx, dw, db: (dx, 1.000001 * dw, db)),
    "a sign": ("b", lambda dx, dw, db: (dx, dw, -db)),
    "transposed": ("w", lambda dx, dw, db: (dx, dw.T, db)),
    "zeros for x": ("x", lambda dx, dw, db: (np.zeros_like(dx), dw, db)),
    "zeros for b": ("b", lambda dx, dw, db: (dx, dw, np.zeros_like(db))),
    "mean for sum": ("b", lambda dx, dw, db: (dx, dw, db / 4)),
    "all NaN": ("w", lambda dx, dw, db: (dx, np.full_like(dw, np.nan), db)),
    "rows exchanged": ("x", lambda dx, dw, db: (dx[::-1], dw, db)),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_rejects(mistake):
    name, spoil = WRONG[mistake]
    with pytest.raises(GradientMismatchError, match=f"the gradient of {name} is wrong"):
        check_fc(lambda dout, cache: spoil(*fc_backward(dout, cache)))


def test_rejects_a_relu_without_its_mask():
    x = np.array([[0.5, -1.0, 2.0], [-0.3, 0.7, 1.0]])
    rng = np.random.default_rng(0)
    with pytest.raises(GradientMismatchError, match="central differences say 0 "):
        check_gradients(relu_forward, lambda dout, cache: dout, (x,), rng=rng)


def test_rejects_the_zero_batchnorm_backward_that_an_upstream_of_ones_accepts():
    x, gamma, beta = bn_arguments()
    # sum(out) does not depend on x: with an upstream of ones, zeros are the right answer for dx ...
    ones = numeric_gradient(lambda x: bn_forward(x, gamma, beta)[0], x, np.ones((6, 4)))
    np.testing.assert_allclose(ones, np.zeros((6, 4)), atol=1e-9)

    def zeros(dout, cache):
        _, dgamma, dbeta = batchnorm_backward(dout, cache)
        return np.zeros_like(dout), dgamma, dbeta

    rng = np.random.default_rng(3)
    check_gradients(bn_forward, batchnorm_backward, (x, gamma, beta), rng=rng)
    # ... and the checker's random upstream is not fooled.
    with pytest.raises(GradientMismatchError, match="gradient of argument 0 is wrong"):
        check_gradients(bn_forward, zeros, (x, gamma, beta), rng=rng)


def test_the_upstream_comes_from_the_rng():
    upstreams = []

    def spy(dout, cache):
        upstreams.append(dout)
        return fc_backward(dout, cache)

    for seed in (0, 0, 1):
        check_gradients(fc_forward, spy, fc_arguments(), rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(upstreams[0], upstreams[1])
    assert np.all(upstreams[0] != upstreams[2])
    assert len(np.unique(upstreams[0])) == upstreams[0].size  # no constant, no row repeated


def test_rejects_a_convolution_right_only_for_one_example():
    # The sum over examples forgotten: right for N = 1, wrong for N = 2.
    def first_example_only(dout, cache):
        dx, _, db = fc_backward(dout, cache)
        return dx, cache.x[:1].T @ dout[:1], db

    def for_rows(N):
        return check_fc(first_example_only, (N, 3, 2))

    assert for_rows(1)["w"] < 1e-8
    with pytest.raises(GradientMismatchError, match="gradient of w is wrong"):
        for_rows(2)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
def test_rejects_a_wrong_factor_of_small_gradients(scale):
    x = np.array([1.0, -2.0, 3.0])

    def forward(x):
        return scale * x * x, x

    rng = np.random.default_rng(4)
    right = check_gradients(forward, lambda dout, x: 2 * scale * x * dout, (x,), rng=rng)
    assert right["argument 0"] < 1e-8
    with pytest.raises(GradientMismatchError):
        check_gradients(forward, lambda dout, x: 2.002 * scale * x * dout, (x,), rng=rng)


def test_accepts_a_gradient_of_zero():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((2, 3))
    check_gradients(lambda x: (x * 0, None), lambda dout, _: np.zeros((2, 3)), (x,), rng=rng)


@pytest.mark.parametrize(
    ("backward", "name", "index", "off"),
    [
        (one_entry_wrong, "w", "(2, 1)", "1 of 9"),
        (one_entry_nan, "x", "(3, 0)", "1 of 12"),
        (one_entry_infinite, "b", "(1,)", "1 of 3"),
    ],
)
def test_the_message_has_name_worst_index_and_both_numbers(backward, name, index, off):
    x, w, b = fc_arguments()
    dout = np.random.default_rng(1).standard_normal((4, 3))  # what check_fc's rng draws
    _, cache = fc_forward(x, w, b)
    right, wrong = fc_backward(dout, cache), backward(dout, cache)
    place = tuple(int(i) for i in re.findall(r"\d+", index))
    argument = FC_NAMES.index(name)

    with pytest.raises(GradientMismatchError) as raised:
        check_fc(backward)
    text = str(raised.value)
    assert f"the gradient of {name} is wrong: at index {index} " in text
    said = re.search(r"backward says (\S+), central differences say (\S+) \(", text)
    np.testing.assert_allclose(float(said[1]), wrong[argument][place], rtol=1e-9)
    np.testing.assert_allclose(float(said[2]), right[argument][place], rtol=1e-7)
    assert f"{off} entries are off" in text
    assert "allowed 1e-07" in text


def test_the_worst_of_several_wrong_entries_is_named():
    def backward(dout, cache):
        dx, dw, db = fc_backward(dout, cache)
        dw[0, 0] += 1
        dw[1, 2] -= 5
        return dx, dw, db

    with pytest.raises(GradientMismatchError, match=r"at index \(1, 2\) .*; 2 of 9 entries"):
        check_fc(backward)


def test_rejects_a_wrong_shape_even_where_it_would_broadcast():
    def backward(dout, cache):
        dx, dw, db = fc_backward(dout, cache)
        return dx, dw, db[np.newaxis]

    text = r"the gradient of b has shape \(1, 3\), but b has \(3,\)"
    with pytest.raises(GradientMismatchError, match=text):
        check_fc(backward)


def test_rejects_too_few_gradients():
    with pytest.raises(GradientMismatchError, match="returned 2 gradients for 3 arguments"):
        check_fc(lambda dout, cache: fc_backward(dout, cache)[:2])


def test_arguments_are_not_modified_and_float32_is_checked_in_float64():
    args = [a.astype(np.float32) for a in fc_arguments()]
    before = [a.copy() for a in args]
    errors = check_gradients(fc_forward, fc_backward, args, rng=np.random.default_rng(0))
    assert max(errors.values()) < 1e-8  # float32 would leave about 1e-2
    for arg, old in zip(args, before, strict=True):
        np.testing.assert_array_equal(arg, old)


def test_tolerance_and_step_are_obeyed():
    def slightly_off(dout, cache):
        dx, dw, db = fc_backward(dout, cache)
        return dx, 1.001 * dw, db

    args, rng = fc_arguments(), np.random.default_rng(0)
    check_gradients(fc_forward, slightly_off, args, rng=rng, tolerance=1e-2)
    with pytest.raises(GradientMismatchError):
        check_gradients(fc_forward, slightly_off, args, rng=rng, tolerance=1e-4)

    def cubic(x):
        return x**3, x

    # Central differences of x^3 are 3x^2 + h^2.
    x = np.array([1.0])
    coarse = check_gradients(
        cubic, lambda dout, x: 3 * x**2 * dout, (x,), rng=rng, step=0.1, tolerance=0.1
    )
    np.testing.assert_allclose(coarse["argument 0"], 0.01 / 3.01, rtol=1e-6)


# check_loss -----------------------------------------------------------------------------------


def test_check_loss_hands_the_losss_own_settings_on():
    rng = np.random.default_rng(0)
    x, y, weights = 3 * rng.standard_normal(6), np.zeros(6), rng.random(6)
    seen = []

    def noted(x, y, **settings):
        seen.append(settings)
        return huber_loss(x, y, **settings)

    assert check_loss(noted, x, y, delta=0.7, sample_weight=weights) < 1e-8
    assert all(s["delta"] == 0.7 and s["sample_weight"] is weights for s in seen)

    def unweighted(x, y, sample_weight):
        return huber_loss(x, y, sample_weight=sample_weight)[0], huber_loss(x, y)[1]

    with pytest.raises(GradientMismatchError):
        check_loss(unweighted, x, y, sample_weight=weights)


def test_check_loss_accepts_and_rejects():
    x, y = np.random.default_rng(6).standard_normal((4, 3)), np.array([0, 2, 1, 1])
    before = x.copy()
    assert check_loss(softmax_loss, x, y) < 1e-8

    def summed(x, y):  # the mean in the loss, not in the gradient
        loss, dx = softmax_loss(x, y)
        return loss, dx * len(x)

    with pytest.raises(GradientMismatchError, match="the gradient of x is wrong"):
        check_loss(summed, x, y)
    with pytest.raises(GradientMismatchError, match="has shape"):
        check_loss(lambda x, y: (softmax_loss(x, y)[0], softmax_loss(x, y)[1][:, :1]), x, y)
    np.testing.assert_array_equal(x, before)
