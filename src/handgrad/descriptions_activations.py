"""The activations' descriptions: no parameters, one function on each number."""

from dataclasses import dataclass
from typing import Any

from handgrad import layers
from handgrad.arrays import Array
from handgrad.descriptions_base import Context, Grads, Own, Shape, WithoutParameters


@dataclass(frozen=True)
class ReLU(WithoutParameters):
    """max(0, x)."""

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Give what `layers.relu_forward` gives."""
        return layers.relu_forward(x)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Give what `layers.relu_backward` gives."""
        return layers.relu_backward(dout, cache), {}


@dataclass(frozen=True)
class Sigmoid(WithoutParameters):
    """1 / (1 + exp(-x)); for question 7.1, which shows why ReLU replaced it."""

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Give what `layers.sigmoid_forward` gives."""
        return layers.sigmoid_forward(x)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Give what `layers.sigmoid_backward` gives."""
        return layers.sigmoid_backward(dout, cache), {}


@dataclass(frozen=True)
class Tanh(WithoutParameters):
    """tanh(x)."""

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Give what `layers.tanh_forward` gives."""
        return layers.tanh_forward(x)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Give what `layers.tanh_backward` gives."""
        return layers.tanh_backward(dout, cache), {}


@dataclass(frozen=True)
class LeakyReLU(WithoutParameters):
    """max(x, slope * x)."""

    slope: float = 0.01

    def output_shape(self, shape: Shape) -> Shape:
        """As the input."""
        if not 0 < self.slope < 1:
            raise ValueError(f"slope must be in (0, 1); got {self.slope}")
        return shape

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Give what `layers.leaky_relu_forward` gives."""
        return layers.leaky_relu_forward(x, self.slope)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Give what `layers.leaky_relu_backward` gives."""
        return layers.leaky_relu_backward(dout, cache), {}


@dataclass(frozen=True)
class GELU(WithoutParameters):
    """x times the probability that a normal number is below x; its tanh form if ``approximate``."""

    approximate: bool = False

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Give what `layers.gelu_forward` gives."""
        return layers.gelu_forward(x, self.approximate)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Give what `layers.gelu_backward` gives."""
        return layers.gelu_backward(dout, cache), {}


@dataclass(frozen=True)
class SiLU(WithoutParameters):
    """x * sigmoid(x), also called swish."""

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Give what `layers.silu_forward` gives."""
        return layers.silu_forward(x)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Give what `layers.silu_backward` gives."""
        return layers.silu_backward(dout, cache), {}
