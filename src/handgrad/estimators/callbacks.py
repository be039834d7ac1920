"""scikit-learn's callbacks (1.9, experimental): each epoch is a task of a fit."""

import copy
from typing import TYPE_CHECKING, Any

from handgrad.estimators.stopping import EarlyStopping
from handgrad.network import Network

if TYPE_CHECKING:
    from handgrad.estimators.base import Estimator
    from handgrad.solver import Solver


class Epochs:
    """Tells scikit-learn's callbacks of a fit's epochs, as a callback of its Solver.

    Attributes
    ----------
    wanted : bool
        Whether there are callbacks to tell.
    stopped : bool
        Whether one of them has ended the training.
    stopping : EarlyStopping or None
        What else ends it, asked before.
    """

    def __init__(self, estimator: "Estimator", given: dict[str, Any] | None) -> None:
        self._estimator, self._given = estimator, given or {}
        self.wanted, self.stopped = given is not None, False
        self.stopping: EarlyStopping | None = None
        self._root: Any = None
        self._task: Any = None

    @classmethod
    def of(cls, estimator: "Estimator", count: int, X: Any, y: Any, sample_weight: Any) -> "Epochs":
        """Begin a fit's task, of as many epochs as there may be, where callbacks are set."""
        if {"_skl_callbacks", "_parent_callback_ctx"}.isdisjoint(vars(estimator)):
            return cls(estimator, None)
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        self = cls(estimator, {"estimator": estimator, "X": X, "y": y, "metadata": metadata})
        init = estimator._init_callback_context  # scikit-learn's, which has set the callbacks
        self._root = init(max_subtasks=count)
        self._root.call_on_fit_task_begin(**self._given)
        return self

    def on_train_begin(self, solver: "Solver") -> None:
        """Begin the first epoch."""
        self._begin()

    def _begin(self) -> None:
        self._task = self._root.subcontext(task_name="epoch")
        self._task.call_on_fit_task_begin(**self._given)

    def on_epoch_end(self, solver: "Solver", record: dict[str, Any]) -> bool:
        """End an epoch; True stops the training. The next begins at once."""

        def so_far() -> dict[str, Any]:
            assert isinstance(solver.model, Network)
            network = copy.copy(solver.model)
            network.params = {name: array.copy() for name, array in network.params.items()}
            network.state = {name: array.copy() for name, array in network.state.items()}
            return {"network_": network, "n_iter_": record["epoch"]}

        self.stopped = bool(
            self._task.call_on_fit_task_end(**self._given, reconstruction_attributes=so_far)
        )
        if not (self.stopped or self._is_over(solver)) and record["epoch"] < solver.num_epochs:
            self._begin()
        return self.stopped

    def _is_over(self, solver: "Solver") -> bool:
        """Whether patience ends the training with this epoch."""
        return (solver.patience if self.stopping is None else self.stopping).over

    def end(self) -> None:
        """End the fit's task."""
        if self._root is not None:
            self._root.call_on_fit_task_end(**self._given, reconstruction_attributes=dict)
