"""Products that pass over zeros: those of the plain kernels, whatever is zero."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, strategies as st
from kernel_engines import CASES, close, compiled, needs_numba, plain

from handgrad.engine.kernels.rules import ADAM, SGD

pytestmark = needs_numba


@pytest.fixture
def sparse():
    """The module, where its vectors are to be had."""
    from handgrad.engine.kernels import sparse
    from handgrad.engine.kernels.processor import LONG_VECTORS

    if not LONG_VECTORS:
        pytest.skip("the processor has no vectors of 512 bits")
    return sparse


def numbers(rng, shape, zeros=0.0):
    """Random float32, of which a share is zero."""
    drawn = np.round(rng.standard_normal(shape), 2).astype(np.float32)
    return np.where(rng.random(shape) < zeros, np.float32(0), drawn)


def learned(engine, x, w, dout, out, *, kind=SGD, reg=0.0, need_dx=True):
    """dx, db, the squares, and w and its moments after a step."""
    arrays = [w.copy(), np.zeros_like(w), np.zeros_like(w)]
    step = (kind, *arrays[1:], 0.1, 0.9, 0.99, 1e-3, 0.01, 1)
    found = engine.dense_learn(dout, out, x, arrays[0], step, relu=True, need_dx=need_dx, reg=reg)
    return [*found, *arrays]


def agree(x, w, dout, **settings):
    """Hold the compiled dense layer, whose ReLU cuts dout, against the plain one."""
    b = np.zeros_like(w[0])
    out = plain.dense_forward(x, w, b, relu=True)
    close(compiled.dense_forward(x, w, b, relu=True), out, np.float32, 3)
    results = [learned(engine, x, w, dout, out, **settings) for engine in (compiled, plain)]
    for ours, theirs in zip(*results, strict=True):
        if isinstance(theirs, np.ndarray):
            close(ours, theirs, np.float32, 3)
        else:
            assert (ours is None) == (theirs is None)
            assert ours is None or np.isclose(ours, theirs, rtol=1e-5)


@CASES
@given(st.data())
def test_dense_layers_of_any_shape_and_share_of_zeros(data):
    N, D = data.draw(st.integers(8, 150)), data.draw(st.integers(1, 260))
    M = data.draw(st.integers(32, 150))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    zeros = data.draw(st.sampled_from([0.3, 0.6, 0.9, 1.0]))
    agree(
        numbers(rng, (N, D), zeros), numbers(rng, (D, M)), numbers(rng, (N, M), zeros),
        kind=data.draw(st.sampled_from([SGD, ADAM])), reg=data.draw(st.sampled_from([0.0, 0.3])),
        need_dx=data.draw(st.booleans()),
    )  # fmt: skip


@pytest.mark.parametrize("N", [8, 100, 112, 113, 250])
@pytest.mark.parametrize("M", [32, 64, 100, 512])
def test_dense_layers_on_two_threads(N, M):
    rng = np.random.default_rng(N + M)
    agree(numbers(rng, (N, 2000), 0.6), numbers(rng, (2000, M)), numbers(rng, (N, M), 0.8))


# 3000 examples are more than blocks of rows are cut for; 1000 and 5000 columns, blocks of few rows.
@pytest.mark.parametrize(("N", "M"), [(3000, 100), (40, 1000), (16, 5000)])
def test_blocks_of_odd_heights(N, M):
    rng = np.random.default_rng(N)
    agree(numbers(rng, (N, 333), 0.6), numbers(rng, (333, M)), numbers(rng, (N, M), 0.8))


def test_a_lack_of_memory_is_not_passed_over():
    from handgrad.engine.kernels.sparse import _ended

    _ended(np.ones(1, np.uint8))
    with pytest.raises(MemoryError, match="no room for the panels"):
        _ended(np.zeros(1, np.uint8))


@pytest.mark.parametrize(
    ("place", "at"),
    # dout's and w's last columns fill no register; a row of w and a column of dout meet zeros only
    [("x", (3, 4)), ("w", (5, 7)), ("w", (5, 37)), ("dout", (2, 3)), ("dout", (2, 37))],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_not_lost_in_zeros(sparse, place, at, value):
    rng = np.random.default_rng(0)
    x, w, dout = numbers(rng, (20, 70), 0.7), numbers(rng, (70, 40)), numbers(rng, (20, 40), 0.7)
    x[:, 5], dout[:, 7] = 0, 0
    {"x": x, "w": w, "dout": dout}[place][at] = value
    assert sparse.worth(x, 0, 70, 40, 1, 0)
    with np.errstate(invalid="ignore"):
        out = plain.dense_forward(x, w, np.zeros(40, np.float32), relu=False)
        ours = compiled.dense_forward(x, w, np.zeros(40, np.float32), relu=False)
        positive = np.ones_like(out)
        results = [learned(engine, x, w, dout, positive) for engine in (compiled, plain)]
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(out))
    assert not np.isfinite(out).all() or place == "dout"
    for one, two in zip(results[0], results[1], strict=True):
        np.testing.assert_array_equal(np.isfinite(one), np.isfinite(two))


def test_few_zeros_are_left_to_blas(sparse):
    rng = np.random.default_rng(0)
    dense, half = numbers(rng, (100, 800), 0.02), numbers(rng, (100, 800), 0.5)
    assert not sparse.worth(dense, 0, 800, 512, 1, 0)
    assert sparse.worth(half, 0, 800, 512, 1, 0)
    assert not sparse.worth(half.astype(np.float64), 0, 800, 512, 1, 0)
    assert not sparse.worth(half, 0, 800, 10, 1, 0)


def trained(engine, X, M=72, reg=0.01):
    """Losses and parameters after steps of a network X.shape[1]-M-10, and what was zero."""
    rng = np.random.default_rng(0)
    D = X.shape[1]
    theta = rng.standard_normal((D + 1) * M + (M + 1) * 10).astype(np.float32) / 20
    first, second = np.zeros_like(theta), np.zeros_like(theta)
    labels, rows = rng.integers(0, 10, len(X)), rng.permutation(len(X))
    losses = engine.dense_steps(
        X, rows, labels, 40, np.array([D, M, 10]), 0, reg, theta, ADAM, np.full(5, 1e-3),
        np.array([0.9, 0.99, 1e-3, 0.0]), first, second, 0,
    )  # fmt: skip
    return losses, theta, first, second


@pytest.mark.parametrize("background", [0.0, -0.42421296, 3.0])
def test_a_background_is_taken_away_and_given_back(background):
    rng = np.random.default_rng(0)
    ink = numbers(rng, (200, 300), 0.8)
    X = ink + np.float32(background)
    for ours, theirs in zip(trained(compiled, X), trained(plain, X), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


def test_the_background_is_what_most_pixels_are():
    from handgrad.engine.kernels.numba import _background
    from handgrad.engine.kernels.processor import LONG_VECTORS

    rng = np.random.default_rng(0)
    ink = numbers(rng, (90, 300), 0.8)
    assert _background(ink - np.float32(0.5), 64) == (-0.5 if LONG_VECTORS else 0)
    assert _background(ink, 64) == 0
    assert _background(numbers(rng, (90, 300)), 64) == 0  # the median, but of a few
    assert _background(np.full((90, 300), np.inf, np.float32), 64) == 0
    assert _background(np.full((90, 300), 2, np.float32), 64) == 0
    # Of 48 columns, with which 33 cost as much, zeros in half of all places save too little.
    half = numbers(rng, (90, 300), 0.55) - np.float32(0.5)
    assert _background(half, 64) == (-0.5 if LONG_VECTORS else 0)
    assert _background(half, 33) == 0


def test_a_code_for_what_is_missing_does_not_round_the_other_columns_away():
    rng = np.random.default_rng(0)
    X = rng.random((200, 300), np.float32)
    missing = np.zeros(300, bool)
    missing[::2] = missing[::3] = True  # two thirds
    X[:, missing] = -999
    ours, theirs = (
        trained(engine, X)[2][: 300 * 72].reshape(300, 72)[~missing] for engine in (compiled, plain)
    )
    assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()


def test_not_finite_beyond_the_first_panels_reaches_the_sums():
    rng = np.random.default_rng(0)
    x, w = numbers(rng, (40, 300), 0.6), numbers(rng, (300, 64))
    w[250, 3] = np.nan
    x[:, 250] = 0
    out = compiled.dense_forward(x, w, np.zeros(64, np.float32), relu=False)
    assert np.isnan(out[:, 3]).all()
    others = np.arange(64) != 3
    np.testing.assert_allclose(out[:, others], x @ w[:, others], rtol=1e-4, atol=1e-4)


def test_no_examples_give_zero_gradients():
    x, w = np.empty((0, 50), np.float32), np.ones((50, 40), np.float32)
    out, dout = np.empty((0, 40), np.float32), np.empty((0, 40), np.float32)
    dx, dw, db = compiled.dense_backward(dout, out, x, w, relu=False, need_dx=True)
    assert dx.shape == (0, 50)
    assert not dw.any()
    assert not db.any()


def test_processes_that_keep_code_at_once_do_not_take_it_for_each_others(tmp_path):
    from handgrad.engine.kernels.blas import _CacheFile

    one, other = (_CacheFile(str(tmp_path), "product", "stamp") for _ in range(2))
    index = other._load_index
    other._load_index = dict  # it looked before the first had written
    one.save("of float32", "code of float32")
    other.save("of float64", "code of float64")
    other._load_index = index
    assert other.load("of float64") == "code of float64"
    assert one.load("of float32") in (None, "code of float32")
    one.save("of float32", "code of float32")
    assert other.load("of float32") == "code of float32"
    assert other.load("of float64") == "code of float64"


def test_threads_may_be_the_first_to_call_at_the_same_time():
    program = """
import threading, numpy as np
from handgrad.engine import kernels
engine = kernels.load("numba")
x, w, b = np.ones((20, 70), np.float32), np.ones((70, 40), np.float32), np.zeros(40, np.float32)
x[:, ::2] = 0
ready, found = threading.Barrier(4), []
def call():
    ready.wait()
    found.append(engine.dense_forward(x, w, b, relu=False))
threads = [threading.Thread(target=call) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(found) == 4 and all((out == 35).all() for out in found)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
