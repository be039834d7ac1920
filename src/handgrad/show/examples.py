"""Examples with their labels, wherever they come from: what a page may choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from handgrad import engine
from handgrad.arrays import Array
from handgrad.datasets import Dataset, load_course, load_mnist
from handgrad.errors import DataError, ModelError
from handgrad.experiments import EXPERIMENTS
from handgrad.export.source import RowInputs, Source
from handgrad.images import ImagePreprocessor, holds_images, open_images
from handgrad.images.pixels import as_channels
from handgrad.network import Network
from handgrad.show.model_file import coder_of
from handgrad.tables import Columns, Preprocessor, open_table

_BATCH = 500


@dataclass(frozen=True)
class Examples:
    """Some examples.

    Attributes
    ----------
    raw : Columns, uint8 array (N, C, H, W) or float64 array (N, D)
        As the model's preprocessing takes them.
    y : array (N,), (N, L) or (N, M), or None
        As the network's loss takes it; None where nothing is known of it.
    names : list of str
        What to call each: "row 17", "test image 8".
    """

    raw: Columns | Array
    y: Array | None
    names: list[str]

    def __len__(self) -> int:
        """Count them."""
        return len(self.names)

    def take(self, rows: Array) -> Examples:
        """Give those of these indices, in their order."""
        raw = self.raw.take(rows) if isinstance(self.raw, Columns) else self.raw[rows]
        y = None if self.y is None else self.y[rows]
        return replace(self, raw=raw, y=y, names=[self.names[row] for row in rows.tolist()])


@dataclass(frozen=True)
class Data:
    """Examples to look at, and to train on.

    Attributes
    ----------
    shown : Examples
    training, validation : Examples or None
        None where there are no labels; the same rows as ``shown`` where a file is all there is.
    source : str
        For people: where ``shown`` comes from.
    training_source : str
        Where the others come from; '' is the same.
    """

    shown: Examples
    training: Examples | None
    validation: Examples | None
    source: str
    training_source: str = ""


def inputs_of(source: Source, raw: Columns | Array) -> Array:
    """Give what the network takes of raw examples: (N, *input_shape), in its dtype."""
    inputs, network = source.inputs, source.network
    if isinstance(inputs, RowInputs):
        made = inputs.transform(np.asarray(raw), network)
    else:
        made = np.asarray(inputs.transform(raw))  # type: ignore[arg-type]
    return network.examples(made)


def scores_of(network: Network, X: Array) -> Array:
    """Give the test-mode scores (N, outputs) of inputs, some hundred at a time."""
    parts = [
        engine.scores(network, X[start : start + _BATCH]) for start in range(0, len(X), _BATCH)
    ]
    return np.concatenate(parts).reshape(len(X), *network.output_shape)


def of_reproduction(source: Source) -> Data | None:
    """Give the rows of the assignment that a model of `handgrad reproduce` was made for.

    MNIST is what there is on this machine; without it, the digits that are shipped.

    Returns
    -------
    Data or None
        None for a model of anything else.
    """
    experiment = EXPERIMENTS.get(str(source.about.get("experiment")))
    if experiment is None:
        return None
    return of_dataset(load_mnist(offline=True) if experiment.data == "mnist" else load_course())


def of_dataset(dataset: Dataset) -> Data:
    """Give the test rows of MNIST or of the course to look at, the others to train on."""
    test, train, val = (_part(dataset, name) for name in ("test", "train", "val"))
    shown, others = (f"{title}: {dataset.source}" for title in _TITLES[dataset.name])
    return Data(test, train, val, shown, others)


_TITLES = {
    "mnist": ("MNIST's test images", "MNIST's training and validation images"),
    "course": ("the course's test rows", "the course's training and validation rows"),
}
_KINDS = {"train": "training", "val": "validation", "test": "test"}


def _part(dataset: Dataset, name: str) -> Examples:
    pixels = dataset.name == "mnist"
    X, y = getattr(dataset, f"X_{name}"), getattr(dataset, f"y_{name}")
    raw = np.rint(X * 255).astype(np.uint8) if pixels else X.astype(np.float64)
    noun = f"{_KINDS[name]} {'image' if pixels else 'row'}"
    return Examples(raw, y, [f"{noun} {row}" for row in range(len(y))])


def of_file(source: Source, path: Path) -> Data:
    """Read examples for a model from a table or from images.

    A table without the target's column is shown without labels.

    Raises
    ------
    DataError
        Where they do not fit the model: naming the file and the row.
    ModelError
        For a table where the model takes images, or the other way round.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    takes_images = isinstance(source.inputs, ImagePreprocessor)
    if takes_images != (path.is_dir() or holds_images(path)):
        wanted = "images" if takes_images else "a table"
        raise ModelError(f"the model takes {wanted}; {path} holds something else")
    found = _images(source, path) if takes_images else _rows(source, path)
    known = None if found.y is None else found
    return Data(found, known, known, path.name)


def _images(source: Source, path: Path) -> Examples:
    inputs = source.inputs
    assert isinstance(inputs, ImagePreprocessor)
    channels, height, width = inputs.input_shape
    images = open_images(path, resize=(height, width) if inputs.resized else None)
    if images.X.shape[2:] != (height, width):
        got = " x ".join(map(str, images.X.shape[2:]))
        raise DataError(f"{path} has pictures of {got}; the model takes {height} x {width}")
    code = {str(label): place for place, label in enumerate(source.labels.tolist())}
    y = np.array([code.get(label, -1) for label in images.labels], np.int64)
    if (y < 0).any():
        row = int(np.argmin(y))
        raise DataError(
            f"{path}: {images.names[row]} is of the class {images.labels[row]!r}, which is none of "
            f"the model's {len(code)} classes"
        )
    return Examples(as_channels(images.X, channels), y, images.names)


def _rows(source: Source, path: Path) -> Examples:
    table = open_table(path)
    inputs, coder = source.inputs, coder_of(source)
    text = inputs.text_columns if isinstance(inputs, Preprocessor) else ()
    columns = table.read(text=[name for name in text if name in table.names])
    known = all(name in table.names for name in coder.names)
    y = coder.encode(columns) if known else None
    names = [f"row {number}" for number in columns.numbers.tolist()]
    return Examples(_raw(source, columns), y, names)


def _raw(source: Source, columns: Columns) -> Columns | Array:
    inputs = source.inputs
    if isinstance(inputs, Preprocessor):
        return columns
    assert isinstance(inputs, RowInputs)
    count = int(np.prod(inputs.shape))
    names: Sequence[str] = inputs.names or columns.names
    if len(names) != count:
        raise DataError(
            f"{columns.source} has {len(names)} columns; the model takes {count} numbers a row"
        )
    return np.stack([columns.find(name) for name in names], axis=1).astype(np.float64)


def wrong_first(source: Source, examples: Examples) -> tuple[Array, int]:
    """Order examples: first what the model gets wrong, the surest mistakes and largest errors.

    Returns
    -------
    order : int array (N,)
    wrong : int
        How many are wrong; of a regression, the fifth with the largest errors.
    """
    assert examples.y is not None
    scores = scores_of(source.network, inputs_of(source, examples.raw)).astype(np.float64)
    badness, wrong = _judged(source, scores, examples.y)
    order = np.lexsort((-badness, ~wrong))
    return order, int(wrong.sum())


def _judged(source: Source, scores: Array, y: Array) -> tuple[Array, Any]:
    """How far off each row's scores are, and whether that is a mistake."""
    if source.task == "regress":
        errors = np.abs(scores - y.reshape(scores.shape)).max(axis=1)
        return errors, errors > np.quantile(errors, 0.8)
    if source.task == "multilabel" or scores.shape[1] == 1:
        against = np.where(y.reshape(scores.shape) > 0, -scores, scores)
        wrong = (scores > 0) != (y.reshape(scores.shape) > 0)
        return against.max(axis=1), wrong.any(axis=1)
    own = scores[np.arange(len(y)), y]
    return scores.max(axis=1) - own, scores.argmax(axis=1) != y
