"""A second look where a gradient and its central differences disagree: a kink, or a mistake?

A kink (ReLU at 0, a tie in a max pool) within a step of the point spoils the differences there, and
a right gradient looks wrong. Three things tell it from a mistake, all along the one entry t:

- a smaller step, with no kink left within it, agrees;
- beside the point, at t = -d and t = d, the gradient is what the differences are: a mistake is one
  there, too;
- the function bends at the point: its differences to the left and to the right do not agree as a
  smooth function's do; or the gradient stays what it is over some last bits of t. The second is
  for rows whose kinks cancel each other in the sum, and tells a kink that lies closer than any
  difference can show from a gradient that is wrong at one exact number only.

What rounding hides remains hidden: where kinks lie closer than about 1e-9 and backward is right on
both sides of them, a mistake that only shows between them is passed, as perhaps a kink.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from handgrad.arrays import Array

Index = tuple[int, ...]
Along = Callable[[float], float]  # a number at the point moved by t along one entry

# Where to look beside the point, and how far to either side of there, in steps.
_WINDOWS = (
    *((4, 1), (16, 1), (64, 1), (8, 1), (32, 1), (12, 1), (24, 1), (48, 1)),
    *((2, 1 / 2), (1, 1 / 4), (1 / 2, 1 / 8), (1 / 4, 1 / 16), (1 / 8, 1 / 32)),
)
_EPSILON = float(np.finfo(np.float64).eps)


class Look(NamedTuple):
    """What a second look found."""

    error: float | None
    """The largest disagreement where the entry is right, as a difference; None: it is wrong."""
    bends: bool
    """Whether the sides differ: perhaps a kink."""
    left: float
    right: float
    """The differences on either side of the point."""

    @property
    def kink(self) -> bool:
        """Whether the entry is right beside the point, and could not be judged at the point."""
        return self.error is not None and self.bends


class Judged(NamedTuple):
    """The entries of an array, judged from the worst on, as far as the first that is wrong."""

    errors: Array
    """Relative to the largest; where an entry was looked at again, what was found then."""
    differences: Array
    wrong: int | None
    """Which one is wrong, and what the second look saw there."""
    look: Look | None
    off: int
    """How many are off, with it."""
    kinks: int
    """How many passed that are perhaps at a kink."""


def along(array: Array, index: Index, function: Callable[[], float]) -> Along:
    """Give ``function()`` as a function of t, by which an entry is moved; it is put back."""

    def moved(t: float) -> float:
        kept = array[index]
        try:
            array[index] = kept + t
            return function()
        finally:
            array[index] = kept

    return moved


def central(value: Along, at: float, step: float) -> float:
    """Central difference of ``value`` around t = ``at``."""
    return (value(at + step) - value(at - step)) / (2 * step)


def judge(
    array: Array,
    places: Sequence[Index],
    said: Array,
    value: Callable[[], float],
    gradient: Callable[[], Array],
    *,
    step: float,
    tolerance: float,
) -> Judged:
    """Compare what a backward pass ``said`` of some entries with their central differences.

    Parameters
    ----------
    array : array, changed in place and put back
    places : indices of the entries, at least one
    said : array, one number a place
    value, gradient : functions
        Of the array as it is then: the function, and the whole gradient that backward gives.
    step, tolerance : floats
        Errors are relative to the largest difference, but to 1e-3 at least.
    """
    values = [along(array, index, value) for index in places]
    differences = np.array([central(value, 0.0, step) for value in values])
    scale = max(float(np.abs(differences).max()), 1e-3)
    errors = np.asarray(np.abs(said - differences) / scale)
    errors[np.isnan(errors)] = np.inf
    off = [int(i) for i in np.argsort(-errors, kind="stable") if not errors[i] < tolerance]
    kinks = 0
    for passed, i in enumerate(off):

        def entry_of_gradient(index: Index = places[i]) -> float:
            return float(gradient()[index])

        slope, entry = along(array, places[i], entry_of_gradient), float(array[places[i]])
        allowed = tolerance * scale
        look = look_again(values[i], slope, float(said[i]), entry, step=step, allowed=allowed)
        if look.error is None:
            return Judged(errors, differences, i, look, len(off) - passed, kinks)
        errors[i] = look.error / scale
        kinks += look.kink
    return Judged(errors, differences, None, None, 0, kinks)


def look_again(
    value: Along, slope: Along, said: float, entry: float, *, step: float, allowed: float
) -> Look:
    """Judge an entry whose gradient ``said`` is not its central difference.

    Parameters
    ----------
    value, slope : functions of t
        The function itself, and what the backward pass says of its slope, at the point moved by t.
    said : float
        What the backward pass said at t = 0.
    entry : float
        The entry itself: t must change its last bits.
    step, allowed : floats
        The step of the differences, and how far a slope may be from them.
    """
    here = value(0.0)
    left, right = (here - value(-step)) / step, (value(step) - here) / step
    wrong = Look(None, False, left, right)
    # A backward pass that says something else now was not right before.
    if not (math.isfinite(said) and abs(slope(0.0) - said) < allowed):
        return wrong
    line = _Line(value, slope, entry, allowed)
    near = line.error_within_the_kinks(said, step)
    if near is not None:
        return wrong if near >= allowed else Look(near, False, left, right)
    bends = any(line.bends(step / part) for part in (1, 4, 16))
    if not (bends or line.jumps_closer_than_differences_see(said, step)):
        return wrong
    errors = [error for side in (-1, 1) if (error := line.error_beside(side * step)) is not None]
    return Look(max(errors), True, left, right) if len(errors) == 2 else wrong._replace(bends=bends)


class _Line:
    """A function and its supposed slope along one entry, and what their rounding may hide."""

    def __init__(self, value: Along, slope: Along, entry: float, allowed: float) -> None:
        self.value, self.slope, self.allowed = value, slope, allowed
        # A change of t by two last bits at least, which also is one where the entry is 0.
        self._bits = max(2 * float(np.spacing(abs(entry))), 1e-30)
        # Between points so close the function is a straight line but for its rounding, which is
        # more than the result's own where a sum has cancelled.
        close = [value(part * max(2 * self._bits, 1e-13)) for part in (-2, -1, 0, 1, 2)]
        uneven = float(np.abs(np.diff(close, 2)).max())
        self._rounding = max(16 * _EPSILON * abs(value(0.0)), 4 * uneven)

    def bends(self, step: float) -> bool:
        """Whether the slopes over four steps, two to each side, are off a straight line.

        Those of a smooth function are on one up to h^2; a kink J within the inner two puts them
        off by J / 3 at least, wherever it is.
        """
        slopes = np.diff([self.value(part * step) for part in (-2, -1, 0, 1, 2)]) / step
        off = float(np.abs(np.diff(slopes, 2)).max())
        return off > max(self.allowed / 2, self._rounding / step)

    def error_within_the_kinks(self, said: float, first_step: float) -> float | None:
        """Give the error of ``said`` by a step so small that no kink is left within it.

        Such a step has another difference than the first one, and does not bend. None: no step is
        known to be so small, down to where rounding hides what is in question.
        """
        first = central(self.value, 0.0, first_step)
        for step in first_step / 4.0 ** np.arange(1, 16):
            rounding = self._rounding / step
            if not rounding <= abs(first - said) / 8:
                return None
            difference = central(self.value, 0.0, step)
            moved = abs(difference - first) > max(self.allowed / 2, rounding)
            if moved and not self.bends(step):
                error = abs(difference - said)
                # Several kinks too small to be seen here may add up to some times the rounding.
                if error < self.allowed or error > self.allowed + 8 * rounding:
                    return error
        return None

    def jumps_closer_than_differences_see(self, said: float, step: float) -> bool:
        """Whether the gradient is the same at the next numbers on a side, and soon is another.

        Soon: still so close that rounding hides there what is in question.
        """
        disputed = abs(central(self.value, 0.0, step) - said)
        soon = min(64 * self._rounding / disputed, step)
        stays = [abs(self.slope(t) - said) < self.allowed for t in (-self._bits, self._bits)]
        stays_longer = [abs(self.slope(t) - said) < self.allowed for t in (-soon, soon)]
        return any(stays) and not all(stays_longer)

    def error_beside(self, step: float) -> float | None:
        """Give the error at the first place on one side where the gradient is right, if any.

        ``step`` has the side's sign.
        """
        for distance, part in _WINDOWS:
            t = distance * step
            error = abs(central(self.value, t, part * step) - self.slope(t))
            if error < self.allowed:
                return error
        return None
