"""Writing files so that nobody ever sees half of one."""

import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes | memoryview | str) -> None:
    """Write to a temporary name in the same folder, then move it over ``path``.

    A reader, or a run that starts after a crash, sees the old file or the new one. Text is
    written as UTF-8. Raises OSError as open does (folder missing, not writable, disk full), and
    leaves no temporary file behind.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
