"""Networks of every layer, forward and backward by the engine: what `make valgrind` watches.

The interpreter and NumPy have reports of their own; those with a frame in the engine's sources are
ours: ``valgrind ... python tools/engine_for_valgrind.py``, then ``... --reports LOG``.
"""

import sys
from pathlib import Path

import numpy as np

from handgrad import engine, optim
from handgrad.engine import build
from handgrad.network import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    Network,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)

NETWORKS = (
    ([Dense(9), ReLU(), Dense(3)], (20,)),
    ([Dense(70), Sigmoid(), Dense(3)], (300,)),
    ([Conv(5, 3, 1, 1), BatchNorm(), ReLU(), MaxPool(2), Flatten(), Dense(7), LayerNorm(), GELU(),
      Dropout(0.5), Dense(3)], (2, 9, 8)),
    ([Conv(9, 3, 2, 1, True), AvgPool(2), SiLU(), GlobalAvgPool(), Tanh(), Dense(3)], (1, 12, 13)),
    ([Conv(3, 2, bias=True), LeakyReLU(), LayerNorm(), MaxPool(3, 1), ReLU(), Dense(3)], (3, 7, 6)),
)  # fmt: skip


def train() -> None:
    """Two epochs and the scores of each network, in both dtypes."""
    rng = np.random.default_rng(0)
    for layers, shape in NETWORKS:
        for dtype in (np.float32, np.float64):
            network = Network(layers, shape, dtype=dtype, reg=0.1, rng=rng)
            X, y = rng.standard_normal((70, *shape)).astype(dtype), rng.integers(0, 3, 70)
            configs: dict[str, optim.Config] = {name: {} for name in network.params}
            stepper = engine.stepper(network, optim.adam, configs, X, y, 32)
            assert stepper is not None, "handgrad is installed without its engine"
            stepper.own()
            losses = stepper.run(np.arange(70), [1e-3] * 3)
            assert np.isfinite(losses).all()
            assert np.isfinite(stepper.scores(X)).all()


def reports(log: Path) -> list[str]:
    """Reports, separated by lines without text, that have a frame in the engine's sources."""
    ours = [f"({source.name}:" for source in build.SOURCES.iterdir()]
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.partition("==")[2].partition("==")[2].strip() for line in text.splitlines()]
    return [
        report
        for report in "\n".join(lines).split("\n\n")
        if any(source in report for source in ours)
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--reports"]:
        ours = reports(Path(sys.argv[2]))
        sys.exit("\n".join(ours) if ours else 0)
    train()
