"""What is exported: a network, what makes its inputs of raw rows, and what its scores mean.

`source_of` makes one of whatever a user has: a Network, an estimator, a Model, or the path of what
`handgrad train` or `handgrad reproduce` left.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from handgrad import checkpoint, models, scaling
from handgrad.arrays import Array
from handgrad.errors import CheckpointError, ExportError
from handgrad.estimators.base import Estimator
from handgrad.estimators.classifying import Classifier
from handgrad.estimators.dense import HandgradRegressor
from handgrad.estimators.images import HandgradImageClassifier
from handgrad.estimators.scaling import FAR, Scaling
from handgrad.experiments import EXPERIMENTS, Experiment
from handgrad.export import vgg_source
from handgrad.images import ImagePreprocessor
from handgrad.models import Model
from handgrad.network import Network
from handgrad.network_losses import Task
from handgrad.tables import Preprocessor


@dataclass(frozen=True)
class RowInputs:
    """Rows of numbers, or images that are no bytes: scaled, and put into the network's order.

    Attributes
    ----------
    shape : tuple of int
        Of one example as it is given.
    exact : bool
        Whether it is given in float64; else in float32.
    centre, deviation : float64 arrays, or None
        What is taken from x, and what it is then divided by, in the shape that broadcasts against
        an example of the network.
    far : float or None
        Where z = (x - centre) / deviation is bounded: z / sqrt(1 + (z / far)^2).
    layout : 'same', 'HW' or 'HWC'
        How an image lies in ``shape``, where it is not as the network takes it.
    names : tuple of str
        Of the columns; may be empty.
    """

    shape: tuple[int, ...]
    exact: bool = False
    centre: Array | None = None
    deviation: Array | None = None
    far: float | None = None
    layout: str = "same"
    names: tuple[str, ...] = ()

    def transform(self, X: Array, network: Network) -> Array:
        """Give what the network takes of examples (N, *shape)."""
        if self.layout == "HWC":
            X = np.moveaxis(X, -1, 1)
        X = np.asarray(X).reshape(len(X), *network.input_shape)
        if self.centre is None or self.deviation is None:
            return X.astype(network.dtype)
        if self.far is not None:
            return Scaling(self.centre, self.deviation).apply(X, network.dtype)
        return scaling.standardise(X, self.centre, self.deviation).astype(network.dtype)


Inputs = RowInputs | Preprocessor | ImagePreprocessor


@dataclass(frozen=True)
class Source:
    """A trained model, whatever it was.

    Attributes
    ----------
    network : Network
    inputs : RowInputs, Preprocessor or ImagePreprocessor
        What makes the network's inputs of raw rows.
    labels : array (C,)
        Of a classifier what stands for each class: int64, float64, bool, or str objects. Of a
        binary loss two. Of other tasks empty.
    targets : tuple of str
        The names of what is predicted; of several labels each one's. May be empty.
    mean, scale : float64 arrays (M,)
        A regression's prediction is ``score * scale + mean``; empty where it is the score itself.
    about : mapping
        What else is known, JSON values.
    """

    network: Network
    inputs: Inputs
    labels: Array
    targets: tuple[str, ...] = ()
    mean: Array = field(default_factory=lambda: np.zeros(0))
    scale: Array = field(default_factory=lambda: np.zeros(0))
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """'classify', 'multilabel' or 'regress'."""
        return self.network.task


Exportable = Network | Estimator | Model | Source | Path | str


def source_of(model: Exportable) -> Source:
    """Take a model apart.

    Parameters
    ----------
    model : Network, estimator, Model, Source, or path
        A path is of a file, or of the folder with it.

    Raises
    ------
    ExportError
        For anything else.
    ModelError
        For a file that is no model, or damaged.
    ValueError
        For an estimator that is not fitted.
    """
    if isinstance(model, Source):
        return model
    if isinstance(model, Network):
        return _of_network(model, RowInputs(model.input_shape))
    if isinstance(model, Model):
        return _of_model(model)
    if isinstance(model, Estimator):
        return _of_estimator(model)
    if isinstance(model, str | Path):
        return _of_path(Path(model))
    raise ExportError(
        "a Network, an estimator, a Model or the path of a model's file can be exported; got "
        f"{type(model).__name__}"
    )


def _of_network(network: Network, inputs: Inputs, **about: Any) -> Source:
    """Take classes to be numbered from 0."""
    classes = max(2, network.output_shape[0]) if network.task == "classify" else 0
    return Source(network, inputs, np.arange(classes), about=about)


def _of_model(model: Model) -> Source:
    coder = model.coder
    if model.task == "regress":
        return Source(
            model.network, model.preprocessor, np.zeros(0), coder.names, coder.mean, coder.scale,
            model.about,
        )  # fmt: skip
    several = model.task == "multilabel"
    return Source(
        model.network,
        model.preprocessor,
        np.zeros(0) if several else coder.labels,
        coder.classes if several else coder.names,
        about=model.about,
    )


def _of_estimator(estimator: Estimator) -> Source:
    estimator._require_fitted()
    network, scaled = estimator.network_, estimator.scaling_
    names = vars(estimator).get("feature_names_in_", ())
    shape, layout = network.input_shape, "same"
    if isinstance(estimator, HandgradImageClassifier):
        shape, layout = estimator.layout
    inputs = RowInputs(
        shape, True, scaled.centre, scaled.deviation, FAR, layout, tuple(map(str, names))
    )
    if isinstance(estimator, HandgradRegressor):
        mean, scale = estimator.target_mean_, estimator.target_deviation_
        return Source(network, inputs, np.zeros(0), mean=mean, scale=scale)
    assert isinstance(estimator, Classifier)
    if network.task == "multilabel":
        return Source(network, inputs, np.zeros(0), tuple(map(str, estimator.classes_.tolist())))
    return Source(network, inputs, _plain_labels(estimator.classes_))


def _plain_labels(classes: Array) -> Array:
    """Give labels as files keep them: whole numbers, numbers, truths or texts."""
    if classes.dtype.kind in "iu":
        return classes.astype(np.int64)
    if classes.dtype.kind in "fb":
        return classes.astype(np.float64) if classes.dtype.kind == "f" else classes
    return np.array([*(str(each) for each in classes.tolist()), None], object)[:-1]


def _of_path(path: Path) -> Source:
    path = path / "model.safetensors" if path.is_dir() else path
    if (about := vgg_source.described(path)) is not None:
        network, inputs = vgg_source.network_of(path, about)
        return Source(network, inputs, np.array([*about["classes"], None], object)[:-1])
    try:
        arrays, header = checkpoint.read(path)
    except CheckpointError:
        arrays, header = {}, {}
        if path.with_name("checkpoint.pt").exists():
            raise ExportError(
                f"{path} is a net of question 6 that an earlier handgrad trained, and does not "
                "say of which layers it is; run that question again"
            ) from None
    if "experiment" in header:
        return _of_reproduction(path, arrays, header)
    return _of_model(models.load(path))


def _of_reproduction(path: Path, arrays: dict[str, Array], header: dict[str, Any]) -> Source:
    """Build the network of a run of `handgrad reproduce` (questions 2 to 5) again."""
    experiment = EXPERIMENTS.get(header["experiment"])
    try:
        mean, deviation = arrays.pop("input_mean"), arrays.pop("input_std")
        if not isinstance(experiment, Experiment):
            raise KeyError(header["experiment"])
        pixels = experiment.data == "mnist"
        shape = (1, 28, 28) if pixels else mean.shape
        network = experiment.build(header["params"], shape, np.random.default_rng(0))
        models.fill(network, arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{path} is damaged, or of another version ({error})") from None
    inputs: Inputs
    if pixels:  # trained on bytes / 255, with one mean and deviation for all of them
        levels = 255 * mean.reshape(1), 255 * deviation.reshape(1)
        inputs = ImagePreprocessor((1, 28, 28), *levels)
    else:
        inputs = RowInputs(shape, True, mean, deviation)
    about = {"experiment": experiment.id, "title": experiment.title, "params": header["params"]}
    return _of_network(network, inputs, **json.loads(json.dumps(about)))
