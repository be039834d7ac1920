"""The dense kernels: the engines against each other, and several steps against single ones."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from kernel_engines import CASES, ENGINES, close, compiled, needs_numba, plain
from threadpoolctl import threadpool_limits

from handgrad import layers
from handgrad.engine.kernels.rules import ADAM, SGD
from handgrad.network import Dense, Network, ReLU
from handgrad.optim import adamw

LARGE = [
    (100, 784, 100),  # blocks that BLAS leaves unpacked
    (400, 784, 100),  # blocks that fit the cache
    (1000, 1, 5000),  # fewer features than threads
    (2, 3, 70000),  # a row of weights is more than fits the cache
]


@needs_numba
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("N", "D", "M"), LARGE)
def test_dense_kernels_agree_in_blocks_and_on_threads(N, D, M, threads):
    rng = np.random.default_rng(0)
    x, w, b, dout = (rng.standard_normal(shape) for shape in ((N, D), (D, M), (M,), (N, M)))
    out = plain.dense_forward(x, w, b, relu=True)
    found = []
    for engine in (plain, compiled):
        with threadpool_limits(threads):
            assert np.allclose(engine.dense_forward(x, w, b, relu=True), out, 1e-9, 1e-9)
            weights, state = w.copy(), (np.zeros_like(w), np.zeros_like(w))
            step = (ADAM, *state, 0.1, 0.9, 0.99, 1e-3, 0.01, 1)
            dx, db, squares = engine.dense_learn(
                dout, out, x, weights, step, relu=True, need_dx=True, reg=0.3
            )
            found.append([dx, db, weights, *state, squares])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
@pytest.mark.parametrize("loss", ["softmax", "logistic", "svm"])
def test_several_dense_steps_are_losses_and_updates(engine, loss):
    """Both rounds of gathering, a smaller last batch, weight decay that spares the biases."""
    D, H, C, N, batch = 300, 60, 3 if loss == "softmax" else 1, 1001, 50
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D))
    net = Network([Dense(H), ReLU(), Dense(C)], (D,), loss=loss, reg=0.01, rng=rng)
    y = rng.integers(0, 3 if loss == "softmax" else 2, N)
    labels, order = (y if loss == "softmax" else 2 * y - 1), rng.permutation(N)
    rates = np.linspace(0.01, 0.001, -(-N // batch))
    theta = np.concatenate([array.ravel() for array in net.params.values()])
    state = np.zeros_like(theta), np.zeros_like(theta)
    losses = engine.dense_steps(
        X, order, labels, batch, np.array([D, H, C]), ["softmax", "logistic", "svm"].index(loss),
        0.01, theta, ADAM, rates, np.array([0.9, 0.99, 1e-3, 0.05]), *state, 0,
    )  # fmt: skip
    config = {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-3}
    configs = {
        name: {**config, "weight_decay": 0.05 if name.startswith("W") else 0.0}
        for name in net.params
    }
    for step, rate in enumerate(rates):
        rows = order[step * batch : (step + 1) * batch]
        value, grads = net.loss(X[rows], y[rows])
        np.testing.assert_allclose(losses[step], value, rtol=1e-8)
        for name, grad in grads.items():
            configs[name]["learning_rate"] = rate
            net.params[name], configs[name] = adamw(net.params[name], grad, configs[name])
    expected = np.concatenate([array.ravel() for array in net.params.values()])
    np.testing.assert_allclose(theta, expected, rtol=1e-6, atol=1e-8)


@needs_numba
@CASES
@given(st.data())
def test_dense_kernels_agree(data):
    N, D, M = (data.draw(st.integers(1, 9)) for _ in range(3))
    relu, dtype = data.draw(st.booleans()), data.draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    x, w, b, dout = (
        np.round(rng.standard_normal(shape), 2).astype(dtype)
        for shape in ((N, D), (D, M), (M,), (N, M))
    )
    out = plain.dense_forward(x, w, b, relu=relu)
    close(compiled.dense_forward(x, w, b, relu=relu), out, dtype)
    for need_dx in (True, False):
        two = plain.dense_backward(dout, out, x, w, relu=relu, need_dx=need_dx)
        one = compiled.dense_backward(dout, out, x, w, relu=relu, need_dx=need_dx)
        for ours, theirs in zip(one, two, strict=True):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                close(ours, theirs, dtype)
        for kind, reg in ((SGD, 0.0), (ADAM, 0.3)):
            stepped = []
            for engine in (plain, compiled):
                arrays = [w.copy(), np.zeros_like(w), np.zeros_like(w)]
                step = (kind, *arrays[1:], 0.1, 0.9, 0.99, 1e-3, 0.01, 1)
                *found, squares = engine.dense_learn(
                    dout, out, x, arrays[0], step, relu=relu, need_dx=need_dx, reg=reg
                )
                assert (found[0] is None) == (two[0] is None)
                np.testing.assert_allclose(squares, np.sum(w * w) if reg else 0, 1e-5)
                stepped.append([*found, *arrays])
            gradient = two[1] + reg * w
            if kind == SGD:
                close(stepped[0][2], w - dtype(0.1) * gradient, dtype)
            for ours, theirs in zip(*stepped, strict=True):
                if ours is not None:
                    close(ours, theirs, dtype)
            if need_dx:
                close(stepped[0][0], two[0], dtype)  # that of the weights before the step
    cube = rng.standard_normal((N, D, M)).astype(dtype)
    np.testing.assert_array_equal(compiled.swap_last_axes(cube), plain.swap_last_axes(cube))
    one, two = dout.copy(), dout.copy()
    np.testing.assert_allclose(compiled.add_l2(one, out, 0.3), plain.add_l2(two, out, 0.3), 1e-5)
    close(one, two, dtype)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("N", "D"), [(1, 1), (7, 3), (300, 1000)])  # the last on two threads
@pytest.mark.parametrize("relu", [False, True])
def test_norm_of_rows_is_the_layers_composed(engine, dtype, N, D, relu):
    rng = np.random.default_rng(0)
    x = (5 + 2 * rng.standard_normal((N, D))).astype(dtype)
    gamma, beta = rng.standard_normal(D).astype(dtype), rng.standard_normal(D).astype(dtype)
    d = rng.standard_normal((N, D)).astype(dtype)
    x[:, 0] = 3  # a feature that does not vary
    param = {"mode": "train", "momentum": 0.0, "eps": 0.1}
    want, cache = layers.batchnorm_forward(x, gamma, beta, param)
    with threadpool_limits(2):
        out, mean, var = engine.norm_forward(x, gamma, beta, 0.1, relu=relu)
        close(out, np.maximum(want, 0) if relu else want, dtype)
        close(mean, param["running_mean"], dtype)
        close(var, param["running_var"], dtype)
        got = engine.norm_backward(d, out, x, gamma, mean, var, 0.1, relu=relu)
    expected = layers.batchnorm_backward(d * (out > 0) if relu else d, cache)
    for one, two in zip(got, expected, strict=True):
        close(one, two, dtype, 10)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("labels", [np.int64, np.uint8])
def test_softmax_is_the_layers(engine, dtype, labels):
    rng = np.random.default_rng(0)
    x, y = 50 * rng.standard_normal((30, 7)).astype(dtype), rng.integers(0, 7, 30).astype(labels)
    loss, dx = engine.softmax(x, y)
    want, dwant = layers.softmax_loss(x, y)
    assert loss == pytest.approx(want, rel=1e-6)
    close(dx, dwant, dtype)
