"""int8 for a C file: one step a tensor, one an output channel for weights; symmetric around 0."""

from dataclasses import replace

import numpy as np

from handgrad.arrays import Array
from handgrad.errors import ExportError
from handgrad.export.c_layers import Kinds
from handgrad.export.c_plan import Op

_LARGEST = 127
_MOST_PRODUCTS = (2**31 - 1) // _LARGEST**2  # that a sum in int32 can hold


def quantised(ops: list[Op], largest: list[float]) -> tuple[list[Op], list[Kinds]]:
    """Make int8 of the weights, and say in which steps each op reads and writes.

    Parameters
    ----------
    ops : list of Op
        The first reads floats, the last writes floats.
    largest : list of float
        The largest absolute number of the input and of each step's output (`c_plan.largest`).

    Raises
    ------
    ExportError
        If a sum could overflow.
    """
    made, kinds = [], []
    given: float | None = None
    for place, op in enumerate(ops):
        # The largest of a window, and zeros around an image, are in the input's steps.
        step = given if op.kind in ("maxpool", "pad") and given else _step(largest[op.step + 1])
        out = None if place == len(ops) - 1 else step
        weights = None
        if op.kind in ("conv", "dense"):
            op, weights = _with_weights(op)
        kinds.append(Kinds(given, out, weights))
        made.append(op)
        given = out
    return made, kinds


def _step(largest: float) -> float:
    """The difference of neighbouring int8 values: 127 of them reach the largest number."""
    return float(np.float32(largest / _LARGEST)) if largest > 0 else 1.0


def _with_weights(op: Op) -> tuple[Op, Array]:
    """Give the op with int8 weights, and each output channel's step."""
    w = op.arrays["w"]
    products = w.size // w.shape[-1]
    if products > _MOST_PRODUCTS:
        raise ExportError(
            f"cannot write {op.said} as int8: a sum of {products:,} products may not fit int32; "
            "write it as float"
        )
    steps = np.abs(w).reshape(-1, w.shape[-1]).max(axis=0) / _LARGEST
    steps[steps == 0] = 1.0
    whole = np.rint(w / steps).clip(-_LARGEST, _LARGEST).astype(np.int8)
    if op.kind == "dense":
        whole = np.ascontiguousarray(whole.T)  # (M, D): a sum runs over neighbours
    return replace(op, arrays={**op.arrays, "w": whole}), steps
