"""When training ends before its last epoch: patience, and callbacks that say so."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from handgrad.solver_scores import Record, standing


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
    loss_too : bool, default False
        Whether a fall of the validation loss by more than ``tol`` is progress, too: on few rows
        the accuracy moves in steps, and stands still for epochs while the loss falls.

    Attributes
    ----------
    waited : int
        Epochs since the last rise.
    """

    def __init__(
        self,
        epochs: int | None,
        tol: float,
        history: Iterable[Record] = (),
        *,
        loss_too: bool = False,
    ) -> None:
        self.epochs, self._tol = epochs, tol
        self._levels, self.waited = [-math.inf] * (2 if loss_too else 1), 0
        for record in history:
            self.is_over(record)

    def is_over(self, record: Record) -> bool:
        """Take in an epoch's record; whether there were enough without a rise."""
        self.waited += 1
        for index, (now, level) in enumerate(zip(standing(record), self._levels, strict=False)):
            if now > level + self._tol:
                self._levels[index], self.waited = now, 0
        return self.over

    @property
    def over(self) -> bool:
        """Whether there were enough epochs without a rise."""
        return self.epochs is not None and self.waited >= self.epochs


def tell(callbacks: Sequence[object], method: str, *told: Any) -> bool:
    """Call this method of those that have it, in order; whether one gave True."""
    answers = [getattr(each, method)(*told) for each in callbacks if hasattr(each, method)]
    return any(answers)
