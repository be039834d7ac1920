"""The workers of `handgrad reproduce`: they follow their parent, and it hears of a death."""

import functools
import os
import signal
from pathlib import Path

import pytest
from reproduce_runs import EXECUTE, NAPPING, gone, nap, running

from handgrad.reproduce import pool

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


def test_workers_in_the_middle_of_a_long_task_follow_their_parent(tmp_path):
    with running(tmp_path, NAPPING, Path(__file__).parent, code=EXECUTE) as run:
        assert run.until((tmp_path / "begun").exists), run.stderr
        children = run.children()
        assert len(children) >= 2
        run.process.kill()
        run.process.wait()
        assert gone(children), "orphaned workers live on"


def test_ctrl_c_is_left_to_the_parent():
    with pool.Pool(1) as workers:
        workers.start("a", functools.partial(nap, 0.5))
        events = []
        while not events:  # until the task has begun
            events += workers.events(1.0)
        os.kill(workers._processes[0].pid, signal.SIGINT)
        while not events[-1].finished:
            events += workers.events(1.0)
    assert (events[-1].key, events[-1].done, events[-1].result) == ("a", 1.0, "slept")


def give_and_listen(workers):
    workers.start("2.3 (1)", print)
    return list(workers.events(5.0))


def test_a_worker_that_died_while_idle_is_a_worker_error():
    with pool.Pool(1) as workers:
        assert not workers._processes  # none without a task
        workers.start("2.3 (0)", functools.partial(nap, 0.0))
        while workers.is_busy:
            list(workers.events(5.0))
        (process,) = workers._processes
        process.kill()
        process.join()
        with pytest.raises(pool.WorkerError, match="died"):
            give_and_listen(workers)
