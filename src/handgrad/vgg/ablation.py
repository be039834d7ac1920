"""What each choice is worth: the improved recipe with one thing changed, on the same epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handgrad.vgg.images import ImageData
from handgrad.vgg.net import COMPACT_WIDTHS
from handgrad.vgg.recipes import RECIPES, Recipe
from handgrad.vgg.training import run_recipe


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

    def applied(self) -> Recipe:
        """Give `improved` with this change, under the change's name."""
        fields: dict[str, Any] = dict(self.fields)
        return dataclasses.replace(
            RECIPES["improved"], name=self.name, summary=self.group, **fields
        )


CHANGES: tuple[Change, ...] = (
    Change("none", "improved"),
    Change("optimizer", "sgd-nesterov", {"optimizer": "sgd", "learning_rate": 0.2}),
    Change("optimizer", "adamw", {"optimizer": "adamw", "learning_rate": 4e-3}),
    Change("optimizer", "no-weight-decay", {"weight_decay": 0.0}),
    Change("optimizer", "no-weight-averaging", {"ema_decay": 0.0}),
    Change("preprocessing", "no-normalization", {"normalize": False}),
    Change("preprocessing", "no-crop", {"crop_padding": 0}),
    Change("preprocessing", "no-flip", {"flip": "none"}),
    Change("preprocessing", "cutout-8", {"cutout": 8}),
    Change("preprocessing", "no-label-smoothing", {"label_smoothing": 0.0}),
    Change("activation", "relu", {"activation": "relu"}),
    Change("activation", "leaky-relu", {"activation": "leaky_relu"}),
    Change("activation", "gelu", {"activation": "gelu"}),
    Change("size", "half-widths", {"widths": tuple(width // 2 for width in COMPACT_WIDTHS)}),
    Change("size", "wider-first-layers", {"widths": RECIPES["improved-full"].widths}),
    Change("size", "batch-125", {"batch_size": 125}),
    Change("size", "batch-500", {"batch_size": 500}),
    Change("learning rate", "constant", {"schedule": "constant"}),
    Change("learning rate", "linear", {"schedule": "linear"}),
    Change("learning rate", "steps", {"schedule": "steps"}),
    Change("architecture", "no-batch-norm", {"batch_norm": False}),
    Change("architecture", "average-pooling", {"pooling": "average"}),
    Change("architecture", "pool-last", {"pool_first": False}),
    Change("architecture", "one-dense-layer", {"head": ()}),
)
"""The rows of experiment 6.3's table."""


@dataclass(frozen=True)
class AblationRecord:
    """One finished row: the change and what it reached on the validation rows.

    Attributes
    ----------
    group, name : str
        As in `Change`.
    fields : dict
        The recipe's fields that differ.
    val_accuracy, val_accuracy_tta : float
        Shares in [0, 1]; each image once, and with its mirror image.
    parameters : int
        Size of the network.
    seconds : float
        Wall time of the run.
    """

    group: str
    name: str
    fields: dict[str, Any]
    val_accuracy: float
    val_accuracy_tta: float
    parameters: int
    seconds: float


def ablation(
    data: ImageData,
    *,
    out: Path,
    seed: int = 0,
    base: Recipe = RECIPES["improved"],
    changes: Sequence[Change] = CHANGES,
    progress: Callable[[str, dict[str, Any]], None] | None = None,
    threads: int | None = None,
    device: str = "cpu",
) -> Iterator[AblationRecord]:
    """Train one run per change and yield each row when it is done; the test rows are not touched.

    Parameters
    ----------
    data : ImageData
        Training and validation rows.
    out : Path
        Every row has its own folder in here, so a table that was stopped goes on where it was.
    seed : int
        The same for all rows.
    base : Recipe
        What is changed; its epochs are the budget of every row.
    changes : sequence of Change
        The rows.
    progress : callable or None
        Receives the row's name and each epoch's line.
    threads, device
        As in `run_recipe`.

    Yields
    ------
    AblationRecord
    """
    for change in changes:
        fields: dict[str, Any] = dict(change.fields)
        recipe = dataclasses.replace(base, name=change.name, summary=change.group, **fields)
        result = run_recipe(
            recipe,
            data,
            seed=seed,
            out=Path(out) / change.name,
            progress=None if progress is None else _named(progress, change.name),
            threads=threads,
            device=device,
        )
        yield AblationRecord(
            group=change.group,
            name=change.name,
            fields={key: recipe.to_dict()[key] for key in fields},
            val_accuracy=result.val_accuracy,
            val_accuracy_tta=result.val_accuracy_tta,
            parameters=result.parameters,
            seconds=result.seconds,
        )


def _named(
    progress: Callable[[str, dict[str, Any]], None], name: str
) -> Callable[[dict[str, Any]], None]:
    return lambda line: progress(name, line)
