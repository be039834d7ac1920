"""Fully connected, ReLU and dropout layers: hand values, numeric gradients, laws, errors."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from references import LAWS, check_contract

from handgrad.gradcheck import check_gradients
from handgrad.layers import (
    dropout_backward,
    dropout_forward,
    fc_backward,
    fc_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
)

# fully connected ------------------------------------------------------------------------------


def test_fc_forward_by_hand():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    w = np.array([[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]])
    b = np.array([10.0, 20.0, 30.0])
    out, _ = fc_forward(x, w, b)
    # Row 0: 1*1 + 2*2 + 10, 1*0 + 2*1 + 20, 1*-1 + 2*0 + 30.
    np.testing.assert_array_equal(out, [[15, 22, 29], [21, 24, 27]])


def test_fc_backward_by_hand():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    w = np.array([[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]])
    _, cache = fc_forward(x, w, np.zeros(3))
    dx, dw, db = fc_backward(np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]]), cache)
    # dx = dout @ w.T: [1 - 2, 2], [0 + 1, 1].  dw = x.T @ dout: [1, 3, 2 - 3], [2, 4, 4 - 4].
    np.testing.assert_array_equal(dx, [[-1, 2], [1, 1]])
    np.testing.assert_array_equal(dw, [[1, 3, -1], [2, 4, 0]])
    np.testing.assert_array_equal(db, [1, 1, 1])


@pytest.mark.parametrize("shape", [(1, 6), (4, 6), (4, 1, 6), (3, 2, 3), (2, 1, 2, 3)])
def test_fc_gradients_match_numbers(shape):
    rng = np.random.default_rng(0)
    args = rng.standard_normal(shape), rng.standard_normal((6, 5)), rng.standard_normal(5)
    check_gradients(fc_forward, fc_backward, args, rng=rng, names=("x", "w", "b"))


def test_fc_contract():
    rng = np.random.default_rng(1)
    args = rng.standard_normal((3, 2, 3)), rng.standard_normal((6, 5)), rng.standard_normal(5)
    check_contract(fc_forward, fc_backward, args, tolerance=1e-5)


def test_fc_flattens_each_example_in_row_major_order():
    x = np.arange(24.0).reshape(2, 3, 4)
    out, _ = fc_forward(x, np.eye(12), np.zeros(12))
    np.testing.assert_array_equal(out, [np.arange(12), np.arange(12, 24)])


def test_fc_backward_without_dx_gives_the_same_dw_and_db():
    rng = np.random.default_rng(2)
    _, cache = fc_forward(rng.standard_normal((4, 6)), rng.standard_normal((6, 5)), np.zeros(5))
    dout = rng.standard_normal((4, 5))
    _, dw, db = fc_backward(dout, cache)
    skipped, dw_alone, db_alone = fc_backward(dout, cache, need_dx=False)
    assert skipped is None
    np.testing.assert_array_equal(dw_alone, dw)
    np.testing.assert_array_equal(db_alone, db)


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "b_shape", "text"),
    [
        ((4, 5), (6, 2), (2,), r"fc_forward: .*= 6 .*\(4, 5\).*\(6, 2\)"),
        ((4, 2, 2), (6, 2), (2,), r"fc_forward: .*\(4, 2, 2\).*\(6, 2\)"),
        ((4, 6), (6, 2), (3,), r"fc_forward: .*\(3,\)"),
        ((4, 6), (6, 2), (1,), r"fc_forward: .*\(1,\)"),
        ((4, 6), (6, 2), (4, 2), r"fc_forward: .*\(4, 2\)"),
        ((4, 6), (6,), (2,), r"fc_forward: .*\(6,\)"),
    ],
)
def test_fc_forward_says_which_shape_is_wrong(x_shape, w_shape, b_shape, text):
    with pytest.raises(ValueError, match=text):
        fc_forward(np.zeros(x_shape), np.zeros(w_shape), np.zeros(b_shape))


@pytest.mark.parametrize("dout_shape", [(4, 3), (1, 2), (4, 1), (2,)])
def test_fc_backward_says_which_shape_is_wrong(dout_shape):
    _, cache = fc_forward(np.zeros((4, 6)), np.zeros((6, 2)), np.zeros(2))
    with pytest.raises(ValueError, match=r"fc_backward: .*\(4, 2\)"):
        fc_backward(np.zeros(dout_shape), cache)


# ReLU -----------------------------------------------------------------------------------------


def test_relu_by_hand_and_pays_nothing_at_zero():
    x = np.array([-2.0, -0.0, 0.0, 1e-300, 3.0])
    out, cache = relu_forward(x)
    np.testing.assert_array_equal(out, [0, 0, 0, 1e-300, 3])
    # The kink belongs to the flat side: the gradient at exactly 0 is 0.
    np.testing.assert_array_equal(relu_backward(np.full(5, 7.0), cache), [0, 0, 0, 7, 7])


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (2, 3, 2, 5)])
def test_relu_gradients_match_numbers(shape):
    rng = np.random.default_rng(3)
    away_from_kink = rng.uniform(0.1, 1, shape) * rng.choice([-1, 1], shape)
    check_gradients(relu_forward, relu_backward, (away_from_kink,), rng=rng)


def test_relu_contract():
    x = np.random.default_rng(4).standard_normal((2, 3, 4))
    check_contract(relu_forward, relu_backward, (x,), tolerance=1e-6)


def test_relu_backward_says_which_shape_is_wrong():
    _, cache = relu_forward(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"relu_backward: .*\(4, 3\).*\(3,\)"):
        relu_backward(np.zeros(3), cache)


def test_integers_are_computed_in_float64():
    whole = np.array([[3, -2], [1, 4]], np.int16)
    out, _ = fc_forward(whole, np.array([[0.5], [0.25]]), np.zeros(1))
    np.testing.assert_array_equal(out, [[1], [1.5]])
    halved, _ = dropout_forward(whole, {"p": 0.5, "mode": "test"})
    np.testing.assert_array_equal(halved, [[1.5, -1], [0.5, 2]])
    rectified, _ = relu_forward(whole)
    assert out.dtype == halved.dtype == rectified.dtype == np.float64


# sigmoid --------------------------------------------------------------------------------------


def test_sigmoid_by_hand():
    x = np.array([0.0, np.log(3), -np.log(3), 1e4, -1e4])
    out, cache = sigmoid_forward(x)
    # 1 / (1 + exp(-ln 3)) = 1 / (1 + 1/3) = 3/4; the slope there is 3/4 * 1/4 = 3/16.
    np.testing.assert_allclose(out, [0.5, 0.75, 0.25, 1, 0], rtol=1e-15)
    dx = sigmoid_backward(np.full(5, 16.0), cache)
    np.testing.assert_allclose(dx, [4, 3, 3, 0, 0], rtol=1e-15)


@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 4, 2)])
def test_sigmoid_gradients_match_numbers(shape):
    rng = np.random.default_rng(15)
    check_gradients(sigmoid_forward, sigmoid_backward, (3 * rng.standard_normal(shape),), rng=rng)


def test_sigmoid_contract():
    x = np.random.default_rng(16).standard_normal((4, 5))
    check_contract(sigmoid_forward, sigmoid_backward, (x,), tolerance=1e-6)


@LAWS
@given(st.floats(-1e4, 1e4))
def test_sigmoid_is_symmetric_and_its_slope_at_most_a_quarter(z):
    (above, below), cache = sigmoid_forward(np.array([z, -z]))
    assert abs(above + below - 1) < 1e-15
    assert (sigmoid_backward(np.ones(2), cache) <= 0.25).all()


def test_sigmoid_backward_says_which_shape_is_wrong():
    _, cache = sigmoid_forward(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"sigmoid_backward: .*\(4, 3\).*\(3,\)"):
        sigmoid_backward(np.zeros(3), cache)


# dropout --------------------------------------------------------------------------------------


def test_dropout_train_multiplies_by_the_mask_and_does_not_rescale():
    out, cache = dropout_forward(np.full((2, 3), 4.0), {"p": 0.5, "mode": "train", "seed": 0})
    # RandomState(0).rand(2, 3) = [.549 .715 .603], [.545 .424 .646]: only .424 is below 0.5.
    np.testing.assert_array_equal(out, [[0, 0, 0], [0, 4, 0]])
    dx = dropout_backward(np.full((2, 3), 3.0), cache)
    np.testing.assert_array_equal(dx, [[0, 0, 0], [0, 3, 0]])


def test_dropout_test_multiplies_by_the_probability_to_keep():
    out, cache = dropout_forward(np.array([[2.0, -4.0]]), {"p": 0.75, "mode": "test"})
    np.testing.assert_array_equal(out, [[1.5, -3.0]])
    np.testing.assert_array_equal(dropout_backward(np.array([[8.0, 4.0]]), cache), [[6, 3]])


def test_dropout_without_seed_draws_one_rand_from_the_global_generator():
    x = np.random.default_rng(5).standard_normal((6, 5))
    before = np.random.get_state()  # noqa: NPY002 - the course's checker seeds this generator
    try:
        np.random.seed(231)  # noqa: NPY002
        wanted = x * (np.random.rand(*x.shape) < 0.3)  # noqa: NPY002
        wanted_next = np.random.rand()  # noqa: NPY002
        np.random.seed(231)  # noqa: NPY002
        out, _ = dropout_forward(x, {"p": 0.3, "mode": "train"})
        drawn_next = np.random.rand()  # noqa: NPY002
    finally:
        np.random.set_state(before)  # noqa: NPY002
    np.testing.assert_array_equal(out, wanted)
    assert drawn_next == wanted_next


@pytest.mark.parametrize("seed", [0, 1, 231])
def test_dropout_seed_draws_from_its_own_random_state(seed):
    x = np.random.default_rng(6).standard_normal((6, 5))
    out, _ = dropout_forward(x, {"p": 0.3, "mode": "train", "seed": seed})
    draw = np.random.RandomState(seed).rand(6, 5)
    np.testing.assert_array_equal(out, x * (draw < 0.3))


@pytest.mark.parametrize(
    "extra",
    [
        {"mode": "train", "seed": 0},
        {"mode": "train", "seed": 1},
        {"mode": "train", "rng": np.random.default_rng(0)},
        {"mode": "test"},
    ],
)
def test_dropout_leaves_the_global_generator_alone(extra):
    before = np.random.get_state()  # noqa: NPY002
    dropout_forward(np.ones((3, 4)), {"p": 0.5, **extra})
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


def test_dropout_rng_makes_a_repeatable_sequence_of_masks():
    x = np.ones((20, 30))
    rng, twin = np.random.default_rng(8), np.random.default_rng(8)
    masks = [dropout_forward(x, {"p": 0.5, "mode": "train", "rng": rng})[0] for _ in range(2)]
    twins = [dropout_forward(x, {"p": 0.5, "mode": "train", "rng": twin})[0] for _ in range(2)]
    np.testing.assert_array_equal(masks, twins)
    assert (masks[0] != masks[1]).any()


def test_dropout_rng_draws_nothing_in_test_mode():
    rng = np.random.default_rng(9)
    dropout_forward(np.ones((3, 4)), {"p": 0.5, "mode": "test", "rng": rng})
    assert rng.random() == np.random.default_rng(9).random()


@pytest.mark.parametrize("p", [0.2, 0.8])
@pytest.mark.parametrize("source", ["seed", "rng"])
def test_dropout_expectation_in_training_is_the_test_output(p, source):
    x = np.tile([1.0, -2.0, 3.0], (60_000, 1))
    choice = {"seed": 11} if source == "seed" else {"rng": np.random.default_rng(11)}
    train, _ = dropout_forward(x, {"p": p, "mode": "train", **choice})
    test, _ = dropout_forward(x, {"p": p, "mode": "test"})
    # The mean of 60,000 draws has a standard error of |x| sqrt(p(1-p)/60000) = 0.0016 |x|; the
    # same column with keep and drop confused would be off by 0.6 |x|.
    difference = (train.mean(axis=0) - test[0]) / np.abs(x[0])
    np.testing.assert_allclose(difference, np.zeros(3), atol=5 * 0.0016)


@LAWS
@given(p=st.floats(0.01, 1.0), seed=st.integers(0, 2**32 - 1))
def test_dropout_train_output_is_the_input_or_zero(p, seed):
    x = np.arange(1.0, 25.0).reshape(4, 6)
    out, cache = dropout_forward(x, {"p": p, "mode": "train", "seed": seed})
    kept = out != 0
    np.testing.assert_array_equal(out[kept], x[kept])
    np.testing.assert_array_equal(dropout_backward(np.ones_like(x), cache), kept)


@pytest.mark.parametrize("mode", ["train", "test"])
def test_dropout_that_keeps_everything_is_the_identity(mode):
    x = np.random.default_rng(12).standard_normal((50, 40))
    out, _ = dropout_forward(x, {"p": 1.0, "mode": mode, "seed": 0})
    np.testing.assert_array_equal(out, x)


@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize("shape", [(8,), (4, 5), (2, 3, 2, 2)])
def test_dropout_gradients_match_numbers(mode, shape):
    rng = np.random.default_rng(13)

    def forward(x):
        return dropout_forward(x, {"p": 0.6, "mode": mode, "seed": 5})

    check_gradients(forward, dropout_backward, (rng.standard_normal(shape),), rng=rng)


@pytest.mark.parametrize("mode", ["train", "test"])
@pytest.mark.parametrize("p", [0.5, np.float64(0.5)])
def test_dropout_contract(mode, p):
    def forward(x):
        return dropout_forward(x, {"p": p, "mode": mode, "seed": 5})

    x = np.random.default_rng(14).standard_normal((4, 5))
    check_contract(forward, dropout_backward, (x,), tolerance=1e-6)


def test_dropout_rng_keeps_float32():
    param = {"p": 0.5, "mode": "train", "rng": np.random.default_rng(0)}
    out, cache = dropout_forward(np.ones((4, 5), np.float32), param)
    assert out.dtype == np.float32
    assert dropout_backward(np.ones((4, 5), np.float32), cache).dtype == np.float32


@pytest.mark.parametrize("mode", ["train", "test"])
def test_dropout_does_not_write_into_its_parameters(mode):
    param = {"p": 0.5, "mode": mode, "seed": 3}
    dropout_forward(np.ones((4, 5)), param)
    assert param == {"p": 0.5, "mode": mode, "seed": 3}


@pytest.mark.parametrize("p", [0, 0.0, -0.1, 1.5, 1 + 1e-9, float("nan")])
@pytest.mark.parametrize("mode", ["train", "test"])
def test_dropout_refuses_a_probability_outside_0_to_1(p, mode):
    with pytest.raises(ValueError, match=rf"dropout_forward: .*{p}"):
        dropout_forward(np.ones((2, 2)), {"p": p, "mode": mode})


def test_dropout_refuses_a_missing_probability():
    with pytest.raises(ValueError, match=r"dropout_forward: .*\bp\b"):
        dropout_forward(np.ones((2, 2)), {"mode": "train"})


def test_dropout_refuses_an_unknown_or_missing_mode():
    with pytest.raises(ValueError, match=r"dropout_forward: .*eval"):
        dropout_forward(np.ones((2, 2)), {"p": 0.5, "mode": "eval"})
    with pytest.raises(ValueError, match=r"dropout_forward: .*mode"):
        dropout_forward(np.ones((2, 2)), {"p": 0.5})


def test_dropout_backward_says_which_shape_is_wrong():
    _, cache = dropout_forward(np.zeros((4, 3)), {"p": 0.5, "mode": "train", "seed": 0})
    with pytest.raises(ValueError, match=r"dropout_backward: .*\(4, 3\).*\(3,\)"):
        dropout_backward(np.zeros(3), cache)
