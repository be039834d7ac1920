"""Writing files so that nobody ever sees half of one."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, content: bytes | memoryview | str) -> None:
    """Write to a temporary name in the same folder, then move it over ``path``.

    A reader, or a run that starts after a crash, sees the old file or the new one. Text is
    written as UTF-8; what that cannot hold (a lone surrogate, of a file's name) is spelt out. A
    symbolic link stays one: the file that it names is written, beside which the temporary name
    lies. What is no file to be moved over (a pipe, a terminal, /dev/null) is written to as it is.
    Raises OSError as open does (folder missing, not writable, disk full), and leaves no temporary
    file behind.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    with writing_atomically(path) as file:
        file.write(data)


@contextmanager
def writing_atomically(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write a piece at a time, which becomes ``path`` when the block has ended.

    Where the block ends by an error, ``path`` is what it was. All else is as `write_atomically`
    has it.
    """
    if _is_stream(path):
        with path.open("wb") as stream:
            yield stream
        return
    target = _behind_links(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _is_stream(path: Path) -> bool:
    """Whether there is something, behind any links, that is neither a file nor a folder."""
    try:
        mode = path.stat().st_mode
    except OSError:  # nothing there yet, or no way to it: opening the temporary file tells
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _behind_links(path: Path) -> Path:
    """Give the path itself, or of a symbolic link what it names in the end, there or not yet."""
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target
