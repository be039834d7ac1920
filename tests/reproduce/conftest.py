"""One uninterrupted run, which every file here compares with."""

import fcntl
import time

import pytest
from reproduce_runs import arguments, finished


@pytest.fixture(scope="session")
def reference(tmp_path_factory, worker_id):
    """All questions, two jobs, uninterrupted; run once for all workers of xdist."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "reproduce-reference"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "seconds").exists():
            started = time.perf_counter()
            finished(shared / "run", *arguments(questions="2,3,4,5,6", jobs=2, report=True))
            (shared / "seconds").write_text(str(time.perf_counter() - started))
    return shared / "run"
