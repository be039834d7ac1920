"""A net of question 6, which PyTorch trained, as a `Network` of the same layers and weights."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from handgrad.errors import ExportError
from handgrad.export.torch_import import from_torch
from handgrad.images import ImagePreprocessor
from handgrad.network import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    Layer,
    LeakyReLU,
    MaxPool,
    Network,
    ReLU,
    SiLU,
)

MARK = "vgg"  # the key of the metadata that a run of question 6 writes
_SHAPE = (3, 32, 32)
_ACTIVATIONS: Mapping[str, Callable[[], Layer]] = {
    "relu": ReLU, "leaky_relu": lambda: LeakyReLU(0.1), "silu": SiLU, "gelu": GELU,
}  # fmt: skip
_POOLINGS: Mapping[str, Callable[[], Layer]] = {
    "max": lambda: MaxPool(2), "average": lambda: AvgPool(2),
}  # fmt: skip


def described(path: Path) -> dict[str, Any] | None:
    """Give what a run of question 6 wrote of its net; None for another file."""
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(MARK)
        return None if text is None else dict(json.loads(text))
    except (SafetensorError, OSError, ValueError, TypeError):
        return None  # what it is, or why it cannot be read, others say


def network_of(path: Path, about: Mapping[str, Any]) -> tuple[Network, ImagePreprocessor]:
    """Build the network, its weights in it, and what standardises a picture for it.

    Parameters
    ----------
    path : Path
        The run's model.safetensors.
    about : mapping
        What `described` gave.

    Raises
    ------
    ExportError
        For an activation that handgrad lacks, weights that do not fit, and what is damaged.
    """
    try:
        layers = _layers(path, about["architecture"])
        mean, deviation = (np.array(about[name], np.float64) for name in ("mean", "deviation"))
        network = Network(layers, _SHAPE, rng=np.random.default_rng(0), dtype="float32")
        inputs = ImagePreprocessor(_SHAPE, mean.reshape(3), deviation.reshape(3))
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{path} is damaged, or of another version ({error})") from None
    from_torch(path, network)
    return network, inputs


def _layers(path: Path, architecture: Mapping[str, Any]) -> list[Layer]:
    """List the layers of ``handgrad.vgg.VGG(**architecture)``, in their order."""
    name = architecture["activation"]
    if name not in _ACTIVATIONS:
        raise ExportError(
            f"{path} has the activation {name}, which handgrad's networks lack; they have "
            f"{', '.join(_ACTIVATIONS)}"
        )
    activation, pool = _ACTIVATIONS[name], _POOLINGS[architecture["pooling"]]
    norm, early = architecture["batch_norm"], architecture["pool_first"]
    sizes = iter(zip(architecture["widths"], architecture["kernel_sizes"], strict=True))
    layers: list[Layer] = []
    for count in architecture["convolutions_per_block"]:
        for position in range(count):
            width, side = next(sizes)
            last = position == count - 1
            layers += [
                Conv(width, size=side, padding=side // 2, bias=not norm),
                *([pool()] if last and early else []),
                *([BatchNorm()] if norm else []),
                activation(),
                *([pool()] if last and not early else []),
            ]
    layers.append(Flatten())
    for width in architecture["head"]:
        layers += [Dense(width), activation()]
    return [*layers, Dense(architecture["num_classes"])]
