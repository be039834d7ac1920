"""Worker processes that each do one task at a time, report progress, and die with their parent."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from handgrad.blas import limited_to
from handgrad.errors import WorkerError

Task = Callable[[Callable[[float], None]], object]  # picklable; told where to report progress to

# One BLAS thread a worker: two pools of threads on the same cores fight, and results do not
# depend on how many workers there are.
_BLAS_THREADS = 1


@dataclass(frozen=True)
class Event:
    """What a worker said: the fraction done of its task, and at the end the result."""

    key: str
    done: float
    finished: bool = False
    result: object = None


def leave_a_script_imported_by_a_worker() -> None:
    """End the process quietly if it is a worker that is still importing the calling script.

    A spawned worker does that first. Where the script calls us without a guard it arrives here,
    and `multiprocessing` would refuse it with a traceback; its parent says what to change.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(1)


def _work(connection: Connection) -> None:
    """Do tasks until the connection closes; the body of a worker process."""
    connection.send(("began", None))
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow_parent() -> None:
        parent.join()
        os._exit(1)  # checkpoints are atomic: nothing is lost

    threading.Thread(target=follow_parent, daemon=True).start()
    with limited_to(_BLAS_THREADS):
        while True:
            try:
                task: Task = connection.recv()
            except EOFError:
                return
            try:
                result = task(lambda done: connection.send(("progress", done)))
            except Exception as error:
                connection.send(("failed", error))
            else:
                connection.send(("finished", result))


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back: a process started now never sees it, this one does right afterwards.

    The blocked signal is what the new process inherits. It is not enough here, where another
    thread (of BLAS, say) may take the signal for the process: so the handler, too, only notes it.
    """
    resource_tracker.ensure_running()  # when it starts by itself it lets the signal through again
    held = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    ours = threading.current_thread() is threading.main_thread()  # only there Python handles it
    handler = signal.signal(signal.SIGINT, lambda *_: held.append(True)) if ours else None
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if held:
            signal.raise_signal(signal.SIGINT)


class Pool:
    """A few worker processes, spawned as needed; use as a context manager, which ends them.

    Parameters
    ----------
    size : int
        Number of processes at most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._idle: list[Connection] = []
        self._busy: dict[Connection, str] = {}
        self._processes: list[BaseProcess] = []
        self._unheard: dict[Connection, BaseProcess] = {}  # the workers that have not begun yet

    def _spawn(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        with _interrupts_held():  # the worker inherits it: Ctrl-C is the parent's to handle
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
        self._unheard[ours] = process
        return ours

    def __enter__(self) -> "Pool":
        """Nothing to do: there is a process as soon as there is a task."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End the processes at once; what they were doing goes on from its checkpoint next time."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()

    @property
    def has_room(self) -> bool:
        """Whether a task would start at once."""
        return len(self._busy) < self._size

    @property
    def is_busy(self) -> bool:
        """Whether any task is under way."""
        return bool(self._busy)

    def start(self, key: str, task: Task) -> None:
        """Give a task to an idle worker, or to a new one."""
        connection = self._idle.pop() if self._idle else self._spawn()
        try:
            connection.send(task)
        except OSError:
            raise self._death(key, connection) from None
        self._busy[connection] = key

    def events(self, timeout_seconds: float) -> Iterator[Event]:
        """Yield what the workers said, waiting at most so long for the first of them.

        Raises whatever a task raised, and WorkerError for a worker that died.
        """
        for ready in wait(list(self._busy), timeout_seconds):
            assert isinstance(ready, Connection)
            key = self._busy[ready]
            try:
                kind, content = ready.recv()
            except (EOFError, OSError):
                raise self._death(key, ready) from None
            if kind == "failed":
                raise content
            if kind == "began":
                del self._unheard[ready]
            elif kind == "progress":
                yield Event(key, content)
            else:
                self._idle.append(ready)
                del self._busy[ready]
                yield Event(key, 1.0, True, content)

    def _death(self, key: str, connection: Connection) -> WorkerError:
        process = self._unheard.get(connection)
        if process is not None:
            process.join()  # its end of the connection is closed: it ends now
            if process.exitcode is not None and process.exitcode > 0:  # by itself, not by a signal
                return WorkerError(
                    "a worker process could not start: it first imports the calling script again, "
                    "which must be a file with everything that it does, the call of reproduce "
                    'included, below `if __name__ == "__main__":`'
                )
        return WorkerError(
            f"the worker process of {key} died (killed, or out of memory); run the same "
            "command again to go on where it was, with fewer --jobs if memory is short"
        )
