"""Average pooling and the average of an image: hand values, loops, numeric gradients, errors."""

import numpy as np
import pytest
from references import avg_pool_backward_loops, avg_pool_forward_loops, check_contract

from handgrad.gradcheck import check_gradients
from handgrad.layers import (
    avg_pool_backward,
    avg_pool_forward,
    filter_valid,
    global_avg_pool_backward,
    global_avg_pool_forward,
)

WINDOWS = pytest.mark.parametrize(
    ("shape", "height", "width", "stride"),
    [
        ((2, 3, 4, 6), 2, 2, 2),
        ((1, 2, 5, 7), 3, 2, 1),  # windows that overlap
        ((2, 1, 5, 5), 2, 2, 3),  # pixels that no window covers
        ((1, 1, 3, 4), 3, 4, 1),  # one window
        ((2, 2, 3, 3), 1, 1, 1),
    ],
)


def param(height, width, stride):
    return {"pool_height": height, "pool_width": width, "stride": stride}


@WINDOWS
def test_matches_loops(shape, height, width, stride):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    out, cache = avg_pool_forward(x, param(height, width, stride))
    wanted = avg_pool_forward_loops(x, height, width, stride)
    np.testing.assert_allclose(out, wanted, rtol=1e-13, atol=1e-15)
    dout = rng.standard_normal(out.shape)
    wanted = avg_pool_backward_loops(dout, shape, height, width, stride)
    np.testing.assert_allclose(avg_pool_backward(dout, cache), wanted, rtol=1e-13, atol=1e-15)


@WINDOWS
def test_gradients_match_numbers(shape, height, width, stride):
    rng = np.random.default_rng(1)

    def forward(x):
        return avg_pool_forward(x, param(height, width, stride))

    check_gradients(forward, avg_pool_backward, (rng.standard_normal(shape),), rng=rng)
    check_contract(forward, avg_pool_backward, (rng.standard_normal(shape),), tolerance=1e-6)


def test_overlapping_windows_by_hand():
    x = np.array([[[[1.0, 3.0, 7.0]]]])
    out, cache = avg_pool_forward(x, param(1, 2, 1))
    np.testing.assert_array_equal(out, [[[[2, 5]]]])
    # The pixel in the middle is half of both windows.
    dx = avg_pool_backward(np.array([[[[10.0, 100.0]]]]), cache)
    np.testing.assert_array_equal(dx, [[[[5, 55, 50]]]])


def test_it_is_a_convolution_with_equal_weights():
    image = np.random.default_rng(2).standard_normal((5, 6))
    out, _ = avg_pool_forward(image[None, None], param(2, 3, 1))
    wanted = filter_valid(image, np.full((2, 3), 1 / 6))
    np.testing.assert_allclose(out[0, 0], wanted, rtol=1e-12, atol=1e-14)


def test_global_by_hand():
    x = np.array([[[[1.0, 3.0], [5.0, 7.0]], [[0.0, 0.0], [0.0, 8.0]]]])
    out, cache = global_avg_pool_forward(x)
    np.testing.assert_array_equal(out, [[4, 2]])
    dx = global_avg_pool_backward(np.array([[4.0, 8.0]]), cache)
    np.testing.assert_array_equal(dx, [[[[1, 1], [1, 1]], [[2, 2], [2, 2]]]])


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 1), (3, 2, 1, 6)])
def test_global_gradients_match_numbers_and_one_window(shape):
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape)
    check_gradients(global_avg_pool_forward, global_avg_pool_backward, (x,), rng=rng)
    check_contract(global_avg_pool_forward, global_avg_pool_backward, (x,), tolerance=1e-6)
    window, _ = avg_pool_forward(x, param(*shape[2:], 1))
    out, cache = global_avg_pool_forward(x)
    np.testing.assert_allclose(out, window[:, :, 0, 0], rtol=1e-12, atol=1e-15)
    dx = global_avg_pool_backward(out, cache)
    assert dx.flags.writeable


@pytest.mark.parametrize(
    ("shape", "pool", "text"),
    [
        ((4, 4), param(2, 2, 2), r"x must be \(N, C, H, W\).*\(4, 4\)"),
        ((1, 1, 4, 4), {"pool_height": 2, "stride": 2}, "must hold pool_height, pool_width and"),
        ((1, 1, 4, 4), param(2, 2, 0), "whole numbers from 1"),
        ((1, 1, 4, 4), param(2, 1.5, 1), "whole numbers from 1"),
        ((1, 1, 4, 4), param(2, 5, 1), r"the window \(2, 5\) must fit into the image"),
    ],
)
def test_forward_says_what_is_wrong(shape, pool, text):
    with pytest.raises(ValueError, match="avg_pool_forward: .*" + text):
        avg_pool_forward(np.zeros(shape), pool)


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 0, 4)])
def test_global_says_which_shape_is_wrong(shape):
    with pytest.raises(ValueError, match=r"global_avg_pool_forward: x must be \(N, C, H, W\) with"):
        global_avg_pool_forward(np.zeros(shape))


def test_backwards_say_which_shape_is_wrong():
    _, cache = avg_pool_forward(np.zeros((1, 1, 4, 4)), param(2, 2, 2))
    with pytest.raises(ValueError, match=r"avg_pool_backward: .*\(1, 1, 2, 2\).*\(2, 2\)"):
        avg_pool_backward(np.zeros((2, 2)), cache)
    _, cache = global_avg_pool_forward(np.zeros((1, 2, 4, 4)))
    with pytest.raises(ValueError, match=r"global_avg_pool_backward: .*\(1, 2\).*\(2,\)"):
        global_avg_pool_backward(np.zeros(2), cache)
