"""Networks by their layers and by the engine: what holds of the one holds of the other."""

import pytest
from engines import by_the_engine

from handgrad.network import Network


@pytest.fixture(autouse=True, params=["layers", "engine"])
def both_ways(request, monkeypatch):
    """Let ``Network.loss`` be its own, or what the engine makes of it."""
    if request.param == "layers":
        monkeypatch.setenv("HANDGRAD_ENGINE", "layers")
    else:
        monkeypatch.setattr(Network, "loss", by_the_engine)
