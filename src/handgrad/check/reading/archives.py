"""Open an archive without trusting it: in memory, within limits, nothing of it written anywhere."""

import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from handgrad.check.reading.names import archive_suffix, is_hidden
from handgrad.errors import SubmissionError

MAX_ENTRIES = 10_000
MAX_UNPACKED = 512 * 2**20  # of all that it says it holds
MAX_READ = 64 * 2**20  # of what is read
_WANTED = (".py", ".ipynb")
_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class _Entry:
    name: str
    size: int
    is_link: bool
    is_encrypted: bool = False


def unpack(content: bytes, name: str) -> dict[str, bytes]:
    """Give the Python files, notebooks and archives in an archive, by their paths.

    Parameters
    ----------
    content : bytes
        Of a zip or tar file.
    name : str
        For the message; its suffix says which.

    Raises
    ------
    SubmissionError
        In one line, for what is damaged, encrypted, too large, or leads out of its own folder.
    """
    kind = "zip" if archive_suffix(name) == ".zip" else "tar"
    try:
        return dict(_zip(content, name) if kind == "zip" else _tar(content, name))
    except SubmissionError:
        raise
    except NotImplementedError:
        said = "is packed in a way that cannot be read here; pack it as a plain zip"
        raise SubmissionError(f"{name}: {said}") from None
    except _DAMAGED:
        raise SubmissionError(
            f"{name}: is no {kind} file, or a damaged one; pack it anew"
        ) from None


def _zip(content: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        guard = _Guard(name)
        for info in archive.infolist():
            mode = info.external_attr >> 16
            locked = bool(info.flag_bits & 1)
            entry = _Entry(info.filename, info.file_size, stat.S_ISLNK(mode), locked)
            if info.is_dir() or not guard.wants(entry):
                continue
            with archive.open(info) as file:
                yield guard.path(entry), guard.read(entry, file.read(MAX_READ + 1))


def _tar(content: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        guard = _Guard(name)
        for info in archive:  # each is looked at before what follows it is unpacked
            entry = _Entry(info.name, info.size, info.issym() or info.islnk())
            if info.isdir() or not guard.wants(entry):
                continue
            file = archive.extractfile(info)
            if file is not None:
                yield guard.path(entry), guard.read(entry, file.read(MAX_READ + 1))


class _Guard:
    """What an archive may hold, and how much of it has been seen."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._entries = self._unpacked = self._read = 0
        self._seen: set[str] = set()

    def wants(self, entry: _Entry) -> bool:
        """Whether to read an entry; refuses the archive for what no submission holds."""
        self._entries += 1
        self._unpacked += entry.size
        if self._entries > MAX_ENTRIES or self._unpacked > MAX_UNPACKED:
            limit = f"{MAX_ENTRIES} files or {MAX_UNPACKED // 2**20} MiB"
            raise self._refused(f"holds more than {limit}; pack only your own files")
        path = self.path(entry)
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or ":" in parts[0]:
            raise self._refused(f"holds a path that leads out of it ({entry.name!r})")
        if any(map(is_hidden, parts)):
            return False
        if not (path.lower().endswith(_WANTED) or archive_suffix(path)):
            return False
        if entry.is_link:
            raise self._refused(f"holds a link ({path}); pack the file itself")
        if entry.is_encrypted:
            raise self._refused("is locked with a password; pack it without one")
        if path in self._seen:
            raise self._refused(f"holds {path} twice")
        self._seen.add(path)
        return True

    def path(self, entry: _Entry) -> str:
        """An entry's path, as Windows' archives write it, too."""
        return entry.name.replace("\\", "/").removeprefix("./")

    def read(self, entry: _Entry, content: bytes) -> bytes:
        """Take what was read of an entry."""
        self._read += len(content)
        if self._read > MAX_READ:
            raise self._refused(
                f"holds more than {MAX_READ // 2**20} MiB of Python files and notebooks"
            )
        return content

    def _refused(self, said: str) -> SubmissionError:
        return SubmissionError(f"{self._name}: {said}")
