"""One output against its right value: what is different, as facts."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Want
from handgrad.check.records import Observation
from handgrad.check.sandbox.wire import Foreign
from handgrad.check.verdict.hypotheses import as_numbers, close


@dataclass(frozen=True)
class Difference:
    """What is wrong with an output.

    Attributes
    ----------
    kind : 'form', 'shape', 'nonfinite', 'numbers' or 'dtype'
        The first that is wrong: what is no array has no shape, and so on.
    seen : Observation
    got : array or None
        The numbers received, of their own dtype; None where there are none.
    value : array
        The right ones, of float64.
    """

    kind: Literal["form", "shape", "nonfinite", "numbers", "dtype"]
    seen: Observation
    got: Array | None
    value: Array


def compare(want: Want, right: Any, got: Any) -> Difference | None:
    """Compare one output with its right value; None when it is right."""
    name, value = want.name, np.asarray(right, dtype=np.float64)
    numbers = as_numbers(got)
    if numbers is None:
        should = "a number" if value.ndim == 0 else f"an array of shape {value.shape}"
        said = f"{name} should be {should}; got {brief(got)}"
        return Difference("form", Observation(output=name, said=said), None, value)
    if value.ndim == 0 and numbers.size == 1:
        numbers = numbers.reshape(())  # a loss of shape (1,) or (1, 1) is a number all the same
    wide = numbers.astype(np.float64)
    if numbers.shape != value.shape:
        said = f"{name} has shape {numbers.shape}, expected {value.shape}"
        return Difference("shape", Observation(output=name, said=said), numbers, value)
    if not np.isfinite(wide).all() and np.isfinite(value).all():
        return Difference("nonfinite", _numbers(want, wide, value), numbers, value)
    if not close(wide, value, want.tolerance):
        return Difference("numbers", _numbers(want, wide, value), numbers, value)
    if want.dtype != "any" and numbers.dtype != np.dtype(want.dtype):
        said = f"{name} is {numbers.dtype}, expected {want.dtype} (as the input)"
        return Difference("dtype", Observation(output=name, said=said), numbers, value)
    return None


def _numbers(want: Want, got: Array, value: Array) -> Observation:
    index = worst(got, value)
    with np.errstate(all="ignore"):
        scale = max(float(np.abs(value).max()), 1e-300)
        off = int(np.sum(~(np.abs(got - value) <= want.tolerance * scale)))
    return Observation(
        output=want.name,
        received=float(got[index]) + 0.0,  # -0.0 is 0
        expected=float(value[index]) + 0.0,
        index=index,
        off=off,
        entries=value.size if value.ndim else 0,
    )


def worst(got: Array, value: Array) -> tuple[int, ...]:
    """Give the index of the entry that is most off; NaN is further off than anything."""
    with np.errstate(all="ignore"):
        error = np.abs(got - value)
    error = np.where(np.isnan(error), np.inf, error)
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(error)), error.shape))


def brief(value: Any) -> str:
    """Say what a value is that should have been numbers."""
    if isinstance(value, Foreign):
        return f"a {value}"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of shape {value.shape}"
    if value is None:
        return "None"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
