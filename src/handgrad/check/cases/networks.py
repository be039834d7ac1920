"""The networks of the models' cases: what class, what it is given, what parameters it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Net:
    """One configuration of one class.

    Attributes
    ----------
    label : str
    unit, cls : str
        The module and the class.
    keywords : mapping
        What the class is made with.
    shapes : mapping
        Parameter to its shape.
    x_shape : tuple of int
        Of one example.
    classes : int
        1: binary.
    """

    label: str
    unit: str
    cls: str
    keywords: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    x_shape: tuple[int, ...]
    classes: int


CLASSES = (  # module, class, columns of its scores
    ("logistic", "LogisticClassifier", 1),
    ("svm", "SVM", 1),
    ("softmax", "SoftmaxClassifier", 4),
)


def dense_net(
    unit: str, cls: str, classes: int, hidden: int | None, example: tuple[int, ...]
) -> Net:
    """A linear classifier, or one with a hidden layer."""
    D = int(np.prod(example))
    keywords: dict[str, Any] = {"input_dim": D, "hidden_dim": hidden}
    shapes: dict[str, tuple[int, ...]] = {"W1": (D, hidden or classes), "b1": (hidden or classes,)}
    if hidden is not None:
        shapes |= {"W2": (hidden, classes), "b2": (classes,)}
    if classes > 1:
        keywords["num_classes"] = classes
    kind = "linear" if hidden is None else f"hidden_dim {hidden}"
    label = f"{kind}, X (N, {', '.join(map(str, example))})"
    return Net(label, unit, cls, keywords, shapes, example, classes)


def conv_net(example: tuple[int, int, int], filters: int) -> Net:
    """A small ConvNet."""
    C, H, W = example
    hidden, classes, size = 5, 4, 3
    flat = filters * ((H - size + 1) // 2) * ((W - size + 1) // 2)
    keywords = {
        "input_dim": list(example), "num_filters": filters, "filter_size": size,
        "hidden_dim": hidden, "num_classes": classes, "dtype": {"dtype": "float64"},
    }  # fmt: skip
    shapes = {
        "W1": (filters, C, size, size), "W2": (flat, hidden), "b2": (hidden,),
        "W3": (hidden, classes), "b3": (classes,),
    }  # fmt: skip
    return Net(f"input_dim {example}", "cnn", "ConvNet", keywords, shapes, example, classes)
