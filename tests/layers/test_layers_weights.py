"""Weights of examples in every loss, several labels at once, smoothed labels."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from references import LAWS, logistic_loss_exact, mean_loss_loops

from handgrad import layers as L
from handgrad.gradcheck import check_loss

N = 5


def rng(seed=0):
    return np.random.default_rng(seed)


# name: (loss, x, y, settings)
EACH = {
    "logistic": (L.logistic_loss, rng(1).standard_normal(N), [0, 1, 1, 0, 1], {}),
    "logistic, column": (L.logistic_loss, rng(1).standard_normal((N, 1)), [0, 1, 1, 0, 1], {}),
    "svm": (L.svm_loss, rng(2).standard_normal(N), [-1, 1, 1, -1, 1], {}),
    "softmax": (L.softmax_loss, rng(3).standard_normal((N, 3)), [0, 2, 1, 1, 0], {}),
    "smoothed": (
        L.softmax_loss,
        rng(3).standard_normal((N, 3)),
        [0, 2, 1, 1, 0],
        {"label_smoothing": 0.3},
    ),
    "multilabel": (
        L.multilabel_loss,
        rng(4).normal(size=(N, 2)),
        rng(5).integers(0, 2, (N, 2)),
        {},
    ),
    "mse": (L.mse_loss, rng(6).standard_normal((N, 2)), rng(7).standard_normal((N, 2)), {}),
    "mae": (L.mae_loss, rng(6).standard_normal(N), rng(7).standard_normal(N), {}),
    "huber": (L.huber_loss, rng(6).normal(size=(N, 2)), rng(7).normal(size=(N, 2)), {"delta": 0.7}),
}
ALL = pytest.mark.parametrize(("loss", "x", "y", "settings"), EACH.values(), ids=EACH)


@ALL
def test_the_weighted_mean_of_the_losses_one_by_one(loss, x, y, settings):
    weights = np.array([0.25, 3.0, 0.0, 1.0, 2.5])
    value, dx = loss(x, y, sample_weight=weights, **settings)
    alone = [loss(x[n : n + 1], y[n : n + 1], **settings) for n in range(N)]
    wanted = sum(w * one for w, (one, _) in zip(weights, alone, strict=True)) / weights.sum()
    np.testing.assert_allclose(value, wanted, rtol=1e-13)
    for n in range(N):
        share = weights[n] / weights.sum()
        np.testing.assert_allclose(dx[n], share * alone[n][1][0], rtol=1e-13, atol=1e-17)
    assert check_loss(loss, x, np.array(y), sample_weight=weights, **settings) < 1e-7


@ALL
@LAWS
@given(factor=st.floats(1e-300, 1e300), seed=st.integers(0, 1000))
def test_only_the_ratios_of_weights_matter(loss, x, y, settings, factor, seed):
    weights = rng(seed).uniform(0.01, 1, N)
    value, dx = loss(x, y, sample_weight=weights, **settings)
    scaled, same = loss(x, y, sample_weight=factor * weights, **settings)
    np.testing.assert_allclose(scaled, value, rtol=1e-13)
    np.testing.assert_allclose(same, dx, rtol=1e-12, atol=1e-300)


@ALL
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_weights_are_no_weights_and_whole_ones_repeat(loss, x, y, settings, dtype):
    x, y, tolerance = x.astype(dtype), np.array(y), 1e-6 if dtype == np.float32 else 1e-13
    value, dx = loss(x, y, **settings)
    same, same_dx = loss(x, y, sample_weight=np.full(N, 7, np.uint8), **settings)
    np.testing.assert_allclose(same, value, rtol=tolerance)
    np.testing.assert_allclose(same_dx, dx, rtol=tolerance)
    assert same_dx.dtype == dtype
    counts = np.array([2, 0, 1, 3, 1])
    value, dx = loss(x, y, sample_weight=counts, **settings)
    wanted, repeated = loss(np.repeat(x, counts, axis=0), np.repeat(y, counts, axis=0), **settings)
    np.testing.assert_allclose(value, wanted, rtol=tolerance)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for n in range(N):
        expected = repeated[first[n]] * counts[n] if counts[n] else 0 * dx[n]
        np.testing.assert_allclose(dx[n], expected, rtol=10 * tolerance, atol=1e-30)


@ALL
def test_no_weight_at_all_is_no_loss(loss, x, y, settings):
    value, dx = loss(x, y, sample_weight=np.zeros(N), **settings)
    assert value == 0
    np.testing.assert_array_equal(dx, np.zeros_like(x))


@ALL
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_an_example_of_weight_zero_counts_nothing_whatever_it_is(loss, x, y, settings, bad):
    spoilt, weights = np.array(x), np.array([1.0, 1, 0, 1, 1])
    spoilt[2] = bad
    with np.errstate(invalid="ignore"):
        value, dx = loss(spoilt, y, sample_weight=weights, **settings)
    wanted, expected = loss(x, y, sample_weight=weights, **settings)
    assert value == wanted
    np.testing.assert_array_equal(dx, expected)


@ALL
def test_weights_are_not_modified(loss, x, y, settings):
    weights = np.array([1.0, 2.0, 0.0, 4.0, 5.0])
    loss(x, y, sample_weight=weights, **settings)
    np.testing.assert_array_equal(weights, [1, 2, 0, 4, 5])


@ALL
@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (np.ones(4), r"sample_weight must be \(N,\) = \(5,\), one weight an example; .*\(4,\)"),
        (np.ones((5, 1)), r"sample_weight must be \(N,\) = \(5,\), .*\(5, 1\)"),
        (1.0, r"sample_weight must be \(N,\) = \(5,\)"),
        ([1, 1, -0.5, 1, 1], "sample_weight must be finite and at least 0; got -0.5"),
        ([1, np.nan, 1, np.inf, 1], "sample_weight must be finite and at least 0; got nan, inf"),
        (list("abcde"), "sample_weight must be numbers; got an array of <U1"),
    ],
)
def test_wrong_weights_are_named(loss, x, y, settings, weights, text):
    with pytest.raises(ValueError, match=f"^{loss.__name__}: {text}"):
        loss(x, y, sample_weight=weights, **settings)


# several labels -------------------------------------------------------------------------------


def test_multilabel_by_hand():
    # ln 3 is the logit of 3/4: losses -ln(3/4), -ln(1/4), ln 2, ln 2; dx = (p - y) / 4.
    x, y = np.array([[np.log(3), np.log(3)], [0.0, 0.0]]), np.array([[1, 0], [1, 0]])
    loss, dx = L.multilabel_loss(x, y)
    assert loss == pytest.approx((np.log(4 / 3) + np.log(4) + 2 * np.log(2)) / 4, rel=1e-14)
    np.testing.assert_allclose(dx, [[-1 / 16, 3 / 16], [-1 / 8, 1 / 8]], rtol=1e-14)


@LAWS
@given(st.data())
def test_multilabel_is_the_logistic_loss_of_all_labels(data):
    elements = st.floats(-1e4, 1e4)
    x = data.draw(hnp.arrays(np.float64, (3, 2), elements=elements))
    y = data.draw(hnp.arrays(np.int64, (3, 2), elements=st.integers(0, 1)))
    loss, dx = L.multilabel_loss(x, y)
    wanted, wanted_dx = logistic_loss_exact(x.ravel(), list(y.ravel() == 1))
    np.testing.assert_allclose(loss, wanted, rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(dx.ravel(), wanted_dx, rtol=1e-13, atol=1e-15)
    one, one_dx = L.logistic_loss(x[:, 0], y[:, 0])
    alone, alone_dx = L.multilabel_loss(x[:, :1], y[:, :1])
    assert alone == one
    np.testing.assert_array_equal(alone_dx[:, 0], one_dx)


@pytest.mark.parametrize("label_dtype", [np.int8, np.uint8, np.float32, bool])
def test_multilabel_takes_labels_of_any_dtype(label_dtype):
    x, y = rng().standard_normal((4, 3)).astype(np.float32), rng(1).integers(0, 2, (4, 3))
    loss, dx = L.multilabel_loss(x, y.astype(label_dtype))
    assert dx.dtype == np.float32
    wanted = mean_loss_loops(lambda x, y: (np.log1p(np.exp(x)) - y * x, 0), x, y)[0]
    assert loss == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "text"),
    [
        (np.zeros(3), np.zeros(3), r"x must be \(N, L\) with at least one .*\(3,\)"),
        (np.zeros((0, 3)), np.zeros((0, 3)), r"x must be \(N, L\) with at least one .*\(0, 3\)"),
        (np.zeros((3, 2)), np.zeros(3), r"y must be \(N, L\), of x's shape: .*\(3,\)"),
        (np.zeros((1, 2)), np.array([[0, 2]]), "labels must be 0 and 1; got 2"),
        (np.zeros((1, 2)), np.array([[-1, 1]]), "labels must be 0 and 1; got -1"),
        (np.zeros((1, 2)), np.array([[np.nan, 1]]), "labels must be 0 and 1; got nan"),
        (np.zeros((1, 2)), np.array([["a", "b"]]), "labels must be numbers; got an array of <U1"),
    ],
)
def test_multilabel_says_what_is_wrong(x, y, text):
    with pytest.raises(ValueError, match=f"^multilabel_loss: {text}"):
        L.multilabel_loss(x, y)


# smoothed labels ------------------------------------------------------------------------------


def test_smoothing_by_hand():
    # p = (1, 2, 5)/8 and s = 0.3: q = (0.1, 0.1, 0.8) of the last class.
    x = np.log([[1.0, 2.0, 5.0]])
    loss, dx = L.softmax_loss(x, [2], label_smoothing=0.3)
    wanted = 0.1 * np.log(8) + 0.1 * np.log(4) + 0.8 * np.log(8 / 5)
    assert loss == pytest.approx(wanted, rel=1e-14)
    np.testing.assert_allclose(dx, [[1 / 8 - 0.1, 2 / 8 - 0.1, 5 / 8 - 0.8]], rtol=1e-13)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.999])
def test_smoothing_is_a_mean_over_labels(smoothing):
    """The label with weight 1 - s, and each class with weight s / C."""
    x, y = rng().standard_normal((4, 3)), np.array([0, 2, 1, 1])
    loss, dx = L.softmax_loss(x, y, label_smoothing=smoothing)
    plain = [L.softmax_loss(x, np.full(4, c)) for c in range(3)]
    own, own_dx = L.softmax_loss(x, y)
    wanted = (1 - smoothing) * own + smoothing * sum(one for one, _ in plain) / 3
    wanted_dx = (1 - smoothing) * own_dx + smoothing * sum(d for _, d in plain) / 3
    np.testing.assert_allclose(loss, wanted, rtol=1e-13)
    np.testing.assert_allclose(dx, wanted_dx, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(dx.sum(axis=1), 0, atol=1e-16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_smoothing_at_ten_thousand_is_finite_and_keeps_the_dtype(dtype):
    x = np.array([[1e4, -1e4], [-1e4, 1e4]], dtype)
    loss, dx = L.softmax_loss(x, [0, 0], label_smoothing=0.5)
    # Right: 1/4 of the mass on a class 2e4 below; wrong: 3/4 of it.
    assert loss == pytest.approx(2e4 * (0.25 + 0.75) / 2, rel=1e-6)
    np.testing.assert_allclose(dx, [[0.125, -0.125], [-0.375, 0.375]], rtol=1e-6)
    assert dx.dtype == dtype


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 2, np.nan])
def test_other_smoothing_is_refused(smoothing):
    text = rf"^softmax_loss: label_smoothing must be in \[0, 1\); .*{smoothing}"
    with pytest.raises(ValueError, match=text):
        L.softmax_loss(np.zeros((2, 2)), [0, 1], label_smoothing=smoothing)
