"""When a fit with validation examples ends, and which epoch's network it keeps."""

import math
from contextlib import nullcontext
from typing import Any

from handgrad.arrays import Array
from handgrad.network import Network
from handgrad.solver import Solver


class EarlyStopping:
    """Stops a Solver by its validation score and loss together, and keeps the best network.

    On few validation examples the accuracy moves in steps, and stands still for epochs while the
    loss falls: training goes on as long as the score rises or the loss falls by more than ``tol``
    within ``epochs`` epochs. Kept is the epoch of the best score, of equal ones that of the lowest
    loss. A callback of `handgrad.solver.Solver`.

    Parameters
    ----------
    score : 'val_accuracy' or 'val_r2'
        What the Solver's records call the score.
    epochs : int or None
        None never stops.
    tol : float
    """

    def __init__(self, score: str, epochs: int | None, tol: float) -> None:
        self._score, self._epochs, self._tol = score, epochs, tol
        self._best = (-math.inf, -math.inf)
        self._level = (-math.inf, -math.inf)
        self._waited = 0
        self._params: dict[str, Array] = {}
        self._state: dict[str, Array] = {}

    def on_epoch_end(self, solver: Solver, record: dict[str, Any]) -> bool:
        """Take in an epoch; True stops."""
        now = (float(record[self._score]), -float(record["val_loss"]))
        if now > self._best or not self._params:
            self._best = now
            assert isinstance(solver.model, Network)
            with solver.average.inside(solver.model) if solver.average else nullcontext():
                self._params = {name: a.copy() for name, a in solver.model.params.items()}
                self._state = {name: a.copy() for name, a in solver.model.state.items()}
        risen = [a > b + self._tol for a, b in zip(now, self._level, strict=True)]
        self._level = (
            now[0] if risen[0] else self._level[0],
            now[1] if risen[1] else self._level[1],
        )
        self._waited = 0 if any(risen) else self._waited + 1
        return self.over

    @property
    def over(self) -> bool:
        """Whether there were as many epochs without progress as there may be."""
        return self._epochs is not None and self._waited >= self._epochs

    def give_back(self, network: Network) -> None:
        """Leave the best epoch's parameters in the network."""
        network.params.update(self._params)
        network.state.update(self._state)
