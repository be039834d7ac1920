"""What a Solver is given, checked: rows, labels, rules; each error says the rule and what came."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from handgrad import optim
from handgrad.arrays import Array
from handgrad.network import BatchNorm, Network

_NAMES = ("X_train", "y_train", "X_val", "y_val")


def rows(data: Any) -> tuple[Array, Array, Array, Array]:
    """Take the four arrays out of the data and check that they belong together."""
    is_mapping = isinstance(data, Mapping)
    missing = [n for n in _NAMES if not (n in data if is_mapping else hasattr(data, n))]
    if missing:
        raise ValueError(
            f"Solver: data must have {', '.join(_NAMES)}; missing {', '.join(missing)}"
        )
    rows = [np.asarray(data[name] if is_mapping else getattr(data, name)) for name in _NAMES]
    for X, y, part in ((rows[0], rows[1], "train"), (rows[2], rows[3], "val")):
        if len(X) == 0 or len(X) != len(y):
            raise ValueError(
                f"Solver: X_{part} and y_{part} must have the same number of rows, at least 1; "
                f"got {len(X)} and {len(y)}"
            )
    return rows[0], rows[1], rows[2], rows[3]


def norm_of_one_row(model: object, rows: int, batch_size: int) -> bool:
    """Whether an epoch has a batch of which a batch norm sees one number a feature."""
    last = rows % batch_size or batch_size
    if last > 1 or not isinstance(model, Network):
        return False
    shape = model.input_shape
    for layer in model.layers:
        if isinstance(layer, BatchNorm) and math.prod(shape[1:]) == 1:
            return True
        shape = layer.output_shape(shape)
    return False


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


def require_labels(labels: Array, known: Sequence[int], count: int) -> None:
    """Refuse labels that the model cannot mean: they would only look like bad accuracy."""
    if len(labels) != count:
        raise ValueError(
            f"check_accuracy: y must be (N,), one label a row; got {len(labels)} for {count} rows"
        )
    unknown = np.setdiff1d(labels, known)
    if unknown.size:
        shown = ", ".join(str(label) for label in unknown[:10].tolist())
        raise ValueError(
            f"check_accuracy: the model's labels are {', '.join(map(str, known))}; got {shown}"
        )


def defaults(rule: optim.Rule) -> dict[str, Any]:
    """Return the config that one of our own rules starts with; nothing is known of another's."""
    if rule not in optim.RULES.values():
        return {}
    return rule(np.zeros(1), np.zeros(1), None)[1]
