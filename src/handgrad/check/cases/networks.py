"""The networks of the models' cases: what each computes, by the references alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check import references as right


@dataclass(frozen=True)
class Net:
    """One configuration of one class, and its right answers.

    Attributes
    ----------
    forward : function
        ``forward(X, params)`` gives scores (N, C) or (N, 1).
    backward : function
        ``backward(dscores, X, params)`` gives the gradients.
    """

    label: str
    unit: str
    cls: str
    keywords: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    x_shape: tuple[int, ...]
    classes: int  # 1: binary
    loss: Callable[[Array, Array], tuple[float, Array]]
    forward: Callable[..., Array]
    backward: Callable[..., dict[str, Array]]
    hidden: bool


def dense_net(
    unit: str, cls: str, classes: int, loss: Any, hidden: int | None, example: tuple[int, ...]
) -> Net:
    D = int(np.prod(example))
    keywords: dict[str, Any] = {"input_dim": D, "hidden_dim": hidden}
    shapes: dict[str, tuple[int, ...]] = {"W1": (D, hidden or classes), "b1": (hidden or classes,)}
    if hidden is not None:
        shapes |= {"W2": (hidden, classes), "b2": (classes,)}
    if classes > 1:
        keywords["num_classes"] = classes

    def forward(X: Array, p: Mapping[str, Array], wrong: str = "") -> Array:
        out = right.fc_forward(X, p["W1"], 0 * p["b1"] if wrong == "bias-ignored" else p["b1"])
        if hidden is None:
            return out
        return right.fc_forward(_relu(out, wrong), p["W2"], p["b2"])

    def backward(
        dscores: Array, X: Array, p: Mapping[str, Array], wrong: str = ""
    ) -> dict[str, Array]:
        grads = {}
        if hidden is not None:
            before = right.fc_forward(X, p["W1"], p["b1"])
            active = _relu(before, wrong)
            dactive, grads["W2"], grads["b2"] = right.fc_backward(dscores, active, p["W2"])
            linear = wrong in ("no-relu", "missing-mask")
            dscores = dactive if linear else dactive * (before > 0)
        _, grads["W1"], grads["b1"] = right.fc_backward(dscores, X, p["W1"])
        return grads

    kind = "linear" if hidden is None else f"hidden_dim {hidden}"
    label = f"{kind}, X (N, {', '.join(map(str, example))})"
    return Net(
        label, unit, cls, keywords, shapes, example, classes, loss, forward, backward,
        hidden is not None,
    )  # fmt: skip


def _relu(x: Array, wrong: str) -> Array:
    return x if wrong == "no-relu" else np.maximum(x, 0)


def conv_net(example: tuple[int, int, int], filters: int) -> Net:
    C, H, W = example
    hidden, classes, size = 5, 4, 3
    rows, columns = (H - size + 1) // 2, (W - size + 1) // 2
    flat = filters * rows * columns
    keywords = {
        "input_dim": list(example), "num_filters": filters, "filter_size": size,
        "hidden_dim": hidden, "num_classes": classes, "dtype": {"dtype": "float64"},
    }  # fmt: skip
    shapes = {
        "W1": (filters, C, size, size), "W2": (flat, hidden), "b2": (hidden,),
        "W3": (hidden, classes), "b3": (classes,),
    }  # fmt: skip

    def parts(X: Array, p: Mapping[str, Array], wrong: str) -> tuple[Array, Array, Array, Array]:
        conv = right.conv_forward(X, p["W1"])
        active = conv if wrong in ("no-relu", "first") else np.maximum(conv, 0)
        pooled = right.max_pool_forward(active, 2, 2, 2)
        before = right.fc_forward(pooled, p["W2"], p["b2"])
        return conv, active, pooled, before

    def last(before: Array, wrong: str) -> Array:
        return before if wrong in ("no-relu", "second") else np.maximum(before, 0)

    def forward(X: Array, p: Mapping[str, Array], wrong: str = "") -> Array:
        *_, before = parts(X, p, wrong)
        return right.fc_forward(last(before, wrong), p["W3"], p["b3"])

    def backward(
        dscores: Array, X: Array, p: Mapping[str, Array], wrong: str = ""
    ) -> dict[str, Array]:
        conv, active, pooled, before = parts(X, p, wrong)
        grads = {}
        out, grads["W3"], grads["b3"] = right.fc_backward(dscores, last(before, wrong), p["W3"])
        if wrong not in ("no-relu", "second", "missing-mask 2"):
            out = out * (before > 0)
        out, grads["W2"], grads["b2"] = right.fc_backward(out, pooled, p["W2"])
        out = right.max_pool_backward(out.reshape(pooled.shape), active, 2, 2, 2)
        if wrong not in ("no-relu", "first", "missing-mask"):
            out = out * (conv > 0)
        grads["W1"] = right.conv_backward(out, X, p["W1"])[1]
        return grads

    return Net(
        f"input_dim {example}", "cnn", "ConvNet", keywords, shapes, example, classes,
        right.softmax_loss, forward, backward, True,
    )  # fmt: skip
