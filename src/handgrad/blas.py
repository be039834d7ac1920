"""How many threads NumPy's BLAS takes: told and set, by the library's own functions."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import numpy as np

# The functions that tell and set the number of threads, by library, in any of the names that its
# builds give them: the wheels' OpenBLAS, OpenBLAS, MKL, BLIS, FlexiBLAS.
_FUNCTIONS = (
    *(
        ("openblas", f"{start}_get_num_threads{end}", f"{start}_set_num_threads{end}")
        for start in ("scipy_openblas", "openblas")
        for end in ("64_", "")
    ),
    ("mkl", "MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
    ("blis", "bli_thread_get_num_threads", "bli_thread_set_num_threads"),
    ("flexiblas", "flexiblas_get_num_threads", "flexiblas_set_num_threads"),
)  # fmt: skip


class _Library(NamedTuple):
    """NumPy's BLAS as it is loaded, and its functions."""

    loaded: ctypes.PyDLL
    kind: str
    get_name: str
    get: Callable[[], int]
    set: Callable[[int], int]


@cache
def _library() -> _Library | None:
    """Find NumPy's BLAS; None for one without such functions, as Apple's or the reference BLAS."""
    np.dot(np.ones((2, 2)), np.ones((2, 2)))  # which loads a BLAS that is loaded lazily
    # A symbol is looked up in a library and in those that it was linked to.
    file = importlib.import_module("numpy._core._multiarray_umath").__file__
    loaded = ctypes.PyDLL(file)
    for kind, get, set_ in _FUNCTIONS:
        if hasattr(loaded, get) and hasattr(loaded, set_):
            return _Library(loaded, kind, get, getattr(loaded, get), getattr(loaded, set_))
    return None


def threads() -> int:
    """Return how many threads NumPy's BLAS may take; 1 for one that cannot be asked."""
    found = _library()
    return max(1, found.get()) if found else 1


@contextmanager
def limited_to(count: int) -> Iterator[None]:
    """Let NumPy's BLAS take so many threads in a block; one that cannot be told is left alone."""
    found, before = _library(), threads()
    if found is None:
        yield
        return
    found.set(count)
    try:
        yield
    finally:
        found.set(before)


def description() -> str:
    """Name NumPy's BLAS, with version and processor where it is OpenBLAS; "" if it is unknown."""
    found = _library()
    if found is None or found.kind != "openblas":
        return found.kind if found else ""
    version = _text(found, "config").split()  # "OpenBLAS 0.3.30  USE64BITINT ..."
    number = version[1] if len(version) > 1 else "of unknown version"
    return f"openblas {number} ({_text(found, 'corename')})"


def _text(found: _Library, what: str) -> str:
    function = found.loaded[found.get_name.replace("num_threads", what)]
    function.restype = ctypes.c_char_p
    text: bytes | None = function()
    return (text or b"").decode("ascii", "replace")
