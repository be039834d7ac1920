"""The few hot loops under the layers and the network: same names and results in either engine.

``numpy.py`` is plain NumPy, readable, always there; ``numba.py`` is compiled and several times
faster. The choice is made here, at the first use: Numba's if Numba is installed and can be used;
where it is installed and cannot, a RuntimeWarning says why. ``HANDGRAD_KERNELS=numpy`` in the
environment forces plain NumPy, ``HANDGRAD_KERNELS=numba`` makes it an error that Numba cannot be
used.
"""

import importlib
import os
import warnings
from types import ModuleType
from typing import Any

from handgrad.errors import KernelsError

KERNELS = (
    "add_l2",
    "block_backward",
    "block_forward",
    "dense_backward",
    "dense_forward",
    "dense_learn",
    "dense_steps",
    "dropout_backward",
    "dropout_forward",
    "norm_backward",
    "norm_block_backward",
    "norm_block_forward",
    "norm_forward",
    "softmax",
    "swap_last_axes",
    "update",
)


def load(name: str) -> ModuleType:
    """Import the kernels of one engine, 'numba' or 'numpy'."""
    return importlib.import_module(f"handgrad.engine.kernels.{name}")


def _choose() -> ModuleType:
    wanted = os.environ.get("HANDGRAD_KERNELS", "")
    if wanted not in ("", "numba", "numpy"):
        raise KernelsError(f"HANDGRAD_KERNELS must be numba or numpy; got {wanted!r}")
    if wanted == "numpy":
        return load("numpy")
    try:
        return load("numba")
    except Exception as error:  # its import runs much of Numba, which may refuse in any way
        if wanted == "numba":
            raise KernelsError(
                f"HANDGRAD_KERNELS is numba, but Numba cannot be used: {in_a_line(error)}"
            ) from error
        if not (isinstance(error, ModuleNotFoundError) and error.name == "numba"):
            warnings.warn(
                "handgrad computes in plain NumPy, several times slower, as Numba cannot be used: "
                f"{in_a_line(error)}; HANDGRAD_KERNELS=numpy chooses that without this warning",
                RuntimeWarning, stacklevel=2,
            )  # fmt: skip
    return load("numpy")


def in_a_line(error: BaseException) -> str:
    """Give an error's kind and message, of several lines perhaps, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def engine() -> str:
    """Name of the engine in use: 'numba' or 'numpy'."""
    return str(_engine().__name__.rpartition(".")[2])


_chosen: list[ModuleType] = []


def _engine() -> ModuleType:
    if not _chosen:
        _chosen.append(_choose())
    return _chosen[0]


def __getattr__(name: str) -> Any:
    """Give the chosen engine's kernel; later uses find it in the module."""
    if name not in KERNELS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    kernel = getattr(_engine(), name)
    globals()[name] = kernel
    return kernel
