"""The checkers of a batch as processes: ended with it, however it ends."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

TIED_VARIABLE = "HANDGRAD_CHECK_TIED"


class Processes:
    """The checkers that run now, so that an interruption ends them.

    Each holds the reading end of a pipe that nobody writes to. It closes when this process ends, if
    by SIGKILL, and ``end_with_parent`` then ends the checker.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def call(self, words: Sequence[str], where: Path, env: Mapping[str, str]) -> tuple[int, str]:
        """Run a command to its end; return its exit code and its standard error."""
        with self._lock:
            if self._stopped:
                return 130, ""
            process = subprocess.Popen(
                words,
                cwd=where,
                env={**env, TIED_VARIABLE: "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
            )
            self._running.add(process)
        try:
            with process:
                assert process.stderr is not None
                said = process.stderr.read()  # and not communicate, which would close the pipe
                process.wait()
        finally:
            with self._lock:
                self._running.discard(process)
        return process.returncode, said

    def stop(self) -> None:
        """Interrupt those that run; each ends its own children."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.send_signal(signal.SIGINT)


def end_with_parent() -> None:
    """In a checker of a batch: end at once when the batch has ended."""
    if os.environ.pop(TIED_VARIABLE, ""):
        threading.Thread(target=_until_closed, daemon=True).start()


def _until_closed() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)
