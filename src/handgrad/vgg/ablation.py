"""What each choice is worth: the improved recipe with one thing changed, on the same epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from handgrad.vgg.net import COMPACT_WIDTHS, KERNEL_SIZES
from handgrad.vgg.recipes import RECIPES, Recipe


@dataclass(frozen=True)
class Change:
    """One row of the table.

    Attributes
    ----------
    group : str
        The kind of choice, as question 6.3 lists them.
    name : str
        Names the row's folder and line.
    fields : Mapping of str to Any
        The recipe's fields that differ; empty for the recipe itself.
    """

    group: str
    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def applied(self, epochs: int) -> Recipe:
        """Give `improved` with this change, under the change's name, for so many epochs."""
        fields: dict[str, Any] = dict(self.fields)
        return dataclasses.replace(
            RECIPES["improved"], name=self.name, summary=self.group, epochs=epochs, **fields
        )


CHANGES: tuple[Change, ...] = (
    Change("none", "improved"),
    Change("optimizer", "sgd-nesterov", {"optimizer": "sgd", "learning_rate": 0.2}),
    Change("optimizer", "adamw", {"optimizer": "adamw", "learning_rate": 4e-3}),
    Change("optimizer", "no-weight-decay", {"weight_decay": 0.0, "muon_weight_decay": 0.0}),
    Change("optimizer", "no-weight-averaging", {"ema_decay": 0.0}),
    Change("preprocessing", "no-normalization", {"normalize": False}),
    Change("preprocessing", "no-crop", {"crop_padding": 0}),
    Change("preprocessing", "no-flip", {"flip": "none"}),
    Change("preprocessing", "cutout-8", {"cutout": 8}),
    Change("preprocessing", "no-label-smoothing", {"label_smoothing": 0.0}),
    Change("activation", "relu", {"activation": "relu"}),
    Change("activation", "leaky-relu", {"activation": "leaky_relu"}),
    Change("activation", "gelu", {"activation": "gelu"}),
    Change("size", "assignment-widths", {"widths": COMPACT_WIDTHS}),
    Change("size", "half-widths", {"widths": tuple(n // 2 for n in RECIPES["improved"].widths)}),
    Change("size", "batch-125", {"batch_size": 125}),
    Change("size", "batch-500", {"batch_size": 500}),
    Change("learning rate", "constant", {"schedule": "constant"}),
    Change("learning rate", "linear", {"schedule": "linear"}),
    Change("learning rate", "steps", {"schedule": "steps"}),
    Change("architecture", "no-batch-norm", {"batch_norm": False}),
    Change("architecture", "average-pooling", {"pooling": "average"}),
    Change("architecture", "pool-last", {"pool_first": False}),
    Change("architecture", "one-dense-layer", {"head": ()}),
    Change("convolution size", "first-5x5", {"kernel_sizes": (5, *KERNEL_SIZES[1:])}),
    Change("convolution size", "first-1x1", {"kernel_sizes": (1, *KERNEL_SIZES[1:])}),
    Change("convolution size", "all-5x5", {"kernel_sizes": (5,) * 8}),
)
"""The rows of experiment 6.3's table."""
