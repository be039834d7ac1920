"""What a model does on its test rows beyond one number: which classes, how sure, where it errs.

Made at the one moment when a finished model sees the test rows, from that same pass, and recorded
in ``analysis.json`` beside the model. Accuracies and confidences are fractions.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from handgrad import pictures
from handgrad.arrays import Array
from handgrad.errors import ResultsError
from handgrad.files import write_atomically
from handgrad.pictures import Sheet
from handgrad.typed_json import from_json

_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
CLASS_NAMES = {
    "course": ("0", "1"),
    "mnist": tuple("0123456789"),
    "cifar10": tuple(_CIFAR10.split()),
}
"""By data set, in the order of the labels."""

_BINS = 10
_SHOWN_MISTAKES = 24
_HISTOGRAM_BINS = 30


@dataclass(frozen=True)
class Bin:
    """Rows whose confidence lies in (low, high]: their number, mean confidence, and accuracy."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """Is a model that is 80 % sure right 80 % of the time?

    ``expected_error`` is the mean distance of accuracy from confidence over the bins, weighted by
    their rows (expected calibration error; Guo et al., ICML 2017).
    """

    bins: tuple[Bin, ...]
    expected_error: float


@dataclass(frozen=True)
class Mistake:
    """A test row that was scored wrong, by its position among the test rows.

    ``confidence`` is the probability given to the predicted class, None where the loss gives no
    probabilities; ``score`` the decision score of a binary model; ``png`` the image, if it is one.
    """

    row: int
    truth: str
    prediction: str
    confidence: float | None
    score: float | None
    png: str | None


@dataclass(frozen=True)
class Histogram:
    """Decision scores of a binary model: counts between edges, one tuple a class."""

    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Analysis:
    """One model on its test rows.

    Attributes
    ----------
    seed, rows : int
        Of the model's training; the number of test rows.
    classes : tuple of str
    confusion : tuple of tuples of int
        Rows by true class, columns by predicted class.
    class_accuracy : tuple of float or None
        The share of each class's rows that is right; None without rows.
    calibration : Calibration or None
        None where the loss gives no probabilities (hinge).
    mistakes : tuple of Mistake
        The most confident first, at most two dozen.
    histogram : Histogram or None
        For binary models.
    sheets : tuple of Sheet
        First-layer weights, feature maps.
    """

    seed: int
    rows: int
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    class_accuracy: tuple[float | None, ...]
    calibration: Calibration | None
    mistakes: tuple[Mistake, ...]
    histogram: Histogram | None
    sheets: tuple[Sheet, ...]

    @property
    def accuracy(self) -> float:
        """Share of the rows that is right."""
        return sum(self.confusion[c][c] for c in range(len(self.classes))) / self.rows

    def write(self, path: Path) -> None:
        """Write as JSON."""
        write_atomically(path, json.dumps(asdict(self), ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what ``write`` wrote; ResultsError for a damaged file."""
        try:
            return from_json(cls, json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsError(
                f"{path} is damaged ({error}); delete it and run the same command again"
            ) from None


def analyse(
    labels: Array,
    *,
    seed: int,
    classes: Sequence[str],
    probabilities: Array | None = None,
    scores: Array | None = None,
    images: Array | None = None,
    sheets: Sequence[Sheet] = (),
) -> Analysis:
    """Summarise one pass over the test rows.

    Parameters
    ----------
    labels : int array (N,), in [0, C)
    seed : int
    classes : sequence of str, length C
    probabilities : array (N, C), optional
        The class of largest probability is predicted, the first of equals.
    scores : array (N,), optional
        Decision scores of a binary model, which predicts class 1 where they are > 0; needed where
        there are no probabilities.
    images : uint8 array (N, C, H, W), optional
        What the rows look like, to show the mistakes.
    sheets : sequence of Sheet
        Kept as they are.
    """
    if scores is not None:
        predicted = (scores > 0).astype(np.int64)
    elif probabilities is not None:
        predicted = probabilities.argmax(axis=1)
    else:
        raise ValueError("analyse: give probabilities, or the scores of a binary model")
    rows = np.arange(len(labels))
    confidence = None if probabilities is None else probabilities[rows, predicted]
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    totals = confusion.sum(axis=1)
    sureness = np.abs(scores) if scores is not None else confidence
    assert sureness is not None
    wrong = rows[predicted != labels]
    wrong = wrong[np.argsort(-sureness[wrong], kind="stable")][:_SHOWN_MISTAKES]
    return Analysis(
        seed=seed,
        rows=len(labels),
        classes=tuple(classes),
        confusion=tuple(tuple(line) for line in confusion.tolist()),
        class_accuracy=tuple(
            float(confusion[c, c] / totals[c]) if totals[c] else None for c in range(len(classes))
        ),
        calibration=None if confidence is None else _calibration(confidence, predicted == labels),
        mistakes=tuple(
            Mistake(
                row=int(row),
                truth=classes[labels[row]],
                prediction=classes[predicted[row]],
                confidence=None if confidence is None else float(confidence[row]),
                score=None if scores is None else float(scores[row]),
                png=None if images is None else pictures.image(images[row]),
            )
            for row in wrong
        ),
        histogram=None if scores is None else _histogram(scores, labels),
        sheets=tuple(sheets),
    )


def _calibration(confidence: Array, right: Array) -> Calibration:
    bins = []
    error = 0.0
    edges = np.linspace(0, 1, _BINS + 1)
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        count = int(inside.sum())
        mean = float(confidence[inside].mean()) if count else None
        share = float(right[inside].mean()) if count else None
        bins.append(Bin(round(float(low), 6), round(float(high), 6), count, mean, share))
        if mean is not None and share is not None:
            error += count / len(confidence) * abs(share - mean)
    return Calibration(tuple(bins), error)


def _histogram(scores: Array, labels: Array) -> Histogram:
    # Symmetric, so that the border between the classes is an edge; as wide as the largest score.
    reach = max(1.0, float(np.ceil(np.abs(scores).max())))
    edges = np.linspace(-reach, reach, _HISTOGRAM_BINS + 1)
    counts = [np.histogram(scores[labels == c], edges)[0].tolist() for c in (0, 1)]
    return Histogram(tuple(edges.tolist()), tuple(tuple(line) for line in counts))
