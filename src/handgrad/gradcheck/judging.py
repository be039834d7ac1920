"""The gradients of one check, judged array by array, and what is said of them at its end."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from handgrad import kinks
from handgrad.arrays import Array
from handgrad.gradcheck.copies import same


class GradientMismatchError(AssertionError):
    """An analytic gradient disagrees with its central differences; the message says where."""


class Check:
    """The arrays of one check, one after the other: what is wrong, what is perhaps a kink.

    ``tally`` ends it: it says what a passing check has to say.
    """

    def __init__(self, function: str, tolerance: float, step: float) -> None:
        self.function, self.tolerance, self.step = function, tolerance, step
        self.changes: dict[str, None] = {}  # as an ordered set
        self.bent: dict[str, int] = {}
        self.entries = 0

    def note_changes(self, who: str, given: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
        """Remember which arguments a function has changed."""
        for name, array in given.items():
            if not same(array, kept[name]):
                self.changes[f"{who} changed {name}"] = None

    def judge(
        self,
        name: str,
        array: Array,
        gradient: Array,
        value: Callable[[], float],
        gradient_again: Callable[[], Array],
        places: Sequence[kinks.Index] | None = None,
    ) -> float:
        """Return the largest error of a gradient, or raise with the worst entry.

        Parameters
        ----------
        name, array : the argument; its entries are moved and put back
        gradient : what the backward pass says
        value, gradient_again : functions
            Evaluate with the array as it is then.
        places : indices, optional
            The entries to judge; default all.
        """
        gradient = np.array(gradient)
        if gradient.shape != array.shape:
            raise GradientMismatchError(
                f"the gradient of {name} has shape {gradient.shape}, but {name} has {array.shape}"
            )
        if gradient.dtype.kind not in "biuf":
            raise GradientMismatchError(
                f"the gradient of {name} must be of real numbers; got {gradient.dtype}"
            )
        places = list(np.ndindex(array.shape)) if places is None else places
        self.entries += len(places)
        if not places:
            return 0.0
        said = np.array([gradient[index] for index in places])
        found = kinks.judge(
            array, places, said, value, gradient_again, step=self.step, tolerance=self.tolerance
        )
        if found.wrong is not None and found.look is not None:
            i = found.wrong
            raise GradientMismatchError(
                f"the gradient of {name} is wrong: at index {places[i]} backward says "
                f"{said[i]:.10g}, central differences say {found.differences[i]:.10g} (error "
                f"{found.errors[i]:.2g}, allowed {self.tolerance:.2g}; {found.off} of "
                f"{len(places)} entries are off){self._notes(found.look)}"
            )
        if found.kinks:
            self.bent[name] = found.kinks
        return float(found.errors.max())

    def _notes(self, look: kinks.Look) -> str:
        """Say after a mismatch what may help to understand it."""
        notes = list(self.changes)
        if look.bends:
            notes.append(
                f"perhaps a kink (differences to the left {look.left:.10g}, to the right "
                f"{look.right:.10g}), but it is wrong beside it, too"
            )
        return "".join(f"; {note}" for note in notes)

    def tally(self) -> None:
        """Warn of kinks and of changed arguments; refuse to pass what was mostly kinks."""
        where = ", ".join(f"{count} of {name}" for name, count in self.bent.items())
        total = sum(self.bent.values())
        if 2 * total > self.entries:
            raise GradientMismatchError(
                f"{self.function}: perhaps a kink at {total} of {self.entries} entries ({where}), "
                "more than half: little is proved; check at a point away from kinks"
            )
        if total:
            text = (
                f"{self.function}: perhaps a kink at {total} of {self.entries} entries ({where}): "
                "differences mean little there; on both sides of it the gradient is right"
            )
            warnings.warn(text, UserWarning, stacklevel=3)
        if self.changes:
            text = (
                f"{self.function}: {', '.join(self.changes)} in place; the gradients are right, "
                "but whoever needs the argument afterwards finds other numbers in it"
            )
            warnings.warn(text, UserWarning, stacklevel=3)
