"""What the estimators share: fit and partial_fit around a Solver, and scores from a network."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np

from handgrad import engine, optim
from handgrad.arrays import Array
from handgrad.estimators import fitting, inputs
from handgrad.estimators.scaling import Scaling
from handgrad.estimators.scikit import Alone, join, sklearn_part
from handgrad.network import Layer, Network
from handgrad.network_losses import LossName
from handgrad.solver_inputs import ClassWeight, Rows

_AT_ONCE = 4096  # examples that are scaled and scored together


class Estimator(Alone):
    """A network with scikit-learn's interface; `HandgradClassifier` says what the parameters are.

    A subclass reads X (`_read`), lists the layers (`_layers`), and turns targets into what the
    loss takes (`_encoded`).
    """

    hidden_layer_sizes: int | Sequence[int]
    activation: str
    dropout: float
    batch_norm: bool
    alpha: float | Literal["auto"]
    solver: str
    learning_rate_init: float
    solver_options: Mapping[str, float] | None
    schedule: str | optim.Schedule
    batch_size: int | Literal["auto"]
    max_iter: int | Literal["auto"]
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int | None
    tol: float
    max_norm: float | None
    averaging: float | None
    standardize: bool
    warm_start: bool
    dtype: str
    random_state: Any
    verbose: bool

    n_features_in_: int
    feature_names_in_: Array
    network_: Network
    scaling_: Scaling
    n_iter_: int
    loss_curve_: list[float]
    validation_loss_curve_: list[float]
    validation_scores_: list[float]
    best_validation_score_: float | None
    _progress: fitting.Progress
    _kind: ClassVar[Literal["classifier", "regressor"]]

    def _keep(self, arguments: Mapping[str, Any]) -> None:
        """Keep the constructor's ``locals()`` as attributes, unchanged, as scikit-learn asks."""
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    # what a subclass decides ------------------------------------------------------------------

    def _read(self, X: Any, *, reset: bool) -> Array:
        """Give X as an array of examples."""
        return inputs.table(self, X, reset=reset)

    def _layers(self, shape: tuple[int, ...], outputs: int) -> list[Layer]:
        """List the network's layers for examples of this shape."""
        raise NotImplementedError

    def _encoded(self, y: Any, *, reset: bool, classes: Any = None) -> Array:
        """Give y as an array; with ``reset`` it decides the classes or outputs."""
        raise NotImplementedError

    def _decide_target_scale(self, y: Array, weight: Array | None) -> None:
        """Let encoded training targets decide what targets are taken relative to."""

    def _for_loss(self, y: Array) -> Array:
        """Give encoded targets as the loss takes them."""
        return y

    def _class_weights(self, rows: Rows) -> ClassWeight:
        """Give the Solver's ``class_weight`` of these rows."""
        return None

    def _loss(self) -> tuple[LossName, int, dict[str, Any]]:
        """Give the loss's name, the number of scores, and the loss's options."""
        raise NotImplementedError

    # fitting ----------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train a network on X and y.

        Parameters
        ----------
        X : array-like or frame of n examples
        y : array-like (n,), or (n, outputs)
        sample_weight : array-like (n,), optional
            Each example's part in the loss, from 0. An example of weight 2 counts as two.
        X_val, y_val : optional
            Validation examples. With them the training stops early, whatever ``early_stopping``
            says, and all of X is trained on.
        sample_weight_val : array-like, optional
            Of the validation examples, in their score.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X, y, a weight or a parameter cannot be used; the message names it.
        NonFiniteLossError
            When the training diverges.
        """
        val = (X_val, y_val, sample_weight_val)
        return self._with_callbacks(fitting.fit, X, y, sample_weight, val)

    def _with_callbacks(self, method: Callable[..., None], *arguments: Any) -> Self:
        """Run a fit; where scikit-learn's callbacks are set, so that they are torn down."""
        if fitting.with_callbacks(self):
            method = sklearn_part("callback").with_callbacks(method)
        method(self, *arguments)
        return self

    # scores -----------------------------------------------------------------------------------

    def _require_fitted(self) -> None:
        """Raise scikit-learn's NotFittedError, which is a ValueError, before a fit."""
        if "network_" not in vars(self):
            join()
            message = f"This {type(self).__name__} instance is not fitted yet: call fit first"
            raise sklearn_part("exceptions").NotFittedError(message)

    def _scores(self, X: Any) -> Array:
        """Give the network's test-mode scores.

        In float64 whatever it was trained in, so that an example's does not depend, beyond a
        rounding error of 1e-16, on what it is predicted together with.
        """
        self._require_fitted()
        X = self._read(X, reset=False)
        network = copy.copy(self.network_)
        network.dtype = np.dtype(np.float64)
        blocks = [X[start : start + _AT_ONCE] for start in range(0, len(X), _AT_ONCE)]
        found = [engine.scores(network, self.scaling_.apply(b, network.dtype)) for b in blocks]
        return np.concatenate(found)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a network to predict with."""
        return "network_" in vars(self)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what these estimators take."""
        join()
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        utils = sklearn_part("utils")
        tags.estimator_type = self._kind
        tags.target_tags.required = True
        if self._kind == "classifier":
            tags.classifier_tags = utils.ClassifierTags(multi_label=True)
        else:
            tags.regressor_tags = utils.RegressorTags()
            tags.target_tags.multi_output = True
        return tags
