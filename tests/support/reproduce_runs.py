"""Run `handgrad` in a process of its own, for the tests: no network, no real cache, no orphans."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from children import INTERRUPTIBLE

HANDGRAD = (sys.executable, "-m", "handgrad")


def limited(size):
    """Give the words that start `handgrad` where no file can grow beyond so many bytes.

    What it says goes through pipes, as the files of ``Run`` are files, too.
    """
    code = (
        "import functools, resource, subprocess, sys; "
        "limit = functools.partial("
        f"resource.setrlimit, resource.RLIMIT_FSIZE, ({size}, {size})); "
        "done = subprocess.run([sys.executable, '-m', 'handgrad', *sys.argv[1:]], "
        "preexec_fn=limit, capture_output=True, text=True); "
        "sys.stdout.write(done.stdout); sys.stderr.write(done.stderr); sys.exit(done.returncode)"
    )
    return sys.executable, "-c", code


def arguments(*extra, questions="2", jobs=1, report=False):
    base = ["reproduce", "--profile", "smoke", "--offline", "--out", "out"]
    base += [] if report else ["--no-report"]  # seconds, in each of many runs
    return [*base, "--questions", questions, "--jobs", str(jobs), *extra]


class Run:
    """A started command; its output goes to files, which orphans may hold open."""

    def __init__(self, folder, words, program):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.out = folder, folder / "out"
        variables = {k: v for k, v in os.environ.items() if not k.startswith("HANDGRAD_")}
        for name in ("HANDGRAD_CACHE", "HOME", "KERAS_HOME", "TMPDIR"):
            (folder / name.lower()).mkdir(exist_ok=True)
            variables[name] = str(folder / name.lower())
        # The working folder is the test's own: ./data.pkl, ../data and the like are looked into.
        with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
            self.process = subprocess.Popen(
                [*INTERRUPTIBLE, *program, *map(str, words)],
                cwd=folder,
                env=variables,
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def wait(self):
        return self.process.wait(60)

    @property
    def stdout(self):
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self):
        return (self.folder / "stderr").read_text()

    def until(self, condition):
        """Wait for a condition while the command runs; False where it ended first."""
        while self.process.poll() is None:
            if condition():
                return True
            time.sleep(0.002)
        return False

    def children(self):
        """Process ids of the worker processes (and of multiprocessing's tracker)."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if stat.read_text().rpartition(")")[2].split()[1] == str(self.process.pid):
                    found.append(int(stat.parent.name))
        return found


@contextmanager
def running(folder, *words, program=HANDGRAD):
    run = Run(folder, words, program)
    try:
        yield run
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()


def finished(folder, *words, expected=0, program=HANDGRAD):
    with running(folder, *words, program=program) as run:
        status = run.wait()
        assert status == expected, run.stderr
    return run


def alive(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def gone(pids):
    """Wait for processes to end by themselves; a worker that is still importing needs seconds."""
    deadline = time.monotonic() + 10
    while any(map(alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def timeless(value):
    """Leave out of results.json what may differ between two runs: times, and how it was called."""
    times = ("seconds", "train_seconds", "search_seconds", "environment", "command")
    if isinstance(value, dict):
        return {name: timeless(part) for name, part in value.items() if name not in times}
    return [timeless(part) for part in value] if isinstance(value, list) else value


def numbers(out, question=None):
    record = timeless(json.loads((out / "results.json").read_text()))
    experiments = record["experiments"]
    if question is not None:
        experiments = [e for e in experiments if e["id"].startswith(question)]
    return record["data"]["course"], experiments


class Silent:
    """A watcher that does nothing."""

    def __getattr__(self, name):
        return lambda *_: None


def nap(seconds, report):
    """Sleep: a worker's task that takes as long as a test needs."""
    report(0.5)
    time.sleep(seconds)
    return "slept"


NAPPING = """
import functools, sys, time
sys.path.insert(0, sys.argv[1])
from handgrad.reproduce.pool import Pool
from reproduce_runs import nap
with Pool(2) as workers:
    for key in ("a", "b"):
        workers.start(key, functools.partial(nap, 60))
    begun = set()
    while len(begun) < 2:
        begun.update(event.key for event in workers.events(1.0))
    open("begun", "w").close()
    time.sleep(60)
"""
