"""The record of one `handgrad train`: what was read, trained and reached; to and from JSON.

Shares and accuracies are fractions, times are seconds, and a row is counted as the data's file has
it: of a text file the line, otherwise from 1; `handgrad predict` counts them so too. A
metric without a value (a class that is not there, a loss that is infinite) is None.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from handgrad.analysis import Analysis
from handgrad.errors import ResultsError
from handgrad.files import write_atomically
from handgrad.results import Interval, LayerRecord
from handgrad.typed_json import from_json

SCHEMA = 1

METRICS: Mapping[str, Mapping[str, str]] = {
    "classify": {
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced accuracy",
        "log_loss": "log loss",
    },
    "multilabel": {
        "accuracy": "rows with every label right",
        "label_accuracy": "labels right",
        "balanced_accuracy": "balanced accuracy, mean over labels",
        "log_loss": "log loss, mean over labels",
    },
    "regress": {"r2": "R²", "rmse": "root mean squared error", "mae": "mean absolute error"},
}
"""By task: each metric's name in a record and its title; the first chooses the best epoch."""

LOWER_IS_BETTER = ("log_loss", "rmse", "mae")

Metrics = Mapping[str, float | None]
"""A name of ``METRICS`` to its value."""


@dataclass(frozen=True)
class ColumnRecord:
    """A column of a table.

    ``kind`` is 'number', 'category', 'boolean', 'date', 'text', 'identifier' or 'constant'; ``use``
    says what becomes of it: 'target', 'group', 'time', 'input', or why it is left out. ``inputs``
    is how many of the net's inputs it makes. ``low``, ``high`` and ``mean`` are those of numbers.
    """

    name: str
    kind: str
    use: str
    missing: int
    distinct: int
    inputs: int
    low: float | None = None
    high: float | None = None
    mean: float | None = None


@dataclass(frozen=True)
class ClassShare:
    """A class (of several labels: a label), its rows, and their share of all rows."""

    name: str
    rows: int
    share: float


@dataclass(frozen=True)
class TargetRange:
    """A target of a regression."""

    name: str
    low: float
    high: float
    mean: float
    std: float


@dataclass(frozen=True)
class DataSummary:
    """What was read.

    Attributes
    ----------
    name : str
        The file's or the folder's name, without its path.
    recognised : str
        One line: format, rows, and what was told apart (a delimiter, EMNIST's orientation).
    kind : str
        'table' or 'images'.
    rows : int
    targets : tuple of str
        Names of the target columns; of images ``('class',)``.
    columns : tuple of ColumnRecord
        Of a table, in its order; the targets are among them.
    image_shape : tuple of int or None
        (C, H, W) of each image.
    skipped : tuple of str
        One line for each image that was left out, and why.
    classes : tuple of ClassShare
        Empty for a regression; the labels' positive rows for several labels.
    ranges : tuple of TargetRange
        For a regression, one a target.
    leaking : tuple of str
        Columns that equal the target, or tell it one to one; they are left out.
    duplicates : int
        Rows that equal an earlier one.
    warnings : tuple of str
        Sentences.
    """

    name: str
    recognised: str
    kind: str
    rows: int
    targets: tuple[str, ...]
    columns: tuple[ColumnRecord, ...]
    image_shape: tuple[int, ...] | None
    skipped: tuple[str, ...]
    classes: tuple[ClassShare, ...]
    ranges: tuple[TargetRange, ...]
    leaking: tuple[str, ...]
    duplicates: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class SplitSizes:
    """Rows of each part; ``how`` says by what: 'stratified by ...', 'groups of ...', 'time'."""

    train: int
    val: int
    test: int
    how: str


@dataclass(frozen=True)
class Baseline:
    """What the net has to beat.

    ``name`` is 'majority' (for a regression 'mean') or 'linear'; ``description`` is a sentence.
    """

    name: str
    description: str
    validation: Metrics
    test: Metrics
    seconds: float


@dataclass(frozen=True)
class EpochRecord:
    """One epoch; ``train_score`` and ``val_score`` are the task's first metric.

    ``loss`` is the mean training loss of the epoch's batches, penalty included; ``val_loss`` that
    of the validation rows.
    """

    epoch: int
    loss: float
    val_loss: float | None
    train_score: float | None
    val_score: float
    learning_rate: float | None
    seconds: float


@dataclass(frozen=True)
class NetSummary:
    """The net that was kept.

    Attributes
    ----------
    architecture : str
        One line, as '4 inputs, 64, 64, 3 classes, ReLU'.
    layers : tuple of LayerRecord
    parameters : int
    hyperparameters : mapping
        Name to value: sizes, rate, batch, penalty, dropout.
    history : tuple of EpochRecord
    best_epoch : int
        Whose parameters are kept: the best validation score, the first of equals.
    stopped : str
        Why training ended, a sentence: patience, the time, the last epoch, Ctrl-C.
    validation, test : mapping
    test_interval : Interval or None
        Of the test accuracy; None for a regression.
    seconds : float
    """

    architecture: str
    layers: tuple[LayerRecord, ...]
    parameters: int
    hyperparameters: Mapping[str, Any]
    history: tuple[EpochRecord, ...]
    best_epoch: int
    stopped: str
    validation: Metrics
    test: Metrics
    test_interval: Interval | None
    seconds: float


@dataclass(frozen=True)
class TrialSummary:
    """A candidate of ``--search``; ``state`` is 'complete', 'pruned', 'failed' or 'running'.

    ``val_score`` is None where it failed, the last one that was reported where it was pruned.
    """

    number: int
    params: Mapping[str, Any]
    state: str
    val_score: float | None
    epochs: int
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class SearchSummary:
    """The candidates of ``--search``, in order; ``best`` is the chosen one's number."""

    trials: tuple[TrialSummary, ...]
    best: int
    sampler: str
    pruner: str
    seconds: float


@dataclass(frozen=True)
class Residual:
    """A test row of a regression, in the target's units; the error is prediction - truth."""

    row: int
    truth: float
    prediction: float
    error: float


@dataclass(frozen=True)
class Regression:
    """A regression on the test rows.

    Attributes
    ----------
    rows : int
    points : tuple of Residual
        At most 1,000 rows, evenly spaced.
    edges, counts : tuple
        Histogram of prediction - truth: counts between edges.
    worst : tuple of Residual
        The largest errors first, at most two dozen.
    """

    rows: int
    points: tuple[Residual, ...]
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    worst: tuple[Residual, ...]


@dataclass(frozen=True)
class TargetAnalysis:
    """The kept net on the test rows, for one target; one of the two is there.

    In ``classification`` (confusion, calibration, the most confident mistakes with their images:
    ``png`` is a PNG file in base64) a mistake's ``row`` is a row of the data as this file's head
    says; its classes are '0' and '1' for a label among several. ``names`` are the files of those
    mistakes, for images that have names.
    """

    target: str
    classification: Analysis | None
    regression: Regression | None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Importance:
    """Permutation importance of a column (L. Breiman, Machine Learning 45, 2001).

    How much the first metric falls on the validation rows when the column is shuffled: mean and
    sample standard deviation over ``repeats``.
    """

    column: str
    mean: float
    std: float
    repeats: int


@dataclass(frozen=True)
class TrainingRecord:
    """One `handgrad train`.

    Attributes
    ----------
    command : str
        As it was called, paths without their folders.
    task : str
        'classify', 'multilabel' or 'regress': the key of ``METRICS``.
    data : DataSummary
    split : SplitSizes
    preprocessing : tuple of str
        One sentence a step: imputed, encoded, standardised.
    baselines : tuple of Baseline
        Majority (or mean), then linear.
    net : NetSummary
    analyses : tuple of TargetAnalysis
        One a target.
    importances : tuple of Importance
        The largest first; empty for images.
    importance_rows : int
        Validation rows that they were measured on.
    search : SearchSummary or None
    interrupted : bool
        Whether Ctrl-C interrupted it on the way, and the same command went on.
    seconds : float
        Of the whole command, earlier parts of an interrupted run included.
    seed : int
    model : str
        The model's file name, beside this record.
    environment : mapping
        Versions and hardware.
    schema : int
    """

    command: str
    task: str
    data: DataSummary
    split: SplitSizes
    preprocessing: tuple[str, ...]
    baselines: tuple[Baseline, ...]
    net: NetSummary
    analyses: tuple[TargetAnalysis, ...]
    importances: tuple[Importance, ...]
    importance_rows: int
    search: SearchSummary | None
    interrupted: bool
    seconds: float
    seed: int
    model: str
    environment: Mapping[str, Any]
    schema: int = SCHEMA

    def write(self, path: Path) -> None:
        """Write as JSON, schema first; OSError as `files.write_atomically`."""
        fields = asdict(self)
        record = {"schema": fields.pop("schema"), **fields}
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(path, text + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what ``write`` wrote; ResultsError for another schema or a damaged file."""
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            found = record["schema"]
        except (OSError, ValueError, KeyError, TypeError):
            raise ResultsError(
                f"{path} is not a record of handgrad train; name the folder that it wrote"
            ) from None
        if found != SCHEMA:
            raise ResultsError(
                f"{path} has schema {found}, this version of handgrad reads {SCHEMA}; train again"
            )
        try:
            return from_json(cls, record)
        except (KeyError, TypeError, IndexError) as error:
            raise ResultsError(f"{path} is damaged ({error}); train again") from None


def finite(value: float) -> float | None:
    """Give a metric as a record keeps it: None unless it is finite.

    >>> finite(0.5), finite(float("inf"))
    (0.5, None)
    """
    return float(value) if math.isfinite(value) else None
