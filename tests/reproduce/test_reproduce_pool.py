"""The workers of `handgrad reproduce`: they follow their parent, and it hears of a death."""

import functools
import os
import signal
import sys
from pathlib import Path

import pytest
from children import SUPPORT
from reproduce_runs import NAPPING, finished, gone, nap, running

from handgrad.reproduce import pool

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


def test_workers_in_the_middle_of_a_long_task_follow_their_parent(tmp_path):
    program = (sys.executable, "-c", NAPPING)
    with running(tmp_path, SUPPORT, program=program) as run:
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


CALL = """
from pathlib import Path
from handgrad.errors import HandgradError
from handgrad.reproduce import Job, reproduce
sys.path.insert(0, sys.argv[1])
from reproduce_runs import Silent

job = Job([2], "smoke", Path("out"), "a script", jobs=2, offline=True, report=False)
try:
    reproduce(job, Silent())
except HandgradError as error:
    sys.exit(f"error: {error}")
"""
GUARD = (
    "error: a worker process could not start: it first imports the calling script again, which "
    "must be a file with everything that it does, the call of reproduce included, below "
    '`if __name__ == "__main__":`'
)


@pytest.mark.parametrize(
    "before",
    ["import sys", "import os, sys\nos.mkdir('made-twice')"],
    ids=["the call", "what fails before the call"],
)
def test_a_script_without_the_guard_is_told_of_it(tmp_path, before):
    script = tmp_path / "script.py"
    script.write_text(before + CALL)
    words = (script, SUPPORT)
    run = finished(tmp_path, *words, expected=1, program=(sys.executable,))
    lines = run.stderr.splitlines()
    assert lines[-1] == GUARD
    if before == "import sys":
        assert lines == [GUARD]


def test_a_script_with_the_guard_works(tmp_path):
    script = tmp_path / "script.py"
    body = CALL.strip().replace("\n", "\n    ")
    script.write_text(f"import sys\nif __name__ == '__main__':\n    {body}\n")
    finished(tmp_path, script, SUPPORT, program=(sys.executable,))
    assert (tmp_path / "out/results.json").exists()


def test_where_interrupts_are_ignored_they_still_are_after_a_worker_has_started():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in `nohup handgrad reproduce &`
    try:
        with pool.Pool(1) as workers:
            workers.start("a", functools.partial(nap, 0.0))
            os.kill(os.getpid(), signal.SIGINT)
            events = []
            while not events or not events[-1].finished:
                events += workers.events(5.0)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert events[-1].result == "slept"
