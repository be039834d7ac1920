"""A folder that belongs to one run: what it was made for, and that one process at a time writes it.

What both long commands, `handgrad reproduce` and `handgrad train`, ask of their --out.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from handgrad.errors import ResultsError

_ANOTHER = "name another folder with --out"


def require_locks(command: str) -> None:
    """Refuse a platform without the locks and signals that a command needs, by ResultsError."""
    try:
        import fcntl  # noqa: F401
    except ImportError:
        raise ResultsError(
            f"{command} needs locks and signals that only a POSIX system has (Linux, macOS); this "
            f"is {sys.platform}"
        ) from None


@contextmanager
def writing_into(path: Path) -> Iterator[None]:
    """Make the folder; whatever cannot be written to it in this block is a ResultsError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ResultsError(
            f"cannot write to {path} ({reason}); free space there or {_ANOTHER}"
        ) from None


@contextmanager
def alone_in(
    path: Path, command: str, *, wait: bool = False, option: str = "--out"
) -> Iterator[None]:
    """Hold a folder for this process; where another one holds it, wait or ResultsError."""
    import fcntl

    with (path / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResultsError(
                f"another {command} is at work in {path}; wait for it, or name another folder "
                f"with {option}"
            ) from None
        yield


def require_no_strangers(path: Path, command: str, known: Sequence[str] = ()) -> None:
    """Refuse a folder that holds what is not ``known``, a lock, or left by a killed process."""
    ours = {".lock", *known}
    strangers = sorted(
        file.name for file in path.iterdir() if file.name not in ours and not is_torn(file)
    )
    if strangers:
        raise ResultsError(
            f"{path} is no folder of {command} (it holds {strangers[0]}); name an empty or a new "
            "folder with --out"
        )


def is_torn(file: Path) -> bool:
    """Whether a file is what a process killed inside `write_atomically` left behind."""
    return file.name.startswith(".") and file.name.endswith(".part")


def differences(
    manifest: Path, identity: Mapping[str, Any], also: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What a manifest says otherwise than this identity, by name; ResultsError if it is damaged.

    ``also`` names mappings that a manifest must hold, too.
    """
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
        for name in also:
            found[name].items()
        return {name: found[name] for name in identity if found[name] != identity[name]}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ResultsError(f"{manifest} is damaged; {_ANOTHER}, or delete this one") from None
