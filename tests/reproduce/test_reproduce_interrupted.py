"""No interruption changes what `handgrad reproduce` ends with: killed, Ctrl-C, a full disk."""

import json
import os
import signal
from pathlib import Path

import pytest
from reproduce_runs import (
    arguments,
    finished,
    gone,
    limited,
    numbers,
    running,
    timeless,
)

from handgrad.reproduce.folder import opened

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


def reached(run, pattern):
    return lambda: any(run.out.glob(pattern))


MOMENTS = {
    "the workers start": None,
    "the first search has begun": "search/2.3.journal",
    "a candidate is tried": "runs/2.*/candidate-*/history.jsonl",
    "the retraining has begun": "runs/2.*/seed-0",
    "the last records are written": "runs/2.4/seed-1/run.json",
}


@pytest.mark.parametrize(
    ("moment", "family"),
    [
        *((moment, False) for moment in MOMENTS),
        ("a candidate is tried", True),
        ("the retraining has begun", True),
    ],
)
def test_kill_9_and_the_same_command_give_the_same_numbers(reference, tmp_path, moment, family):
    with running(tmp_path, *arguments(jobs=2)) as run:
        pattern = MOMENTS[moment]
        run.until(reached(run, pattern) if pattern else run.children)
        children = run.children()
        if family:
            os.killpg(run.process.pid, signal.SIGKILL)
        else:
            run.process.kill()
        run.process.wait()
        assert gone(children), "orphaned workers live on"
    again = finished(tmp_path, *arguments(jobs=2))
    assert numbers(again.out) == numbers(reference / "out", "2")
    assert "Traceback" not in again.stderr


def test_kill_9_in_the_middle_of_mnist(reference, tmp_path):
    words = arguments(questions="5", jobs=2)
    with running(tmp_path, *words) as run:
        run.until(reached(run, "runs/5.*/candidate-001"))
        run.process.kill()
        run.process.wait()
    again = finished(tmp_path, *words)
    _, experiments = numbers(reference / "out", "5")
    assert timeless(json.loads((again.out / "results.json").read_text()))["experiments"] == (
        experiments
    )


def test_what_a_kill_leaves_of_the_first_file_is_no_stranger(tmp_path):
    # write_atomically's temporary name, when its process dies before the move.
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.manifest.json.k3x9.part").write_text("{")
    with opened(tmp_path / "out", profile="smoke", seed=0) as folder:
        assert (folder.path / "manifest.json").exists()


@pytest.mark.parametrize("moment", ["the workers start", "a candidate is tried"])
def test_ctrl_c_is_one_line_and_the_same_command_goes_on(reference, tmp_path, moment):
    with running(tmp_path, *arguments(jobs=2)) as run:
        pattern = MOMENTS[moment]
        assert run.until(reached(run, pattern) if pattern else run.children)
        children = run.children()
        os.killpg(run.process.pid, signal.SIGINT)  # a terminal's Ctrl-C reaches them all
        assert run.wait() == 130
    assert gone(children)
    assert "Traceback" not in run.stderr
    last = run.stderr.splitlines()[-1]
    assert last == "handgrad: interrupted; the same command goes on where it was"
    assert numbers(finished(tmp_path, *arguments()).out) == numbers(reference / "out", "2")


def test_a_killed_worker_is_a_clear_error_and_going_on_works(reference, tmp_path):
    words = arguments(questions="5", jobs=1)
    with running(tmp_path, *words) as run:
        assert run.until(reached(run, "runs/5.*/candidate-*"))
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in run.children()}
        (worker,) = [pid for pid, command in commands.items() if "spawn_main" in command]
        os.kill(worker, signal.SIGKILL)
        assert run.wait() == 2
    assert "Traceback" not in run.stderr
    last = run.stderr.splitlines()[-1]
    assert last.startswith("handgrad: error: the worker process of 5.")
    assert "died (killed, or out of memory); run the same command again" in last
    again = finished(tmp_path, *words)
    experiments = json.loads((again.out / "results.json").read_text())["experiments"]
    assert timeless(experiments) == numbers(reference / "out", "5")[1]


@pytest.mark.parametrize("limit", [150, 600, 1500])
def test_a_file_that_cannot_grow_is_one_line_and_going_on_works(reference, tmp_path, limit):
    # A limit on file sizes stands for a full disk: the write fails half-way, in a worker, too.
    run = finished(tmp_path, *arguments(), expected=2, program=limited(limit))
    assert "Traceback" not in run.stderr
    last = run.stderr.splitlines()[-1]
    assert last.startswith("handgrad: error: cannot write to out (File too large); free space")
    assert numbers(finished(tmp_path, *arguments()).out) == numbers(reference / "out", "2")


# the folder -------------------------------------------------------------------------------------
