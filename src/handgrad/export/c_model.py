"""What a C file is made of: a network, what stands before and behind it, and the names."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.errors import ExportError
from handgrad.estimators import HandgradClassifier, HandgradImageClassifier, HandgradRegressor
from handgrad.estimators.scaling import Scaling
from handgrad.images import ImagePreprocessor
from handgrad.models import Model, load
from handgrad.network import Network
from handgrad.tables import Preprocessor


@dataclass(frozen=True)
class Source:
    """A model, taken apart.

    Attributes
    ----------
    network : Network
    rows : callable
        Makes the network's inputs of rows as the model takes them.
    order, meaning : str
        What x and out are, for the header.
    table : Preprocessor, optional
    scaling : Scaling, optional
    pixels : pair of arrays (C,), optional
        Slope and shift of each channel.
    targets : pair of arrays (M,), optional
        Mean and scale of a regression's targets.
    classes : tuple of str
    """

    network: Network
    rows: Callable[[Any], Array]
    order: str
    meaning: str
    table: Preprocessor | None = None
    scaling: Scaling | None = None
    pixels: tuple[Array, Array] | None = None
    targets: tuple[Array, Array] | None = None
    classes: tuple[str, ...] = field(default=())

    @property
    def task(self) -> str:
        """'classify', 'multilabel' or 'regress'."""
        return self.network.task

    @property
    def outputs(self) -> int:
        """Numbers that come out."""
        return self.network.output_shape[0]

    @property
    def said(self) -> str:
        """The network in one line."""
        shape = " x ".join(map(str, self.network.input_shape))
        count = sum(array.size for array in self.network.params.values())
        return f"A network of {shape} to {self.outputs} numbers, {count:,} parameters"


def source_of(model: Any) -> Source:
    """Take a model apart.

    Raises
    ------
    ExportError
        If it is none; ModelError for a file that cannot be used.
    """
    if isinstance(model, str | Path):
        model = load(Path(model))
    if isinstance(model, Network):
        return Source(model, model.examples, _order(model), _meaning(model))
    if isinstance(model, Model):
        return _of_model(model)
    if isinstance(model, HandgradClassifier | HandgradRegressor | HandgradImageClassifier):
        return _of_estimator(model)
    raise ExportError(
        "a C file is made of a Network, an estimator, a Model or a model's file; got "
        f"{type(model).__name__}"
    )


def _order(network: Network) -> str:
    shape = network.input_shape
    if len(shape) == 1:
        return f"{shape[0]} numbers, as the network takes them"
    return f"an image of {' x '.join(map(str, shape))} numbers: channel by channel, row by row"


def _meaning(network: Network) -> str:
    if network.task == "regress":
        return "the predictions"
    if network.output_shape == (1,) and network.task == "classify":
        return "one score: class 1 where it is above 0, else class 0"
    return "a score for each label, above 0 where it holds" if network.task == "multilabel" else (
        "a score for each class; the largest one's is predicted"
    )  # fmt: skip


def _of_model(model: Model) -> Source:
    network, coder = model.network, model.coder
    regress = coder.task == "regress"
    table = pixels = None
    if isinstance(model.preprocessor, ImagePreprocessor):
        mean, deviation = model.preprocessor.mean, model.preprocessor.deviation
        pixels = (1 / deviation, -mean / deviation)
        order = f"{_order(network)}, levels from 0 to 255"
    else:
        table = model.preprocessor
        order = "a number for each column of the table"
    return Source(
        network, model.inputs, order,
        "the predictions, in the targets' units" if regress else _meaning(network),
        table=table, pixels=pixels, targets=(coder.mean, coder.scale) if regress else None,
        classes=() if regress else coder.classes,
    )  # fmt: skip


def _of_estimator(
    model: HandgradClassifier | HandgradRegressor | HandgradImageClassifier,
) -> Source:
    if "network_" not in vars(model):
        raise ExportError(f"this {type(model).__name__} is not fitted yet: call fit first")
    network, scaling = model.network_, model.scaling_
    targets, classes = None, ()
    if isinstance(model, HandgradRegressor):
        targets = (model.target_mean_, model.target_deviation_)
    else:
        classes = tuple(str(each) for each in model.classes_.tolist())

    def rows(X: Any) -> Array:
        X = np.asarray(X, np.float64).reshape(-1, *network.input_shape)
        return scaling.apply(X, network.dtype)

    return Source(
        network, rows, _order(network).replace("the network takes", "fit took"), _meaning(network),
        scaling=None if scaling.centre is None else scaling, targets=targets, classes=classes,
    )  # fmt: skip
