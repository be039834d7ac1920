"""When training ends before its last epoch: patience, and callbacks that say so."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from handgrad.solver_scores import Record, watched


class Patience:
    """Counts the epochs since the watched number rose by more than ``tol``.

    Watched are validation accuracy or R2, or without validation rows minus the training loss. It
    has risen where it is above what it was when it had last risen by more than ``tol``: many small
    steps are progress once they add up to that (as in Keras' EarlyStopping).

    Parameters
    ----------
    epochs : int or None
        After so many training is over; None for never.
    tol : float
    history : records of the epochs there were

    Attributes
    ----------
    waited : int
        Epochs since the last rise.
    """

    def __init__(self, epochs: int | None, tol: float, history: Iterable[Record] = ()) -> None:
        self.epochs, self._tol = epochs, tol
        self._level, self.waited = -math.inf, 0
        for record in history:
            self.is_over(record)

    def is_over(self, record: Record) -> bool:
        """Take in an epoch's record; whether there were enough without a rise."""
        now = watched(record)
        if now > self._level + self._tol:
            self._level, self.waited = now, 0
        else:
            self.waited += 1
        return self.epochs is not None and self.waited >= self.epochs


def tell(callbacks: Sequence[object], method: str, *told: Any) -> bool:
    """Call this method of those that have it, in order; whether one gave True."""
    answers = [getattr(each, method)(*told) for each in callbacks if hasattr(each, method)]
    return any(answers)
