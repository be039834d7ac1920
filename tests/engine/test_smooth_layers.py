"""The engine's activations, average pools and layer norms give what the layers give."""

import numpy as np
import pytest
from engines import agree, each_level, needs_the_engine
from threadpoolctl import threadpool_limits

from handgrad.engine.program import Program
from handgrad.network import (
    GELU,
    AvgPool,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    LeakyReLU,
    Network,
    Sigmoid,
    SiLU,
    Tanh,
)

pytestmark = needs_the_engine

ACTIVATIONS = (Sigmoid(), Tanh(), LeakyReLU(0.1), GELU(), GELU(approximate=True), SiLU())
FAR = [0.0, -0.0, 1e-30, -1e-8, 20.0, -40.0, 90.0, -110.0, 1e4, -1e30, np.inf, -np.inf, np.nan]


@each_level
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layer", ACTIVATIONS, ids=str)
def test_activations_everywhere(level, dtype, layer):
    """One number at a time, through a weight of 1, so that db is its gradient."""
    network = Network([Dense(1), layer], (1,), loss="logistic", dtype=dtype)
    network.params["W1"][:] = 1
    eps = float(np.finfo(dtype).eps)
    for x in [*np.linspace(-12, 12, 97), *FAR]:
        X = np.array([[x]], dtype)
        with np.errstate(all="ignore"):
            out, cache = layer.forward(X, {}, None)
            slope, _ = layer.backward(np.ones_like(X), cache, need_dx=True)
            got = Program(network, level).scores(X)
            grads = Program(network, level).backward(X, np.ones_like(X))
        # The rounding of an exponent of up to x^2 / 2 = 72 is that much of the result's.
        np.testing.assert_allclose(got, out[:, 0], rtol=150 * eps, atol=eps**2)
        np.testing.assert_allclose(grads["b1"], slope[0], rtol=150 * eps, atol=4 * eps)


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=str)
def test_activations_on_threads(layer):
    """Many numbers, of which each thread has some; the same bits each time."""
    rng = np.random.default_rng(0)
    network = Network([Conv(5, 3, bias=True), layer, Flatten(), Dense(3)], (2, 14, 13), rng=rng)
    X, dout = rng.standard_normal((40, 2, 14, 13)), rng.standard_normal((40, 3))
    for threads in (1, 3):
        with threadpool_limits(threads, user_api="blas"):
            grads = agree(network, X, dout)
            again = Program(network).backward(X, dout)
        for name, grad in grads.items():
            np.testing.assert_array_equal(again[name], grad)


@each_level
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "pool", [AvgPool(2), AvgPool(3, 1), AvgPool(2, 3), GlobalAvgPool()], ids=str
)
def test_average_pools(level, dtype, pool):
    rng = np.random.default_rng(1)
    for channels, side, rows in ((1, 3, 1), (9, 6, 5), (17, 7, 40)):
        layers = [Conv(channels, 1, bias=True), pool, Flatten()]
        if isinstance(pool, GlobalAvgPool):
            layers.pop()
        network = Network(layers, (2, side, side + 1), dtype=dtype, rng=rng)
        X = rng.standard_normal((rows, 2, side, side + 1)).astype(dtype)
        dout = rng.standard_normal((rows, *network.output_shape)).astype(dtype)
        agree(network, X, dout, level)


@each_level
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3,), (8,), (300,), (1, 2, 3), (5, 4, 4), (17, 3, 2)])
def test_layer_norms(level, dtype, shape):
    """Of features and of images, whose gamma lies channel after channel."""
    rng = np.random.default_rng(2)
    layers = [LayerNorm(), Flatten(), Dense(4)]
    if len(shape) == 3:
        layers.insert(0, Conv(shape[0], 1))
    network = Network(layers, shape, dtype=dtype, rng=rng)
    for name in ("gamma1", "beta1"):
        network.params[name] = rng.standard_normal(shape).astype(dtype)
    for rows in (1, 7, 60):
        X = rng.standard_normal((rows, *shape)).astype(dtype) + 3
        dout = rng.standard_normal((rows, 4)).astype(dtype)
        for threads in (1, 2):
            with threadpool_limits(threads, user_api="blas"):
                agree(network, X, dout, level, 30)


def test_a_constant_example_is_its_beta():
    """Its variance is 0 to the last bit, however far it is from 0."""
    network = Network([LayerNorm(), Dense(5)], (5,), dtype=np.float32)
    network.params["W1"] = np.eye(5, dtype=np.float32)
    network.params["beta1"][:] = [1, 2, 3, 4, 5]
    scores = Program(network).scores(np.full((2, 5), 1e8 + 1, np.float32))
    np.testing.assert_array_equal(scores, [[1, 2, 3, 4, 5]] * 2)
