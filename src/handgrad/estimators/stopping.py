"""When a fit with validation examples ends, and which epoch's network it keeps."""

import math
from contextlib import nullcontext
from typing import Any

from handgrad.arrays import Array
from handgrad.network import Network
from handgrad.solver import Solver
from handgrad.solver_scores import standing
from handgrad.solver_steps import copies
from handgrad.solver_stopping import Patience


class EarlyStopping:
    """Stops a Solver by its validation score and loss together, and keeps the best network.

    Training goes on as long as the score rises or the loss falls by more than ``tol`` within
    ``epochs`` epochs. Kept is the epoch of the best score, of equal ones that of the lowest loss.
    A callback of `handgrad.solver.Solver`.

    Parameters
    ----------
    epochs : int or None
        None never stops.
    tol : float

    Attributes
    ----------
    best : tuple of float
        Score and minus the loss of what is kept, as `handgrad.solver_scores.standing` gives them.
    """

    def __init__(self, epochs: int | None, tol: float) -> None:
        self._patience = Patience(epochs, tol, loss_too=True)
        self.best = (-math.inf, -math.inf)
        self._params: dict[str, Array] = {}
        self._state: dict[str, Array] = {}

    def keep(self, network: Network, reached: tuple[float, float]) -> None:
        """Keep what the network is now, which has come to this."""
        self.best = reached
        self._params, self._state = copies(network.params), copies(network.state)

    def on_epoch_end(self, solver: Solver, record: dict[str, Any]) -> bool:
        """Take in an epoch; True stops."""
        now = standing(record)
        if now > self.best or not self._params:
            assert isinstance(solver.model, Network)
            with solver.average.inside(solver.model) if solver.average else nullcontext():
                self.keep(solver.model, now)
        return self._patience.is_over(record)

    @property
    def over(self) -> bool:
        """Whether there were as many epochs without progress as there may be."""
        return self._patience.over

    def give_back(self, network: Network) -> None:
        """Leave the best epoch's parameters in the network."""
        network.params.update(self._params)
        network.state.update(self._state)
