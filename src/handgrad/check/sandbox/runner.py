"""The parent's end of the child process: start it, hand it a case, get back what came of it."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from handgrad.check.sandbox import containment, wire

MEMORY_BYTES = 2**30  # beyond what Python and NumPy take
IMPORT_SECONDS = 10.0  # at least; a case's own limit begins when its modules are imported
_PARTS = 16  # of a reply, that wait to be taken
_START_SECONDS = 120.0  # libraries are imported in it
_GRACE_SECONDS = 20.0  # beyond a case's own limit: then the child itself is stuck


class RunnerFault(Exception):
    """The child process cannot be started, or does not answer."""


class _Late(RunnerFault):
    """It does not answer in time."""


class _Ended(RunnerFault):
    """It ended."""


@dataclass(frozen=True)
class Outcome:
    """What came of one case: the child's reply, or how it ended without one.

    Attributes
    ----------
    ending : 'replied', 'timeout', 'memory', 'crashed' or 'forged'
    reply : dict
        What the child says; anything may be in it, so every reader checks.
    how : str
        For 'crashed': 'exit code 3', 'signal SIGSEGV'; for 'timeout': 'importing', where the
        submission's modules took too long already.
    """

    ending: str
    reply: Mapping[str, Any] = field(default_factory=dict)
    how: str = ""


class Runner:
    """One child process; a context manager.

    Parameters
    ----------
    hidden : Path, optional
        A folder that the submission should not see (handgrad's own).
    preload : (path entries, modules), optional
        For handgrad itself: imported once, before the cases fork. So are libraries, if they can
        be: those have the mark of ``libraries.OPTIONAL``.
    """

    script = Path(__file__).parent / "child.py"

    def __init__(
        self, *, hidden: Path | None = None, preload: tuple[Sequence[str], Sequence[str]] = ((), ())
    ) -> None:
        self._hidden, self._preload = hidden, preload
        self._forks = hasattr(os, "fork")
        self._listener = threading.Thread()
        self._parts: queue.Queue[bytes] = queue.Queue()
        self._rest = bytearray()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.separated: tuple[str, ...] = ()  # what the child was cut off from
        self._greeted = False
        self._asked: tuple[bytes, float, float] = (b"", 0.0, 0.0)
        self._sent = False

    def __enter__(self) -> Self:
        """Nobody of this user looks into our memory while submissions run."""
        self._was_dumpable = containment.set_dumpable(False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the child and remove its folder."""
        self.stop()
        containment.set_dumpable(self._was_dumpable)

    def launch(self) -> None:
        """Start the child, with an environment of nothing but what it needs; do not wait for it."""
        if self._process is not None:
            return
        self._folder = tempfile.TemporaryDirectory(
            prefix="handgrad-check-", ignore_cleanup_errors=True
        )
        private = self._folder.name
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": private,
            "TMPDIR": private,
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
            # Without it Python does not start on Windows.
            **{name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ},
        }
        entries, modules = self._preload
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-B",
                "-X",
                "utf8",
                str(self.script),
                private,
                str(self._hidden or ""),
                str(Path(np.__file__).parent.parent),
                "fork" if self._forks else "alone",
                *([*entries, "--", *modules] if modules else []),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=private,
            env=environment,
            start_new_session=True,
        )
        # A thread that reads, and not select: that knows no pipes on Windows.
        self._parts, self._rest = queue.Queue(maxsize=_PARTS), bytearray()
        given = (self._process.stdout, self._parts)
        self._listener = threading.Thread(target=_listen, args=given, daemon=True)
        self._listener.start()

    def start(self) -> None:
        """Start the child, and wait until it has."""
        self.launch()
        if not self._greeted:
            hello = wire.decode(self._receive(time.monotonic() + _START_SECONDS))
            self.separated = tuple(str(name) for name in hello["separated"])
            self._greeted = True

    @property
    def pid(self) -> int | None:
        """The child's process id; None before it is started."""
        return None if self._process is None else self._process.pid

    def stop(self) -> None:
        """Kill the child and all of its session; remove the folder."""
        if self._process is not None:
            self._process.kill()
            if hasattr(os, "killpg"):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            while self._listener.is_alive():  # it may be waiting to hand over what nobody wants
                with contextlib.suppress(queue.Empty):
                    self._parts.get(timeout=0.01)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process, self._greeted = None, False
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _receive(self, deadline: float) -> bytes:
        size = int.from_bytes(self._read(8, deadline), "little")
        if size > 2 * 96 * 2**20:
            raise RunnerFault("the child process sent nonsense")
        return self._read(size, deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        while len(self._rest) < size:
            try:
                part = self._parts.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise _Late("the child process does not answer") from None
            if not part:
                raise _Ended("the child process ended")
            self._rest += part
        found = bytes(self._rest[:size])
        del self._rest[:size]
        return found

    def run(self, request: Mapping[str, Any], timeout: float) -> Outcome:
        """Run one case: ``ask``, then ``answer``."""
        self.ask(request, timeout)
        return self.answer()

    def ask(self, request: Mapping[str, Any], timeout: float) -> None:
        """Hand a case to the child, and go on while it runs."""
        importing = max(float(timeout), IMPORT_SECONDS)
        limits = {"timeout": float(timeout), "import_timeout": importing, "memory": MEMORY_BYTES}
        self._asked = wire.encode({**request, **limits}), importing, float(timeout)
        self._sent = False
        if self._forks:
            with contextlib.suppress(RunnerFault, OSError, wire.WireError):  # answer tries again
                self._send(self._asked[0])
                self._sent = True

    def answer(self) -> Outcome:
        """Wait for what came of the case; if the child itself dies of it, try once more in another.

        Raises
        ------
        RunnerFault
            When two children in a row fail: that is no case's doing.
        """
        message, importing, timeout = self._asked
        if not self._forks:
            return self._run_alone(message, importing, timeout)
        for attempt in (1, 2):
            try:
                if not self._sent:
                    self._send(message)
                deadline = time.monotonic() + importing + timeout + _GRACE_SECONDS
                end = wire.decode(self._receive(deadline))
                return _outcome(end, self._receive(deadline))
            except (RunnerFault, OSError, wire.WireError):
                self.stop()
                self._sent = False
                if attempt == 2:
                    raise
        raise AssertionError

    def _send(self, message: bytes) -> None:
        self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(len(message).to_bytes(8, "little") + message)
        self._process.stdin.flush()

    def _run_alone(self, message: bytes, importing: float, timeout: float) -> Outcome:
        """Run a case in a child that cannot fork: what ends the case ends the child."""
        imported = False
        try:
            self._send(message)
            end = wire.decode(self._receive(time.monotonic() + importing))
            if end == {"ready": True}:
                imported = True
                end = wire.decode(self._receive(time.monotonic() + timeout))
            return _outcome(end, self._receive(time.monotonic() + _GRACE_SECONDS))
        except _Late:
            outcome = Outcome("timeout", how="" if imported else "importing")
        except _Ended:
            assert self._process is not None
            code = self._process.wait()
            outcome = Outcome("crashed", how=f"exit code {code}")
        except (RunnerFault, OSError, ValueError, KeyError, TypeError):
            outcome = Outcome("crashed", how="what came through the channel is no answer")
        self.stop()
        return outcome


def _listen(pipe: IO[bytes], parts: "queue.Queue[bytes]") -> None:
    """Read what the child says until it ends, which is an empty part."""
    while True:
        try:
            part = os.read(pipe.fileno(), 2**20)
        except (OSError, ValueError):  # closed
            part = b""
        parts.put(part)
        if not part:
            return


def _outcome(end: Mapping[str, Any], raw: bytes) -> Outcome:
    code = int(end["code"])
    if end["timed_out"] or (code < 0 and code == -signal.SIGXCPU):
        return Outcome("timeout", how="" if end["imported"] else "importing")
    if end["oversized"]:
        return Outcome("crashed", how="it sent more than a case may")
    try:
        reply = wire.decode(raw)
    except wire.WireError:
        if code == -signal.SIGKILL and raw:
            return Outcome("crashed", how="it closed the channel of results and went on")
        if code < 0:
            return Outcome("crashed", how=f"signal {signal.Signals(-code).name}")
        if raw:
            return Outcome("crashed", how="what came through the channel of results is no answer")
        return Outcome("crashed", how=f"exit code {code}")
    if not isinstance(reply, dict) or "fault" in reply:
        fault = reply.get("fault") if isinstance(reply, dict) else "no reply"
        return Outcome("memory" if fault == "memory" else "crashed", how=str(fault)[:200])
    return Outcome("replied", reply)
