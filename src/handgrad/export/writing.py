"""Writing what an export made: nothing that exists is replaced unasked."""

import os
from collections.abc import Mapping
from pathlib import Path

from handgrad.errors import ExportError, OutputError
from handgrad.files import write_atomically


def write_files(files: Mapping[Path, bytes | str], *, force: bool) -> None:
    """Write each file whole or not at all.

    Parameters
    ----------
    files : mapping
        Path to content.
    force : bool
        Whether files that exist are replaced.

    Raises
    ------
    ExportError
        For a file that exists, without ``force``: none is written then.
    OutputError
        Where one cannot be written.
    """
    require_free(files, force=force)
    for path, content in files.items():
        try:
            write_atomically(path, content)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise OutputError(
                f"cannot write {path} ({reason}); name another file with --out"
            ) from None


def require_free(paths: Mapping[Path, object] | list[Path], *, force: bool) -> None:
    """Refuse files that exist, unless ``force``; before the work that makes their content."""
    for path in paths:
        if path.exists() and not force:
            raise ExportError(
                f"{path} exists, and is kept; --force (force=True) replaces it, --out names another"
            )


def named_after(model: Path, ending: str) -> Path:
    """Name a file in this folder after a model's, or after the folder that it is in."""
    stem = model.resolve().parent.name if model.stem == "model" else model.resolve().stem
    return Path(f"{stem or 'model'}{ending}")
