"""A network's first block, of which nobody asks the image's gradient, takes shorter ways."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from kernel_engines import CASES, close, compiled, needs_numba, plain
from threadpoolctl import threadpool_limits

from handgrad import layers
from handgrad.engine import kernels


@needs_numba
@CASES
@given(st.data())
def test_a_first_block_with_batch_norm_needs_no_pixels(data):
    """Its statistics and gradients are those of patches: the same numbers, from other sums."""
    N, C, F, padding = (data.draw(st.integers(*ends)) for ends in ((1, 5), (1, 3), (1, 9), (0, 2)))
    HH, WW = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    pool = data.draw(st.sampled_from([(1, 1), (2, 2), (3, 1)]))
    H, W = HH + 2 + data.draw(st.integers(0, 5)), WW + 2 + data.draw(st.integers(0, 5))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    x = (rng.standard_normal((N, H, W, C)) + 3 * rng.standard_normal()).astype(dtype)
    w, gamma, beta = (rng.standard_normal(s).astype(dtype) for s in ((F, C, HH, WW), (F,), (F,)))
    gamma[0] = 0
    options = {"stride": 1, "padding": padding, "pool": pool}
    found = []
    for need_dx in (True, False):
        out, mean, var, cache = compiled.norm_block_forward(
            x, w, gamma, beta, 0.1, relu=True, need_dx=need_dx, **options
        )
        d = np.cos(np.arange(out.size)).reshape(out.shape).astype(dtype)
        _, *grads = compiled.norm_block_backward(
            d, cache, x, w, gamma, 0.1, need_dx=need_dx, **options
        )
        found.append([out, mean, var, *grads])
    for place, (one, two) in enumerate(zip(*found, strict=True)):
        if place == 0 and not np.array_equal(one > 0, two > 0):
            return  # rounding decided a kink
        if place < 3 or dtype == np.float64:  # in float32 a near tie may fall the other way
            close(two, one, dtype, 10 if place < 3 else 1000)


@needs_numba
@pytest.mark.parametrize("padding", [0, 1])
def test_patch_statistics_of_images_far_from_zero(padding):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((64, 20, 20, 1)) + 1e4, rng.standard_normal((8, 1, 5, 5))
    x, w, ones = x.astype(np.float32), w.astype(np.float32), np.ones(8, np.float32)
    _, mean, var, _ = compiled.norm_block_forward(
        x, w, ones, ones, 0.1, stride=1, padding=padding, pool=(2, 2), relu=True, need_dx=False
    )
    images = x.transpose(0, 3, 1, 2).astype(np.float64)
    y, _ = layers.conv_forward(images, w.astype(np.float64), padding=padding)
    np.testing.assert_allclose(mean, y.mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(var, y.var(axis=(0, 2, 3)), rtol=1e-4)


@needs_numba
@pytest.mark.parametrize("threads", [1, 2])
def test_patch_statistics_on_threads(threads):
    rng = np.random.default_rng(0)
    x, w = rng.random((90, 28, 28, 2)), rng.standard_normal((8, 2, 5, 4))
    ones = np.ones(8)
    with threadpool_limits(threads):
        _, mean, var, _ = compiled.norm_block_forward(
            x, w, ones, ones, 0.1, stride=1, padding=1, pool=(2, 2), relu=True, need_dx=False
        )
    y, _ = layers.conv_forward(x.transpose(0, 3, 1, 2), w, padding=1)
    close(mean, y.mean(axis=(0, 2, 3)), np.float64)
    close(var, y.var(axis=(0, 2, 3)), np.float64)


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("image", "window", "stride", "padding", "pool"),
    [
        ((28, 28, 1), (7, 7), 1, 0, (2, 2)),
        ((28, 28, 1), (5, 5), 1, 0, (2, 2)),
        ((30, 17, 3), (3, 3), 1, 1, (2, 2)),  # rows of nine numbers
        ((20, 70, 1), (9, 8), 2, 3, (3, 2)),  # windows that overlap, more rows than registers take
        ((9, 40, 8), (6, 2), 1, 1, (2, 3)),  # rows of sixteen, pixels that no window reads
    ],
)
def test_the_winners_patches_give_the_filters_gradient(dtype, image, window, stride, padding, pool):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((21, *image)).astype(dtype)
    w = rng.standard_normal((11, image[2], *window)).astype(dtype)
    options = {"stride": stride, "padding": padding, "pool": pool, "planes": bool(stride % 2)}
    out, win = plain.block_forward(x, w, None, relu=True, **options)
    assert kernels.load("winners").fits((*window, image[2]), pool)
    d = rng.standard_normal(out.shape).astype(dtype)
    want = plain.block_backward(d, win, x, w, need_dx=False, **options)
    for threads in (1, 2):
        with threadpool_limits(threads):
            got = compiled.block_backward(d, win, x, w, need_dx=False, **options)
        assert got[0] is None
        for one, two in zip(got[1:], want[1:], strict=True):
            close(one, two, dtype, 10)
