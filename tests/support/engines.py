"""What the tests of the engine share: both halves, its libraries, and when two results agree."""

import copy

import numpy as np
import pytest
from hypothesis import settings

from handgrad.descriptions import Context
from handgrad.engine import build, library
from handgrad.engine.program import Program, runs
from handgrad.network import Network

HALVES = ["layers", "engine"]
# The processor levels whose code can be run here.
LEVELS = [level for level in build.levels() if level <= (library.level() or 0)]
each_level = pytest.mark.parametrize("level", LEVELS)
needs_the_engine = pytest.mark.skipif(not LEVELS, reason="handgrad was installed without engine")

CASES = settings(max_examples=40, deadline=None)


def by_the_engine(network, X, y=None, sample_weight=None):
    """Stand for Network.loss: what the engine makes of it, where it knows the layers."""
    if not runs(network) or (y is None and sample_weight is not None):
        return PLAIN(network, X, y, sample_weight)
    program = Program(network)
    return program.scores(X) if y is None else program.loss(X, y, sample_weight)


PLAIN = Network.loss


@pytest.fixture(params=HALVES)
def each_engine(request, monkeypatch):
    """Let networks and the Solver go by their layers, or by the engine."""
    take_half(request.param, monkeypatch)
    return request.param


def take_half(half, monkeypatch):
    """Let networks and the Solver go by this half."""
    if half == "layers":
        monkeypatch.setenv("HANDGRAD_ENGINE", "layers")
    else:
        monkeypatch.delenv("HANDGRAD_ENGINE", raising=False)
        monkeypatch.setattr(Network, "loss", by_the_engine)


def close(one, two, dtype, scale=1.0):
    """Assert agreement to rounding: relative to the largest entry, as sums are."""
    assert one.dtype == two.dtype == dtype
    assert one.shape == two.shape
    tolerance = (1e-12 if dtype == np.float64 else 2e-5) * scale
    size = np.abs(two[np.isfinite(two)]).max(initial=1.0)
    np.testing.assert_allclose(one, two, rtol=0, atol=tolerance * size)


def backward_by_layers(network, X, dout):
    """Outputs, and gradients of sum(out * dout), layer by layer; the rng stays as it was."""
    context = Context("train", copy.deepcopy(network.rng))
    out, kept, grads = network.examples(X), [], {}
    for layer, names in network.named_layers:
        own = {o: network.params.get(n, network.state.get(n)) for o, n in names.items()}
        out, cache = layer.forward(out, own, context)
        kept.append((layer, names, cache))
    d = dout
    for layer, names, cache in reversed(kept):
        d, own_grads = layer.backward(d, cache, need_dx=True)
        grads |= {names[own]: grad for own, grad in own_grads.items()}
    return out, grads


def agree(network, X, dout, level=None, scale=10.0):
    """Hold the engine's outputs and gradients against the layers'."""
    dtype, state = network.dtype, dict(network.state)
    with np.errstate(invalid="ignore"):
        want = network.loss(X)
        _, expected = backward_by_layers(network, X, dout)
        got = Program(network, level).scores(X)
        grads = Program(network, level).backward(X, dout)
    network.state.update(state)
    close(got, want, dtype, scale)
    for name, grad in expected.items():
        close(grads[name], grad, dtype, scale)
    return grads
