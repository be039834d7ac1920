"""One side of the comparison, in its own process: ``python -m handgrad.bench.sides WORKLOAD SIDE``.

Speaks in JSON lines: first what its start took, then for each line 'epoch' it reads, the time of
one epoch (shuffling and gathering included) and its losses; for 'predict', the time of scores for
one batch; for 'end', its peak memory.
"""

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Protocol

import numpy as np

from handgrad.arrays import Array
from handgrad.bench.growth import scaled
from handgrad.bench.workloads import RATE, WORKLOADS, Workload

_REFS = Path("/proc/self/clear_refs")


class Side(Protocol):
    """Somebody who trains."""

    def epoch(self) -> list[float]:
        """Visit every row once; give the losses."""

    def predict(self) -> None:
        """Score one batch."""


class HandgradSide:
    """handgrad's Solver."""

    def __init__(self, work: Workload, X: Array, y: Array) -> None:
        from handgrad.network import Network
        from handgrad.solver import Solver

        self.network = Network(
            work.layers,
            work.input_shape,
            loss=work.loss,
            dtype=work.dtype,
            rng=np.random.default_rng(0),
        )
        self.batch = X[: work.batch_size]
        few = {"X_train": X, "y_train": y, "X_val": X[:1], "y_val": y[:1]}
        self.solver = Solver(
            self.network,
            few,
            "adam",
            {"learning_rate": RATE},
            batch_size=work.batch_size,
            num_epochs=1,
            rng=np.random.default_rng(1),
            verbose=False,
            num_train_samples=1,
        )

    def epoch(self) -> list[float]:
        """One more epoch of the same Solver."""
        before = len(self.solver.loss_history)
        self.solver.epoch = 0
        self.solver._one_epoch(lambda: None)
        return self.solver.loss_history[before:]

    def predict(self) -> None:
        """Test-mode scores."""
        self.solver._scores(self.batch)


def _side(name: str, work: Workload) -> Side:
    X, y = work.rows()
    if name.startswith("handgrad"):
        return HandgradSide(work, X, y)
    if name == "sklearn":
        from handgrad.bench.peer_sklearn import SklearnSide

        return SklearnSide(work, X, y)
    initial = HandgradSide(work, X, y).network.params
    if name.startswith("jax"):
        from handgrad.bench.peer_jax import JaxSide

        return JaxSide(work, X, y, initial, name)
    from handgrad.bench.peer_torch import TorchSide

    return TorchSide(work, X, y, initial, name)


def _forget_peak() -> None:
    """Begin the peak of memory anew: reading the data took more than training does."""
    with contextlib.suppress(OSError), _REFS.open("w") as refs:  # only Linux can
        refs.write("5")


def _peak_mib() -> float:
    if _REFS.exists():
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource  # of POSIX systems alone

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Serve until 'end'."""
    started = time.perf_counter()
    workload, name = sys.argv[1], sys.argv[2]
    work = next((w for w in WORKLOADS if w.name == workload), None) or scaled(workload)
    side = _side(name, work)
    _forget_peak()
    ready = time.perf_counter()
    losses = side.epoch()
    first = time.perf_counter() - ready
    side.predict()
    say = {"start_seconds": ready - started, "first_epoch_seconds": first, "losses": losses}
    print(json.dumps(say), flush=True)
    for line in sys.stdin:
        command = line.strip()
        if command == "end":
            break
        started = time.perf_counter()
        if command == "predict":
            for _ in range(5):
                side.predict()
            print(json.dumps({"seconds": (time.perf_counter() - started) / 5}), flush=True)
        else:
            side.epoch()
            print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)
    print(json.dumps({"peak_mib": _peak_mib()}), flush=True)


if __name__ == "__main__":
    main()
