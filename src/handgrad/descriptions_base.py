"""What a network asks of a layer description, and what most descriptions share.

``own`` below holds a layer's parameters and running statistics under its own names ('W', 'b',
'gamma', ...); the network maps them to 'W1', 'b1', ...
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from handgrad.arrays import Array

Shape = tuple[int, ...]
Own = Mapping[str, Array]
Grads = dict[str, Array]


@dataclass
class Context:
    """One pass through a network: its mode, its randomness, the statistics it moved."""

    mode: Literal["train", "test"]
    rng: np.random.Generator
    moved: dict[str, Array] = field(default_factory=dict)


class Layer(Protocol):
    """What a network asks of a description."""

    state_names: ClassVar[tuple[str, ...]]

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Shapes of the parameters by own name, for one example of this shape."""

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one output example; ValueError where this layer cannot stand."""

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Run the forward of handgrad.layers; return (out, cache)."""

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Run the backward; return (dx, gradients by own name); dx may be None if not needed."""


class WithoutParameters:
    """Most layers: no parameters, output shaped as the input."""

    state_names: ClassVar[tuple[str, ...]] = ()

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """None."""
        return {}

    def output_shape(self, shape: Shape) -> Shape:
        """As the input."""
        return shape


def image_of(shape: Shape) -> tuple[int, int, int]:
    """Give (C, H, W), or raise ValueError."""
    if len(shape) != 3:
        raise ValueError(f"needs images (C, H, W); got shape {shape}")
    return (shape[0], shape[1], shape[2])
