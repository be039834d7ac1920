"""HandgradClassifier and HandgradRegressor: dense networks on tables."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np

from handgrad import optim
from handgrad.architectures import mlp
from handgrad.arrays import Array
from handgrad.estimators import fitting, inputs, settings
from handgrad.estimators.base import Estimator
from handgrad.estimators.classifying import Classifier
from handgrad.network import Layer
from handgrad.network_losses import LossName
from handgrad.scaling import mean_and_deviation
from handgrad.solver_inputs import ClassWeight
from handgrad.solver_scores import r2


class _Dense(Estimator):
    """A dense network on rows."""

    def _layers(self, shape: tuple[int, ...], outputs: int) -> list[Layer]:
        return mlp(
            settings.sizes(self), outputs, activation=self.activation, dropout=self.dropout,
            batch_norm=self.batch_norm,
        )  # fmt: skip


class HandgradClassifier(Classifier, _Dense):
    """A dense network that tells classes apart, with scikit-learn's interface.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer; ``()`` is a linear model.
    activation : str, default 'relu'
        A name of ``handgrad.architectures.ACTIVATIONS``.
    dropout : float, default 0
        The fraction of hidden units that is dropped in training.
    batch_norm : bool, default False
        Normalise before each activation.
    alpha : float or 'auto', default 'auto'
        L2 penalty on the weights (not the biases): alpha / (2 B) * sum(W**2) is added to the mean
        loss of a batch, with B the number of examples in a batch: as scikit-learn's MLP has it, so
        that a value found there means the same here, with the same ``batch_size``. 'auto' is
        5 / (2 n) * sum(W**2) of n training examples, as a prior on the weights, which counts less
        the more examples there are. With sample weights B and n are multiplied by their mean, so
        that an example of weight 2 counts as two here, too.
    solver : str, default 'adam'
        An update rule: 'sgd', 'sgd_momentum', 'nesterov', 'rmsprop', 'adam' or 'adamw'.
    learning_rate_init : float, default 2e-3
    solver_options : mapping, optional
        The rule's other numbers, as ``{"momentum": 0.95}``; see ``handgrad.optim``.
    schedule : 'constant', 'cosine', 'one_cycle' or function, default 'cosine'
        What the learning rate is multiplied by, over ``max_iter`` epochs; a function takes the
        progress in [0, 1).
    batch_size : int or 'auto', default 'auto'
        'auto' takes a 32nd of the training examples, as a power of two from 32 to 256.
    max_iter : int or 'auto', default 'auto'
        Epochs; 'auto' are 6000 / sqrt(n) of n training examples, from 20 to 100.
    early_stopping : bool, default False
        Hold out ``validation_fraction`` of the examples, of each class its share; stop when
        nothing is gained on them; keep the network of the epoch of best accuracy, of equal ones of
        lowest loss. X_val and y_val of `fit` do the same without holding any out.
    validation_fraction : float, default 0.1
    n_iter_no_change : int or None, default 10
        Training stops when neither the validation score has risen nor the validation loss fallen
        by more than ``tol`` for so many epochs; without validation examples, and only with the
        schedule 'constant', when the training loss has not fallen. None trains to the end.
    tol : float, default 1e-4
    class_weight : None, 'balanced' or mapping of classes to weights, default None
        Multiplies the sample weights, in training and validation loss, not in scores. 'balanced'
        gives each class the same sum.
    label_smoothing : float, default 0
        Part of each label that is spread evenly over the classes.
    max_norm : float, optional
        Gradients that are longer together are shortened to this length.
    averaging : float, optional
        A decay in (0, 1): what predicts is the exponential moving average of the weights.
    standardize : bool, default True
        Bring each column of X to mean 0 and deviation 1, and outliers near (see ``scaling_``), as
        the training examples decide. scikit-learn leaves this to its user, and its MLP does badly
        without; the arithmetic is in float64, before anything is cast: a column of 1e8 that varies
        by 1e-3 keeps its digits, and one that varies by a rounding error alone is constant. Behind
        a StandardScaler it changes little.
    warm_start : bool, default False
        Begin a second `fit` with the weights, the classes and the scale of X of the first. With
        validation examples the network becomes no worse on them: it is kept if no epoch is better.
    dtype : 'float32' or 'float64', default 'float32'
        Of weights and arithmetic, whatever X has. In full batches a row of weight 2 gives what two
        rows give, in float64 to the last digits, in float32 to about the seventh: products add rows
        up in another order.
    random_state : int, numpy.random.RandomState, Generator or None, default None
        Draws initial weights, batches, dropout and what is held out; an int makes fits repeatable.
    verbose : bool, default False
        Show a progress bar on a terminal.

    Attributes
    ----------
    classes_ : array (C,)
    n_features_in_, feature_names_in_ : int, array of str
        The second where X was a frame with names.
    n_iter_ : int
        Epochs of the last `fit`; or calls of `partial_fit`, beside those of a fit before them.
    loss_curve_ : list of float
        The training loss of each epoch, with the penalty. A warm start adds to the curves, as in
        scikit-learn's MLPClassifier.
    validation_loss_curve_, validation_scores_ : list of float
        Loss and accuracy on the validation examples after each epoch; empty without.
    best_validation_score_ : float or None
        Of the network that predicts, on the validation examples of the last call.
    network_ : handgrad.network.Network
    scaling_ : handgrad.estimators.scaling.Scaling

    References
    ----------
    `handgrad.theory` derives every gradient. The interface is that of scikit-learn's MLPClassifier.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> y = np.where(np.hypot(*X.T) < 1, "inside", "outside")
    >>> model = HandgradClassifier(random_state=0).fit(X, y)
    >>> model.predict([[0.0, 0.1], [3.0, 0.0]])
    array(['inside', 'outside'], dtype='<U7')
    """

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        alpha: float | Literal["auto"] = "auto",
        solver: str = "adam",
        learning_rate_init: float = 2e-3,
        solver_options: Mapping[str, float] | None = None,
        schedule: str | optim.Schedule = "cosine",
        batch_size: int | Literal["auto"] = "auto",
        max_iter: int | Literal["auto"] = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int | None = 10,
        tol: float = 1e-4,
        class_weight: ClassWeight = None,
        label_smoothing: float = 0.0,
        max_norm: float | None = None,
        averaging: float | None = None,
        standardize: bool = True,
        warm_start: bool = False,
        dtype: str = "float32",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self._keep(locals())


class HandgradRegressor(_Dense):
    """A dense network that predicts numbers, one or several, with scikit-learn's interface.

    Parameters
    ----------
    loss : 'mse', 'mae' or 'huber', default 'mse'
        Mean squared error, mean absolute error, or Huber's loss, quadratic up to a residual of
        1 (of a target's deviation, with ``standardize``) and linear beyond.
    standardize : bool, default True
        Bring X, and each target, to mean 0 and deviation 1, as the training examples decide;
        losses are in these units, predictions in the target's own.
    hidden_layer_sizes, activation, ... : as `HandgradClassifier` takes them
        The score is R2.

    Attributes
    ----------
    n_outputs_ : int
    target_mean_, target_deviation_ : array (n_outputs_,)
        What targets are taken relative to.
    loss_curve_, network_, ... : as `HandgradClassifier` has them
    """

    loss: Literal["mse", "mae", "huber"]
    n_outputs_: int
    target_mean_: Array
    target_deviation_: Array
    _column: bool
    _kind = "regressor"

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        *,
        loss: Literal["mse", "mae", "huber"] = "mse",
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        alpha: float | Literal["auto"] = "auto",
        solver: str = "adam",
        learning_rate_init: float = 2e-3,
        solver_options: Mapping[str, float] | None = None,
        schedule: str | optim.Schedule = "cosine",
        batch_size: int | Literal["auto"] = "auto",
        max_iter: int | Literal["auto"] = "auto",
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int | None = 10,
        tol: float = 1e-4,
        max_norm: float | None = None,
        averaging: float | None = None,
        standardize: bool = True,
        warm_start: bool = False,
        dtype: str = "float32",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self._keep(locals())

    def _encoded(self, y: Any, *, reset: bool, classes: Any = None) -> Array:
        """Give targets (n, outputs) in float64."""
        y = inputs.numbers(self, y)
        if reset:
            self._column = y.ndim == 1
            self.n_outputs_ = 1 if self._column else y.shape[1]
        y = y.reshape(len(y), -1)
        if y.shape[1] != self.n_outputs_:
            raise ValueError(
                f"{type(self).__name__}: y must have {self.n_outputs_} outputs as in the first "
                f"call; got {y.shape[1]}"
            )
        return np.asarray(y)

    def _decide_target_scale(self, y: Array, weight: Array | None) -> None:
        self.target_mean_, self.target_deviation_ = np.zeros(y.shape[1]), np.ones(y.shape[1])
        if self.standardize:
            self.target_mean_, self.target_deviation_ = mean_and_deviation(y, weight=weight)

    def _for_loss(self, y: Array) -> Array:
        scaled = (y - self.target_mean_) / self.target_deviation_
        return np.asarray(scaled[:, 0] if self.n_outputs_ == 1 else scaled)

    def _loss(self) -> tuple[LossName, int, dict[str, Any]]:
        if self.loss not in ("mse", "mae", "huber"):
            raise ValueError(
                f"{type(self).__name__}: loss must be 'mse', 'mae' or 'huber'; got {self.loss!r}"
            )
        return self.loss, self.n_outputs_, {}

    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> Self:
        """Train for one epoch on X and y, on from the last call or fit.

        As `HandgradClassifier.partial_fit`; targets, too, are scaled as the first rows decided.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val : as `fit` takes them
        """
        val = (X_val, y_val, None)
        return self._with_callbacks(fitting.partial_fit, X, y, None, sample_weight, val)

    def predict(self, X: Any) -> Array:
        """Give the predicted targets, in the shape of y: (n,) or (n, outputs)."""
        scores = self._scores(X)
        scores = scores.reshape(len(scores), self.n_outputs_)
        found = scores * self.target_deviation_ + self.target_mean_
        return np.asarray(found[:, 0] if self._column else found)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Give R2, the part of the targets' variance that is explained; the mean over outputs.

        A target that is constant scores 1 where it is met, and 0 elsewhere, as in scikit-learn.
        """
        predicted = self.predict(X)
        y = inputs.numbers(self, y)
        inputs.require_rows(self, predicted, y)
        weight = inputs.weights(self, sample_weight, len(y))
        return r2(predicted, y, weight)
