"""Files of text as streams of UTF-8, whatever they were packed or written in."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from handgrad.errors import DataError

SAMPLE = 1 << 17  # bytes of a file that are looked at to recognise it
_LONGEST_HEAD = 1 << 26
_GZIP = b"\x1f\x8b"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Head:
    """The beginning of a file, unpacked but not decoded; ``whole`` where that is all of it."""

    path: Path
    content: bytes
    packed: bool
    whole: bool


def read_head(path: Path) -> Head:
    """Read the first bytes of a file; DataError when it is not there, empty, or a folder."""
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file with a table")
    with reading(path), path.open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        source = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
        content, whole = source.read(SAMPLE), False
        while not whole and (content.count(b"\n") < 3 or len(content) < SAMPLE):
            more = source.read(len(content) + 1)  # the lines of a wide table are long
            content, whole = content + more, not more or len(content) > _LONGEST_HEAD
    if not content.strip(b" \t\r\n\x00\xef\xbb\xbf"):
        raise DataError(f"{path} is empty")
    return Head(path, content, packed, whole)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Make one line of what can go wrong between the disk and a reader."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except EOFError:
        raise DataError(f"{path} is cut off: its gzip data ends too early; copy it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}; copy it again") from None
    except OSError as error:
        why = " ".join(str(error.strerror or error).split())
        raise DataError(f"{path} cannot be read: {why}") from None


def encoding_of(head: Head) -> str:
    """Tell in which encoding a text is: UTF-8 or UTF-16 by their marks, Windows' by exclusion.

    Raises
    ------
    DataError
        If the bytes are no text.
    """
    for mark, name in _BOMS:
        if head.content.startswith(mark):
            return name
    if known := _known(head.content):
        raise DataError(f"{head.path} is not text; it seems to be {known}")
    if b"\0" in head.content:
        raise DataError(f"{head.path} is not text: it has zero bytes; {_READ}")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head.content, final=head.whole)
    except UnicodeDecodeError:
        controls = sum(byte < 9 or 13 < byte < 32 for byte in head.content)
        if controls > len(head.content) // 100:
            raise DataError(f"{head.path} is not text; {_READ}") from None
        return "cp1252"
    return "utf-8"


def _known(content: bytes) -> str | None:
    """Say what a file of bytes seems to be, and what to do."""
    return next((said for magic, said in _FOREIGN.items() if content.startswith(magic)), None)


_READ = "CSV, TSV, Parquet, NPZ, ARFF and libsvm files are read"
_FOREIGN = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook: unpack it, or save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save it as CSV",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"%PDF": "a PDF",
    b"\x89HDF": "an HDF5 file: save it as CSV, NPZ or Parquet",
    b"SQLite": "an SQLite database: save the table as CSV",
    b"\x93NUMPY": "one NumPy array: save features and labels with numpy.savez",
    b"ARROW1": "an Arrow or Feather file: save it as Parquet",
    b"BZh": "packed with bzip2: unpack it",
    b"\xfd7zXZ": "packed with xz: unpack it",
    b"(\xb5/\xfd": "packed with Zstandard: unpack it",
    b"\x80\x04": "a pickle, which can run any program: save it as CSV, NPZ or Parquet",
    b"\x80\x05": "a pickle, which can run any program: save it as CSV, NPZ or Parquet",
}


@contextmanager
def utf8_stream(path: Path, packed: bool, encoding: str) -> Iterator[BinaryIO]:
    """Open a text file as a stream of UTF-8 without a mark at its beginning."""
    with reading(path), path.open("rb") as file:
        source = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
        if encoding == "utf-8":
            yield source
        else:
            yield cast(BinaryIO, io.BufferedReader(_Recoded(source, encoding), 1 << 16))


class _Recoded(io.RawIOBase):
    """What another stream holds in some encoding, as UTF-8."""

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        self._source = source
        # cp1252 leaves five bytes open: they become U+FFFD.
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            raw = self._source.read(1 << 20)
            self._ready = self._decoder.decode(raw, final=not raw).encode("utf-8")
            if not raw:
                break
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size
