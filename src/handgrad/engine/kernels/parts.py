"""A batch in parts, one a thread, while NumPy's BLAS keeps to one: never two pools at once.

There are as many parts as the user lets BLAS have threads, and they depend on that number alone:
the same number gives the same bits, whatever other Python threads do in the meantime. BLAS's number
is the whole process's; so while anybody is inside ``blas_on_one_thread``, the user's is kept here,
and all who come meanwhile are told that one. It may be changed while nobody is inside.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from operator import call
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
    takes as long as a small network's prediction. They only read or write a number: it would take
    longer to let other Python threads run meanwhile, which ``PyDLL`` does not.
    """
    dials: list[tuple[Callable[[], int], Callable[[int], None]]] = []
    for library in blas_libraries():
        loaded = ctypes.PyDLL(library.filepath)
        for name in ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_"):
            if hasattr(loaded, name.format("set")):
                dials.append((loaded[name.format("get")], loaded[name.format("set")]))
                break
        else:
            dials.append((library.get_num_threads, library.set_num_threads))
    return tuple(dials)


@cache
def _getters() -> tuple[tuple[Callable[[], int], ...], list[int]]:
    """Give the functions that tell, and what all of them tell where each library has one thread."""
    getters = tuple(get for get, _ in _dials())
    return getters, [1] * len(getters)


class _Shared:
    """How many are inside ``blas_on_one_thread``, and the user's numbers, kept meanwhile.

    An entrant that an interruption has kept from leaving is collected at any moment, perhaps in the
    middle of somebody's entering: the lock can be taken twice, and all is counted before BLAS is
    touched.
    """

    __slots__ = ("inside", "kept", "lock", "most")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.inside = 0
        self.kept: list[int] = []  # one a library; none where BLAS has the user's numbers itself
        self.most = 1  # the largest of them

    def look(self) -> bool:
        """Take down the user's numbers; say whether BLAS has any of them, and not one thread."""
        getters, ones = _getters()
        now = [*map(call, getters)]
        if now == ones:
            if not self.kept:
                self.kept, self.most = now, 1
            return False
        if self.kept:  # changed by the user while somebody was inside
            now = [n if n > 1 else kept for n, kept in zip(now, self.kept, strict=True)]
        self.kept, self.most = now, max(now)
        return True

    def restore(self) -> None:
        """Give BLAS the user's numbers again, where they have not been changed since."""
        if self.most > 1:
            for (get, set_threads), threads in zip(_dials(), self.kept, strict=True):
                if threads > 1 and get() == 1:
                    set_threads(threads)
        self.kept, self.most = [], 1


_shared = _Shared()


def blas_threads() -> int:
    """How many threads the user lets BLAS have: the number that our kernels take, too."""
    shared = _shared
    with shared.lock:
        if shared.kept:
            shared.look()
            return shared.most
        return max([get() for get, _ in _dials()] or [1])


class blas_on_one_thread:
    """Keep BLAS to one thread while anybody is inside; give the number that the user set."""

    __slots__ = ("_shared",)

    def __init__(self) -> None:
        self._shared: _Shared | None = None

    def __enter__(self) -> int:
        shared = _shared
        with shared.lock:
            shared.inside += 1
            self._shared = shared
            if shared.look():
                for _, set_threads in _dials():
                    set_threads(1)
            return shared.most

    def __exit__(self, *error: object) -> None:
        shared = self._shared
        if shared is not _shared:  # it was entered in the process that this one was forked from
            return
        with shared.lock:
            shared.inside -= 1
            self._shared = None
            if not shared.inside:
                shared.restore()

    def __del__(self) -> None:
        """Leave, if Ctrl-C came between entering and leaving."""
        if self._shared is not None:
            self.__exit__()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="handgrad")


def _begin_alone() -> None:
    """Begin anew in a forked process: other threads, and what they held, are not there."""
    global _shared
    before, _shared = _shared, _Shared()
    _pool.cache_clear()
    before.restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_alone)


# A part should be worth handing to a thread: so many multiplications.
_PART_PRODUCTS = 2**21


def worth(threads: int, work: int) -> bool:
    """Whether ``split`` would make more than one part of so many multiplications."""
    return min(threads, work // _PART_PRODUCTS) > 1


def in_parts(count: int, work: int, do: Callable[[slice], Result]) -> list[Result]:
    """Give do(some) for consecutive slices that make up range(count), one a thread.

    ``work`` is how many multiplications all of it takes: little is done in one part.
    """
    with blas_on_one_thread() as threads:
        return split(threads, count, work, do)


def split(threads: int, count: int, work: int, do: Callable[[slice], Result]) -> list[Result]:
    """As in_parts, of at most so many parts, inside ``blas_on_one_thread``."""
    parts = max(1, min(threads, count, work // _PART_PRODUCTS))
    slices = [slice(count * i // parts, count * (i + 1) // parts) for i in range(parts)]
    if parts == 1:
        return [do(slices[0])]
    # Each in the caller's context: np.errstate holds there, too.
    done = [_pool(threads).submit(copy_context().run, do, some) for some in slices]
    return [part.result() for part in done]
