"""Take files out of tar and zip archives, told by their content."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from handgrad.errors import DataError

_NO_NAMES = ("", ".", "..")
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error, RuntimeError)
# RuntimeError, NotImplementedError among them: an encrypted zip, or packed in an unknown way.


def is_archive(path: Path) -> bool:
    """Tell whether a file is a tar, packed or not, or a zip, whatever its name says."""
    return _is_tar(path) or zipfile.is_zipfile(path)


def _is_tar(path: Path) -> bool:
    # Asked before is_zipfile, which takes a tar that ends with a zip for one.
    try:
        with tarfile.open(path) as archive:
            return archive.next() is not None  # zeros alone are an empty tar
    except _DAMAGED:
        return False


def extract(path: Path, wanted: Callable[[str, int], bool], folder: Path, limit: int) -> None:
    """Write the wanted members of an archive as `folder`/NAME, the last part of their path.

    A second member of the same name goes to `folder`/copy-2/NAME, and so on. Only
    regular files of at most `limit` bytes are read, and no path of the archive is ever used as a
    path on disk. The caller verifies what came out.

    Parameters
    ----------
    path : Path
        A tar or a zip.
    wanted : callable
        Told a member's name and its size in bytes.
    folder : Path
    limit : int

    Raises
    ------
    DataError
        If the archive is damaged.
    """
    seen: dict[str, int] = {}
    try:
        for name, size, open_member in _members(path):
            if name in _NO_NAMES or size > limit or not wanted(name, size):
                continue
            seen[name] = seen.get(name, 0) + 1
            target = folder / name if seen[name] == 1 else folder / f"copy-{seen[name]}" / name
            target.parent.mkdir(exist_ok=True)
            with open_member() as source, target.open("wb") as stream:
                shutil.copyfileobj(source, stream, 1 << 20)
    except _DAMAGED as error:
        raise DataError(f"{path}: truncated or corrupt archive; get it again") from error


def _members(path: Path) -> Iterator[tuple[str, int, Callable[[], IO[bytes]]]]:
    """Yield (last part of the path, size in bytes, function that opens it) of regular files."""
    if zipfile.is_zipfile(path) and not _is_tar(path):
        with zipfile.ZipFile(path) as zipped:
            for entry in zipped.infolist():
                if not entry.is_dir():
                    name = PurePosixPath(entry.filename).name
                    yield name, entry.file_size, partial(zipped.open, entry)
        return
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isreg():
                name = PurePosixPath(member.name).name
                yield name, member.size, partial(_opened, archive, member)


def _opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    source = archive.extractfile(member)
    if source is None:
        raise tarfile.ReadError(f"{member.name} holds no bytes")
    return source
