"""What the tests of the engine share: its kernels, and what it means that two results agree."""

import numpy as np
import pytest
from hypothesis import settings

from handgrad import layers
from handgrad.engine import kernels
from handgrad.engine.graph import Graph
from handgrad.engine.kernels import numpy as plain
from handgrad.network import Network

try:
    compiled = kernels.load("numba")
except ImportError:
    compiled = None
needs_numba = pytest.mark.skipif(compiled is None, reason="numba is not installed")
ENGINES = [plain, *([compiled] if compiled else [])]


def by_the_engine(network, X, y=None):
    """Stand for Network.loss: what the engine makes of it."""
    return Graph(network).scores(X) if y is None else Graph(network).loss(X, y)


@pytest.fixture(params=[layers, *ENGINES], ids=lambda way: way.__name__.rpartition(".")[2])
def each_engine(request, monkeypatch):
    """Let networks and the Solver go by their layers, or by the engine with these kernels."""
    if request.param is layers:
        monkeypatch.setenv("HANDGRAD_ENGINE", "layers")
        return layers
    take_kernels(request.param, monkeypatch)
    monkeypatch.setattr(Network, "loss", by_the_engine)
    return request.param


def take_kernels(module, monkeypatch):
    """Let the engine use these kernels."""
    for name in kernels.KERNELS:
        monkeypatch.setattr(kernels, name, getattr(module, name), raising=False)


CASES = settings(max_examples=40, deadline=None)


def close(one, two, dtype, scale=1.0):
    """Assert agreement to rounding: relative to the largest entry, as sums are."""
    assert one.dtype == two.dtype == dtype
    assert one.shape == two.shape
    tolerance = (1e-12 if dtype == np.float64 else 2e-5) * scale
    size = np.abs(two[np.isfinite(two)]).max(initial=1.0)
    np.testing.assert_allclose(one, two, rtol=0, atol=tolerance * size)
