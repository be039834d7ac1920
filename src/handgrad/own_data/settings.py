"""What a net is trained with: settings that suit any size of data, and what a search tries."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from handgrad.architectures import convnet, mlp
from handgrad.network import Layer
from handgrad.solver_inputs import without_a_lone_row

MOST_EPOCHS = 2000
"""Patience or the time ends training long before."""

_FEW_ROWS = 500  # of a regression
_STEPS_OF_PATIENCE = 400  # without a better epoch, and at least so many epochs:
_EPOCHS_OF_PATIENCE = 5
_MOST_EPOCHS_OF_PATIENCE = 50


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of one training.

    Attributes
    ----------
    hidden : tuple of int
        Units of the dense layers.
    filters : tuple of int
        Of the convolutions, one a block, before the dense layers; empty for a table.
    dropout : float
        The fraction of hidden units dropped.
    learning_rate : float
        Of AdamW, the same in every step.
    weight_decay : float
        AdamW's; biases are not decayed.
    batch_size : int
    batch_norm : bool
    """

    hidden: tuple[int, ...]
    filters: tuple[int, ...]
    dropout: float
    learning_rate: float
    weight_decay: float
    batch_size: int
    batch_norm: bool

    def layers(self, input_shape: tuple[int, ...], outputs: int) -> list[Layer]:
        """List the net's layers."""
        options = {"dropout": self.dropout, "batch_norm": self.batch_norm}
        if self.filters:
            return convnet(
                input_shape,
                outputs,
                filters=self.filters,
                hidden_layer_sizes=self.hidden,
                **options,  # type: ignore[arg-type]
            )
        return mlp(self.hidden, outputs, **options)  # type: ignore[arg-type]

    def patience(self, rows: int) -> int:
        """Epochs without a better validation score that end training.

        Few rows make few steps an epoch, and need more epochs to move.

        >>> a_table = default_settings(105, (4,))
        >>> a_table.patience(105), a_table.patience(1_000_000)
        (50, 5)
        """
        steps = math.ceil(rows / self.batch_size)
        wanted = math.ceil(_STEPS_OF_PATIENCE / steps)
        return min(_MOST_EPOCHS_OF_PATIENCE, max(_EPOCHS_OF_PATIENCE, wanted))

    def rows_a_batch(self, rows: int) -> int:
        """Give the batch size; more where a batch norm would see a batch of one row."""
        return without_a_lone_row(self.batch_size, rows) if self.batch_norm else self.batch_size

    def in_words(self, input_shape: tuple[int, ...], outputs: int) -> str:
        """Describe the net on one line.

        >>> default_settings(105, (4,)).in_words((4,), 3)
        '4 inputs, 128, 64, 3 outputs; ReLU, dropout 0.1'
        """
        first = " x ".join(map(str, input_shape)) + (" pixels" if self.filters else " inputs")
        convolutions = [f"{count} filters" for count in self.filters]
        sizes = [*convolutions, *map(str, self.hidden), f"{outputs} outputs"]
        extras = ["ReLU", *(["batch norm"] if self.batch_norm else [])]
        extras += [f"dropout {self.dropout:.3g}"] if self.dropout else []
        return f"{', '.join([first, *sizes])}; {', '.join(extras)}"

    def to_record(self) -> dict[str, Any]:
        """Name the settings that this net has, as JSON has them."""
        named = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }
        if not self.filters:
            del named["filters"]
        return {**named, "rule": "adamw"}


def from_record(record: Mapping[str, Any]) -> Settings:
    """Give the settings that ``to_record`` named.

    >>> default = default_settings(105, (4,))
    >>> from_record(default.to_record()) == default
    True
    """
    named: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in {"filters": (), **record}.items()
        if name != "rule"
    }
    return Settings(**named)


def default_settings(rows: int, input_shape: tuple[int, ...], task: str = "classify") -> Settings:
    """Choose settings by the number of training rows, the kind of data, and the task.

    A regression on few rows of a table is decayed strongly. Of six small data sets (diabetes,
    wine's alcohol, breast cancer's smoothness, two of Friedman's, a linear one; three seeds each)
    the validation R2 rose on all, from 0.75 to 0.78 on average, that of the test rows likewise.

    >>> default_settings(105, (4,)).batch_size, default_settings(1_000_000, (64,)).batch_size
    (16, 256)
    >>> [default_settings(rows, (4,), "regress").weight_decay for rows in (105, 100_000)]
    [1.0, 0.01]
    """
    batch_size = min(256, max(16, 2 ** round(math.log2(max(rows, 1) / 50))))
    images = len(input_shape) == 3
    noisy = task == "regress" and rows < _FEW_ROWS
    return Settings(
        hidden=(64,) if images else (128, 64),
        filters=(16, 32) if images else (),
        dropout=0.25 if images else 0.1,
        learning_rate=1e-3 if images else 2e-3,
        weight_decay=1.0 if noisy else 1e-2,
        batch_size=batch_size,
        batch_norm=False,
    )


SIZES: Mapping[str, tuple[int, ...]] = {
    "32": (32,),
    "128": (128,),
    "64-32": (64, 32),
    "128-64": (128, 64),
    "256-128": (256, 128),
    "256-128-64": (256, 128, 64),
}
"""Hidden layers that a search chooses from, by name: Optuna keeps choices that are plain values."""

FILTERS: Mapping[str, tuple[int, ...]] = {
    "8-16": (8, 16),
    "16-32": (16, 32),
    "32-64": (32, 64),
    "16-32-64": (16, 32, 64),
}

BATCH_SIZES = (16, 32, 64, 128, 256)


def from_params(params: Mapping[str, Any], default: Settings) -> Settings:
    """Give the settings of a candidate of a search.

    >>> default = default_settings(105, (4,))
    >>> from_params(to_params(default), default) == default
    True
    """
    return Settings(
        hidden=SIZES[params["hidden"]] if "hidden" in params else default.hidden,
        filters=FILTERS[params["filters"]] if "filters" in params else default.filters,
        dropout=params["dropout"],
        learning_rate=params["learning_rate"],
        weight_decay=params["weight_decay"],
        batch_size=params["batch_size"],
        batch_norm=params["batch_norm"],
    )


def to_params(settings: Settings) -> dict[str, Any]:
    """Give the candidate that these settings are."""
    sizes = {units: name for name, units in SIZES.items()}
    params: dict[str, Any] = {
        "dropout": settings.dropout,
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "batch_size": settings.batch_size,
        "batch_norm": settings.batch_norm,
    }
    if settings.filters:
        params["filters"] = {units: name for name, units in FILTERS.items()}[settings.filters]
        return params  # behind convolutions, the dense layers stay as they are
    return {"hidden": sizes[settings.hidden], **params}
