"""The losses of regression: hand values, loops, numeric gradients, kinks, laws, errors."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from references import LAWS, mean_loss_loops

from handgrad.gradcheck import check_loss
from handgrad.layers import huber_loss, mae_loss, mse_loss


def huber_of_one(delta):
    def of_one(x, y):
        r = x - y
        if abs(r) <= delta:
            return r * r / 2, r
        return delta * (abs(r) - delta / 2), delta * np.sign(r)

    return of_one


# name: (loss, settings, the loss and its slope of one number)
EACH = {
    "mse": (mse_loss, {}, lambda x, y: ((x - y) ** 2, 2 * (x - y))),
    "mae": (mae_loss, {}, lambda x, y: (abs(x - y), float(np.sign(x - y)))),
    "huber": (huber_loss, {}, huber_of_one(1.0)),
    "huber, 0.3": (huber_loss, {"delta": 0.3}, huber_of_one(0.3)),
}
ALL = pytest.mark.parametrize(("loss", "settings", "of_one"), EACH.values(), ids=EACH)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def test_mse_by_hand():
    loss, dx = mse_loss(np.array([[1.0, 2.0], [0.0, -3.0]]), np.array([[0.0, 2.0], [2.0, 0.0]]))
    # Squares 1, 0, 4, 9: their mean, not half of it; dx = 2 r / 4.
    assert loss == 3.5
    np.testing.assert_array_equal(dx, [[0.5, 0], [-1, -1.5]])


def test_mae_by_hand_and_pays_nothing_at_a_residual_of_zero():
    loss, dx = mae_loss(np.array([1.0, 2.0, -0.0, 5.0]), np.array([0.0, 2.0, 0.0, 8.0]))
    assert loss == 1.0
    np.testing.assert_array_equal(dx, [0.25, 0, 0, -0.25])


def test_huber_by_hand():
    # delta 2, residuals 1, 2 (where the pieces meet), 5 and -3: 1/2, 2, 2 (5 - 1), 2 (3 - 1).
    loss, dx = huber_loss(np.array([1.0, 2.0, 5.0, -3.0]), np.zeros(4), delta=2.0)
    assert loss == (0.5 + 2 + 8 + 4) / 4
    np.testing.assert_array_equal(dx, [0.25, 0.5, 0.5, -0.5])


@ALL
@pytest.mark.parametrize("shape", [(1, 1), (6, 1), (5, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_matches_loops_and_numbers(loss, settings, of_one, shape, weighted):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(shape), rng.standard_normal(shape)
    weights = rng.uniform(0.5, 2, len(x)) if weighted else None
    value, dx = loss(x, y, sample_weight=weights, **settings)
    wanted, wanted_dx = mean_loss_loops(of_one, x, y, weights)
    np.testing.assert_allclose(value, wanted, rtol=1e-13)
    np.testing.assert_allclose(dx, wanted_dx, rtol=1e-13, atol=1e-16)
    assert check_loss(loss, x, y, sample_weight=weights, **settings) < 1e-7


@ALL
def test_a_column_means_the_same_as_a_row_of_numbers(loss, settings, of_one):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal(5), rng.standard_normal(5)
    value, dx = loss(x, y, **settings)
    for ours, theirs in ((x[:, None], y), (x, y[:, None]), (x[:, None], y[:, None])):
        again, column = loss(ours, theirs, **settings)
        assert again == value
        np.testing.assert_array_equal(column, dx.reshape(ours.shape))


@ALL
@DTYPES
def test_dtype_is_of_x_and_nothing_is_modified(loss, settings, of_one, dtype):
    x, y = np.array([0.5, -2.0, 7.0], dtype), np.array([1, 0, 3], np.int16)
    kept = x.copy(), y.copy()
    value, dx = loss(x, y, **settings)
    assert type(value) is float
    assert dx.dtype == dtype
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(y, kept[1])
    whole, of_ints = loss(np.array([4, 5]), [True, False], **settings)
    assert of_ints.dtype == np.float64
    assert whole > 0


@ALL
@DTYPES
@LAWS
@given(data=st.data())
def test_the_loss_is_of_the_residual_even_and_pulls_towards_the_target(
    loss, settings, of_one, dtype, data
):
    width = 8 * np.dtype(dtype).itemsize
    numbers = hnp.arrays(dtype, (4,), elements=st.floats(-1e4, 1e4, width=width))
    x, y = data.draw(numbers), data.draw(numbers)
    value, dx = loss(x, y, **settings)
    assert value >= 0
    assert (value == 0) == bool((x == y).all()) or value < 1e-30
    assert (dx * (x - y) >= 0).all()
    turned, opposite = loss(y, x, **settings)
    assert turned == value
    np.testing.assert_array_equal(opposite, -dx)


@LAWS
@given(st.floats(-100, 100), st.floats(0.01, 10))
def test_huber_lies_between_its_two_pieces(r, delta):
    value, dx = huber_loss([r], [0.0], delta=delta)
    assert value <= mse_loss([r], [0.0])[0] / 2 + 1e-12
    assert value <= delta * mae_loss([r], [0.0])[0] + 1e-12
    assert abs(dx[0]) <= delta
    # Far within delta it is half the square; far beyond, delta times the distance but a constant.
    wide, narrow = huber_loss([r], [0.0], delta=1e6)[0], huber_loss([r], [0.0], delta=1e-9)[0]
    assert wide == pytest.approx(r * r / 2, rel=1e-12, abs=1e-300)
    assert narrow == pytest.approx(1e-9 * abs(r), rel=1e-6, abs=1e-18)


@ALL
def test_an_infinite_prediction_is_an_infinite_loss_and_nan_is_nan(loss, settings, of_one):
    value, dx = loss([np.inf, 0.0], [0.0, 0.0], **settings)
    assert value == np.inf
    assert dx[1] == 0
    value, dx = loss([np.nan, 0.0], [0.0, 0.0], **settings)
    assert np.isnan(value)
    assert np.isnan(dx[0])


@ALL
@pytest.mark.parametrize(
    ("x", "y", "text"),
    [
        ((4,), (3,), r"y must be of x's shape; got x of shape \(4,\), y of shape \(3,\)"),
        ((4, 2), (4,), r"y must be of x's shape; .*\(4, 2\).*\(4,\)"),
        ((4,), (4, 4), r"y must be of x's shape; .*\(4, 4\)"),
        ((1, 4), (4, 1), r"y must be of x's shape; .*\(1, 4\)"),
        ((2, 3, 4), (2, 3, 4), r"x must be \(N,\) or \(N, M\); .*\(2, 3, 4\)"),
        ((0,), (0,), r"at least one example and one output; .*\(0,\)"),
        ((2, 0), (2, 0), r"at least one example and one output; .*\(2, 0\)"),
        ((), (), r"x must be \(N,\) or \(N, M\); .*\(\)"),
    ],
)
def test_wrong_shapes_are_named(loss, settings, of_one, x, y, text):
    with pytest.raises(ValueError, match=f"^{loss.__name__}: .*{text}"):
        loss(np.zeros(x), np.zeros(y), **settings)


@ALL
@pytest.mark.parametrize(
    ("y", "dtype", "text"),
    [
        ([0.0, np.nan, np.inf], np.float64, "targets must be finite in float64; got nan, inf"),
        ([0.0, 1e300, 1.0], np.float32, r"targets must be finite in float32; got 1e\+300"),
        (["a", "b", "c"], np.float64, "targets must be numbers; got an array of <U1"),
        ([None, 1, 2], np.float64, "targets must be numbers; got an array of object"),
        ([1j, 1, 2], np.float64, "targets must be numbers; got an array of complex128"),
    ],
)
def test_wrong_targets_are_named(loss, settings, of_one, y, dtype, text):
    with pytest.raises(ValueError, match=f"^{loss.__name__}: {text}"):
        loss(np.zeros(3, dtype), np.array(y), **settings)


@pytest.mark.parametrize("delta", [0, -1.0, np.inf, np.nan])
def test_huber_refuses_other_deltas(delta):
    with pytest.raises(ValueError, match=f"^huber_loss: delta must be positive .*{delta}"):
        huber_loss([1.0], [0.0], delta=delta)
