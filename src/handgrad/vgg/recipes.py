"""Recipes: how a VGG11 is built and trained, as plain data with a name."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from handgrad.vgg.net import COMPACT_WIDTHS, KERNEL_SIZES, PAPER_WIDTHS, VGG


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run besides the data and the seed.

    Attributes
    ----------
    name : str
        What the run is called in tables.
    summary : str
        One line for people.
    epochs : int
        Passes over the training rows; at most so many with `patience`.
    batch_size : int
        Images per step, over all processes together. The rows left over at the end of an epoch
        (fewer than one batch) are not used in that epoch.
    widths, kernel_sizes, batch_norm, activation, pooling, pool_first, head
        The network; see `VGG`.
    optimizer : str
        "adam" (plain Adam), "adamw", "sgd" (Nesterov momentum) or "muon" (Muon on convolution
        kernels, SGD-Nesterov on everything else).
    learning_rate : float
        Peak learning rate of the optimizer.
    muon_learning_rate, muon_weight_decay : float
        Peak learning rate and decoupled decay of Muon's part.
    momentum : float
        Nesterov momentum of SGD.
    weight_decay : float
        Applied to kernels and matrices only, never to biases and norms: added to the gradient
        by SGD, decoupled in AdamW and Muon.
    schedule : str
        "constant", or after a linear warm-up "cosine" or "linear" down to zero, or "steps"
        (a tenth after one half and again after three quarters).
    warmup : float
        Share of the steps in which the rate rises linearly.
    label_smoothing : float
        Share of the target spread evenly over all classes.
    ema_decay : float
        Decay per step of the averaged weights that are evaluated; 0 evaluates the last weights.
    normalize : bool
        Shift and scale every channel to mean 0 and deviation 1 over the training rows; without,
        pixels are scaled to [0, 1].
    crop_padding : int
        Random crops from images padded by so many reflected pixels; 0 is off.
    flip : str
        "none", "random" (a coin per image and epoch) or "alternating" (a coin per image in the
        first epoch, then the other side every epoch; Jordan, airbench, 2024).
    cutout : int
        Side of the square painted with the mean colour; 0 is off.
    precision : str
        "float32", or "auto": bfloat16 where CPU or GPU multiplies it in hardware, float16 on
        older GPUs, float32 elsewhere.
    compile : bool
        Run the network through torch.compile; its start-up counts into the run's seconds.
    validate_every : int
        Epochs between looks at the validation rows (the last epoch is always judged).
    patience : int
        Stop after so many epochs without a new best validation accuracy, and keep the weights of
        the best epoch; 0 trains all epochs and keeps the last weights.
    """

    name: str
    summary: str
    epochs: int
    batch_size: int = 250
    widths: tuple[int, ...] = COMPACT_WIDTHS
    kernel_sizes: tuple[int, ...] = KERNEL_SIZES
    batch_norm: bool = True
    activation: str = "relu"
    pooling: str = "max"
    pool_first: bool = True
    head: tuple[int, ...] = (64,)
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    muon_learning_rate: float = 0.05
    muon_weight_decay: float = 0.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    warmup: float = 0.2
    label_smoothing: float = 0.1
    ema_decay: float = 0.0
    normalize: bool = True
    crop_padding: int = 4
    flip: str = "random"
    cutout: int = 0
    precision: str = "float32"
    compile: bool = False
    validate_every: int = 1
    patience: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible values, naming the field."""
        _one_of(self, "optimizer", OPTIMIZERS)
        _one_of(self, "schedule", SCHEDULES)
        _one_of(self, "flip", FLIPS)
        _one_of(self, "precision", PRECISIONS)
        for field in ("epochs", "batch_size", "validate_every"):
            if getattr(self, field) < 1:
                raise ValueError(f"Recipe: {field} must be at least 1; got {getattr(self, field)}")
        if self.patience < 0:
            raise ValueError(f"Recipe: patience must be at least 0; got {self.patience}")
        for field in ("warmup", "label_smoothing", "ema_decay"):
            if not 0 <= getattr(self, field) < 1:
                raise ValueError(f"Recipe: {field} must be in [0, 1); got {getattr(self, field)}")
        for field in ("crop_padding", "cutout"):
            if not 0 <= getattr(self, field) < 32:
                raise ValueError(f"Recipe: {field} must be in [0, 32); got {getattr(self, field)}")

    def network(self) -> VGG:
        """Build the recipe's network with fresh weights from PyTorch's global generator."""
        return VGG(
            widths=self.widths,
            kernel_sizes=self.kernel_sizes,
            batch_norm=self.batch_norm,
            activation=self.activation,
            pooling=self.pooling,
            pool_first=self.pool_first,
            head=self.head,
        )

    def rate(self, step: int, steps: int) -> float:
        """Give the share of the peak learning rate at a step.

        Parameters
        ----------
        step : int
            Steps taken so far, 0 <= step < steps.
        steps : int
            Steps in the whole run.

        Returns
        -------
        float
            In [0, 1]. During the warm-up (step + 1) / (warmup * steps); after it, with q the
            share of the rest that is done: (1 + cos(pi q)) / 2 for "cosine", 1 - q for "linear".
        """
        rising = self.warmup * steps
        if step + 1 < rising:
            return (step + 1) / rising
        done = (step - rising) / (steps - rising) if step > rising else 0.0
        if self.schedule == "cosine":
            return (1 + math.cos(math.pi * done)) / 2
        if self.schedule == "linear":
            return 1 - done
        if self.schedule == "steps":
            return 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01
        return 1.0

    def lasting(self, epochs: int) -> Recipe:
        """Give the same recipe with another number of epochs."""
        return dataclasses.replace(self, epochs=epochs)

    def to_dict(self) -> dict[str, Any]:
        """Give the recipe as JSON-ready data."""
        fields = dataclasses.asdict(self)
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()
        }


OPTIMIZERS = ("adam", "adamw", "sgd", "muon")
SCHEDULES = ("constant", "cosine", "linear", "steps")
FLIPS = ("none", "random", "alternating")
PRECISIONS = ("float32", "auto")


def _one_of(recipe: Recipe, field: str, names: tuple[str, ...]) -> None:
    if getattr(recipe, field) not in names:
        raise ValueError(
            f"Recipe: {field} must be one of {', '.join(names)}; got {getattr(recipe, field)!r}"
        )


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "as-given",
            "6.2: plain Adam at 1e-3, no augmentation, until validation stops rising",
            epochs=60,
            patience=3,
            batch_size=100,
            batch_norm=False,
            pool_first=False,
            optimizer="adam",
            learning_rate=1e-3,
            weight_decay=0.0,
            schedule="constant",
            warmup=0.0,
            label_smoothing=0.0,
            crop_padding=0,
            flip="none",
        ),
        Recipe(
            "improved",
            "6.3: wider first layers, batch norm, crop and flip, one-cycle, Muon",
            epochs=16,
            widths=(32, 48, 64, 64, 64, 64, 48, 32),
            activation="silu",
            optimizer="muon",
            learning_rate=0.05,
            muon_learning_rate=0.1,
            muon_weight_decay=0.02,
            ema_decay=0.995,
            precision="auto",
        ),
        Recipe(
            "wide",
            "the paper's widths, for GPUs",
            epochs=100,
            batch_size=512,
            widths=PAPER_WIDTHS,
            head=(512,),
            optimizer="muon",
            learning_rate=0.05,
            ema_decay=0.999,
            precision="auto",
            cutout=12,
        ),
    )
}
