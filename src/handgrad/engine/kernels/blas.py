"""Matrix products inside compiled code: NumPy's own BLAS, called by address, on one thread.

Calling the library that NumPy has already loaded needs no SciPy, gives the bits of
``numpy.matmul``, and lets one compiled function do all of a thread's work without coming back to
Python, where two threads would wait for each other.
"""

import ctypes
import hashlib
import threading
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import binding
from numba import config, types
from numba.core.caching import IndexDataCacheFile
from numba.core.ccallback import CFunc
from numba.extending import overload

from handgrad.engine.kernels import in_a_line
from handgrad.engine.kernels.parts import blas_libraries
from handgrad.engine.kernels.processor import LONG_VECTORS

if getattr(config, "DISABLE_JIT", False):
    raise ImportError("NUMBA_DISABLE_JIT is set")

Function = TypeVar("Function", bound=Callable[..., Any])

# What may be reordered: sums (so that they become vector instructions) and products feeding sums.
# NaN and infinity keep their meaning.
_MATHS = {"contract", "reassoc", "nsz"}
_ROW_MAJOR, _AS_IS, _TRANSPOSED = 101, 111, 112

# As arguments: a literal is a type of its own, and one more compilation of what it is given to.
ZERO: Any = np.int64(0)
ONE: Any = np.int64(1)


_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": _MATHS,
}


def _sources() -> str:
    """Say in which state the kernels' files are."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


_SOURCES = _sources()


class _CacheFile(IndexDataCacheFile):
    """What lies on disk of a function: good as long as no kernel's file has changed.

    Numba would look at the function's own file alone, and go on with others, inlined, as they
    were. And it would number a function's files, so that two processes, each with code for other
    types, could both write number 1, and leave an index that takes one's code for the other's: here
    a file's number comes from what it is for. What cannot be read is compiled again, and written
    over; what cannot be written is not kept.
    """

    def save(self, key: Any, data: Any) -> None:
        """Keep the code made for ``key``."""
        file: Any = self
        name = file._data_name(int(hashlib.sha256(repr(key).encode()).hexdigest()[:12], 16))
        try:
            index = file._load_index()
            if index.get(key) != name:
                index[key] = name
                file._save_index(index)
            file._save_data(name, data)
        except OSError as error:
            _not_kept(error)

    def load(self, key: Any) -> Any:
        """Give the code made for ``key``; None if there is none, or it is damaged."""
        try:
            return cast(Any, super()).load(key)
        except Exception:  # a pickle of anything
            return None

    def _load_index(self) -> Any:
        try:
            return cast(Any, super())._load_index()
        except Exception:  # a pickle of anything
            return {}


@cache
def _say_once(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=4)


def _not_kept(error: Exception) -> None:
    """Say, once for each reason, that every process will compile anew."""
    # An OSError's message names a file: that would be another reason for each.
    reason = (isinstance(error, OSError) and error.strerror) or in_a_line(error)
    if "no locator available" in reason:
        reason = "neither the package's folder nor the user's cache can be written"
    _say_once(
        "handgrad compiles its kernels in each process, as compiled code cannot be kept: "
        f"{reason}; NUMBA_CACHE_DIR names a folder for it"
    )


def _kept(compiles: Any) -> Any:
    """Let a dispatcher or a CFunc keep its code in a _CacheFile, where there is a place for it.

    Where Numba puts that is not in its documentation: a test tells when it is elsewhere.
    """
    try:
        compiles.enable_caching()
    except RuntimeError as error:  # so Numba says that it may write nowhere
        _not_kept(error)
        return compiles
    kept, file = compiles._cache, cast(Any, _CacheFile)
    kept._cache_file = file(kept.cache_path, kept._impl.filename_base, _SOURCES)
    return compiles


def _jit(function: Function, **options: Any) -> Function:
    return cast(Function, _kept(numba.njit(**options)(function)))


def compiled(function: Function) -> Function:
    """Compile at the first call for each combination of dtypes; kept on disk; the GIL released."""
    return _jit(function, **_OPTIONS)


def elementwise(function: Function) -> Function:
    """As ``compiled``, with each operation rounded as NumPy rounds it."""
    return _jit(function, **{**_OPTIONS, "fastmath": False})


def parallel(function: Function) -> Function:
    """As ``compiled``, its ``numba.prange`` loops spread over threads."""
    return _jit(function, parallel=True, **_OPTIONS)


_apart: list[tuple[str, Any]] = []
_binding, _bound = threading.Lock(), threading.Event()


def apart(name: str, *kinds: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function once, by itself, to be called from compiled code by its address.

    A caller's compilation does over again what all functions take that it calls; for large ones
    that is seconds, at each level. Arrays come as pointers. Before a caller is compiled or loaded,
    there has to be a ``bind``.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        symbol = f"handgrad_{name}"
        made: Any = CFunc(function, (kinds, types.void), locals={}, options={**_OPTIONS})
        _apart.append((symbol, _kept(made)))
        return types.ExternalFunction(symbol, types.void(*kinds))

    return decorate


def bind() -> None:
    """Compile what is compiled apart, or load it, once; threads may ask at the same time.

    All of it is for long vectors: without them nothing refers to it.
    """
    if _bound.is_set() or not LONG_VECTORS:
        return
    with _binding:
        if not _bound.is_set():
            for symbol, function in _apart:
                function.compile()
                binding.add_symbol(symbol, function.address)
            _bound.set()


class NoBlasError(ImportError):
    """NumPy's BLAS cannot be called from compiled code."""


def _bind_numpys_blas() -> None:
    """Find the loaded library that has the 64-bit C interface, as NumPy's wheels ship it."""
    for library in blas_libraries():
        loaded = ctypes.CDLL(library.filepath)
        for name in ("scipy_cblas_{}gemm64_", "cblas_{}gemm64_"):
            if hasattr(loaded, name.format("s")):
                for kind in "sd":
                    routine = getattr(loaded, name.format(kind))
                    address = ctypes.cast(routine, ctypes.c_void_p).value
                    binding.add_symbol(f"handgrad_{kind}gemm", address)
                return
    raise NoBlasError("NumPy's BLAS has no 64-bit C interface")


_bind_numpys_blas()


def _external(kind: str, real: Any) -> Any:
    size, flag, pointer = types.int64, types.int32, types.voidptr
    return types.ExternalFunction(
        f"handgrad_{kind}gemm",
        types.void(
            flag, flag, flag, size, size, size, real, pointer, size, pointer, size, real, pointer,
            size,
        ),
    )  # fmt: skip


_sgemm, _dgemm = _external("s", types.float32), _external("d", types.float64)


def gemm(
    ta: int, tb: int, M: int, N: int, K: int, a: Any, lda: int, b: Any, ldb: int, beta: int,
    c: Any, ldc: int,
) -> None:  # fmt: skip
    """C (M, N) = op(A) op(B) + beta C, row-major; op transposes where ta, tb are 1.

    a, b, c are arrays whose first number is the matrix's; lda, ldb, ldc their rows' lengths.
    """
    raise NotImplementedError("only inside compiled code")


@overload(gemm)
def _gemm(
    ta: Any, tb: Any, M: Any, N: Any, K: Any, a: Any, lda: Any, b: Any, ldb: Any, beta: Any,
    c: Any, ldc: Any,
) -> Callable[..., None]:  # fmt: skip
    routine, real = (_sgemm, np.float32) if c.dtype == types.float32 else (_dgemm, np.float64)

    def call(
        ta: Any, tb: Any, M: Any, N: Any, K: Any, a: Any, lda: Any, b: Any, ldb: Any, beta: Any,
        c: Any, ldc: Any,
    ) -> None:  # fmt: skip
        routine(
            _ROW_MAJOR, _TRANSPOSED if ta else _AS_IS, _TRANSPOSED if tb else _AS_IS, M, N, K,
            real(1), a.ctypes, lda, b.ctypes, ldb, real(beta), c.ctypes, ldc,
        )  # fmt: skip

    return call


# With AVX-512, OpenBLAS multiplies matrices with up to so many products as they lie; it packs
# larger ones first, which for a batch of 100 costs a fifth of the time. Its tiles have 64 columns.
_UNPACKED, _COLUMNS, _ROWS = 10**6, 64, 128


@compiled
def product(
    ta: int, tb: int, M: int, N: int, K: int, a: Any, lda: int, b: Any, ldb: int, beta: int,
    c: Any, ldc: int,
) -> None:  # fmt: skip
    """As ``gemm``, of arrays of one dimension, in the pieces that BLAS is fastest with."""
    if not LONG_VECTORS:
        gemm(ta, tb, M, N, K, a, lda, b, ldb, beta, c, ldc)
        return
    rows = max(1, M) if M < 2 * _ROWS else _ROWS
    columns = max(1, N) if N < 2 * _COLUMNS else _COLUMNS
    depth = _UNPACKED // (rows * columns)
    for k in range(0, max(K, 1), depth):  # once if K is 0: then C is beta C
        more = 1 if k > 0 else beta
        for m in range(0, M, rows):
            for n in range(0, N, columns):
                gemm(
                    ta, tb, min(rows, M - m), min(columns, N - n), min(depth, K - k),
                    a[k * lda + m if ta else m * lda + k :], lda,
                    b[n * ldb + k if tb else k * ldb + n :], ldb, more, c[m * ldc + n :], ldc,
                )  # fmt: skip
