"""Rows ready to train on: what the net takes, what it should give, and which rows of the file."""

from dataclasses import dataclass

from handgrad.arrays import Array

LOSS_OF_TASK = {"classify": "softmax", "multilabel": "multilabel", "regress": "mse"}
"""The net's loss by task."""


@dataclass(frozen=True)
class Part:
    """Some rows.

    Attributes
    ----------
    X : float32 array (N, *input_shape)
    y : int64 array (N,) of classes; int64 (N, L) of labels, 0 and 1; float32 (N,) or (N, L) of
        targets, standardised
    rows : int64 array (N,)
        Each row's place in the data as it was read, from 0.
    amounts : float64 array, as y, or None
        Of a regression: the targets as the data has them, to every digit.
    """

    X: Array
    y: Array
    rows: Array
    amounts: Array | None = None


@dataclass(frozen=True)
class Problem:
    """The three parts of one training.

    Attributes
    ----------
    task : str
        'classify', 'multilabel' or 'regress'.
    outputs : int
        Scores of one row: classes, labels, or targets.
    train, val, test : Part
    """

    task: str
    outputs: int
    train: Part
    val: Part
    test: Part

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one row."""
        return tuple(self.train.X.shape[1:])
