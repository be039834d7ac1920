"""How an estimator is fitted: what is given becomes rows, a network, and a Solver's training."""

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from handgrad import engine, solver_scores
from handgrad.arrays import Array
from handgrad.estimators import inputs, settings
from handgrad.estimators.callbacks import Epochs
from handgrad.estimators.scaling import Scaling
from handgrad.estimators.splitting import held_out
from handgrad.estimators.stopping import EarlyStopping
from handgrad.network import Network
from handgrad.optim import Config
from handgrad.solver import Solver
from handgrad.solver_inputs import Rows

if TYPE_CHECKING:
    from handgrad.estimators.base import Estimator

Given = tuple[Any, Any, Any]
"""Validation examples as they were given: X, y and sample weights, or three times None."""


@dataclass
class Progress:
    """Where a training stands, for partial_fit to go on from.

    Attributes
    ----------
    network : Network
        As the last step left it: with early stopping not always the one that predicts.
    configs : dict
        The update rule's state of each parameter.
    rng : numpy.random.Generator
        Shuffles.
    split_seed : int
        Decides which rows are held out: the same of the same rows, in every call.
    """

    network: Network
    configs: dict[str, Config]
    rng: np.random.Generator
    split_seed: int


def fit(estimator: "Estimator", X: Any, y: Any, sample_weight: Any, val: Given) -> None:
    """Fit from the start, or on from the last fit's network with ``warm_start``."""
    settings.check(estimator)
    warm = estimator.warm_start and "network_" in vars(estimator)
    network_seed, shuffle_seed, split_seed = settings.seeds(estimator.random_state).spawn(3)
    if not warm:
        _forget(estimator)
    split = int(split_seed.generate_state(1)[0])
    rows = _rows(estimator, X, y, sample_weight, reset=not warm)
    train, validation = _divided(estimator, rows, val, split)
    if not warm:
        _decide_scales(estimator, train)
    rng = np.random.default_rng(network_seed)
    network = estimator.network_ if warm else _network(estimator, train, rng)
    progress = Progress(network, {}, np.random.default_rng(shuffle_seed), split)
    epochs = Epochs.of(estimator, settings.epochs(estimator, len(train.X)), X, y, sample_weight)
    solver = _train(estimator, progress, train, validation, epochs)
    estimator.network_, estimator._progress = network, progress
    estimator.n_iter_ = len(solver.history)
    epochs.end()
    annealed = estimator.schedule != "constant"
    stopped = solver.stopped_early or estimator.n_iter_no_change is None or epochs.stopped
    if validation is None and not annealed and not stopped:
        settings.warn_unconverged(estimator)


def partial_fit(
    estimator: "Estimator", X: Any, y: Any, classes: Any, sample_weight: Any, val: Given
) -> None:
    """Train for one epoch on these rows, on from where the last call or fit came to."""
    settings.check(estimator)
    first = "network_" not in vars(estimator)
    rows = _rows(estimator, X, y, sample_weight, reset=first, classes=classes)
    if first:
        seeds = settings.seeds(estimator.random_state).spawn(3)
        split = int(seeds[2].generate_state(1)[0])
        train, validation = _divided(estimator, rows, val, split)
        _decide_scales(estimator, train)
        network = _network(estimator, train, np.random.default_rng(seeds[0]))
        estimator._progress = Progress(network, {}, np.random.default_rng(seeds[1]), split)
        _clear_curves(estimator)
        estimator.n_iter_ = 0
    else:
        train, validation = _divided(estimator, rows, val, estimator._progress.split_seed)
    progress = estimator._progress
    solver = _train(estimator, progress, train, validation, None)
    estimator.n_iter_ += 1
    if validation is None:
        estimator.network_ = progress.network
        return
    # Each call has validation rows of its own: an earlier call's score says nothing of these.
    now = _standing(solver, progress.network)
    if not first:
        estimator.network_.reg = progress.network.reg
        before = _standing(solver, estimator.network_)
    if first or now >= before:
        estimator.network_, before = copy.deepcopy(progress.network), now
    estimator.best_validation_score_ = before[0]


def _forget(estimator: "Estimator") -> None:
    """Undo an earlier fit: one that fails leaves no half of it."""
    for name in ("network_", "_progress", "feature_names_in_", "n_features_in_"):
        vars(estimator).pop(name, None)
    _clear_curves(estimator)


def _clear_curves(estimator: "Estimator") -> None:
    estimator.loss_curve_, estimator.validation_loss_curve_ = [], []
    estimator.validation_scores_, estimator.best_validation_score_ = [], None


def _rows(
    estimator: "Estimator", X: Any, y: Any, sample_weight: Any, *, reset: bool, classes: Any = None
) -> Rows:
    """Read examples, targets and weights; examples of weight 0 are as if they were not there."""
    examples = estimator._read(X, reset=reset)
    targets = estimator._encoded(y, reset=reset, classes=classes)
    inputs.require_rows(estimator, examples, targets)
    weight = inputs.weights(estimator, sample_weight, len(examples))
    rows = Rows(examples, targets, weight)
    if weight is not None and not weight.all():
        rows = rows.of(weight > 0)
    return rows


def _divided(
    estimator: "Estimator", rows: Rows, val: Given, split_seed: int
) -> tuple[Rows, Rows | None]:
    """Give the rows to train on, and those to validate on, if any."""
    X, y, weight = val
    if (X is None) != (y is None):
        raise ValueError(f"{type(estimator).__name__}: give both X_val and y_val, or neither")
    if X is not None:
        return rows, _rows(estimator, X, y, weight, reset=False)
    if not estimator.early_stopping:
        return rows, None
    rng = np.random.default_rng(split_seed)
    stratify = rows.y if estimator._kind == "classifier" and rows.y.ndim == 1 else None
    mask = held_out(len(rows.X), estimator.validation_fraction, rng, stratify)
    return rows.of(~mask), rows.of(mask)


def _decide_scales(estimator: "Estimator", train: Rows) -> None:
    """Let training rows decide what inputs and targets are taken relative to."""
    scaled = estimator.standardize
    estimator.scaling_ = Scaling.of(train.X, train.sample_weight) if scaled else Scaling()
    estimator._decide_target_scale(train.y, train.sample_weight)


def _network(estimator: "Estimator", train: Rows, rng: np.random.Generator) -> Network:
    loss, outputs, options = estimator._loss()
    shape = train.X.shape[1:]
    layers = estimator._layers(shape, outputs)
    return Network(
        layers, shape, loss=loss, loss_options=options or None, dtype=estimator.dtype, rng=rng
    )


def _train(
    estimator: "Estimator", progress: Progress, train: Rows, val: Rows | None, epochs: Epochs | None
) -> Solver:
    """Train for ``max_iter`` epochs, or for one of partial_fit where ``epochs`` is None."""
    network, batch = progress.network, settings.batch_rows(estimator, len(train.X))
    data: dict[str, Array] = {
        "X_train": estimator.scaling_.apply(train.X, network.dtype),
        "y_train": estimator._for_loss(train.y),
    }
    if val is not None:
        data["X_val"] = estimator.scaling_.apply(val.X, network.dtype)
        data["y_val"] = estimator._for_loss(val.y)
        if val.sample_weight is not None:
            data["sample_weight_val"] = val.sample_weight
    options: dict[str, Any] = {}
    stopping = None
    if epochs is not None:
        options["schedule"] = settings.schedule(estimator)
        patience, tol = estimator.n_iter_no_change, estimator.tol
        if val is None:
            # An annealed rate is meant to come to its end.
            patience = patience if estimator.schedule == "constant" else None
            options["n_iter_no_change"], options["tol"] = patience, tol
        else:
            stopping = epochs.stopping = EarlyStopping(patience, tol)
        told = (stopping, epochs if epochs.wanted else None)
        options["callbacks"] = [each for each in told if each is not None]
    solver = Solver(
        network,
        data,
        estimator.solver,
        {"learning_rate": estimator.learning_rate_init, **(estimator.solver_options or {})},
        batch_size=batch,
        num_epochs=settings.epochs(estimator, len(train.X)) if epochs is not None else 1,
        verbose=estimator.verbose,
        rng=progress.rng,
        num_train_samples=1,  # nobody reads the training accuracy
        sample_weight=train.sample_weight,
        class_weight=estimator._class_weights(train),
        max_norm=estimator.max_norm,
        averaging=estimator.averaging,
        optim_state=progress.configs or None,
        **options,
    )
    weights = solver.data.train_weights
    mean_weight = 1.0 if weights is None else float(weights.mean())
    network.reg = settings.penalty(estimator, len(train.X), mean_weight, batch)
    if stopping is not None and "network_" in vars(estimator):  # a warm start: to become no worse
        stopping.keep(network, _standing(solver, network))
    solver.train()
    estimator.best_validation_score_ = None
    if stopping is not None:
        stopping.give_back(network)
        score = stopping.best[0]
        estimator.best_validation_score_ = score if math.isfinite(score) else None
    progress.configs = solver.optim_configs
    _note(estimator, solver)
    return solver


def _standing(solver: Solver, network: Network) -> tuple[float, float]:
    """Give a network's score on a Solver's validation rows, and minus its loss."""
    val = solver.data.val
    assert val is not None
    scores = engine.scores(network, val.X)
    found = solver_scores.score(network.task, scores, val.y, val.sample_weight)
    return found, -network.loss_of(scores, val.y, solver.data.val_weights)


def _note(estimator: "Estimator", solver: Solver) -> None:
    """Keep the epochs' losses and scores."""
    for record in solver.history:
        estimator.loss_curve_.append(float(record["loss"]))
        if "val_loss" in record:
            estimator.validation_loss_curve_.append(float(record["val_loss"]))
            score = "val_r2" if estimator._kind == "regressor" else "val_accuracy"
            estimator.validation_scores_.append(float(record[score]))


def with_callbacks(estimator: "Estimator") -> bool:
    """Whether scikit-learn's callbacks are set, on it or on what it is a part of."""
    return not {"_skl_callbacks", "_parent_callback_ctx"}.isdisjoint(vars(estimator))
