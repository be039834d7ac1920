"""What machine and which versions a run had; part of the record."""

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

import handgrad
from handgrad import blas


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def environment(jobs: int) -> dict[str, Any]:
    """Describe the machine and the versions, JSON-able; nothing that identifies the user."""
    return {
        "handgrad": handgrad.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": blas.description(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor_name(),
        "processors": processors(),
        "worker_processes": jobs,
        "threads_per_worker": 1,
    }
