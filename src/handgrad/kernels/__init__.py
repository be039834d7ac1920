"""The few hot loops under the layers and the network: same names and results in either engine.

``numpy.py`` is plain NumPy, readable, always there; ``numba.py`` is compiled and several times
faster. The choice is made here, at the first use: Numba's if Numba is installed and can call
NumPy's BLAS. ``HANDGRAD_KERNELS=numpy`` in the environment forces plain NumPy.
"""

import importlib
import os
from types import ModuleType
from typing import Any

KERNELS = (
    "add_l2",
    "block_backward",
    "block_forward",
    "conv_backward_w",
    "conv_backward_x",
    "conv_forward",
    "dense_backward",
    "dense_forward",
    "dense_learn",
    "dense_steps",
    "dropout_backward",
    "dropout_forward",
    "max_pool_backward",
    "max_pool_forward",
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
    return importlib.import_module(f"handgrad.kernels.{name}")


def _choose() -> ModuleType:
    wanted = os.environ.get("HANDGRAD_KERNELS", "")
    if wanted not in ("", "numba", "numpy"):
        raise ValueError(f"HANDGRAD_KERNELS must be numba or numpy; got {wanted!r}")
    if wanted != "numpy":
        try:
            return load("numba")
        except ImportError:
            if wanted == "numba":
                raise
    return load("numpy")


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
