"""How compiled kernels are called: arguments in the form they take, parts on Numba's threads."""

import os
import threading
import warnings
from functools import cache
from typing import Any

import numba
import numpy as np

from handgrad.arrays import Array
from handgrad.engine.kernels import in_a_line
from handgrad.engine.kernels.parts import blas_threads
from handgrad.engine.kernels.training import PART_NUMBERS

_lock = threading.Lock()
_forked = False


def _mark_forked() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_mark_forked)


@cache
def _pool_starts() -> bool:
    """Start Numba's threads; say whether there are any.

    Numba reads NUMBA_THREADING_LAYER and NUMBA_NUM_THREADS only now, and refuses in its own ways.
    """
    try:
        numba.get_num_threads()
    except Exception as error:
        warnings.warn(
            "handgrad uses one thread, as Numba's cannot be started: " + in_a_line(error),
            RuntimeWarning, stacklevel=2,
        )  # fmt: skip
        return False
    return True


class numbas_threads:
    """Take Numba's pool of threads, where it is wanted and to be had; say whether it was.

    It takes one caller at a time, and does not survive a fork: who comes second, and a forked
    process, does its parts one after the other, to the same bits.
    """

    __slots__ = ("_mine", "_wanted")

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted

    def __enter__(self) -> bool:
        self._mine = self._wanted and not _forked and _lock.acquire(blocking=False)
        if self._mine and not _pool_starts():
            _lock.release()
            self._mine = False
        return self._mine

    def __exit__(self, *error: object) -> None:
        if self._mine:
            _lock.release()


def do(part: Any, all_parts: Any, parts: int, *arguments: Any) -> None:
    """Do a kernel's parts: all at once where there are threads for them."""
    with numbas_threads(parts > 1) as together:
        if together:
            all_parts(parts, *arguments)
        else:
            for i in range(parts):
                part(i, parts, *arguments)


def share(threads: int, work: int, enough: int) -> int:
    """How many parts to make: fewer than there are threads where there is little to do."""
    return max(1, min(threads, work // enough))


def share_numbers(count: int) -> int:
    """Parts of work that calls no BLAS; a little is not worth asking for the threads."""
    return 1 if count < 2 * PART_NUMBERS else share(blas_threads(), count, PART_NUMBERS)


def plain(x: Array) -> Array:
    """Contiguous and writable, as compiled code was compiled for."""
    x = np.ascontiguousarray(x)
    return x if x.flags.writeable else x.copy()
