"""The record of a run: frozen dataclasses, to and from JSON, with a schema version.

Accuracies are fractions in [0, 1], times are seconds. ``results.json`` is one ``Results``.
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Required, Self, TypedDict

from handgrad.errors import ResultsError
from handgrad.files import write_atomically
from handgrad.typed_json import from_json

SCHEMA = 5


def dropped(keep: float) -> str:
    """Say which share dropout drops that keeps ``keep``: what is searched is the share kept."""
    return f"{1 - keep:.4g}"


def value_text(name: str, value: Any) -> str:
    """Say a setting's value, a share that dropout keeps with the one it drops."""
    return f"{value} (drop {dropped(value)})" if name == "keep" else f"{value}"


def settings_text(settings: Mapping[str, Any]) -> str:
    """Say settings on one line.

    >>> settings_text({"reg": 0.01, "keep": 0.7})
    'reg 0.01, keep 0.7 (drop 0.3)'
    """
    return ", ".join(f"{name} {value_text(name, value)}" for name, value in settings.items())


@dataclass(frozen=True)
class Spread:
    """Several measurements of one quantity: their mean, sample standard deviation, and all."""

    mean: float
    std: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarise; the standard deviation (n - 1) of a single value is 0."""
        std = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.fmean(values), std, tuple(values))


@dataclass(frozen=True)
class Interval:
    """A 95 % interval for an accuracy, from the finite number of test rows."""

    low: float
    high: float
    rows: int
    method: str = "Wilson score interval of the mean accuracy, 95 %"

    @classmethod
    def wilson(cls, accuracy: float, rows: int) -> Self:
        """Wilson's interval for a proportion observed on ``rows`` rows.

        The seeds share their test rows, so averaging over seeds narrows the spread of training,
        not this. E. B. Wilson, JASA 22 (1927).
        """
        z = statistics.NormalDist().inv_cdf(0.975)
        centre = (accuracy + z * z / (2 * rows)) / (1 + z * z / rows)
        half = z / (1 + z * z / rows)
        half *= math.sqrt(accuracy * (1 - accuracy) / rows + z * z / (4 * rows * rows))
        return cls(max(0.0, centre - half), min(1.0, centre + half), rows)


@dataclass(frozen=True)
class DataRecord:
    """Where a data set's rows came from; ``sha256`` by file name."""

    source: str
    sha256: Mapping[str, str]
    stand_in: bool


@dataclass(frozen=True)
class Trial:
    """One candidate of a search: its validation accuracy, or None and why it has none.

    The accuracy is the mean over ``seeds`` trainings.
    """

    params: Mapping[str, Any]
    val_accuracy: float | None
    seconds: float
    error: str | None = None
    seeds: int = 1


@dataclass(frozen=True)
class LayerRecord:
    """One layer of the chosen network: its class, settings, one example's output, parameters."""

    kind: str
    settings: str
    output_shape: tuple[int, ...]
    parameters: int


class Epoch(TypedDict, total=False):
    """A line of history.jsonl: what an epoch of training came to.

    The mean training loss is ``loss`` where the Solver trained, ``train_loss`` in question 6;
    there, ``val_accuracy`` is missing after epochs that were not judged, and ``val_loss`` always.
    """

    epoch: Required[int]
    loss: float
    train_loss: float
    val_loss: float
    learning_rate: float
    train_accuracy: float
    val_accuracy: float
    seconds: float


@dataclass(frozen=True)
class Difference:
    """A setting in which an experiment differs from its reference."""

    name: str
    reference: Any
    here: Any


@dataclass(frozen=True)
class Setup:
    """What was trained, and how; of the chosen candidate where candidates differ.

    Attributes
    ----------
    input_shape : tuple of int
        Of one example.
    layers : tuple of LayerRecord
    train_rows, val_rows, test_rows : int
        The rows of each split that were used.
    preprocessing, initialisation, loss, optimizer, schedule : str
    batch_size : int
    fixed : mapping
        The settings that every candidate shares.
    validation_accuracy, training_accuracy : str
        Which epoch's, on which rows, the recorded accuracies are.
    searched : mapping
        Hyperparameter to the whole of its grid; empty without a search.
    control : mapping
        Values that make a candidate a control: it is tried and shown, and never chosen.
    search_epochs, search_rows : int
        Of each candidate's training; 0 without a search.
    search_seeds : int
        Seeds that each candidate is tried with.
    finalists, finalist_seeds : int
        How many of the best are tried with how many seeds in the end.
    reference : str, optional
        The id of the experiment that ``differences`` compares with.
    differences : tuple of Difference
    """

    input_shape: tuple[int, ...]
    layers: tuple[LayerRecord, ...]
    train_rows: int
    val_rows: int
    test_rows: int
    preprocessing: str
    initialisation: str
    loss: str
    optimizer: str
    schedule: str
    batch_size: int
    fixed: Mapping[str, Any]
    validation_accuracy: str
    training_accuracy: str
    searched: Mapping[str, tuple[Any, ...]]
    control: Mapping[str, Any]
    search_epochs: int
    search_rows: int
    search_seeds: int
    finalists: int
    finalist_seeds: int
    reference: str | None = None
    differences: tuple[Difference, ...] = ()

    def is_control(self, params: Mapping[str, Any]) -> bool:
        """Whether a candidate is a control."""
        return bool(self.control) and all(
            params.get(name) == value for name, value in self.control.items()
        )


@dataclass(frozen=True)
class Edge:
    """A chosen value that is the first or last of its grid.

    ``kind`` is 'limit' (no value lies beyond), 'flat' (the curve has flattened there: it exceeds
    its neighbour by less than the validation rows resolve) or 'open' (it has not).
    """

    name: str
    kind: str
    text: str


@dataclass(frozen=True)
class ExperimentRecord:
    """One item of the assignment: what was searched, what was chosen, what it reached.

    ``conclusions`` are sentences made from the other fields, ``edges`` the chosen values that end
    their grids.
    """

    id: str
    title: str
    data: str
    chosen: Mapping[str, Any]
    trials: tuple[Trial, ...]
    seeds: tuple[int, ...]
    val_accuracy: Spread
    test_accuracy: Spread
    test_interval: Interval
    parameters: int
    epochs: int
    train_seconds: float  # of one retraining, the mean over seeds
    search_seconds: float  # of all candidates together
    models: tuple[str, ...]  # file names relative to results.json
    setup: Setup
    conclusions: tuple[str, ...]
    edges: tuple[Edge, ...]
    # Test accuracy with the vote of each image's mirror image (question 6).
    test_accuracy_mirrored: Spread | None = None
    # One a seed, named as the models: each epoch's line, and what the model did on the test rows.
    histories: tuple[str, ...] = ()
    analyses: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotRun:
    """An experiment that was asked for and could not run, and what to do about it."""

    id: str
    title: str
    reason: str


@dataclass(frozen=True)
class Series:
    """One line of a plot: a name and its points; a None in ``y`` is a gap."""

    name: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]


@dataclass(frozen=True)
class Study:
    """A small measurement that a written answer rests on (question 7), as a plot's lines.

    ``id`` is the question, '7.1'; the labels name quantity and unit; ``command`` measures it
    again, ``seconds`` is what that took.
    """

    id: str
    title: str
    caption: str
    x_label: str
    y_label: str
    log_y: bool
    series: tuple[Series, ...]
    command: str
    seconds: float


@dataclass(frozen=True)
class Results:
    """Everything a reproduction found; ``data`` by data set name."""

    profile: str
    seed: int
    command: str
    environment: Mapping[str, Any]
    data: Mapping[str, DataRecord]
    experiments: tuple[ExperimentRecord, ...]
    not_run: tuple[NotRun, ...] = ()
    studies: tuple[Study, ...] = ()
    schema: int = SCHEMA

    def write(self, path: Path) -> None:
        """Write as JSON, schema first."""
        record = {"schema": self.schema, **{k: v for k, v in asdict(self).items() if k != "schema"}}
        write_atomically(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what ``write`` wrote; ResultsError for another schema or a damaged file."""
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            found = record["schema"]
        except (ValueError, KeyError, TypeError):
            raise ResultsError(
                f"{path} is not a results file of handgrad; delete it or name another folder"
            ) from None
        if found != SCHEMA:
            raise ResultsError(
                f"{path} has schema {found}, this version of handgrad reads and writes {SCHEMA}; "
                "name another folder with --out"
            )
        try:
            return from_json(cls, record)
        except (KeyError, TypeError) as error:
            raise ResultsError(f"{path} is damaged ({error}); delete it and run again") from None
