"""What the tests of the kernels share: both engines, and what it means that two results agree."""

import numpy as np
import pytest
from hypothesis import settings

from handgrad import kernels
from handgrad.kernels import numpy as plain

try:
    compiled = kernels.load("numba")
except ImportError:
    compiled = None
needs_numba = pytest.mark.skipif(compiled is None, reason="numba is not installed")
ENGINES = [plain, *([compiled] if compiled else [])]


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.__name__.rpartition(".")[2])
def each_engine(request, monkeypatch):
    """Let layers, networks and the Solver use this engine's kernels."""
    for name in kernels.KERNELS:
        monkeypatch.setattr(kernels, name, getattr(request.param, name), raising=False)
    return request.param


CASES = settings(max_examples=40, deadline=None)


def close(one, two, dtype, scale=1.0):
    """Assert agreement to rounding: relative to the largest entry, as sums are."""
    assert one.dtype == two.dtype == dtype
    assert one.shape == two.shape
    tolerance = (1e-12 if dtype == np.float64 else 2e-5) * scale
    size = np.abs(two[np.isfinite(two)]).max(initial=1.0)
    np.testing.assert_allclose(one, two, rtol=0, atol=tolerance * size)
