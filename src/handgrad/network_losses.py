"""The losses a network may end in: what each is for, how many outputs it takes, its settings."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from handgrad import layers
from handgrad.arrays import Array

Task = Literal["classify", "multilabel", "regress"]
LossName = Literal["softmax", "logistic", "svm", "multilabel", "mse", "mae", "huber"]


@dataclass(frozen=True)
class Loss:
    """A loss.

    Attributes
    ----------
    function : of ``handgrad.layers``; takes (x, y, sample_weight=..., **options)
    task : 'classify', 'multilabel' or 'regress'
    letter : str
        What the documentation calls the number of outputs; '1' where there is just one.
    options : dict
        Its settings and their defaults.
    """

    function: Callable[..., tuple[float, Array]]
    task: Task
    letter: str
    options: Mapping[str, float] = field(default_factory=dict)


LOSSES: dict[str, Loss] = {
    "softmax": Loss(layers.softmax_loss, "classify", "C", {"label_smoothing": 0.0}),
    "logistic": Loss(layers.logistic_loss, "classify", "1"),
    "svm": Loss(layers.svm_loss, "classify", "1"),
    "multilabel": Loss(layers.multilabel_loss, "multilabel", "L"),
    "mse": Loss(layers.mse_loss, "regress", "M"),
    "mae": Loss(layers.mae_loss, "regress", "M"),
    "huber": Loss(layers.huber_loss, "regress", "M", {"delta": 1.0}),
}


def settings(name: str, given: Mapping[str, Any] | None) -> dict[str, float]:
    """Give all settings of a loss: those given, the others' defaults.

    Raises
    ------
    ValueError
        For a loss that there is not, a setting that it has not, or an impossible value.
    """
    if name not in LOSSES:
        raise ValueError(f"Network: loss must be one of {', '.join(LOSSES)}; got {name!r}")
    known = LOSSES[name].options
    unknown = [str(key) for key in given or {} if key not in known]
    if unknown:
        may = f"may hold {', '.join(known)}" if known else "must be empty"
        raise ValueError(f"Network: loss_options of {name} {may}; got {', '.join(unknown)}")
    chosen = {}
    for key, value in {**known, **(given or {})}.items():
        try:
            chosen[key] = float(value)
        except (TypeError, ValueError):
            chosen[key] = math.nan
        right, rule = {
            "label_smoothing": (0 <= chosen[key] < 1, "in [0, 1)"),
            "delta": (0 < chosen[key] < math.inf, "positive and finite"),
        }[key]
        if not right:
            raise ValueError(f"Network: {key} of {name} must be {rule}; got {value!r}")
    return chosen
