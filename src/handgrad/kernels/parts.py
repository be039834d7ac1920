"""A batch in parts, one a thread, while NumPy's BLAS keeps to one: never two pools at once.

There are as many parts as the user lets BLAS have threads, and they depend on that number alone:
the same number gives the same bits.
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

Result = TypeVar("Result")


@cache
def blas_libraries() -> tuple[Any, ...]:
    """The BLAS libraries that this process has loaded, NumPy's among them."""
    np.dot(np.ones((2, 2)), np.ones((2, 2)))  # loads it
    return tuple(
        library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"
    )


@cache
def _dials() -> tuple[tuple[Callable[[], int], Callable[[int], None]], ...]:
    """Give each library's function that tells its threads, and the one that sets them.

    OpenBLAS's own where they are found: threadpoolctl looks them up by name at each call, which
    takes as long as a small network's prediction.
    """
    dials: list[tuple[Callable[[], int], Callable[[int], None]]] = []
    for library in blas_libraries():
        loaded = ctypes.CDLL(library.filepath)
        for name in ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_"):
            if hasattr(loaded, name.format("set")):
                dials.append((loaded[name.format("get")], loaded[name.format("set")]))
                break
        else:
            dials.append((library.get_num_threads, library.set_num_threads))
    return tuple(dials)


def blas_threads() -> int:
    """How many threads the user lets BLAS have: the number that our kernels take, too."""
    return max((int(get()) for get, _ in _dials()), default=1)


class blas_on_one_thread:
    """Set BLAS to one thread inside and restore it after; give the number it had."""

    __slots__ = ("_before",)

    def __enter__(self) -> int:
        self._before = [get() for get, _ in _dials()]
        most = max(self._before, default=1)
        if most > 1:
            for _, set_threads in _dials():
                set_threads(1)
        return most

    def __exit__(self, *error: object) -> None:
        if max(self._before, default=1) > 1:
            for (_, set_threads), threads in zip(_dials(), self._before, strict=True):
                set_threads(threads)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="handgrad")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


# A part should be worth handing to a thread: so many multiplications.
_PART_PRODUCTS = 2**21


def in_parts(count: int, work: int, do: Callable[[slice], Result]) -> list[Result]:
    """Give do(some) for consecutive slices that make up range(count), one a thread.

    ``work`` is how many multiplications all of it takes: little is done in one part.
    """
    with blas_on_one_thread() as threads:
        parts = max(1, min(threads, count, work // _PART_PRODUCTS))
        slices = [slice(count * i // parts, count * (i + 1) // parts) for i in range(parts)]
        if parts == 1:
            return [do(slices[0])]
        return list(_pool(threads).map(do, slices))
