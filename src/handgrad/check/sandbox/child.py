"""The process in which submissions run: a stand-alone script, `python -I -B child.py`.

It imports NumPy once and nothing of handgrad, then forks one child a case: fork, limits, import
the submission, run the case's steps, send the outputs back through a pipe. The import has a time
limit of its own; a byte in front of the outputs says that it has ended. It knows inputs and never
answers. Requests come on standard input, replies leave on standard output (``wire``).

Where nothing can be forked, it runs the cases itself, one after the other, with the submission's
modules imported afresh for each; its parent ends it when one takes too long.
"""

import contextlib
import ctypes
import gc
import importlib.util
import linecache
import os
import select
import shutil
import signal
import stat
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

MAX_REPLY = 96 * 2**20
MAX_COMPILED = 2**20
_READY = b"!"
_SMALL_PART = 0.1  # of a limit: less is no reason to wait longer


def _sibling(name: str) -> Any:
    """Load a file of this folder by its path: handgrad itself is not to be imported here."""
    spec = importlib.util.spec_from_file_location(f"_check_{name}", f"{_HERE}/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120


class _NoHandgrad:
    """Refuses `import handgrad`: a submission should not ask ours for its answers."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == "handgrad":
            raise ImportError("handgrad cannot be imported by a submission that it judges")


def _read_exactly(fd: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.read(fd, min(size, 2**20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _send(fd: int, data: bytes) -> None:
    _write_all(fd, len(data).to_bytes(8, "little") + data)


# -- one case -----------------------------------------------------------------------------------


def _case(request: dict[str, Any], result_fd: int, folder: Path, tools: dict[str, Any]) -> None:
    """In the forked child: limits, import, steps, outputs. Never returns."""
    containment, wire, steps = tools["containment"], tools["wire"], tools["steps"]
    waiting = [_READY]

    def ready() -> None:
        _write_all(result_fd, waiting.pop())

    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        result_fd = os.dup2(result_fd, 3) if result_fd != 3 else 3
        os.closerange(4, 4096)  # above all the checker's own channel
        os.environ.update(HOME=str(folder), TMPDIR=str(folder))
        os.chdir(folder)
        _lay_out(request, folder, tools["compiled"])
        # The first import of a submission is compiled for all cases, in its own limits.
        sys.dont_write_bytecode = not (request["trusted"] or request.get("list"))
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        seconds = request["import_timeout"] + request["timeout"]
        limits = containment.limit(int(seconds) + 2, request["memory"])
        confined = True if request["trusted"] else containment.confine()
        if not request["trusted"]:
            sys.meta_path.insert(0, _NoHandgrad())
        reply = {"confined": confined, "limits": limits, **steps.run(request, ready)}
        encoded = wire.encode(reply)
    except MemoryError:
        encoded = wire.encode({"fault": "memory"})
    except BaseException as error:
        encoded = wire.encode({"fault": f"{type(error).__name__}: {error}"})
    with contextlib.suppress(BaseException):
        _write_all(result_fd, b"".join([*waiting, encoded]))
    os._exit(0)


def _lay_out(
    request: dict[str, Any], folder: Path, compiled: dict[str, tuple[bytes, bytes]]
) -> None:
    """Write the submission's files into the case's own folder, and put them on the path.

    compiled : a file's name to its source and what Python's import has made of it
    """
    for name, text in request["sources"].items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        source = text.tobytes()
        target.write_bytes(source)
        os.utime(target, (1, 1))  # by it, and the size, import knows what is compiled of it
        known, code = compiled.get(name, (b"", b""))
        if code and known == source:
            cached = Path(importlib.util.cache_from_source(str(target)))
            cached.parent.mkdir(exist_ok=True)
            cached.write_bytes(code)
    sys.path[:0] = [str(folder / entry) if own else entry for own, entry in request["path"]]


def _processor_seconds(pid: int) -> float:
    """What a process has used of the processor; without end where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return float("inf")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _compiled(request: dict[str, Any], folder: Path) -> dict[str, tuple[bytes, bytes]]:
    """Read what an import has compiled: bytes that only a case's own import takes for code."""
    found = {}
    for name, text in request["sources"].items():
        cached = Path(importlib.util.cache_from_source(str(folder / name)))
        with contextlib.suppress(OSError, ValueError):
            status = cached.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_COMPILED:
                found[name] = text.tobytes(), cached.read_bytes()
    return found


def _run_case(request: dict[str, Any], folder: Path, tools: dict[str, Any]) -> dict[str, Any]:
    """Fork, wait within the limits, kill what is left; return what is known about the end."""
    folder.mkdir(mode=0o700)
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _case(request, writer, folder, tools)
    os.close(writer)
    deadline = time.monotonic() + request["import_timeout"]
    parts, size, timed_out, imported = [], 0, False, False
    used, waited_longer = 0.0, False
    while True:
        left = deadline - time.monotonic()
        ready = select.select([reader], [], [], max(0.0, left))[0] if left > 0 else []
        if not ready:
            limit = request["timeout" if imported else "import_timeout"]
            unused = limit - (_processor_seconds(pid) - used)
            if not waited_longer and unused > _SMALL_PART * limit:
                # Others had the processor; a submission that sleeps is waited for no longer.
                deadline, waited_longer = time.monotonic() + min(unused, limit), True
                continue
            timed_out = True
            break
        part = os.read(reader, 2**20)
        if not imported and part:
            imported, part = True, part[1:]
            deadline = time.monotonic() + request["timeout"]
            used, waited_longer = _processor_seconds(pid), False
            if not part:
                continue
        size += len(part)
        if not part or size > MAX_REPLY:
            break
        parts.append(part)
    os.close(reader)
    if not timed_out and size <= MAX_REPLY:  # it closed the pipe: it has a moment to end by itself
        patience = min(deadline, time.monotonic() + 1)
        while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > patience:
                break
            time.sleep(0.0005)
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if request.get("list"):
        tools["compiled"].update(_compiled(request, folder))
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "timed_out": timed_out,
        "imported": imported,
        "oversized": size > MAX_REPLY,
        "code": os.waitstatus_to_exitcode(status),
        "reply": b"".join(parts),
    }


def _run_here(
    request: dict[str, Any], folder: Path, tools: dict[str, Any], control_out: int
) -> dict[str, Any]:
    """Run a case in this process, and leave no module of it; say when its imports have ended."""
    wire, steps = tools["wire"], tools["steps"]
    modules, path, finders = set(sys.modules), list(sys.path), list(sys.meta_path)
    folder.mkdir(mode=0o700)
    home = os.getcwd()  # noqa: PTH109
    try:
        os.chdir(folder)
        _lay_out(request, folder, {})
        if not request["trusted"]:
            sys.meta_path.insert(0, _NoHandgrad())

        def ready() -> None:
            _send(control_out, wire.encode({"ready": True}))

        encoded = wire.encode(
            {"confined": False, "limits": [], "shared": True, **steps.run(request, ready)}
        )
    except MemoryError:
        encoded = wire.encode({"fault": "memory"})
    except BaseException as error:
        encoded = wire.encode({"fault": f"{type(error).__name__}: {error}"})
    finally:
        os.chdir(home)
        sys.path[:], sys.meta_path[:] = path, finders
        for name in set(sys.modules) - modules:
            del sys.modules[name]
        linecache.clearcache()
        shutil.rmtree(folder, ignore_errors=True)
    oversized = len(encoded) > MAX_REPLY
    end = {"timed_out": False, "imported": True, "oversized": oversized, "code": 0}
    return {**end, "reply": b"" if oversized else encoded}


def main() -> None:
    """Serve requests until standard input ends."""
    control_in, control_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    private, hidden, numpy_place = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    forks = sys.argv[4] == "fork"
    sys.path.append(numpy_place)
    # Path entries, then '--', then modules: for handgrad itself; and libraries, marked by '?'.
    preload = sys.argv[5:]
    libraries = [name[1:] for name in preload if name.startswith("?")]
    tools: dict[str, Any] = {
        name: _sibling(name)
        for name in ("wire", "containment", "probe", "failures", "cells", "steps")
    }
    tools["compiled"] = {}
    wire, containment = tools["wire"], tools["containment"]
    _warm(tools)
    if preload:
        at = preload.index("--")
        sys.path[:0] = preload[:at]
        for name in preload[at + 1 :]:
            if not name.startswith("?"):
                importlib.import_module(name)
    done = containment.separate(str(private), _answers(hidden))
    containment.drop_capabilities()
    containment.set_dumpable(False)  # a case does not look into this process, its parent
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # dies with the checker
    for name in libraries:
        with contextlib.suppress(Exception):  # not there, or broken: the case says so
            importlib.import_module(name)
    _send(control_out, wire.encode({"separated": done}))
    gc.collect()
    gc.freeze()  # a collection in a case would write to, and so copy, every page that is here
    count = 0
    while True:
        try:
            size = int.from_bytes(_read_exactly(control_in, 8), "little")
            request = wire.decode(_read_exactly(control_in, size))
        except EOFError:
            return
        count += 1
        folder = private / f"case{count}"
        if forks:
            end = _run_case(request, folder, tools)
        else:
            end = _run_here(request, folder, tools, control_out)
        raw = end.pop("reply")
        _send(control_out, wire.encode(end))
        _send(control_out, raw)


def _answers(folder: str) -> list[str]:
    """Every handgrad that this interpreter could import: none, when it is handgrad that is judged.

    folder : the checker's own, '' to hide nothing.
    """
    if not folder:
        return []
    spec = importlib.util.find_spec("handgrad")
    installed = list(spec.submodule_search_locations or []) if spec is not None else []
    return sorted({os.path.realpath(place) for place in (folder, *installed)})


def _warm(tools: dict[str, ModuleType]) -> None:
    """Import here what every case would otherwise import for itself."""
    import numpy.linalg
    import numpy.random  # noqa: F401

    for name in ("linecache", "tokenize", "copy", "hashlib"):
        importlib.import_module(name)
    with contextlib.suppress(Exception):
        raise ValueError
    traceback.extract_stack(limit=1)


if __name__ == "__main__":
    main()
