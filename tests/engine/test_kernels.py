"""Kernels: the compiled engine against plain NumPy, on random shapes; both against the layers."""

import os
import subprocess
import sys
import threading

import children
import numpy as np
import pytest
from hypothesis import given, strategies as st
from kernel_engines import CASES, ENGINES, close, compiled, needs_numba, plain
from threadpoolctl import threadpool_info, threadpool_limits

from handgrad import layers
from handgrad.engine.kernels.rules import ADAM, MOMENTUM, NESTEROV, RMSPROP, SGD

# Of 32, a 2 x 2 pool is done in the convolution's registers, where there are enough of them.
FILTERS = [1, 32]


def draw_block(data):
    """Random shapes, values (ties among them) and settings of a convolution block."""
    N, C = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9))
    F = data.draw(st.one_of(st.integers(1, 5), st.sampled_from([8, 24, 32, 56, 64])))
    HH, WW = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    stride, padding = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 2))
    size, pool_stride = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    pool = data.draw(st.sampled_from([(1, 1), (2, 2), (2, 2), (size, pool_stride)]))
    # Large enough for one window of the pool.
    H = HH + (pool[0] - 1) * stride + data.draw(st.integers(0, 5))
    W = WW + (pool[0] - 1) * stride + data.draw(st.integers(0, 5))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    x, w = rng.standard_normal((N, H, W, C)), rng.standard_normal((F, C, HH, WW))
    b = rng.standard_normal(F)
    if data.draw(st.booleans()):  # whole numbers: many equal pixels
        x, w, b = np.round(x), np.round(w), np.round(b)
    relu = data.draw(st.booleans())
    options = {"stride": stride, "padding": padding, "pool": pool}
    return x.astype(dtype), w.astype(dtype), b.astype(dtype), relu, options, rng


def by_layers(x, w, b, relu, options, dout):
    """The block as layers: out, dx, dw, db, images with channels last."""
    size, stride = options["pool"]
    pool = {"pool_height": size, "pool_width": size, "stride": stride}
    out, conv = layers.conv_forward(
        x.transpose(0, 3, 1, 2), w, stride=options["stride"], padding=options["padding"]
    )
    out, bias = layers.channel_bias_forward(out, b)
    out, pooled = layers.max_pool_forward(out, pool)
    before = out
    if relu:
        out, before = layers.relu_forward(out)
    d = dout(out.transpose(0, 2, 3, 1).shape).astype(x.dtype)
    back = d.transpose(0, 3, 1, 2)
    if relu:
        back = layers.relu_backward(back, before)
    back, db = layers.channel_bias_backward(layers.max_pool_backward(back, pooled), bias)
    dx, dw = layers.conv_backward(back, conv)
    return out.transpose(0, 2, 3, 1), d, dx.transpose(0, 2, 3, 1), dw, db


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
@CASES
@given(st.data())
def test_blocks_are_the_layers_composed(engine, data):
    x, w, b, relu, options, rng = draw_block(data)
    want, d, dx, dw, db = by_layers(x, w, b, relu, options, rng.standard_normal)
    options["planes"] = planes = data.draw(st.booleans())
    out, win = engine.block_forward(x, w, b, relu=relu, **options)
    close(out, want.transpose(0, 3, 1, 2) if planes else want, x.dtype)
    assert out.flags.c_contiguous
    d = np.ascontiguousarray(d.transpose(0, 3, 1, 2)) if planes else d
    got = engine.block_backward(d, win, x, w, need_dx=True, **options)
    for one, two in zip(got, (dx, dw, db), strict=True):
        close(one, two, x.dtype, 10)
    nothing, alone, _ = engine.block_backward(d, win, x, w, need_dx=False, **options)
    assert nothing is None
    close(alone, dw, x.dtype, 10)


@needs_numba
@pytest.mark.parametrize("padding", [0, 2])
def test_many_images_go_through_in_several_chunks(padding):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((19, 28, 28, 3), dtype=np.float32)
    w = rng.standard_normal((56, 3, 5, 5), dtype=np.float32)  # 32 + 16 + 8 filters
    options = {"stride": 1, "padding": padding, "pool": (2, 2)}
    out, win = compiled.block_forward(x, w, None, relu=True, **options)
    want, want_win = plain.block_forward(x, w, None, relu=True, **options)
    close(out, want, np.float32)
    d = rng.standard_normal(out.shape, dtype=np.float32)
    got = compiled.block_backward(d, want_win, x, w, need_dx=True, **options)
    for one, two in zip(
        got, plain.block_backward(d, want_win, x, w, need_dx=True, **options), strict=True
    ):
        close(one, two, np.float32)
    assert np.mean(win != want_win) < 1e-4  # rounding decides a near tie


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
@CASES
@given(st.data())
def test_blocks_with_batch_norm_are_the_layers_composed(engine, data):
    x, w, _, relu, options, rng = draw_block(data)
    x, w = x + rng.standard_normal(x.shape).astype(x.dtype), w.astype(x.dtype)
    F, dtype = len(w), x.dtype
    gamma, beta = rng.standard_normal(F).astype(dtype), rng.standard_normal(F).astype(dtype)
    images = x.transpose(0, 3, 1, 2)
    out, conv = layers.conv_forward(images, w, stride=options["stride"], padding=options["padding"])
    statistics = {"mode": "train", "momentum": 0.0, "eps": 0.1}
    out, norm = layers.spatial_batchnorm_forward(out, gamma, beta, statistics)
    size, stride = options["pool"]
    pool = {"pool_height": size, "pool_width": size, "stride": stride}
    out, pooled = layers.max_pool_forward(out, pool)
    before = out
    if relu:
        out, before = layers.relu_forward(out)
    back = d = rng.standard_normal(out.shape).astype(dtype)
    if relu:
        back = layers.relu_backward(back, before)
    back = layers.max_pool_backward(back, pooled)
    back, dgamma, dbeta = layers.spatial_batchnorm_backward(back, norm)
    dx, dw = layers.conv_backward(back, conv)

    need_dx, planes = data.draw(st.booleans()), data.draw(st.booleans())
    options["planes"] = planes
    got, mean, var, cache = engine.norm_block_forward(
        x, w, gamma, beta, 0.1, relu=relu, need_dx=need_dx, **options
    )
    if not planes:
        out, d = out.transpose(0, 2, 3, 1), d.transpose(0, 2, 3, 1)
    close(mean, statistics["running_mean"], dtype, 10)
    close(var, statistics["running_var"], dtype, 10)
    close(got, out, dtype, 20)
    assert got.flags.c_contiguous
    if not np.array_equal(got > 0, out > 0):
        return  # rounding decided a kink
    grads = engine.norm_block_backward(d, cache, x, w, gamma, 0.1, need_dx=need_dx, **options)
    if dtype == np.float64:  # in float32 a near tie of the pool may fall the other way
        assert (grads[0] is None) != need_dx
        wanted = (dx.transpose(0, 2, 3, 1), dw, dgamma, dbeta)
        for one, two in list(zip(grads, wanted, strict=True))[not need_dx :]:
            close(one, two, dtype, 1000)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("pool", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize("F", FILTERS)
def test_a_nan_comes_through_and_is_paid_nothing(engine, relu, pool, F):
    x, w = np.arange(16.0).reshape(1, 4, 4, 1), np.ones((F, 1, 1, 1))
    x[0, 1, 1, 0] = np.nan
    options = {"stride": 1, "padding": 0, "pool": pool}
    out, win = engine.block_forward(x, w, None, relu=relu, **options)
    assert np.isnan(out[0, :2, :2]).any(axis=(0, 1)).all()
    assert not np.isnan(out[0, 2:, 2:]).any()
    dx, _, db = engine.block_backward(np.ones_like(out), win, x, w, need_dx=True, **options)
    assert dx[0, 1, 1, 0] == 0
    paid = ~np.isnan(out) & ((out > 0) | (not relu))
    np.testing.assert_array_equal(db, paid.sum(axis=(0, 1, 2)))


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
@pytest.mark.parametrize("F", FILTERS)
def test_ties_pay_the_first_pixel(engine, F):
    options = {"stride": 1, "padding": 0, "pool": (2, 2)}
    x, w = np.ones((1, 2, 2, 1)), np.ones((F, 1, 1, 1))
    out, win = engine.block_forward(x, w, None, relu=True, **options)
    dx, _, _ = engine.block_backward(3 * np.ones_like(out), win, x, w, need_dx=True, **options)
    np.testing.assert_array_equal(dx[0, :, :, 0], [[3 * F, 0], [0, 0]])


@needs_numba
@pytest.mark.parametrize("kind", [SGD, MOMENTUM, NESTEROV, RMSPROP, ADAM])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_updates_agree(kind, dtype):
    rng = np.random.default_rng(0)
    one = [rng.random((7, 30)).astype(dtype) for _ in range(4)]
    two = [array.copy() for array in one]
    for t in (1, 2, 50):
        for engine, (w, dw, first, second) in ((compiled, one), (plain, two)):
            engine.update(kind, w, dw, first, second, 0.1, 0.9, 0.99, 1e-8, 0.2 * (kind == ADAM), t)
    for ours, theirs in zip(one, two, strict=True):
        close(ours, theirs, dtype)


# threads --------------------------------------------------------------------------------------


def big_block():
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((60, 28, 28, 1)), rng.standard_normal((16, 1, 5, 5))
    options = {"stride": 1, "padding": 0, "pool": (2, 2)}
    out, win = compiled.block_forward(x, w, None, relu=True, **options)
    return out, *compiled.block_backward(out, win, x, w, need_dx=True, **options)


def settings_of_blas():
    return [(i["filepath"], i["num_threads"]) for i in threadpool_info() if i["user_api"] == "blas"]


@needs_numba
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_threads_give_the_same_bits_and_settings_are_left_alone(threads):
    import numba

    with threadpool_limits(threads, user_api="blas"):
        before = settings_of_blas(), numba.get_num_threads()
        first = big_block()
        assert (settings_of_blas(), numba.get_num_threads()) == before
        for one, two in zip(first, big_block(), strict=True):
            np.testing.assert_array_equal(one, two)
    with threadpool_limits(3 - threads, user_api="blas"):
        for one, two in zip(first, big_block(), strict=True):
            close(one, two, np.float64, 10)


@needs_numba
def test_settings_are_restored_after_an_error():
    before = settings_of_blas()
    with pytest.raises(ZeroDivisionError), compiled.blas_on_one_thread():
        raise ZeroDivisionError
    assert settings_of_blas() == before


@needs_numba
def test_many_threads_of_python_may_call_at_once():
    with threadpool_limits(2, user_api="blas"):
        alone = big_block()
        results = []
        callers = [threading.Thread(target=lambda: results.append(big_block())) for _ in range(3)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert len(results) == len(callers)
    for result in results:
        for one, two in zip(result, alone, strict=True):
            np.testing.assert_array_equal(one, two)


@needs_numba
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_works():
    code = (
        "import os, sys, warnings; warnings.simplefilter('ignore')\n"
        "import numpy as np, test_kernels as t\n"
        "first = t.big_block()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    same = all(np.allclose(a, b) for a, b in zip(first, t.big_block()))\n"
        "    os._exit(0 if same else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=children.importing(__file__), timeout=300, check=False)
    assert done.returncode == 0
