"""Read arrays out of a pickle without running anything the pickle asks for.

A pickle is a program: loading one may call any function of any installed module. This reader hands
the three NumPy names that an old array pickle needs to inert stand-ins written here, which only
check and keep bytes; every other name is refused, and the refusal says which name it was.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from handgrad.errors import DataError

_NUMBERS = {"f8", "f4", "i8", "i4", "u1"}
_MAX_BYTES = 1 << 26  # 64 MiB: twice the largest file this project reads
_TOO_LARGE = "it is larger than {:,} bytes, which no data file here is"
_MAX_ITEMS = 100_000  # a CIFAR-10 batch has about 20,000: labels and file names


class _Dtype:
    """What numpy.dtype(...) gives in here: a name and a byte order, nothing else."""

    def __init__(self, name: object) -> None:
        if name not in _NUMBERS:
            raise DataError(f"it holds an array of type {str(name)[:40]!r}, not of plain numbers")
        self.name = str(name)
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise DataError("it holds an array of unknown byte order")
        self.order = str(state[1])


class _Array:
    """What _reconstruct(...) gives in here: collects the bytes of one array."""

    def __init__(self) -> None:
        self.array: npt.NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype):
            raise DataError("it holds an array without a type")
        if not all(type(n) is int and n >= 0 for n in shape):
            raise DataError("it holds an array of impossible shape")
        if isinstance(data, str):
            data = data.encode("latin1")  # Python 2 strings; loads() below decoded them as latin1
        final = np.dtype(dtype.order + dtype.name)
        if math.prod(shape) * final.itemsize != len(data):
            raise DataError(f"it holds an array whose bytes do not fill its shape {tuple(shape)}")
        flat = np.frombuffer(data, dtype=final)
        self.array = flat.reshape(shape, order="F" if fortran else "C")


# What the pickle is given for each allowed name. These are slotless objects rather than the classes
# themselves, because a pickle may also set attributes on whatever it was given.
class _Ndarray:
    __slots__ = ()


class _MakeDtype:
    __slots__ = ()

    def __call__(self, name: object, *_: object) -> _Dtype:
        return _Dtype(name)


class _Reconstruct:
    __slots__ = ()

    def __call__(self, subtype: object, *_: object) -> _Array:
        if not isinstance(subtype, _Ndarray):
            raise DataError("it rebuilds something other than a numpy.ndarray")
        return _Array()


_ALLOWED = {
    ("numpy", "ndarray"): _Ndarray(),
    ("numpy", "dtype"): _MakeDtype(),
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise DataError(f"it asks for {module}.{name}, which is refused; nothing was executed")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise DataError("it refers to objects outside itself, which is refused")


def _plain(value: Any, left: list[int], depth: int = 0) -> Any:
    """Replace the stand-ins by their arrays inside tuples, lists and dicts.

    `left` counts down the items: shared lists can make a tiny pickle unfold without end.
    """
    left[0] -= 1
    if depth > 4 or left[0] < 0:
        raise DataError("its containers are larger or nested deeper than in any data file")
    if isinstance(value, _Array):
        if value.array is None:
            raise DataError("it holds an array without contents")
        return value.array
    if isinstance(value, tuple | list):
        return [_plain(item, left, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item, left, depth + 1) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    raise DataError(f"it holds a {type(value).__name__.strip('_')}, which no data file does")


class _Bounded:
    """A stream that refuses to give more than `limit` bytes, before any memory is taken."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self.stream, self.limit, self.left = stream, limit, limit

    def read(self, size: int) -> bytes:
        return self._count(self.stream.read(min(size, self.left + 1)))

    def readline(self) -> bytes:
        return self._count(self.stream.readline(self.left + 1))

    def _count(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left < 0:
            raise DataError(_TOO_LARGE.format(self.limit))
        return data


def loads(raw: bytes) -> Any:
    """Load lists, dicts, numbers, strings and plain NumPy arrays from a pickle; see `load`."""
    if len(raw) > _MAX_BYTES:
        raise DataError(_TOO_LARGE.format(_MAX_BYTES))
    return load(io.BytesIO(raw), _MAX_BYTES)


def load(stream: BinaryIO, limit: int) -> Any:
    """Load lists, dicts, numbers, strings and plain NumPy arrays from a stream that holds a pickle.

    Parameters
    ----------
    stream : file object
        The pickle, of any protocol; Python 2 strings are decoded as latin1.
    limit : int
        Most bytes that are read.

    Returns
    -------
    object
        The value. Tuples come back as lists; arrays are read-only views of their bytes.

    Raises
    ------
    DataError
        If the pickle is damaged or asks for anything else. The message starts with "it", so that
        the caller can put the file's name in front.
    """
    try:
        reader = _Reader(_Bounded(stream, limit), encoding="latin1")
        return _plain(reader.load(), [_MAX_ITEMS])
    except DataError:
        raise
    except Exception as error:
        # A damaged pickle may raise nearly anything: EOFError, ValueError, KeyError, MemoryError.
        detail = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise DataError(f"it is not a whole pickle ({detail}); truncated or corrupt") from error


def is_pickle(first: bytes) -> bool:
    """Tell from its first byte whether a data file is a pickle: a protocol, a tuple or a dict.

    The binary files of MNIST and CIFAR-10 begin with 0 and with a label, 0 to 9.
    """
    return first in (b"\x80", b"(", b"}")
