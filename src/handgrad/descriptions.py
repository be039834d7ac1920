"""The layer descriptions a network is a list of: shapes, parameters, which functions to call.

Frozen dataclasses without state; ``descriptions_base`` says what a network asks of them, and the
activations are in ``descriptions_activations``.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from handgrad import layers
from handgrad.arrays import Array
from handgrad.descriptions_activations import (
    GELU as GELU,
    LeakyReLU as LeakyReLU,
    ReLU as ReLU,
    Sigmoid as Sigmoid,
    SiLU as SiLU,
    Tanh as Tanh,
)
from handgrad.descriptions_base import (
    Context as Context,
    Grads as Grads,
    Layer as Layer,
    Own as Own,
    Shape as Shape,
    WithoutParameters,
    image_of,
)


@dataclass(frozen=True)
class Dense:
    """Fully connected: W (D, units), b (units,); flattens its input."""

    units: int
    state_names: ClassVar[tuple[str, ...]] = ()

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """W and b."""
        if self.units < 1:
            raise ValueError(f"units must be at least 1; got {self.units}")
        return {"W": (math.prod(shape), self.units), "b": (self.units,)}

    def output_shape(self, shape: Shape) -> Shape:
        """(units,)."""
        return (self.units,)

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Give what `layers.fc_forward` gives."""
        return layers.fc_forward(x, own["W"], own["b"])

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Give what `layers.fc_backward` gives."""
        dx, dw, db = layers.fc_backward(dout, cache, need_dx=need_dx)
        return dx, {"W": dw, "b": db}


@dataclass(frozen=True)
class Conv:
    """Convolution: W (filters, C, size, size), and b (filters,) if ``bias``."""

    filters: int
    size: int
    stride: int = 1
    padding: int = 0
    bias: bool = False
    state_names: ClassVar[tuple[str, ...]] = ()

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """W, and b if there is one."""
        shapes: dict[str, Shape] = {"W": (self.filters, image_of(shape)[0], self.size, self.size)}
        return shapes | {"b": (self.filters,)} if self.bias else shapes

    def output_shape(self, shape: Shape) -> Shape:
        """(filters, OH, OW)."""
        _, H, W = image_of(shape)
        if min(self.filters, self.size, self.stride) < 1 or self.padding < 0:
            raise ValueError("filters, size and stride must be at least 1, padding at least 0")
        if self.size > min(H, W) + 2 * self.padding:
            raise ValueError(f"a filter of {self.size} does not fit into an image of {H} x {W}")
        OH = 1 + (H + 2 * self.padding - self.size) // self.stride
        OW = 1 + (W + 2 * self.padding - self.size) // self.stride
        return (self.filters, OH, OW)

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """conv_forward, then channel_bias_forward if there is a bias."""
        out, cache = layers.conv_forward(x, own["W"], stride=self.stride, padding=self.padding)
        if self.bias:
            out, bias_cache = layers.channel_bias_forward(out, own["b"])
            return out, (cache, bias_cache)
        return out, (cache, None)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """The two backwards in reverse."""
        grads: Grads = {}
        conv_cache, bias_cache = cache
        if self.bias:
            dout, grads["b"] = layers.channel_bias_backward(dout, bias_cache)
        dx, grads["W"] = layers.conv_backward(dout, conv_cache, need_dx=need_dx)
        return dx, grads


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalisation, per feature of (D,) or per channel of (C, H, W)."""

    momentum: float = 0.9
    eps: float = 1e-5
    state_names: ClassVar[tuple[str, ...]] = ("running_mean", "running_var")

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Gamma and beta."""
        return {"gamma": (shape[0],), "beta": (shape[0],)}

    def output_shape(self, shape: Shape) -> Shape:
        """As the input."""
        if len(shape) not in (1, 3):
            raise ValueError(f"needs features (D,) or images (C, H, W); got shape {shape}")
        return shape

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """batchnorm_forward or its spatial form; in training, hand the moved statistics on."""
        bn_param: dict[str, Any] = {
            "mode": context.mode,
            "momentum": self.momentum,
            "eps": self.eps,
            **{name: own[name] for name in self.state_names},
        }
        function = layers.batchnorm_forward if x.ndim == 2 else layers.spatial_batchnorm_forward
        out, cache = function(x, own["gamma"], own["beta"], bn_param)
        if context.mode == "train":
            context.moved = {name: bn_param[name] for name in self.state_names}
        return out, cache

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """batchnorm_backward or its spatial form."""
        function = (
            layers.batchnorm_backward if dout.ndim == 2 else layers.spatial_batchnorm_backward
        )
        dx, dgamma, dbeta = function(dout, cache)
        return dx, {"gamma": dgamma, "beta": dbeta}


@dataclass(frozen=True)
class LayerNorm:
    """Layer normalisation of all numbers of an example, (D,) or (C, H, W) together."""

    eps: float = 1e-5
    state_names: ClassVar[tuple[str, ...]] = ()

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Gamma and beta, in the shape of an example."""
        return {"gamma": shape, "beta": shape}

    def output_shape(self, shape: Shape) -> Shape:
        """As the input."""
        if len(shape) not in (1, 3):
            raise ValueError(f"needs features (D,) or images (C, H, W); got shape {shape}")
        if not self.eps >= 0:
            raise ValueError(f"eps must be at least 0; got {self.eps}")
        return shape

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Give what `layers.layernorm_forward` gives."""
        return layers.layernorm_forward(x, own["gamma"], own["beta"], {"eps": self.eps})

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Give what `layers.layernorm_backward` gives."""
        dx, dgamma, dbeta = layers.layernorm_backward(dout, cache)
        return dx, {"gamma": dgamma, "beta": dbeta}


@dataclass(frozen=True)
class _Pool(WithoutParameters):
    """Pooling over size x size windows; stride defaults to size."""

    size: int = 2
    stride: int | None = None

    @property
    def _param(self) -> dict[str, int]:
        stride = self.size if self.stride is None else self.stride
        return {"pool_height": self.size, "pool_width": self.size, "stride": stride}

    def output_shape(self, shape: Shape) -> Shape:
        """(C, OH, OW)."""
        C, H, W = image_of(shape)
        stride = self._param["stride"]
        if min(self.size, stride) < 1:
            raise ValueError("size and stride must be at least 1")
        if self.size > min(H, W):
            raise ValueError(f"a window of {self.size} does not fit into an image of {H} x {W}")
        return (C, 1 + (H - self.size) // stride, 1 + (W - self.size) // stride)


@dataclass(frozen=True)
class MaxPool(_Pool):
    """Max pooling over size x size windows; stride defaults to size."""

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Give what `layers.max_pool_forward` gives."""
        return layers.max_pool_forward(x, self._param)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Give what `layers.max_pool_backward` gives."""
        return layers.max_pool_backward(dout, cache), {}


@dataclass(frozen=True)
class AvgPool(_Pool):
    """Average pooling over size x size windows; stride defaults to size."""

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Give what `layers.avg_pool_forward` gives."""
        return layers.avg_pool_forward(x, self._param)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Give what `layers.avg_pool_backward` gives."""
        return layers.avg_pool_backward(dout, cache), {}


@dataclass(frozen=True)
class GlobalAvgPool(WithoutParameters):
    """The average of each channel over the image: (C, H, W) to (C,)."""

    def output_shape(self, shape: Shape) -> Shape:
        """(C,)."""
        return image_of(shape)[:1]

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Give what `layers.global_avg_pool_forward` gives."""
        return layers.global_avg_pool_forward(x)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Give what `layers.global_avg_pool_backward` gives."""
        return layers.global_avg_pool_backward(dout, cache), {}


@dataclass(frozen=True)
class Dropout(WithoutParameters):
    """Dropout that keeps a unit with probability ``keep``, unscaled in training (see layers)."""

    keep: float

    def output_shape(self, shape: Shape) -> Shape:
        """As the input."""
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep must be in (0, 1]; got {self.keep}")
        return shape

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """dropout_forward, with the network's rng."""
        param = {"p": self.keep, "mode": context.mode, "rng": context.rng}
        return layers.dropout_forward(x, param)

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Give what `layers.dropout_backward` gives."""
        return layers.dropout_backward(dout, cache), {}


@dataclass(frozen=True)
class Flatten(WithoutParameters):
    """(C, H, W) to (C * H * W,)."""

    def output_shape(self, shape: Shape) -> Shape:
        """The product."""
        return (math.prod(shape),)

    def forward(self, x: Array, own: Own, context: Context) -> tuple[Array, Any]:
        """Reshape."""
        return x.reshape(len(x), math.prod(x.shape[1:])), x.shape

    def backward(self, dout: Array, cache: Any, *, need_dx: bool) -> tuple[Array | None, Grads]:
        """Reshape back."""
        return dout.reshape(cache), {}
