"""tanh, leaky ReLU, GELU, SiLU: hand values, numeric gradients, laws, infinities, errors."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from references import LAWS, check_contract

from handgrad import layers as L
from handgrad.gradcheck import check_gradients


def gelu_tanh(x):
    return L.gelu_forward(x, approximate=True)


def leaky(x):
    return L.leaky_relu_forward(x, 0.2)


# name: (forward, backward, the function of one number)
EACH = {
    "tanh": (L.tanh_forward, L.tanh_backward, math.tanh),
    "leaky": (leaky, L.leaky_relu_backward, lambda x: x if x > 0 else 0.2 * x),
    "gelu": (
        L.gelu_forward,
        L.gelu_backward,
        lambda x: x * math.erfc(-x / math.sqrt(2)) / 2,
    ),
    "gelu, tanh form": (
        gelu_tanh,
        L.gelu_backward,
        lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    "silu": (L.silu_forward, L.silu_backward, lambda x: x / (1 + math.exp(-x))),
}
ALL = pytest.mark.parametrize(("forward", "backward", "of_one"), EACH.values(), ids=EACH)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@ALL
def test_each_entry_is_the_function_of_that_entry(forward, backward, of_one):
    x = np.random.default_rng(0).normal(0, 2, (3, 4, 5))
    out, _ = forward(x)
    wanted = [of_one(float(entry)) for entry in x.ravel()]
    np.testing.assert_allclose(out.ravel(), wanted, rtol=1e-13, atol=1e-15)


@ALL
@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 2, 2)])
def test_gradients_match_numbers(forward, backward, of_one, shape):
    rng = np.random.default_rng(1)
    x = rng.uniform(0.1, 3, shape) * rng.choice([-1, 1], shape)  # not at the leaky kink
    check_gradients(forward, backward, (x,), rng=rng, names=("x",))


@ALL
def test_contract(forward, backward, of_one):
    x = np.random.default_rng(2).normal(0, 2, (4, 5))
    check_contract(forward, backward, (x,), tolerance=2e-6)


def test_tanh_by_hand():
    # tanh(ln 3) = (3 - 1/3) / (3 + 1/3) = 0.8, and the slope there 1 - 0.64.
    out, cache = L.tanh_forward(np.array([0.0, np.log(3), -np.log(3)]))
    np.testing.assert_allclose(out, [0, 0.8, -0.8], rtol=1e-15)
    np.testing.assert_allclose(L.tanh_backward(np.full(3, 100.0), cache), [100, 36, 36], rtol=1e-14)


def test_leaky_by_hand_and_at_zero_takes_the_slope_of_the_left():
    out, cache = leaky(np.array([-2.0, 0.0, -0.0, 3.0]))
    np.testing.assert_allclose(out, [-0.4, 0, 0, 3], rtol=1e-15)
    np.testing.assert_allclose(
        L.leaky_relu_backward(np.full(4, 5.0), cache), [1, 1, 1, 5], rtol=1e-15
    )


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_by_hand(approximate):
    # Half of 0's neighbourhood is on either side: value 0, slope 1/2. A normal number is below 1
    # with probability 0.8413447460685429, and the density there is 0.24197072451914337.
    out, cache = L.gelu_forward(np.array([0.0, 1.0, -1.0]), approximate)
    # The tanh form's is within 5e-4 of that, the exact one within roundings of numbers about 1.
    within = {"rtol": 0, "atol": 5e-4 if approximate else 2e-16}
    np.testing.assert_allclose(out, [0, 0.8413447460685429, 0.8413447460685429 - 1], **within)
    slopes = L.gelu_backward(np.ones(3), cache)
    at_one = 0.8413447460685429 + 0.24197072451914337
    np.testing.assert_allclose(slopes, [0.5, at_one, 1 - at_one], **within)


def test_silu_by_hand():
    # sigmoid(ln 3) = 3/4: out is 3/4 ln 3, the slope 3/4 (1 + ln 3 / 4).
    z = np.log(3)
    out, cache = L.silu_forward(np.array([0.0, z, -z]))
    np.testing.assert_allclose(out, [0, 0.75 * z, -0.25 * z], rtol=1e-15)
    slopes = L.silu_backward(np.ones(3), cache)
    np.testing.assert_allclose(slopes, [0.5, 0.75 * (1 + z / 4), 0.25 * (1 - 0.75 * z)], rtol=1e-14)


def test_gelu_keeps_its_digits_far_to_the_left():
    # (1 + erf) would have lost all of them at -9: Phi(-9) = 1.1285884059538408e-19.
    out, _ = L.gelu_forward(np.array([-9.0]))
    assert out[0] == pytest.approx(-9 * 1.1285884059538408e-19, rel=1e-12)


def test_the_tanh_form_is_near_the_exact_one():
    x = np.linspace(-10, 10, 4001)
    off = np.abs(gelu_tanh(x)[0] - L.gelu_forward(x)[0])
    assert 1e-4 < off.max() < 5e-4


@ALL
@DTYPES
def test_infinities_have_their_limits_and_nan_comes_through(forward, backward, of_one, dtype):
    x = np.array([np.inf, -np.inf, np.nan], dtype)
    out, cache = forward(x)  # warnings are errors here
    dx = backward(np.ones(3, dtype), cache)
    limits = {math.tanh: ([1, -1], [0, 0]), EACH["leaky"][2]: ([np.inf, -np.inf], [1, 0.2])}
    values, slopes = limits.get(of_one, ([np.inf, 0], [1, 0]))
    np.testing.assert_array_equal(out[:2], np.array(values, dtype))
    np.testing.assert_array_equal(dx[:2], np.array(slopes, dtype))
    assert np.isnan(out[2])
    if of_one is not EACH["leaky"][2]:  # whose slope is a choice between two numbers
        assert np.isnan(dx[2])


@ALL
@DTYPES
@LAWS
@given(data=st.data())
def test_finite_and_silent_anywhere(forward, backward, of_one, dtype, data):
    width = 8 * np.dtype(dtype).itemsize
    largest = float(np.finfo(dtype).max)
    x = data.draw(hnp.arrays(dtype, (6,), elements=st.floats(-largest, largest, width=width)))
    with np.errstate(all="raise"):
        out, cache = forward(x)
        dx = backward(np.ones(6, dtype), cache)
    assert np.isfinite(out).all()
    assert (np.abs(out) * dtype(0.999) <= np.abs(x)).all()  # none is beyond the identity
    assert (np.abs(dx) <= 1.2).all()  # GELU's and SiLU's slopes exceed 1 by 0.13 at most


@LAWS
@given(st.floats(-30, 30))
def test_what_gelu_and_silu_leave_out_on_one_side_is_there_on_the_other(x):
    for forward in (L.gelu_forward, gelu_tanh, L.silu_forward):
        (right, left), _ = forward(np.array([x, -x]))
        assert right - left == pytest.approx(x, rel=1e-12, abs=1e-300)


@DTYPES
def test_float32_gelu_is_rounded_once(dtype):
    x = np.linspace(-6, 6, 1001).astype(dtype)
    exact = [float(v) * math.erfc(-float(v) / math.sqrt(2)) / 2 for v in x]
    tolerance = 1e-14 if dtype == np.float64 else np.finfo(dtype).eps
    np.testing.assert_allclose(L.gelu_forward(x)[0], exact, rtol=tolerance)


@ALL
def test_backward_says_which_shape_is_wrong(forward, backward, of_one):
    _, cache = forward(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=rf"{backward.__name__}: .*\(4, 3\).*\(3,\)"):
        backward(np.zeros(3), cache)


@pytest.mark.parametrize("slope", [0, 1, -0.1, 1.5, float("nan")])
def test_leaky_refuses_other_slopes(slope):
    with pytest.raises(
        ValueError, match=rf"leaky_relu_forward: slope must be in \(0, 1\); .*{slope}"
    ):
        L.leaky_relu_forward(np.zeros(2), slope)
