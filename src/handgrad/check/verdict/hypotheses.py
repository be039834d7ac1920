"""Which mistake gives these numbers? Hypotheses are tried, and count only if they fit tightly."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Want

_TIGHT = 1e-6
_SAME = 1e-11  # sums in another order


class Explanation(NamedTuple):
    """A cause that the numbers support, and what there is to say beyond its sentence."""

    cause: str
    remark: str = ""


def close(got: Array, value: Array, tolerance: float) -> bool:
    """Whether two arrays agree in shape and, relative to the largest entry, in every number."""
    if got.shape != value.shape:
        return False
    if got.size == 0:
        return True
    with np.errstate(all="ignore"):
        scale = float(np.abs(value).max())
        # NaN compares false: a NaN is never close; nor is anything to an infinity.
        return math.isfinite(scale) and bool(
            (np.abs(got - value) <= tolerance * max(scale, 1e-300)).all()
        )


Mistaken = Iterable[tuple[str, Any]]
"""A cause, and the value that its mistake gives: made only when it is asked for."""


def explain(
    got: Array, value: Array, want: Want, numbers: Mapping[str, float], mistaken: Mistaken = ()
) -> list[Explanation]:
    """Name every cause under which ``got`` is what one would get, the most telling first.

    A hypothesis must fit within 1e-6 (or the want's own tolerance, for float32) of its largest
    entry, and must be told apart from the right answer by more than ten times that.
    """
    tolerance = max(_TIGHT, want.tolerance)
    causes = _as_mistaken(got, value, want, mistaken)
    if got.shape != value.shape:
        return causes + _of_another_shape(got, value, tolerance)
    if not np.isfinite(got).all():
        return causes
    if value.size == 0 or (close(got, value, 10 * _TIGHT) and want.tolerance >= _TIGHT):
        return causes
    return causes + _by_number(got, value, want, numbers, tolerance)


def _as_mistaken(got: Array, value: Array, want: Want, mistaken: Mistaken) -> list[Explanation]:
    """The known mistakes that give these numbers; where some give the very same, those alone."""
    same: dict[str, Explanation] = {}
    near: dict[str, Explanation] = {}
    for cause, wrong in mistaken:
        candidate = as_numbers(wrong)
        if candidate is None:
            continue
        candidate = candidate.astype(np.float64)
        if value.ndim == 0 and candidate.size == 1:
            candidate = candidate.reshape(())
        if close(got, candidate, _SAME) and not close(candidate, value, want.tolerance):
            same[cause] = Explanation(cause)
        if gives(got, candidate, value, want.tolerance):
            near[cause] = Explanation(cause)
    return list((same or near).values())


def gives(got: Array, candidate: Array, value: Array, wanted: float) -> bool:
    """Whether a mistake that gives ``candidate`` in place of ``value`` explains ``got``.

    wanted : the tolerance of the right value
    """
    tolerance = max(_TIGHT, wanted)
    if value.ndim == 0 and candidate.size == 1:
        candidate = candidate.reshape(())
    apart = candidate.shape != value.shape or not close(candidate, value, 10 * tolerance)
    return apart and (close(got, candidate, tolerance) or _same_nonfinite(got, candidate))


def _same_nonfinite(got: Array, candidate: Array) -> bool:
    """Whether NaN and infinity stand at the same places, and the other numbers agree."""
    if got.shape != candidate.shape or np.isfinite(candidate).all():
        return False
    return bool(np.allclose(got, candidate, rtol=_TIGHT, atol=0, equal_nan=True))


def _of_another_shape(got: Array, value: Array, tolerance: float) -> list[Explanation]:
    if value.size > 1 and value.shape == (len(value), 1) and got.shape == (value.size,) * 2:
        return [Explanation("broadcast-n-by-n")]
    if got.size == value.size and got.ndim == value.ndim == 2 and close(got.T, value, tolerance):
        return [Explanation("transposed")]
    if got.size == value.size and close(got.reshape(value.shape), value, tolerance):
        return [Explanation("wrong-shape", "the numbers are right, only the shape is not")]
    for axis in range(got.ndim):
        summed = got.sum(axis=axis)
        if summed.shape == value.shape and close(summed, value, tolerance):
            return [Explanation("not-summed", f"summed over axis {axis} it would be right")]
        if summed.size == value.size and close(summed.reshape(value.shape), value, tolerance):
            return [Explanation("not-summed", f"summed over axis {axis} it would be right")]
    return []


_FACTORS = {
    "N": ("factor-n", "factor-one-over-n"),
    "keep": ("factor-p", "factor-one-over-p"),
}
_SAID = {"keep": "the probability to keep"}  # other numbers are called by their letter


def _by_number(
    got: Array, value: Array, want: Want, numbers: Mapping[str, float], tolerance: float
) -> list[Explanation]:
    """Hypotheses on numbers of the right shape."""
    found = []
    scale = float(np.abs(value).max())
    if close(got, -value, tolerance):
        found.append(Explanation("sign"))
    if not got.any() and scale > 0:
        found.append(Explanation("gradient-zero"))
    for name, (times, divided) in _FACTORS.items():
        factor, said = numbers.get(name, 1), _SAID.get(name, name)
        if factor == 1:
            continue
        if close(got, value * factor, tolerance):
            found.append(Explanation(times, f"{said} = {factor:g} here"))
        if close(got, value / factor, tolerance):
            found.append(Explanation(divided, f"{said} = {factor:g} here"))
    if close(got, 2 * value, tolerance):
        found.append(Explanation("factor-two"))
    if close(got, value / 2, tolerance):
        found.append(Explanation("factor-half"))
    if value.ndim == 2 and value.shape[0] == value.shape[1] and close(got.T, value, tolerance):
        found.append(Explanation("transposed"))
    if got.dtype == np.float64 and want.tolerance < _TIGHT:
        rounded = value.astype(np.float32).astype(np.float64)
        single = bool((got == got.astype(np.float32)).all()) and not (rounded == value).all()
        if close(got, value, 1e-4 if single else 3e-6):
            found.append(Explanation("float32-forced", "it agrees in float32's digits only"))
    if scale > 0 and (np.trunc(value) != value).any():
        cut = close(got, np.trunc(value), 1e-12) or close(got, np.floor(value), 1e-12)
        if cut and (got == np.trunc(got)).all():
            found.append(Explanation("integer-division"))
    found += _in_places(got, value, want)
    if not found:
        found += _constant_factor(got, value, numbers, tolerance)
    return found


def _in_places(got: Array, value: Array, want: Want) -> list[Explanation]:
    """Whether only entries of known places are off."""
    off = np.abs(got - value) > max(want.tolerance, 1e-12) * max(float(np.abs(value).max()), 1e-300)
    return [
        Explanation(cause)
        for cause, mask in want.places.items()
        if mask.shape == off.shape and off.any() and not (off & ~mask).any() and not mask.all()
    ]


def _constant_factor(
    got: Array, value: Array, numbers: Mapping[str, float], tolerance: float
) -> list[Explanation]:
    """The factor of least squares, if it leaves nothing over."""
    square = float((value * value).sum())
    if value.size < 4 or square == 0 or np.count_nonzero(value) < 4:
        return []
    factor = float((got * value).sum()) / square
    if factor == 0 or not close(got, factor * value, tolerance):
        return []
    return [Explanation("factor-other", _name_factor(factor, numbers))]


def _name_factor(factor: float, numbers: Mapping[str, float]) -> str:
    """'the factor is 0.25 = 1/C', where a number of the case explains it."""
    shown = f"the factor is {factor:.6g}"
    for name, number in numbers.items():
        if number in (0, 1) or not math.isfinite(number):
            continue
        said = _SAID.get(name, name)
        for text, candidate in ((said, number), (f"1/{said}", 1 / number)):
            for sign in ("", "-"):
                if math.isclose(factor, -candidate if sign else candidate, rel_tol=1e-6):
                    return f"{shown} = {sign}{text}"
    return shown


def as_numbers(got: Any) -> Array | None:
    """What a child gave back as an array of numbers, or None."""
    if isinstance(got, bool | int | float | np.ndarray | np.generic):
        array = np.asarray(got)
        return array if array.dtype.kind in "biuf" else None
    if isinstance(got, list | tuple) and got:
        parts = [as_numbers(item) for item in got]
        if all(part is not None and part.ndim == 0 for part in parts):
            return np.array([float(part) for part in parts if part is not None])
    return None


def dtype_cause(got: Array, wanted: str) -> str:
    """Name the mistake of numbers that are right but of another dtype than the one wanted."""
    forced = wanted == "float64" and got.dtype == np.float32
    return "float32-forced" if forced else "dtype-not-kept"
