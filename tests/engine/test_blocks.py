"""Layers of the engine, at every processor level: the outputs and gradients of the readable half.

A block stands between a first layer with parameters, whose gradient is made of the block's dx, and
an upstream gradient that is drawn.
"""

import numpy as np
import pytest
from engines import CASES, agree, backward_by_layers, close, each_level, needs_the_engine
from hypothesis import given, strategies as st
from numpy.random import MT19937, PCG64, SFC64, Generator
from threadpoolctl import threadpool_limits

from handgrad.engine.program import Program, Targets, background
from handgrad.network import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool, Network, ReLU
from handgrad.solver import Solver

pytestmark = needs_the_engine


def draw_block(data):
    """Random shapes, values (ties among them) and settings of a convolution block."""
    N, C = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9))
    F = data.draw(st.one_of(st.integers(1, 5), st.sampled_from([8, 24, 32, 56, 64])))
    size, stride = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
    padding, bias = data.draw(st.integers(0, 5)), data.draw(st.booleans())
    pool = data.draw(st.sampled_from([(1, 1), (2, 2), (2, 2), (3, 1), (2, 3), (1, 2), (3, 2)]))
    side = size + (pool[0] - 1) * stride
    H, W = side + data.draw(st.integers(0, 5)), side + data.draw(st.integers(0, 5))
    block = [Conv(F, size, stride, padding, bias)]
    if data.draw(st.booleans()) and not bias:
        block.append(BatchNorm(eps=0.1))
    block += [layer for layer in (ReLU(), MaxPool(*pool)) if data.draw(st.booleans())]
    if data.draw(st.booleans()):
        block[-2:] = reversed(block[-2:]) if len(block) > 2 else block[-2:]
    if not isinstance(block[0], Conv):
        block.reverse()
    first = [[], [Conv(C, 1, bias=True)], [BatchNorm(eps=0.1)]][data.draw(st.integers(0, 2))]
    return [*first, *block, Flatten()], (C, H, W), N


@each_level
@pytest.mark.parametrize("whole", [False, True])
@CASES
@given(st.data())
def test_blocks_are_the_layers_composed(level, whole, data):
    """In float64, where rounding decides no kink; whole numbers make many equal pixels."""
    layers, shape, N = draw_block(data)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    network = Network(layers, shape, rng=rng)
    X = rng.standard_normal((N, *shape))
    if whole and not any(isinstance(layer, BatchNorm) for layer in layers):
        X = np.round(2 * X)
        for name, array in network.params.items():
            network.params[name] = np.round(3 * array)
    for name in network.params:
        if name.startswith(("b", "gamma")):
            drawn = rng.standard_normal(network.params[name].shape)
            network.params[name] = np.round(2 * drawn) if whole else drawn
    agree(network, X, rng.standard_normal((N, *network.output_shape)), level, 1000)


@each_level
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_many_images_on_threads(level, dtype, threads):
    rng = np.random.default_rng(0)
    layers = [Conv(40, 5, padding=2), ReLU(), MaxPool(2), Conv(9, 3, bias=True), ReLU(), Flatten()]
    network = Network(layers, (3, 20, 20), dtype=dtype, rng=rng)
    X = rng.standard_normal((19, 3, 20, 20)).astype(dtype)
    dout = rng.standard_normal((19, *network.output_shape)).astype(dtype)
    with threadpool_limits(threads, user_api="blas"):
        grads = agree(network, X, dout, level, 30)
        again = Program(network, level).backward(X, dout)
    for name, grad in grads.items():
        np.testing.assert_array_equal(again[name], grad)


DENSE = [
    (1, 1, 1), (7, 20, 40), (20, 20, 1), (100, 784, 100), (65, 129, 600), (400, 300, 30),
    (130, 64, 97), (1000, 1, 500), (2, 3, 7000),
]  # fmt: skip


@each_level
@pytest.mark.parametrize("zeros", [0.0, 0.4, 0.9, 1.0])
@pytest.mark.parametrize(("N", "D", "M"), DENSE)
def test_dense_layers_of_any_shape_and_share_of_zeros(level, N, D, M, zeros):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((N, 5)) < zeros, 0, rng.standard_normal((N, 5)))
    for dtype in (np.float32, np.float64):
        network = Network([Dense(D), ReLU(), Dense(M)], (5,), dtype=dtype, rng=rng)
        network.params["b1"] = (rng.standard_normal(D) - 3 * zeros).astype(dtype)
        dout = rng.standard_normal((N, M)).astype(dtype)
        dout[rng.random((N, M)) < zeros] = 0
        for threads in (1, 2):
            with threadpool_limits(threads, user_api="blas"):
                agree(network, X.astype(dtype), dout, level, 10)


@each_level
@pytest.mark.parametrize("place", ["X", "W1", "dout"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_not_lost_in_zeros(level, place, value):
    """A number of X, a weight or a gradient meets zeros only; 0 times it is NaN."""
    rng = np.random.default_rng(0)
    X, network = rng.standard_normal((80, 70)), Network([Dense(40)], (70,), rng=rng)
    X[rng.random(X.shape) < 0.7] = 0
    X[:, 5] = 0
    dout = rng.standard_normal((80, 40))
    dout[:, 7] = 0
    {"X": X[:, 6], "W1": network.params["W1"][5], "dout": dout[3]}[place][7] = value
    with np.errstate(invalid="ignore"):
        want, expected = backward_by_layers(network, X, dout)
        program = Program(network, level)
        scores, grads = program.scores(X), program.backward(X, dout)
    for ours, theirs in ((scores, want), *((grads[name], expected[name]) for name in grads)):
        np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("kind", ["dense", "conv", "norm", "dropout"])
def test_what_is_closed_is_paid_nothing(kind, bad):
    """Where a ReLU or dropout has cut a number off, its upstream gradient is not even looked at."""
    net = {
        "dense": [Dense(6), ReLU()],
        "conv": [Conv(4, 3), ReLU(), MaxPool(2), Flatten()],
        "norm": [Conv(4, 3), BatchNorm(), ReLU(), MaxPool(2), Flatten()],
        "dropout": [Dense(6), BatchNorm(), Dropout(0.5)],
    }[kind]
    rng = np.random.default_rng(0)
    shape = (1, 8, 8) if kind in ("conv", "norm") else (7,)
    network = Network(net, shape, rng=np.random.default_rng(1))
    X = rng.standard_normal((9, *shape))
    out, _ = backward_by_layers(network, X, np.zeros((9, *network.output_shape)))
    dout = rng.standard_normal(out.shape)
    wanted, spoilt = np.where(out == 0, 0, dout), np.where(out == 0, bad, dout)
    assert (out == 0).any()
    state = network.rng.bit_generator.state
    one = Program(network).backward(X, wanted)
    network.rng.bit_generator.state = state
    two = Program(network).backward(X, spoilt)
    for name, grad in one.items():
        np.testing.assert_array_equal(two[name], grad)


@pytest.mark.parametrize("pool", [1, 2, 3])
def test_ties_pay_the_first_pixel_and_a_nan_nobody(pool):
    side = 2 * pool
    layers = [Conv(2, 1, bias=True), ReLU(), MaxPool(pool), Flatten()]
    network = Network(layers, (1, side, side), rng=np.random.default_rng(0))
    network.params["W1"][:] = network.params["b1"][:] = 1
    X = np.ones((1, 1, side, side))
    X[0, 0, 0, 0] = 2
    # Of four windows three are ties of ones, one has a 2 first: 1 + 1 + 1 + 2.
    grads = Program(network).backward(X, np.ones((1, *network.output_shape)))
    np.testing.assert_array_equal(grads["W1"].ravel(), [5, 5])
    X[0, 0, -1, -1] = np.nan
    grads = Program(network).backward(X, np.ones((1, *network.output_shape)))
    np.testing.assert_array_equal(grads["b1"], [3, 3])
    assert np.isnan(Program(network).scores(X)[0, 3])


# dropout --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [PCG64, MT19937, SFC64])
@pytest.mark.parametrize("shape", [(1,), (199,), (3, 5, 7)], ids=str)
@pytest.mark.parametrize("keep", [1e-3, 0.5, 1.0])
def test_dropout_draws_what_the_layer_draws(kind, shape, keep):
    """The same bits, and the generator is left where the layer leaves it."""
    layers = [Flatten(), Dropout(keep)] if len(shape) == 1 else [Dropout(keep), Flatten()]
    found = []
    X = np.random.default_rng(0).standard_normal((11, *shape))
    for half in ("engine", "layers"):
        rng = Generator(kind(7))
        rng.integers(10, dtype=np.uint32)  # keeps half a number of 64 bits for the next
        network = Network([BatchNorm(), *layers], shape, rng=rng)
        dout = np.ones((11, *network.output_shape))
        if half == "engine":
            beta = Program(network).backward(X, dout)["beta1"]
        else:
            network.loss(X, np.zeros(11, int))
            beta = None
        found.append((beta, rng.integers(2**32, dtype=np.uint32), rng.random()))
    assert found[0][1:] == found[1][1:]
    again = Generator(kind(7))
    again.integers(10, dtype=np.uint32)
    kept = again.random((11, *shape)) < keep
    axes = (0, 2, 3) if len(shape) == 3 else 0
    np.testing.assert_array_equal(found[0][0], kept.sum(axis=axes))


# backgrounds ----------------------------------------------------------------------------------


def ink(rng, shape, zeros):
    return np.where(rng.random(shape) < zeros, 0, np.round(rng.standard_normal(shape), 2))


def trained(X, dtype=np.float32):
    network = Network([Dense(72), ReLU(), Dense(10)], X.shape[1:], reg=0.01, dtype=dtype,
                      rng=np.random.default_rng(0))  # fmt: skip
    y = np.arange(len(X)) % 10
    solver = Solver(
        network, {"X_train": X, "y_train": y, "X_val": X[:20], "y_val": y[:20]}, "sgd_momentum",
        {"learning_rate": 1e-2}, batch_size=40, num_epochs=2, rng=np.random.default_rng(1),
    )  # fmt: skip
    solver.train()
    return solver


@pytest.mark.parametrize("level", [-0.42421296, 3.0, 0.0])
def test_a_background_is_taken_away_and_given_back(level, monkeypatch):
    X = (ink(np.random.default_rng(0), (200, 300), 0.8) + level).astype(np.float32)
    ours = trained(X)
    assert ours._stepper._background == np.float32(level)
    monkeypatch.setenv("HANDGRAD_ENGINE", "layers")
    theirs = trained(X)
    np.testing.assert_allclose(ours.loss_history, theirs.loss_history, rtol=1e-4)
    for name, array in theirs.model.params.items():
        close(ours.model.params[name], array, np.float32, 5)


def test_the_background_is_what_most_pixels_are():
    rng = np.random.default_rng(0)
    steps = Program(Network([Dense(64)], (300,))).steps
    few = ink(rng, (90, 300), 0.8).astype(np.float32)
    assert background(steps, few - np.float32(0.5)) == -0.5
    for X in (few, ink(rng, (90, 300), 0.01), np.full((90, 300), np.inf), np.full((90, 300), 2.0)):
        assert background(steps, X.astype(np.float32)) == 0
    assert background(Program(Network([BatchNorm(), Dense(4)], (300,))).steps, few + 1) == 0


def test_a_code_for_what_is_missing_does_not_round_the_other_columns_away():
    X = np.random.default_rng(0).random((200, 300), np.float32)
    X[:, ::2] = X[:, ::3] = -999  # two thirds
    steps = Program(Network([Dense(64)], (300,))).steps
    assert background(steps, X) == 0


def test_a_batch_that_no_memory_holds_is_an_error():
    """Of a size that the system refuses at once: nothing of it is touched."""
    network = Network([Conv(1, size=1), Flatten(), Dense(1)], (1, 1, 1), loss="logistic")
    program = Program(network)
    program._layers[0].out.stride = 2**30  # as of a billion channels
    with pytest.raises(MemoryError, match="no memory for a batch of 100000 examples"):
        program.train(
            np.zeros((100000, 1, 1, 1)), None, Targets(np.ones(100000, np.int64)), 100000, [0.1]
        )
    program._layers[0].out.stride = 8
