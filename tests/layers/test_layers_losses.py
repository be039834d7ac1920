"""The three losses: hand values, exact decimals, numeric gradients, laws, label codings, errors."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from references import LAWS, logistic_loss_exact, softmax_loss_exact, svm_loss_exact

from handgrad.gradcheck import numeric_gradient
from handgrad.layers import logistic_loss, softmax_loss, svm_loss

BINARY_LOSSES = pytest.mark.parametrize("loss", [logistic_loss, svm_loss])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SIGNED = [np.int8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64]
UNSIGNED = [np.uint8, np.uint16, np.uint32, np.uint64, np.bool_]


def logits(shape, dtype, largest=1e4):
    """Arrays of `shape` that favour the edges: 0, the largest values, and the tiny ones."""
    width = 8 * np.dtype(dtype).itemsize
    return hnp.arrays(dtype, shape, elements=st.floats(-largest, largest, width=width))


def numeric_dx(loss, x, y):
    return numeric_gradient(lambda point: np.array(loss(point, y)[0]), x)


# logistic -------------------------------------------------------------------------------------


def test_logistic_by_hand():
    loss, dx = logistic_loss(np.array([0.0]), np.array([1]))
    assert loss == pytest.approx(np.log(2), rel=1e-15)
    np.testing.assert_allclose(dx, [-0.5], rtol=1e-15)
    # The logit ln 3 means probability 3/4: -ln(3/4) if positive, -ln(1/4) if negative.
    x = np.log([3.0, 3.0])
    loss, dx = logistic_loss(x, np.array([1, 0]))
    assert loss == pytest.approx((np.log(4 / 3) + np.log(4)) / 2, rel=1e-14)
    np.testing.assert_allclose(dx, [(3 / 4 - 1) / 2, (3 / 4) / 2], rtol=1e-14)


@LAWS
@given(st.data())
def test_logistic_matches_exact_arithmetic(data):
    x = data.draw(logits(st.integers(1, 6), np.float64))
    y = data.draw(hnp.arrays(np.int64, x.shape, elements=st.integers(0, 1)))
    loss, dx = logistic_loss(x, y)
    wanted_loss, wanted_dx = logistic_loss_exact(x, list(y == 1))
    np.testing.assert_allclose(loss, wanted_loss, rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(dx, wanted_dx, rtol=1e-13, atol=1e-15)


def test_logistic_keeps_a_loss_far_below_the_rounding_of_one():
    # ln(1 + e^-40) = e^-40 up to e^-80 / 2; the logarithm of 1 + 4e-18 would be 0.
    loss, _ = logistic_loss(np.array([40.0]), np.array([1]))
    assert loss == pytest.approx(np.exp(-40.0), rel=1e-12, abs=0)


@LAWS
@given(x=logits((5,), np.float64), seed=st.integers(0, 1000))
def test_logistic_of_the_mirrored_problem_is_the_same(x, seed):
    y = np.random.default_rng(seed).integers(0, 2, 5)
    loss, dx = logistic_loss(x, y)
    mirrored_loss, mirrored_dx = logistic_loss(-x, 1 - y)
    np.testing.assert_allclose(mirrored_loss, loss, rtol=1e-14)
    np.testing.assert_allclose(mirrored_dx, -dx, rtol=1e-12, atol=1e-15)


def test_logistic_is_softmax_with_a_second_logit_of_zero():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 3, 20), rng.integers(0, 2, 20)
    loss, dx = logistic_loss(x, y)
    wanted_loss, wanted_dx = softmax_loss(np.stack([np.zeros(20), x], axis=1), y)
    np.testing.assert_allclose(loss, wanted_loss, rtol=1e-13)
    np.testing.assert_allclose(dx, wanted_dx[:, 1], rtol=1e-12)


# SVM ------------------------------------------------------------------------------------------


def test_svm_by_hand():
    x = np.array([2.0, 0.25, -3.0, 0.5])
    y = np.array([1, 1, 1, -1])
    loss, dx = svm_loss(x, y)
    # Hinges 0, 0.75, 4 and 1.5: the mean is over all four rows, not over the three violators.
    assert loss == 6.25 / 4
    np.testing.assert_array_equal(dx, [0, -0.25, -0.25, 0.25])


@DTYPES
def test_svm_pays_nothing_exactly_at_the_kink(dtype):
    loss, dx = svm_loss(np.array([1, -1], dtype), np.array([1, -1]))
    assert loss == 0
    np.testing.assert_array_equal(dx, [0, 0])


@LAWS
@given(st.data())
def test_svm_matches_exact_arithmetic(data):
    x = data.draw(logits(st.integers(1, 6), np.float64))
    y = data.draw(hnp.arrays(np.int64, x.shape, elements=st.integers(0, 1)))
    loss, dx = svm_loss(x, y)
    wanted_loss, wanted_dx = svm_loss_exact(x, list(y == 1))
    np.testing.assert_allclose(loss, wanted_loss, rtol=1e-13)
    np.testing.assert_allclose(dx, wanted_dx, rtol=1e-14)


# both binary losses ---------------------------------------------------------------------------


@BINARY_LOSSES
@pytest.mark.parametrize("shape", [(1,), (7,), (7, 1)])
def test_binary_gradients_match_numbers_and_have_the_shape_of_x(loss, shape):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal(shape), rng.integers(0, 2, shape[0])
    _, dx = loss(x, y)
    assert dx.shape == shape
    np.testing.assert_allclose(dx, numeric_dx(loss, x, y), rtol=1e-7, atol=1e-10)


@BINARY_LOSSES
def test_binary_logits_in_a_column_mean_the_same(loss):
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal(9), rng.integers(0, 2, 9)
    row_value, row_dx = loss(x, y)
    column_value, column_dx = loss(x[:, None], y)
    assert np.ndim(row_value) == np.ndim(column_value) == 0
    assert row_value == column_value
    np.testing.assert_array_equal(column_dx, row_dx[:, None])


@BINARY_LOSSES
@pytest.mark.parametrize(
    ("y", "positive"),
    [
        ([0, 1, 1, 0], [0, 1, 1, 0]),
        ([-1, 1, 1, -1], [0, 1, 1, 0]),
        ([1, 1, 1, 1], [1, 1, 1, 1]),  # a batch that shows neither coding
        ([0, 0, 0, 0], [0, 0, 0, 0]),
        ([-1, -1, -1, -1], [0, 0, 0, 0]),
        ([0, 1, -1, 1], [0, 1, 0, 1]),  # a batch that shows both
    ],
)
@pytest.mark.parametrize("label_dtype", SIGNED + UNSIGNED)
def test_binary_labels_are_read_value_by_value_in_every_dtype(loss, y, positive, label_dtype):
    if label_dtype in UNSIGNED and min(y) < 0:
        y = [max(label, 0) for label in y]  # no -1 there: the coding {0, 1} is all it can hold
    x = np.array([0.5, -0.25, 2.0, -3.0])
    exact = logistic_loss_exact if loss is logistic_loss else svm_loss_exact
    wanted_value, wanted_dx = exact(x, [bool(label) for label in positive])
    value, dx = loss(x, np.array(y, dtype=label_dtype))
    np.testing.assert_allclose(value, wanted_value, rtol=1e-14)
    np.testing.assert_allclose(dx, wanted_dx, rtol=1e-14)


@BINARY_LOSSES
@DTYPES
@pytest.mark.parametrize("label_dtype", [np.uint8, np.int64, np.float32, np.float64, np.bool_])
def test_binary_dtype_of_x_decides_the_dtype_of_dx(loss, dtype, label_dtype):
    _, dx = loss(np.array([0.5, -0.5], dtype), np.array([0, 1], label_dtype))
    assert dx.dtype == dtype


@BINARY_LOSSES
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("label_dtype", [np.int64, np.uint8, np.float64])
def test_binary_arguments_are_not_modified(loss, shape, label_dtype):
    x, y = np.array([0.5, -0.25, 2.0, -3.0]).reshape(shape), np.array([0, 1, 1, 0], label_dtype)
    x_before, y_before = x.copy(), y.copy()
    loss(x, y)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(y, y_before)


@BINARY_LOSSES
@pytest.mark.parametrize(
    ("labels", "listed"),
    [
        (np.array([0, 1, 2]), "2"),
        (np.array([1, 1, -2]), "-2"),
        (np.array([1, 0, 255], np.uint8), "255"),  # what -1 became in somebody's uint8
        (np.array([0.0, 1.0, 0.5]), r"0\.5"),
        (np.array([0.0, 1.0, np.nan]), "nan"),
        (np.array([1.0, np.inf, 0.0]), "inf"),
    ],
)
def test_binary_unknown_labels_are_listed(loss, labels, listed):
    with pytest.raises(ValueError, match=rf"{loss.__name__}: .*{listed}"):
        loss(np.zeros(3), labels)


@BINARY_LOSSES
@pytest.mark.parametrize(
    ("x_shape", "y_shape"),
    [((4,), (3,)), ((4, 1), (3,)), ((4, 2), (4,)), ((1, 4), (4,)), ((4,), (1,)), ((4,), (4, 4))],
)
def test_binary_wrong_shapes_are_named(loss, x_shape, y_shape):
    with pytest.raises(ValueError, match=rf"{loss.__name__}: .*\({x_shape[0]},"):
        loss(np.zeros(x_shape), np.ones(y_shape))


@BINARY_LOSSES
@DTYPES
def test_binary_losses_at_ten_thousand_are_finite_and_silent(loss, dtype):
    x = np.array([1e4, -1e4, 1e4, -1e4], dtype)  # warnings are errors here
    value, dx = loss(x, np.array([1, 0, 0, 1]))
    # Right twice: nothing. Wrong twice: 1e4 each (the SVM's margin adds 1).
    margin = 1 if loss is svm_loss else 0
    assert value == pytest.approx((1e4 + margin) / 2, rel=1e-7)
    np.testing.assert_allclose(dx, [0, 0, 0.25, -0.25], atol=1e-30)


@pytest.mark.parametrize("loss", [logistic_loss, svm_loss, softmax_loss])
@DTYPES
def test_losses_stand_a_caller_who_turns_every_numpy_warning_into_an_error(loss, dtype):
    x = np.array([1e4, -1e4, 100, -100], dtype)
    x = np.stack([x, np.zeros(4, dtype)], axis=1) if loss is softmax_loss else x
    with np.errstate(all="raise"):  # underflow too, which NumPy ignores unless told otherwise
        value, dx = loss(x, np.array([1, 0, 0, 1]))
    assert np.isfinite(value)
    assert np.isfinite(dx).all()


@BINARY_LOSSES
@DTYPES
@LAWS
@given(st.data())
def test_binary_losses_are_finite_and_silent_anywhere(loss, dtype, data):
    x = data.draw(logits((4,), dtype))
    y = data.draw(hnp.arrays(np.int64, (4,), elements=st.integers(0, 1)))
    value, dx = loss(x, y)
    assert 0 <= value <= 1e4 + 1
    assert (np.abs(dx) <= 0.25).all()
    assert (dx * (1 - 2 * y) >= 0).all()  # a positive label pulls up, a negative one down


# softmax --------------------------------------------------------------------------------------


def test_softmax_by_hand():
    x = np.log([[1.0, 2.0, 5.0], [2.0, 1.0, 1.0]])
    loss, dx = softmax_loss(x, np.array([2, 1]))
    # Probabilities (1, 2, 5)/8 and (2, 1, 1)/4: -ln(5/8) and -ln(1/4), halved.
    assert loss == pytest.approx((np.log(8 / 5) + np.log(4)) / 2, rel=1e-14)
    np.testing.assert_allclose(
        dx, [[1 / 16, 2 / 16, (5 - 8) / 16], [2 / 8, (1 - 4) / 8, 1 / 8]], rtol=1e-13
    )


@pytest.mark.parametrize("C", [1, 2, 10])
def test_softmax_of_equal_logits_is_the_logarithm_of_the_number_of_classes(C):
    loss, _ = softmax_loss(np.zeros((5, C)), np.arange(5) % C)
    assert loss == pytest.approx(np.log(C), rel=1e-14, abs=1e-15)


@pytest.mark.parametrize(("N", "C"), [(1, 2), (6, 5), (3, 1)])
def test_softmax_gradient_matches_numbers(N, C):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((N, C)), rng.integers(0, C, N)
    np.testing.assert_allclose(
        softmax_loss(x, y)[1], numeric_dx(softmax_loss, x, y), rtol=1e-7, atol=1e-10
    )


@LAWS
@given(st.data())
def test_softmax_matches_exact_arithmetic(data):
    N, C = data.draw(st.integers(1, 4)), data.draw(st.integers(2, 5))
    x = data.draw(logits((N, C), np.float64))
    y = data.draw(hnp.arrays(np.int64, (N,), elements=st.integers(0, C - 1)))
    loss, dx = softmax_loss(x, y)
    wanted_loss, wanted_dx = softmax_loss_exact(x, y)
    np.testing.assert_allclose(loss, wanted_loss, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(dx, wanted_dx, rtol=1e-10, atol=1e-15)


@LAWS
@given(seed=st.integers(0, 10_000), shift=hnp.arrays(float, (4, 1), elements=st.floats(-1e3, 1e3)))
def test_softmax_ignores_a_shift_of_each_row(seed, shift):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((4, 6)), rng.integers(0, 6, 4)
    loss, dx = softmax_loss(x, y)
    shifted_loss, shifted_dx = softmax_loss(x + shift, y)
    np.testing.assert_allclose(shifted_loss, loss, rtol=1e-11)
    np.testing.assert_allclose(shifted_dx, dx, rtol=1e-9, atol=1e-13)


@DTYPES
@LAWS
@given(st.data())
def test_softmax_is_finite_silent_and_its_gradient_rows_sum_to_zero(dtype, data):
    x = data.draw(logits((3, 4), dtype))
    y = data.draw(hnp.arrays(np.int64, (3,), elements=st.integers(0, 3)))
    loss, dx = softmax_loss(x, y)
    assert 0 <= loss <= 2e4 + 2
    np.testing.assert_allclose(dx.sum(axis=1), np.zeros(3), atol=4 * np.finfo(dtype).eps)
    assert (dx[np.arange(3), y] <= 0).all()
    assert (np.delete(dx.ravel(), 4 * np.arange(3) + y) >= 0).all()


@DTYPES
def test_softmax_at_ten_thousand_by_hand(dtype):
    x = np.array([[1e4, -1e4, 0], [1e4, -1e4, 0]], dtype)
    loss, dx = softmax_loss(x, np.array([0, 1]))
    assert loss == 1e4  # 0 for the right row, 2e4 for the wrong one
    np.testing.assert_array_equal(dx, [[0, 0, 0], [0.5, -0.5, 0]])


@DTYPES
@pytest.mark.parametrize("label_dtype", [np.int8, np.uint8, np.int64, np.uint64, np.float64])
def test_softmax_takes_whole_labels_of_any_dtype(dtype, label_dtype):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((300, 300)).astype(dtype)
    y = np.arange(300) % (
        128 if label_dtype is np.int8 else 256 if label_dtype is np.uint8 else 300
    )
    loss, dx = softmax_loss(x, y.astype(label_dtype))
    wanted_loss, wanted_dx = softmax_loss(x, y)
    assert dx.dtype == dtype
    assert loss == wanted_loss
    np.testing.assert_array_equal(dx, wanted_dx)


@DTYPES
def test_softmax_float32_agrees_with_float64_and_modifies_nothing(dtype):
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((6, 4)).astype(dtype), rng.integers(0, 4, 6)
    x_before, y_before = x.copy(), y.copy()
    loss, dx = softmax_loss(x, y)
    wanted_loss, wanted_dx = softmax_loss_exact(x, y)
    np.testing.assert_allclose(loss, wanted_loss, rtol=1e-6)
    np.testing.assert_allclose(dx, wanted_dx, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(y, y_before)


@pytest.mark.parametrize(
    ("labels", "listed"),
    [
        ([0, 3, 1], "3"),
        ([0, -1, 1], "-1"),
        ([0, 1000, 1], "1000"),
        ([0.0, 0.5, 1.0], r"0\.5"),
        ([0.0, np.nan, 1.0], "nan"),
    ],
)
def test_softmax_labels_outside_the_classes_are_listed(labels, listed):
    with pytest.raises(ValueError, match=rf"softmax_loss: .*{listed}"):
        softmax_loss(np.zeros((3, 3)), np.array(labels))


@pytest.mark.parametrize(
    ("x_shape", "y_shape", "text"),
    [((3,), (3,), r"\(3,\)"), ((3, 4), (2,), r"\(2,\)"), ((3, 4), (3, 4), r"\(3, 4\)")],
)
def test_softmax_wrong_shapes_are_named(x_shape, y_shape, text):
    with pytest.raises(ValueError, match=r"softmax_loss: .*" + text):
        softmax_loss(np.zeros(x_shape), np.zeros(y_shape, np.int64))
