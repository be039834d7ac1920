"""Run the sides of each workload, each in a process of its own, in turns."""

import importlib.util
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from handgrad.bench.installed import installed_mib
from handgrad.bench.workloads import Workload
from handgrad.engine import library
from handgrad.errors import HandgradError

# Float32 rounding, after an epoch of steps.
_AGREEMENT = 2e-2
# Before each turn: idle threads of OpenBLAS and OpenMP spin for some 25 ms after their work, on a
# core that the next side needs.
_REST_SECONDS = 0.1
_PEERS = ("torch", "jax", "scikit-learn")
_OURS = ("handgrad", "handgrad-one", "handgrad-layers")
_ON_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
_ENVIRONMENTS = {
    "handgrad-layers": {"HANDGRAD_ENGINE": "layers"},
    "handgrad-one": _ON_ONE_THREAD | {"MKL_NUM_THREADS": "1", "VECLIB_MAXIMUM_THREADS": "1"},
}


@dataclass(frozen=True)
class Measured:
    """One side's numbers on one workload."""

    side: str
    start_seconds: float
    first_epoch_seconds: float
    epoch_milliseconds: list[float]
    predict_milliseconds: list[float]
    peak_mib: float
    first_losses: list[float]
    batches: int

    @property
    def step_milliseconds(self) -> float:
        """Median epoch, data handling included, divided by its steps."""
        return statistics.median(self.epoch_milliseconds) / self.batches

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, relative to the median."""
        low, median, high = statistics.quantiles(self.epoch_milliseconds, n=4)
        return (high - low) / 2 / median


def sides(work: Workload, compiled: bool) -> list[str]:
    """Who takes part: ourselves, and the peers that are installed and have the model.

    Ourselves by the engine on all threads, on one, and by the layers; without an engine by those.
    """
    names = ["handgrad-layers"] if library.level() is None else list(_OURS)
    if importlib.util.find_spec("torch"):
        names += ["torch", "torch-one"]
        if len(work.input_shape) == 3:
            names += ["torch-last", "torch-last-one"]
        if compiled:
            names.append("torch-last-compile" if len(work.input_shape) == 3 else "torch-compile")
        if _has_bfloat16():
            names.append("torch-last-bf16" if len(work.input_shape) == 3 else "torch-bf16")
    if importlib.util.find_spec("jax"):
        # Inside a scan a convolution's step takes several times as long as called.
        names += ["jax-step", "jax-scan"] if len(work.input_shape) == 1 else ["jax-step"]
    dense = len(work.input_shape) == 1 and work.loss != "svm"
    if dense and importlib.util.find_spec("sklearn"):
        names.append("sklearn")
    return names


def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16; in software it is slower than float32."""
    return bool(re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", _cpuinfo()))


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""


class _Process:
    def __init__(self, workload: str, side: str) -> None:
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **_ENVIRONMENTS.get(side, {})}
        began = time.perf_counter()
        # A pipe that nobody reads may fill up; close() closes it.
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "handgrad.bench.sides", workload, side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            env=environment,
        )
        self.started = self._read()
        everything = time.perf_counter() - began
        self.started["start_seconds"] = everything - self.started["first_epoch_seconds"]

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            last = self._errors.read().strip().splitlines()[-1:]
            self.close()
            raise HandgradError(f"bench: a side ended early: {' '.join(last)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._read()

    def end(self) -> float:
        peak = float(self.ask("end")["peak_mib"])
        self.close()
        return peak

    def close(self) -> None:
        """End it, in good time or not."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def measure(
    work: Workload, names: Sequence[str], repeats: int, tell: Callable[[str], None]
) -> list[Measured]:
    """Start all sides, warm up, then let them take turns; one at a time is at work."""
    processes: dict[str, _Process] = {}
    try:
        for name in names:
            try:
                processes[name] = _Process(work.name, name)
            except HandgradError as error:
                tell(f"{work.title}: {name} does not run here: {error}")
        return _in_turns(work, processes, repeats)
    finally:
        for process in processes.values():
            process.close()


def _in_turns(work: Workload, processes: dict[str, _Process], repeats: int) -> list[Measured]:
    epochs: dict[str, list[float]] = {name: [] for name in processes}
    predictions: dict[str, list[float]] = {name: [] for name in processes}
    for process in processes.values():
        process.ask("epoch")
    order = list(processes)
    for repeat in range(repeats):
        for name in order[repeat % len(order) :] + order[: repeat % len(order)]:
            time.sleep(_REST_SECONDS)
            epochs[name].append(1e3 * processes[name].ask("epoch")["seconds"])
            predictions[name].append(1e3 * processes[name].ask("predict")["seconds"])
    return [
        Measured(
            name,
            process.started["start_seconds"],
            process.started["first_epoch_seconds"],
            epochs[name],
            predictions[name],
            process.end(),
            process.started["losses"],
            work.batches,
        )
        for name, process in processes.items()
    ]


def disagreement(work: Workload, measured: Sequence[Measured]) -> float | None:
    """Largest relative difference of a first-epoch loss from ours; None where masks differ.

    scikit-learn draws its own weights and bfloat16 has three digits: they are left out.
    """
    if work.has_dropout:
        return None
    ours = np.array(measured[0].first_losses)
    return max(
        (
            float(np.abs(np.array(other.first_losses) / ours - 1).max())
            for other in measured[1:]
            if other.side != "sklearn" and not is_bfloat16(other.side)
        ),
        default=0.0,
    )


def is_bfloat16(side: str) -> bool:
    """Whether a side computes in another precision than ours: it has a column of its own."""
    return side.endswith("-bf16")


def parallel_share(one: float | None, all_: float, threads: int) -> float | None:
    """Amdahl's share of the work of a step that threads divide among them, by two times of it.

    With a share p the time on n threads is 1 - p + p / n of that on one. From 0 to 1: what helpers
    cost may be more than they save. None where only one thread was measured.
    """
    if one is None or threads < 2:
        return None
    return min(1.0, max(0.0, (1 - all_ / one) / (1 - 1 / threads)))


def _predict_ratio(ours: Measured, peers: Sequence[Measured]) -> float | None:
    fastest = min((statistics.median(p.predict_milliseconds) for p in peers), default=None)
    return statistics.median(ours.predict_milliseconds) / fastest if fastest else None


def sgemm_gflops(size: int = 2048, repeats: int = 7) -> float:
    """Gigaflops of NumPy's best product of two square float32 matrices."""
    a = np.ones((size, size), np.float32)
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9


def environment() -> dict[str, Any]:
    """Machine, threads and versions."""
    named = re.search(r"model name\s*:\s*(.*)", _cpuinfo())
    model = named[1].strip() if named else platform.processor() or platform.machine()
    versions = {}
    for package in ("handgrad", "numpy", *_PEERS):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": model,
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "python": platform.python_version(),
        "versions": versions,
        "sgemm_gflops": sgemm_gflops(),
        "installed_mib": {name: installed_mib(name) for name in ("numpy", "handgrad", *_PEERS)},
    }


def record(work: Workload, measured: Sequence[Measured]) -> dict[str, Any]:
    """One workload's numbers as JSON holds them, with ratios."""
    ours = measured[0]
    peers = [other for other in measured if other.side not in _OURS]
    differs = disagreement(work, measured)
    if differs is not None and differs > _AGREEMENT:
        raise HandgradError(
            f"bench: the losses of {work.title} differ by {differs:.1%}: not the same work"
        )
    halves = [peer for peer in peers if is_bfloat16(peer.side)]
    peers = [peer for peer in peers if peer not in halves]
    fastest = min(peers, key=lambda peer: peer.step_milliseconds, default=None)
    half = min((peer.step_milliseconds for peer in halves), default=None)
    one = next((m.step_milliseconds for m in measured if m.side == "handgrad-one"), None)
    return {
        "name": work.name,
        "title": work.title,
        "target": work.target,
        "batch_size": work.batch_size,
        "products": work.products(),
        "loss_disagreement": differs,
        "fastest_peer": fastest.side if fastest else None,
        "ratio": ours.step_milliseconds / fastest.step_milliseconds if fastest else None,
        "bfloat16_ratio": ours.step_milliseconds / half if half else None,
        "predict_ratio": _predict_ratio(ours, peers),
        "parallel_share": parallel_share(one, ours.step_milliseconds, library.threads()),
        "sides": [
            {**asdict(side), "step_milliseconds": side.step_milliseconds, "spread": side.spread}
            for side in measured
        ],
    }
