"""Convolution and max pooling: loops, hand values, identities, numeric gradients, errors."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from references import (
    LAWS,
    check_contract,
    conv_backward_loops,
    conv_forward_loops,
    convolve_full_loops,
    filter_valid_loops,
    max_pool_backward_loops,
    max_pool_forward_loops,
)

from handgrad.gradcheck import check_gradients
from handgrad.layers import (
    channel_bias_backward,
    channel_bias_forward,
    conv_backward,
    conv_forward,
    convolve_full,
    filter_valid,
    max_pool_backward,
    max_pool_forward,
)

# (x shape, w shape, stride, padding); N, C and F above 1 and H != W unless the case is about that.
CONVOLUTIONS = [
    pytest.param((2, 3, 5, 7), (4, 3, 3, 2), 1, 0, id="oblong"),
    pytest.param((2, 3, 6, 5), (4, 3, 1, 1), 1, 0, id="1x1"),
    pytest.param((3, 2, 6, 7), (5, 2, 2, 4), 1, 0, id="even"),
    pytest.param((2, 3, 4, 5), (4, 3, 4, 5), 1, 0, id="full-image"),
    pytest.param((2, 3, 4, 5), (4, 3, 4, 1), 1, 0, id="full-height"),
    pytest.param((2, 1, 9, 8), (3, 1, 7, 7), 1, 0, id="one-channel-7x7"),
    pytest.param((1, 1, 3, 3), (1, 1, 2, 2), 1, 0, id="all-ones"),
    pytest.param((2, 2, 7, 9), (3, 2, 3, 3), 2, 0, id="stride"),
    pytest.param((2, 2, 8, 6), (3, 2, 3, 3), 2, 0, id="stride-uncovered-border"),
    pytest.param((2, 2, 7, 8), (3, 2, 2, 1), 3, 0, id="stride-leaves-gaps"),
    pytest.param((2, 2, 5, 4), (3, 2, 3, 3), 1, 1, id="padding"),
    pytest.param((2, 2, 2, 3), (3, 2, 4, 5), 1, 2, id="filter-above-image"),
    pytest.param((2, 2, 3, 4), (3, 2, 2, 2), 1, 3, id="padding-above-filter"),
    pytest.param((2, 3, 6, 9), (2, 3, 4, 3), 2, 1, id="stride-and-padding"),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "stride", "padding"), CONVOLUTIONS)
def test_conv_matches_loops(x_shape, w_shape, stride, padding):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    out, cache = conv_forward(x, w, stride=stride, padding=padding)
    wanted = conv_forward_loops(x, w, stride, padding)
    assert out.shape == wanted.shape
    np.testing.assert_allclose(out, wanted, rtol=1e-12, atol=1e-12)

    dout = rng.standard_normal(out.shape)
    for gradient, by_loops in zip(
        conv_backward(dout, cache), conv_backward_loops(dout, x, w, stride, padding), strict=True
    ):
        np.testing.assert_allclose(gradient, by_loops, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("x_shape", "w_shape", "stride", "padding"), CONVOLUTIONS)
def test_conv_gradients_match_numbers(x_shape, w_shape, stride, padding):
    rng = np.random.default_rng(1)

    def forward(x, w):
        return conv_forward(x, w, stride=stride, padding=padding)

    args = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    check_gradients(forward, conv_backward, args, rng=rng, names=("x", "w"))


def test_conv_is_a_cross_correlation_without_flip_by_hand():
    x = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)  # [[1 2 3] [4 5 6] [7 8 9]]
    w = np.array([[1.0, 0.0], [0.0, -2.0]]).reshape(1, 1, 2, 2)
    out, cache = conv_forward(x, w)
    # 1 - 2*5, 2 - 2*6; 4 - 2*8, 5 - 2*9.
    np.testing.assert_array_equal(out[0, 0], [[-9, -10], [-12, -13]])
    dx, dw = conv_backward(np.array([[1.0, 0.0], [0.0, 3.0]]).reshape(1, 1, 2, 2), cache)
    # The first output pays 1*w at the corner, the last 3*w in the middle.
    np.testing.assert_array_equal(dx[0, 0], [[1, 0, 0], [0, -2 + 3, 0], [0, 0, -6]])
    np.testing.assert_array_equal(dw[0, 0], [[1 + 3 * 5, 2 + 3 * 6], [4 + 3 * 8, 5 + 3 * 9]])


def test_conv_sums_channels_and_keeps_filters_apart_by_hand():
    x = np.array([2.0, 3.0]).reshape(1, 2, 1, 1)
    w = np.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(2, 2, 1, 1)
    out, _ = conv_forward(x, w)
    np.testing.assert_array_equal(out.ravel(), [32, 3200])


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1)])
def test_conv_contract(stride, padding):
    rng = np.random.default_rng(2)

    def forward(x, w):
        return conv_forward(x, w, stride=stride, padding=padding)

    args = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 2))
    check_contract(forward, conv_backward, args, tolerance=1e-4)


def test_conv_reads_a_strided_view_like_its_copy():
    rng = np.random.default_rng(3)
    wide, w = rng.standard_normal((4, 3, 8, 12)), rng.standard_normal((2, 3, 3, 3))
    view = wide[::2, :, ::-1, ::2]
    np.testing.assert_allclose(
        conv_forward(view, w)[0], conv_forward(view.copy(), w)[0], rtol=1e-12, atol=1e-12
    )


def test_conv_backward_without_dx_gives_the_same_dw():
    rng = np.random.default_rng(4)
    _, cache = conv_forward(rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 2)))
    dout = rng.standard_normal((2, 4, 4, 4))
    _, dw = conv_backward(dout, cache)
    skipped, dw_alone = conv_backward(dout, cache, need_dx=False)
    assert skipped is None
    np.testing.assert_array_equal(dw_alone, dw)


@LAWS
@given(seed=st.integers(0, 10_000), a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_conv_is_linear_in_each_argument(seed, a, b):
    rng = np.random.default_rng(seed)
    x1, x2 = rng.standard_normal((2, 2, 3, 5, 4))
    w1, w2 = rng.standard_normal((2, 4, 3, 2, 3))

    def conv(x, w):
        return conv_forward(x, w)[0]

    np.testing.assert_allclose(
        conv(a * x1 + b * x2, w1), a * conv(x1, w1) + b * conv(x2, w1), atol=1e-11
    )
    np.testing.assert_allclose(
        conv(x1, a * w1 + b * w2), a * conv(x1, w1) + b * conv(x1, w2), atol=1e-11
    )


def test_conv_treats_each_example_alone():
    rng = np.random.default_rng(5)
    # 3*7*7*22*22 = 71,148 numbers of patches an image: the kernels take a few images at a time,
    # and seven is no multiple of a few.
    x, w = rng.standard_normal((7, 3, 28, 28)), rng.standard_normal((4, 3, 7, 7))
    out, cache = conv_forward(x, w)
    dout = rng.standard_normal(out.shape)
    dx, dw = conv_backward(dout, cache)
    total = np.zeros(w.shape)
    for n in range(7):
        one, one_cache = conv_forward(x[n : n + 1], w)
        one_dx, one_dw = conv_backward(dout[n : n + 1], one_cache)
        np.testing.assert_allclose(out[n], one[0], rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(dx[n], one_dx[0], rtol=1e-11, atol=1e-11)
        total += one_dw
    np.testing.assert_allclose(dw, total, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "options", "text"),
    [
        ((2, 3, 5), (4, 3, 2, 2), {}, r"\(2, 3, 5\)"),
        ((2, 3, 5, 5), (3, 2, 2), {}, r"\(3, 2, 2\)"),
        ((2, 3, 5, 5), (4, 1, 2, 2), {}, r"\(2, 3, 5, 5\).*\(4, 1, 2, 2\)"),
        ((2, 3, 5, 6), (4, 3, 6, 2), {}, r"\(2, 3, 5, 6\).*\(4, 3, 6, 2\)"),
        ((2, 3, 5, 6), (4, 3, 2, 7), {}, r"\(2, 3, 5, 6\).*\(4, 3, 2, 7\)"),
        ((2, 3, 2, 2), (4, 3, 7, 2), {"padding": 2}, r"\(2, 3, 2, 2\).*\(4, 3, 7, 2\)"),
        ((2, 3, 5, 5), (4, 3, 2, 2), {"stride": 0}, r"stride.*0"),
        ((2, 3, 5, 5), (4, 3, 2, 2), {"padding": -1}, r"padding.*-1"),
    ],
)
def test_conv_forward_says_what_is_wrong(x_shape, w_shape, options, text):
    with pytest.raises(ValueError, match=r"conv_forward: .*" + text):
        conv_forward(np.zeros(x_shape), np.zeros(w_shape), **options)


@pytest.mark.parametrize("dout_shape", [(2, 4, 3, 4), (1, 4, 4, 4), (2, 1, 4, 4), (4, 4)])
def test_conv_backward_says_which_shape_is_wrong(dout_shape):
    _, cache = conv_forward(np.zeros((2, 3, 5, 5)), np.zeros((4, 3, 2, 2)))
    with pytest.raises(ValueError, match=r"conv_backward: .*\(2, 4, 4, 4\)"):
        conv_backward(np.zeros(dout_shape), cache)


def test_channel_bias_adds_one_number_per_channel():
    rng = np.random.default_rng(14)
    out, _ = channel_bias_forward(np.zeros((2, 3, 1, 2)), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(out, [[[[1, 1]], [[2, 2]], [[3, 3]]]] * 2)
    args = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal(3)
    check_gradients(channel_bias_forward, channel_bias_backward, args, rng=rng, names=("x", "b"))
    check_contract(channel_bias_forward, channel_bias_backward, args, tolerance=1e-5)
    with pytest.raises(ValueError, match=r"channel_bias_forward: .*\(2, 3, 4, 5\).*\(5,\)"):
        channel_bias_forward(args[0], np.zeros(5))


# the assignment's *full and *filt -------------------------------------------------------------


@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [((4, 5), (2, 3)), ((3, 3), (1, 1)), ((2, 2), (2, 2)), ((6, 2), (3, 2)), ((1, 7), (1, 4))],
)
def test_full_and_filt_match_loops(a_shape, b_shape):
    rng = np.random.default_rng(6)
    a, b = rng.standard_normal(a_shape), rng.standard_normal(b_shape)
    np.testing.assert_allclose(convolve_full(a, b), convolve_full_loops(a, b), atol=1e-13)
    np.testing.assert_allclose(filter_valid(a, b), filter_valid_loops(a, b), atol=1e-13)


def test_full_accepts_a_second_array_larger_than_the_first():
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal((2, 5)), rng.standard_normal((4, 3))
    np.testing.assert_allclose(convolve_full(a, b), convolve_full_loops(a, b), atol=1e-13)


def test_full_and_filt_by_hand():
    a, b = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 10.0]])
    # (1 + 2t + 3t^2)(1 + 10t) = 1 + 12t + 23t^2 + 30t^3; without the flip: 1 + 20, 2 + 30.
    np.testing.assert_array_equal(convolve_full(a, b), [[1, 12, 23, 30]])
    np.testing.assert_array_equal(filter_valid(a, b), [[21, 32]])


@LAWS
@given(st.data())
def test_full_is_commutative_and_is_filt_of_the_padded_with_the_flipped(data):
    H, W, HH, WW, seed = (data.draw(st.integers(1, 6)) for _ in range(5))
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((H, W)), rng.standard_normal((HH, WW))
    full = convolve_full(a, b)
    padded = np.pad(a, [(HH - 1, HH - 1), (WW - 1, WW - 1)])
    np.testing.assert_allclose(full, convolve_full(b, a), atol=1e-13)
    np.testing.assert_allclose(full, filter_valid(padded, b[::-1, ::-1]), atol=1e-13)


@LAWS
@given(st.data())
def test_conv_gradients_are_full_and_filt(data):
    HH, WW = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    H, W = HH + data.draw(st.integers(0, 3)), WW + data.draw(st.integers(0, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    x, w = rng.standard_normal((H, W)), rng.standard_normal((HH, WW))
    out, cache = conv_forward(x[None, None], w[None, None])
    dout = rng.standard_normal(out.shape)
    dx, dw = conv_backward(dout, cache)
    np.testing.assert_allclose(out[0, 0], filter_valid(x, w), atol=1e-13)
    np.testing.assert_allclose(dx[0, 0], convolve_full(dout[0, 0], w), atol=1e-13)
    np.testing.assert_allclose(dw[0, 0], filter_valid(x, dout[0, 0]), atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_full_and_filt_keep_dtype_and_arguments(dtype):
    rng = np.random.default_rng(8)
    a, b = rng.standard_normal((4, 5)).astype(dtype), rng.standard_normal((2, 3)).astype(dtype)
    a_before, b_before = a.copy(), b.copy()
    assert convolve_full(a, b).dtype == filter_valid(a, b).dtype == dtype
    np.testing.assert_array_equal(a, a_before)
    np.testing.assert_array_equal(b, b_before)


def test_full_and_filt_say_which_shape_is_wrong():
    with pytest.raises(ValueError, match=r"convolve_full: .*\(3,\)"):
        convolve_full(np.zeros(3), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"filter_valid: .*\(2, 2, 2\)"):
        filter_valid(np.zeros((3, 3)), np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match=r"filter_valid: .*\(3, 3\).*\(2, 4\)"):
        filter_valid(np.zeros((3, 3)), np.zeros((2, 4)))


# max pooling ----------------------------------------------------------------------------------

# (x shape, window height, window width, stride)
POOLS = [
    pytest.param((2, 3, 6, 8), 2, 2, 2, id="2x2"),
    pytest.param((2, 3, 5, 7), 2, 2, 2, id="2x2-uncovered-border"),
    pytest.param((2, 3, 5, 6), 2, 2, 2, id="2x2-uncovered-row"),
    pytest.param((2, 2, 5, 7), 3, 3, 2, id="overlap"),
    pytest.param((2, 2, 5, 4), 2, 2, 1, id="overlap-stride-1"),
    pytest.param((2, 2, 6, 5), 3, 2, 2, id="oblong-window"),
    pytest.param((2, 2, 6, 5), 1, 3, 1, id="flat-window"),
    pytest.param((2, 2, 7, 8), 2, 1, 3, id="gaps"),
    pytest.param((2, 2, 4, 5), 4, 5, 1, id="whole-image"),
    pytest.param((2, 2, 3, 4), 1, 1, 1, id="1x1"),
]


def pool_param(height, width, stride):
    return {"pool_height": height, "pool_width": width, "stride": stride}


@pytest.mark.parametrize("values", ["distinct", "tied", "negative", "constant"])
@pytest.mark.parametrize(("shape", "height", "width", "stride"), POOLS)
def test_max_pool_matches_loops(shape, height, width, stride, values):
    rng = np.random.default_rng(9)
    x = {
        "distinct": rng.permutation(np.prod(shape)).reshape(shape).astype(float),
        "tied": rng.integers(0, 3, shape).astype(float),
        "negative": rng.integers(-3, 0, shape).astype(float),
        "constant": np.zeros(shape),
    }[values]
    out, cache = max_pool_forward(x, pool_param(height, width, stride))
    np.testing.assert_array_equal(out, max_pool_forward_loops(x, height, width, stride))
    dout = rng.standard_normal(out.shape)
    dx = max_pool_backward(dout, cache)
    wanted = max_pool_backward_loops(dout, x, height, width, stride)
    np.testing.assert_allclose(dx, wanted, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("shape", "height", "width", "stride"), POOLS)
def test_max_pool_gradient_matches_numbers(shape, height, width, stride):
    rng = np.random.default_rng(10)
    far_apart = rng.permutation(np.prod(shape)).reshape(shape) / 10.0  # no two within a step

    def forward(x):
        return max_pool_forward(x, pool_param(height, width, stride))

    check_gradients(forward, max_pool_backward, (far_apart,), rng=rng)


def test_max_pool_by_hand_ties_pay_the_first_pixel_and_the_border_nothing():
    x = np.array([[1.0, 5.0, 2.0, 2.0, 9.0], [5.0, 0.0, 2.0, 2.0, 9.0]]).reshape(1, 1, 2, 5)
    out, cache = max_pool_forward(x, pool_param(2, 2, 2))
    np.testing.assert_array_equal(out, [[[[5, 2]]]])
    dx = max_pool_backward(np.array([[[[3.0, 7.0]]]]), cache)
    # The 5 on the upper right comes before the 5 on the lower left; no window covers the 9s.
    np.testing.assert_array_equal(dx[0, 0], [[0, 3, 7, 0, 0], [0, 0, 0, 0, 0]])


def test_max_pool_overlapping_windows_add_up_by_hand():
    x = np.array([1.0, 8.0, 2.0, 3.0]).reshape(1, 1, 1, 4)
    out, cache = max_pool_forward(x, pool_param(1, 2, 1))
    np.testing.assert_array_equal(out.ravel(), [8, 8, 3])
    dx = max_pool_backward(np.array([10.0, 100.0, 1000.0]).reshape(1, 1, 1, 3), cache)
    np.testing.assert_array_equal(dx.ravel(), [0, 110, 0, 1000])


@pytest.mark.parametrize(("height", "width", "stride"), [(2, 2, 2), (3, 2, 1)])
def test_max_pool_contract(height, width, stride):
    x = np.random.default_rng(11).standard_normal((2, 3, 5, 6))

    def forward(x):
        return max_pool_forward(x, pool_param(height, width, stride))

    check_contract(forward, max_pool_backward, (x,), tolerance=1e-6)


def test_max_pool_does_not_write_into_its_parameters():
    param = pool_param(2, 2, 2)
    max_pool_forward(np.zeros((1, 1, 4, 4)), param)
    assert param == pool_param(2, 2, 2)


@pytest.mark.parametrize(
    ("x_shape", "param", "text"),
    [
        ((2, 4, 4), pool_param(2, 2, 2), r"\(2, 4, 4\)"),
        ((1, 1, 4, 6), pool_param(5, 2, 2), r"\(1, 1, 4, 6\)"),
        ((1, 1, 6, 4), pool_param(2, 5, 2), r"\(1, 1, 6, 4\)"),
        ((1, 1, 4, 4), pool_param(2, 2, 0), r"stride.*0"),
        ((1, 1, 4, 4), pool_param(0, 2, 1), r"pool_height.*0"),
        ((1, 1, 4, 4), pool_param(2, -1, 1), r"pool_width.*-1"),
        ((1, 1, 4, 4), {"pool_height": 2, "pool_width": 2}, r"stride"),
    ],
)
def test_max_pool_forward_says_what_is_wrong(x_shape, param, text):
    with pytest.raises(ValueError, match=r"max_pool_forward: .*" + text):
        max_pool_forward(np.zeros(x_shape), param)


@pytest.mark.parametrize("dout_shape", [(2, 3, 2, 1), (1, 3, 2, 2), (2, 3, 4, 4)])
def test_max_pool_backward_says_which_shape_is_wrong(dout_shape):
    _, cache = max_pool_forward(np.zeros((2, 3, 4, 4)), pool_param(2, 2, 2))
    with pytest.raises(ValueError, match=r"max_pool_backward: .*\(2, 3, 2, 2\)"):
        max_pool_backward(np.zeros(dout_shape), cache)
