"""The engine's shared library: which one this processor takes, and its structures and functions."""

import ctypes
import logging
from ctypes import POINTER, c_double, c_float, c_int32, c_int64, c_void_p
from functools import cache

import numpy as np

# The engine takes as many threads as the user lets BLAS have.
from handgrad.blas import threads as threads
from handgrad.engine import build
from handgrad.errors import EngineError

Pointer = c_void_p


class Shape(ctypes.Structure):
    """One example: c features of 1 x 1 pixels, or an image of c channels; see csrc/engine.h."""

    _fields_ = [(name, c_int32) for name in ("c", "h", "w", "stride")]


class Param(ctypes.Structure):
    """A parameter, its gradient, the rule's state, how it is stepped, and what the engine keeps."""

    _fields_ = [
        *((name, Pointer) for name in ("w", "dw", "first", "second")),
        ("size", c_int64), ("t", c_int64), ("rule", c_int32), ("penalised", c_int32),
        *((name, c_double) for name in ("a", "b", "epsilon", "decay")),
        ("mean_has", c_double), ("square_has", c_double),
    ]  # fmt: skip


class Layer(ctypes.Structure):
    """A layer, and behind ``running_var`` what the engine keeps for it."""

    _fields_ = [
        ("kind", c_int32), ("in_", Shape), ("out", Shape),
        *((name, c_int32) for name in ("size", "step", "padding", "pool", "pool_step", "relu")),
        ("normed", c_int32), ("function", c_int32),
        *((name, c_double) for name in ("keep", "momentum", "eps", "slope")),
        *((name, POINTER(Param)) for name in ("w", "b", "gamma", "beta")),
        ("running_mean", Pointer), ("running_var", Pointer), ("mid", Shape),
        *((name, Pointer) for name in ("kept", "best", "mean", "inverse", "scale", "shift")),
        *((name, Pointer) for name in ("taps", "places", "back_taps", "back_places")),
        ("images", c_int32), ("output", Pointer), ("winners", Pointer),
    ]  # fmt: skip


class Loss(ctypes.Structure):
    """A loss and its own number: softmax's label smoothing, Huber's delta."""

    _fields_ = [("kind", c_int32), ("option", c_double)]


class Targets(ctypes.Structure):
    """What the examples shall give, and what each weighs; see csrc/engine.h."""

    _fields_ = [(name, Pointer) for name in ("labels", "values", "weights")]


class Net(ctypes.Structure):
    """A network, and behind ``reg`` what the engine keeps for it."""

    _fields_ = [
        ("layers", POINTER(Layer)), ("params", POINTER(Param)),
        *((name, c_int32) for name in ("count", "params_count", "first")), ("loss", Loss),
        ("reg", c_double), ("capacity", c_int64), ("trained", c_int64),
        ("input", Pointer), ("gradients", Pointer * 2),
    ]  # fmt: skip


class Call(ctypes.Structure):
    """What one call takes: rows, targets, rates, room for losses or scores, randomness, threads."""

    _fields_ = [
        ("X", Pointer), ("rows", Pointer), ("targets", Targets), ("count", c_int64),
        ("batch", c_int64), ("rates", Pointer), ("losses", Pointer), ("background", c_double),
        *((name, Pointer) for name in ("scores", "upstream", "draws_state", "next_double")),
        ("threads", c_int32),
    ]  # fmt: skip


@cache
def level() -> int | None:
    """The highest level that this processor can run and that was built; None without an engine."""
    for lowest in sorted(build.levels()):
        if build.library(lowest, "float").exists():
            return min(int(_opened(lowest, "float").hg_level()), max(build.levels()))
    return None


@cache
def _opened(wanted: int, real: str) -> ctypes.CDLL:
    library = ctypes.CDLL(str(build.library(wanted, real)))
    ours = [ctypes.sizeof(kind) for kind in (Shape, Param, Layer, Net, Call)]
    theirs = (c_int32 * len(ours))()
    library.hg_sizes(theirs)
    if ours != list(theirs):
        raise EngineError(
            "handgrad's engine was compiled from other sources than these; install handgrad again, "
            f"or run python {build.__file__}"
        )
    library.hg_train.restype = library.hg_scores.restype = c_int64
    library.hg_train.argtypes = library.hg_scores.argtypes = [POINTER(Net), POINTER(Call)]
    library.hg_prepare.argtypes = library.hg_free.argtypes = [POINTER(Net)]
    return library


def load(dtype: np.dtype, wanted: int | None = None) -> ctypes.CDLL | None:
    """Give the library for float32 or float64; None, and once a line that says so, without one."""
    best = level() if wanted is None else wanted
    if best is None:
        _say_that_it_is_missing()
        return None
    return _opened(best, "float" if dtype == np.float32 else "double")


@cache
def _say_that_it_is_missing() -> None:
    logging.getLogger("handgrad").warning(
        "handgrad trains by its readable layers, several times slower: it was installed without "
        "its engine, as there was no C compiler; `pip install ziglang` and install it again"
    )


def real(dtype: np.dtype) -> type[c_float] | type[c_double]:
    """The C type of a dtype."""
    return c_float if dtype == np.float32 else c_double
