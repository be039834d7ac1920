"""What a Solver is given, checked: rows, weights, rules; each error says the rule and what came."""

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from handgrad import optim
from handgrad.arrays import Array
from handgrad.network import BatchNorm, Network

ClassWeight = Literal["balanced"] | Mapping[Any, float] | None
CALLBACK_METHODS = ("on_train_begin", "on_batches_end", "on_epoch_end", "on_train_end")


@dataclass(frozen=True)
class Rows:
    """Training or validation rows.

    Attributes
    ----------
    X, y : arrays of N rows
    sample_weight : array (N,) of float64, or None
        What each row counts, in losses and in scores.
    """

    X: Array
    y: Array
    sample_weight: Array | None = None

    def evenly_spaced(self, count: int | None) -> "Rows":
        """So many of the rows that count anything, or all rows."""
        if count is None or count >= len(self.X):
            return self
        if self.sample_weight is None:
            return self.of(np.linspace(0, len(self.X) - 1, count).round().astype(np.intp))
        counting = np.flatnonzero(self.sample_weight)
        count = min(count, len(counting))
        return self.of(counting[np.linspace(0, len(counting) - 1, count).round().astype(np.intp)])

    def of(self, chosen: Array) -> "Rows":
        """Those of a mask, or of indices."""
        weights = None if self.sample_weight is None else self.sample_weight[chosen]
        return Rows(self.X[chosen], self.y[chosen], weights)


@dataclass(frozen=True)
class TrainingData:
    """The rows, and what they count in the loss: their own weights by their classes'.

    Attributes
    ----------
    train : Rows
    val : Rows or None
    train_weights, val_weights : arrays (N,), (M,) of float64, or None where all rows count alike
    """

    train: Rows
    val: Rows | None
    train_weights: Array | None
    val_weights: Array | None


def task_of(model: object) -> str:
    """What the model is for: 'multilabel' or 'regress' where it says so, else 'classify'."""
    task = getattr(model, "task", None)
    return task if task in ("multilabel", "regress") else "classify"


def training_data(
    model: object, data: Any, sample_weight: ArrayLike | None, class_weight: ClassWeight
) -> TrainingData:
    """Take the rows out of the data and weigh them; check that they and the model fit."""
    train, val = _parts(data, sample_weight)
    if class_weight is not None and task_of(model) != "classify":
        raise ValueError(
            f"Solver: class_weight is for one label a row; the model's task is {task_of(model)}: "
            "give sample_weight"
        )
    weights = train.sample_weight, None if val is None else val.sample_weight
    if class_weight is not None:
        weights = _by_class(train, val, class_weight)
    if weights[0] is not None:
        _require_weights_taken(model)
    return TrainingData(train, val, *weights)


def _parts(data: Any, sample_weight: ArrayLike | None) -> tuple[Rows, Rows | None]:
    """Training and validation rows; None where there are none of these."""

    def get(name: str) -> Any:
        return data.get(name) if isinstance(data, Mapping) else getattr(data, name, None)

    given = {name: get(name) for name in ("X_train", "y_train", "X_val", "y_val")}
    missing = [name for name, array in given.items() if array is None]
    if missing and missing != ["X_val", "y_val"]:
        raise ValueError(
            "Solver: data must have X_train, y_train, and X_val, y_val or neither of these; "
            f"missing {', '.join(missing)}"
        )
    train = _rows(given["X_train"], given["y_train"], "train", sample_weight)
    of_val = get("sample_weight_val")
    if not missing:
        return train, _rows(given["X_val"], given["y_val"], "val", of_val)
    if of_val is not None:
        raise ValueError("Solver: data has sample_weight_val but no X_val, y_val")
    return train, None


def _rows(X: ArrayLike, y: ArrayLike, part: str, sample_weight: ArrayLike | None) -> Rows:
    X, y = np.asarray(X), np.asarray(y)
    if len(X) == 0 or len(X) != len(y):
        raise ValueError(
            f"Solver: X_{part} and y_{part} must have the same number of rows, at least 1; "
            f"got {len(X)} and {len(y)}"
        )
    if sample_weight is None:
        return Rows(X, y)
    name = "sample_weight" if part == "train" else "sample_weight_val"
    weights = np.asarray(sample_weight)
    if weights.shape != (len(X),) or weights.dtype.kind not in "biuf":
        raise ValueError(
            f"Solver: {name} must be ({len(X)},), one number a row; "
            f"got {weights.dtype} of shape {weights.shape}"
        )
    weights = weights.astype(np.float64)
    total = float(weights.sum())
    if not ((weights >= 0).all() and 0 < total < math.inf):
        raise ValueError(
            f"Solver: {name} must be finite and at least 0, and not all 0; got weights from "
            f"{weights.min()} to {weights.max()}"
        )
    return Rows(X, y, weights)


def _by_class(
    train: Rows, val: Rows | None, class_weight: str | Mapping[Any, float]
) -> tuple[Array, Array | None]:
    """Multiply each row's weight by its class's.

    'balanced' is rows / (classes * rows of the class) of the training rows, counted by weight.
    """
    labels = train.y.reshape(-1)
    known, places = np.unique(labels, return_inverse=True)
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(
                "Solver: class_weight must be None, 'balanced' or a mapping of labels to weights; "
                f"got {class_weight!r}"
            )
        sizes = np.bincount(places, train.sample_weight)
        present = sizes > 0
        sizes[~present] = 1  # a class of rows that count nothing: its weight is of no account
        factors = sizes[present].sum() / (present.sum() * sizes)
    else:
        strangers = [label for label in class_weight if label not in known]
        wrong = [w for w in class_weight.values() if not 0 <= w < math.inf]
        if strangers or wrong:
            raise ValueError(
                f"Solver: class_weight must map labels of y_train to finite weights from 0; "
                f"got {'the labels' if strangers else 'the weights'} "
                f"{', '.join(map(str, strangers or wrong))}"
            )
        factors = np.array([float(class_weight.get(label, 1.0)) for label in known.tolist()])

    def weighed(rows: Rows) -> Array:
        labels = rows.y.reshape(-1)
        places = np.searchsorted(known, labels).clip(max=len(known) - 1)
        # A label that the training rows lack counts 1.
        by_class = np.where(known[places] == labels, factors[places], 1.0)
        return by_class if rows.sample_weight is None else by_class * rows.sample_weight

    of_train = weighed(train)
    if not of_train.any():
        raise ValueError("Solver: by class_weight and sample_weight no training row counts at all")
    return of_train, None if val is None else weighed(val)


def require_counts(**counts: int | None) -> None:
    """Refuse what is no whole number from 1, by its name; None stands for one not given."""
    for name, value in counts.items():
        if value is not None and not (isinstance(value, int | np.integer) and value >= 1):
            raise ValueError(f"Solver: {name} must be a whole number from 1; got {value!r}")


def require_numbers(tol: float, max_norm: float | None, averaging: float | None) -> None:
    """Refuse a tolerance, a longest gradient or a decay of averages that means nothing."""
    if not 0 <= tol < math.inf:
        raise ValueError(f"Solver: tol must be finite and at least 0; got {tol!r}")
    if max_norm is not None and not max_norm > 0:
        raise ValueError(f"Solver: max_norm must be above 0; got {max_norm!r}")
    if averaging is not None and not 0 < averaging < 1:
        raise ValueError(f"Solver: averaging must be a decay in (0, 1); got {averaging!r}")


def require_callbacks(callbacks: Sequence[object]) -> tuple[object, ...]:
    """Refuse an object that nothing would ever be told."""
    for each in callbacks:
        if not any(callable(getattr(each, name, None)) for name in CALLBACK_METHODS):
            raise ValueError(
                f"Solver: a callback must have one of {', '.join(CALLBACK_METHODS)}; got {each!r}"
            )
    return tuple(callbacks)


def require_metrics(
    metrics: Mapping[str, Callable[[Array, Array], float]] | None, has_val: bool
) -> dict[str, Callable[[Array, Array], float]]:
    """Refuse metrics without rows to measure, and names that the history has already."""
    metrics = dict(metrics or {})
    if metrics and not has_val:
        raise ValueError("Solver: metrics are measured on X_val, y_val; data has none")
    for name, metric in metrics.items():
        if name in ("loss", "accuracy", "r2") or not callable(metric):
            raise ValueError(
                "Solver: metrics must map names other than loss, accuracy, r2 to functions of "
                f"(y, scores); got {name!r}: {metric!r}"
            )
    return metrics


def _require_weights_taken(model: object) -> None:
    """Refuse weights for a model whose loss does not take them."""
    loss = getattr(model, "loss", None)
    try:
        takes = inspect.signature(loss).parameters  # type: ignore[arg-type]
    except (TypeError, ValueError):  # not to be known, as of compiled functions
        return
    if "sample_weight" in takes or any(p.kind is p.VAR_KEYWORD for p in takes.values()):
        return
    raise ValueError(
        f"Solver: for sample_weight or class_weight the model must have loss(X, y, sample_weight); "
        f"that of {type(model).__name__} takes {', '.join(takes)}"
    )


def one_row_warning(model: object, rows: int, batch_size: int) -> str | None:
    """Say so where an epoch has a batch of which a batch norm sees one number a feature."""
    last = rows % batch_size or batch_size
    if last > 1 or not isinstance(model, Network):
        return None
    shape = model.input_shape
    for layer in model.layers:
        if isinstance(layer, BatchNorm) and math.prod(shape[1:]) == 1:
            return (
                f"Solver: of {rows} training rows a batch_size of {batch_size} "
                "leaves a batch of one row, of which batch norm makes its beta: no gradient goes "
                "through it, and it moves the running variance towards 0; take another batch_size"
            )
        shape = layer.output_shape(shape)
    return None


def without_a_lone_row(batch_size: int, rows: int) -> int:
    """Give a batch size, enlarged until no batch of an epoch is one row, and at most all rows.

    >>> [without_a_lone_row(16, rows) for rows in (32, 33, 34, 1, 9)]
    [16, 17, 16, 1, 9]
    """
    while rows > 1 and rows % batch_size == 1:
        batch_size += 1
    return min(batch_size, rows)


def named_rule(update_rule: str | optim.Rule) -> optim.Rule:
    """Give the rule of a name, or the function itself."""
    if callable(update_rule):
        return update_rule
    if update_rule not in optim.RULES:
        raise ValueError(
            f"Solver: update_rule must be one of {', '.join(optim.RULES)}, or a function; "
            f"got {update_rule!r}"
        )
    return optim.RULES[update_rule]


def first_configs(
    rule: optim.Rule,
    optim_config: Mapping[str, Any],
    params: Mapping[str, Array],
    optim_state: Mapping[str, optim.Config] | None,
) -> dict[str, optim.Config]:
    """Give each parameter's config of a rule: the hyperparameters, and the state to go on from."""
    defaults = _defaults(rule)
    unknown = set(optim_config) - set(defaults) if defaults else set()
    if unknown:
        raise ValueError(
            f"Solver: optim_config of {rule.__name__} may hold {', '.join(defaults)}; "
            f"got also {', '.join(sorted(unknown))}"
        )
    if optim_state is not None and set(optim_state) != set(params):
        raise ValueError(
            f"Solver: optim_state must have a config for each of {', '.join(params)}; "
            f"got {', '.join(optim_state) or 'none'}"
        )
    configs = {}
    for name, array in params.items():
        config = copy.deepcopy(dict(optim_config))
        if rule is optim.adamw and array.ndim < 2:
            config["weight_decay"] = 0.0
        if optim_state is not None:
            state = _state(rule, defaults, optim_state[name])
            odd = [key for key, value in state.items() if np.shape(value) not in ((), array.shape)]
            if odd and defaults:
                raise ValueError(
                    f"Solver: optim_state of {name} must hold {odd[0]} of shape {array.shape}; "
                    f"got {np.shape(state[odd[0]])}"
                )
            config = {**copy.deepcopy(state), **config}
        configs[name] = config
    return configs


def _state(rule: optim.Rule, defaults: Mapping[str, Any], config: optim.Config) -> optim.Config:
    """What a config holds beside hyperparameters; of a rule that we do not know, all of it."""
    if not defaults:
        return config
    kept = [key for key, value in defaults.items() if key == "t" or isinstance(value, np.ndarray)]
    foreign = [key for key in config if key not in defaults]
    if foreign:
        raise ValueError(
            f"Solver: optim_state must be of the rule {rule.__name__}, which keeps "
            f"{', '.join(kept) or 'nothing'}; got also {', '.join(foreign)}"
        )
    return {key: config[key] for key in kept if key in config}


def base_rate(rule: optim.Rule, optim_config: Mapping[str, Any]) -> float | None:
    """Give the rate that a schedule multiplies: the given one, or the rule's own default."""
    _, probed = rule(np.zeros(1), np.zeros(1), dict(optim_config))
    rate: float | None = (probed or {}).get("learning_rate")
    return rate


def _defaults(rule: optim.Rule) -> dict[str, Any]:
    """Return the config that one of our own rules starts with; nothing is known of another's."""
    if rule not in optim.RULES.values():
        return {}
    return rule(np.zeros(1), np.zeros(1), None)[1]
