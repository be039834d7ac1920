"""A batch in parts, one a thread, while NumPy's BLAS keeps to one: never two pools at once.

There are as many parts as the user lets BLAS have threads, and they depend on that number alone:
the same number gives the same bits.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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


def blas_threads() -> int:
    """How many threads the user lets BLAS have: the number that our kernels take, too."""
    return max((int(library.get_num_threads()) for library in blas_libraries()), default=1)


@contextmanager
def blas_on_one_thread() -> Iterator[int]:
    """Set BLAS to one thread inside and restore it after; give the number it had."""
    before = [(library, library.get_num_threads()) for library in blas_libraries()]
    if all(threads == 1 for _, threads in before):
        yield 1
        return
    for library, _ in before:
        library.set_num_threads(1)
    try:
        yield max(threads for _, threads in before)
    finally:
        for library, threads in before:
            library.set_num_threads(threads)


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
