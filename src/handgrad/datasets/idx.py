"""IDX files, the format of MNIST and its cousins: decode and encode."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handgrad.datasets.known import unpacked
from handgrad.errors import DataError

_UNSIGNED_BYTES = 0x08
# The third byte of the magic number, and how its values are stored.
_KINDS: dict[int, np.dtype[Any]] = {
    _UNSIGNED_BYTES: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_MOST_DIMENSIONS = 4


def read_idx(raw: bytes | memoryview, ndim: int) -> npt.NDArray[np.uint8]:
    """Decode an IDX file of unsigned bytes.

    Parameters
    ----------
    raw : bytes
        The whole uncompressed file: magic number 0x0000080N with N dimensions, N big-endian sizes,
        then the values. Source: the format note on the MNIST page (LeCun, Cortes, Burges).
    ndim : int
        Dimensions expected: 3 for images, 1 for labels.

    Returns
    -------
    ndarray of uint8
        A read-only view of `raw`.

    Raises
    ------
    DataError
        Wrong magic number, or a row count that does not fit the number of bytes.
    """
    header = 4 + 4 * ndim
    if len(raw) < header:
        raise DataError(f"truncated: {len(raw)} bytes, less than the {header} of an IDX header")
    magic = int.from_bytes(raw[:4], "big")
    if magic != (_UNSIGNED_BYTES << 8) + ndim:
        raise DataError(f"wrong magic number 0x{magic:08x}, expected 0x{0x800 + ndim:08x}")
    return _decode(raw)


def write_idx(values: npt.NDArray[np.uint8]) -> bytes:
    """Encode an array as an IDX file of unsigned bytes; `read_idx` decodes it."""
    header = struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape)
    return header + values.tobytes()


def idx_dimensions(path: Path) -> int:
    """Tell from a file's first bytes, plain or gzip, how many dimensions it has; 0: no IDX file."""
    try:
        with unpacked(path) as stream:
            magic = stream.read(4)
    except DataError:
        return 0
    return magic[3] if _is_magic(magic) else 0


def open_idx(path: Path) -> npt.NDArray[Any]:
    """Read an IDX file, plain or gzip, of numbers of any of the format's six types.

    Returns
    -------
    ndarray
        Read-only; of 1 to 4 dimensions, in the file's dtype (big-endian).

    Raises
    ------
    DataError
        Naming the file: it cannot be read, is no IDX file, is truncated or too long.
    """
    with unpacked(path) as stream:
        magic = stream.read(4)
        if not _is_magic(magic):
            raise DataError(f"{path}: no IDX file: it begins with {magic.hex() or 'nothing'}")
        sizes = stream.read(4 * magic[3])
        # One byte more than it should have, to tell a file that is too long; never a bomb's all.
        values = stream.read(_bytes_of(magic, sizes) + 1) if len(sizes) == 4 * magic[3] else b""
    try:
        return _decode(b"".join((magic, sizes, values)))
    except DataError as error:
        raise DataError(f"{path}: {error}; get it again") from None


def _is_magic(start: bytes) -> bool:
    known = len(start) == 4 and start[:2] == b"\0\0" and start[2] in _KINDS
    return known and 1 <= start[3] <= _MOST_DIMENSIONS


def _bytes_of(magic: bytes, sizes: bytes) -> int:
    """How many bytes the values take that a header announces."""
    shape = struct.unpack(f">{magic[3]}I", sizes)
    return _KINDS[magic[2]].itemsize * int(np.prod(shape, dtype=object))


def _decode(raw: bytes | memoryview) -> npt.NDArray[Any]:
    """Decode what begins with a known magic number."""
    ndim, dtype = raw[3], _KINDS[raw[2]]
    header = 4 + 4 * ndim
    if len(raw) < header:
        raise DataError(f"truncated: {len(raw)} bytes, less than the {header} of an IDX header")
    shape = struct.unpack(f">{ndim}I", raw[4:header])
    expected = header + _bytes_of(bytes(raw[:4]), bytes(raw[4:header]))
    if len(raw) != expected:
        raise DataError(
            f"wrong row count: the header says {shape[0]:,} rows, which need {expected:,} bytes; "
            f"there are {'more' if len(raw) > expected else format(len(raw), ',')}"
        )
    return np.frombuffer(raw, dtype=dtype, offset=header).reshape(shape)
