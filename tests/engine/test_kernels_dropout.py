"""The dropout kernels draw what the layer draws, and leave the generator where the layer does."""

import numpy as np
import pytest
from kernel_engines import ENGINES
from numpy.random import MT19937, PCG64, SFC64, Generator
from threadpoolctl import threadpool_limits

from handgrad import layers

# The last is divided between threads.
SHAPES = [(0, 3), (1, 1), (3, 5), (2, 3, 5, 7), (301, 199)]


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
@pytest.mark.parametrize("kind", [PCG64, MT19937, SFC64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keep", [1e-3, 0.5, 0.8, 1.0])
def test_the_mask_is_the_layers(engine, kind, shape, keep):
    data = np.random.default_rng(0)
    x, dout = (data.standard_normal(shape).astype(np.float32) for _ in range(2))
    ours, theirs = Generator(kind(7)), Generator(kind(7))
    for rng in (ours, theirs):
        rng.integers(10, dtype=np.uint32)  # keeps half a number of 64 bits for the next
    for threads in (1, 2, 3):
        expected, cache = layers.dropout_forward(x, {"p": keep, "mode": "train", "rng": theirs})
        with threadpool_limits(threads):
            out, mask = engine.dropout_forward(x, ours, keep)
            dx = engine.dropout_backward(dout, mask)
        np.testing.assert_array_equal(mask, cache.factor)
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(dx, layers.dropout_backward(dout, cache))
        assert out.dtype == dx.dtype == np.float32
    assert ours.integers(2**32, dtype=np.uint32) == theirs.integers(2**32, dtype=np.uint32)
    assert ours.random() == theirs.random()


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
def test_what_is_not_finite_is_multiplied_too(engine):
    x = np.full((50, 4), np.nan)
    out, mask = engine.dropout_forward(x, np.random.default_rng(0), 0.5)
    assert not mask.all()
    assert np.isnan(out).all()
