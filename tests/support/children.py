"""Child processes of the tests: Ctrl-C works in them, and none outlives its test."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

# Where the tests run with SIGINT ignored, as a background job of a script does, a child inherits
# that, and Python then never raises KeyboardInterrupt. Set in between, not by a preexec_fn, which
# may deadlock where there are threads.
INTERRUPTIBLE = (
    sys.executable,
    "-S",
    "-c",
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT}); "
    "os.execv(sys.argv[1], sys.argv[1:])",
)


SUPPORT = Path(__file__).parent


def importing(test_file, **variables):
    """Give the environment of a child that imports a test's file, and what helps the tests."""
    before = os.environ.get("PYTHONPATH")
    places = [str(Path(test_file).parent), str(SUPPORT), *([before] if before else [])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), **variables}


@contextmanager
def started(words, **options):
    """Start a command in a session of its own; afterwards nothing of it is left.

    ``options`` are those of Popen. The first word is a path.
    """
    words = [*INTERRUPTIBLE, *map(str, words)]
    process = subprocess.Popen(words, start_new_session=True, **options)
    try:
        yield process
    finally:
        end(process)


def end(process):
    """Kill a process of `started` with its session, reap it and close its pipes."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)


def left():
    """Process ids of this process's children, those included that have ended and are not reaped.

    Without multiprocessing's tracker of resources, which lives as long as this process. Nothing
    where the system does not tell (``/proc`` is Linux).
    """
    found = set()
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended
            found.update(map(int, children.read_text().split()))
    return {pid for pid in found if "resource_tracker" not in command(pid)}


def command(pid):
    """Give a process's command line, "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""
