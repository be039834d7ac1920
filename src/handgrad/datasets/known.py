"""Known files: what each must be to the byte, and how to read, place and set aside one safely."""

from __future__ import annotations

import gzip
import hashlib
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from handgrad.errors import DataError
from handgrad.files import write_atomically

log = logging.getLogger("handgrad.datasets")

Progress = Callable[[str, int, int], None]
"""Called with (what is being fetched, bytes so far, bytes in all; 0 when unknown)."""

Content = bytes | memoryview | npt.NDArray[np.uint8]
"""The bytes of a file; an array is contiguous."""


@dataclass(frozen=True)
class KnownFile:
    """A data file of which exactly one version is accepted."""

    name: str
    size: int
    sha256: str


Diagnosis = Callable[[KnownFile, bytes | memoryview], str | None]
"""Given a known file and the wrong bytes there are of it, says what is wrong in words, or None."""


def sha256_of(data: bytes | memoryview) -> str:
    """Hash bytes that are already in memory."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hash a file without holding it in memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def known_files(*rows: tuple[str, int, str]) -> dict[str, KnownFile]:
    """Build a table of known files from rows of (name, bytes, SHA-256)."""
    return {row[0]: KnownFile(*row) for row in rows}


@contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, through gzip if its content is gzip's, whatever its name says.

    Raises
    ------
    DataError
        If the file cannot be read, or its gzip stream is truncated or corrupt.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=plain) as stream:
                    yield cast(BinaryIO, stream)
            else:
                yield plain
    except EOFError as error:
        raise DataError(f"{path}: the gzip stream ends early; the file is truncated") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_bounded(path: Path, limit: int) -> bytes:
    """Read at most `limit` + 1 bytes of a plain or gzip file: a bomb cannot fill the memory.

    Raises
    ------
    DataError
        As `unpacked`.
    """
    with unpacked(path) as stream:
        return stream.read(limit + 1)


def read_verified(path: Path, known: KnownFile, diagnose: Diagnosis | None = None) -> bytes:
    """Read a plain or gzip copy of a known file and return its bytes, verified.

    Raises
    ------
    DataError
        Naming the file and what is wrong with it.
    """
    raw = read_bounded(path, known.size)
    verify_bytes(raw, known, str(path), diagnose)
    return raw


def verify_bytes(
    raw: bytes | memoryview, known: KnownFile, where: str, diagnose: Diagnosis | None = None
) -> None:
    """Raise DataError, in the most telling words available, unless `raw` is the known file."""
    if len(raw) == known.size and sha256_of(raw) == known.sha256:
        return
    reason = diagnose(known, raw) if diagnose else None
    if not raw:
        reason = "the file is empty"
    elif reason is None and len(raw) < known.size:
        reason = f"truncated: {len(raw):,} bytes, expected {known.size:,}"
    elif reason is None and len(raw) > known.size:
        reason = f"too long: more than the expected {known.size:,} bytes"
    elif reason is None:
        reason = (
            f"corrupt or foreign: SHA-256 {sha256_of(raw)[:12]}..., expected {known.sha256[:12]}..."
        )
    raise DataError(f"{where}: {reason}; delete it or replace it with a good copy of {known.name}")


def write_bytes(path: Path, data: Content) -> None:
    """Write a whole file to a temporary name, then rename it, so that nobody sees half of it.

    Raises
    ------
    DataError
        If the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data.data.cast("B") if isinstance(data, np.ndarray) else data)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error


def pass_over(errors: Iterable[DataError]) -> None:
    """Say which bad files are not used."""
    for error in errors:
        log.warning("passed over: %s", error)
