"""A network's layers as the engine takes them: several of ours are one of its own.

A convolution takes the batch norm, the max pool and the ReLU behind it along, a dense layer the
ReLU; in front of a max pool a ReLU goes behind it: the same function and gradient, since it is
monotone, on fewer pixels.
"""

import math
from dataclasses import dataclass

from handgrad.descriptions import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)
from handgrad.network import Network

# As in csrc/engine.h, and the activations as in csrc/activations.c.
DENSE, CONV, NORM, POOL, ACTIVATION, DROPOUT, FLATTEN, AVG_POOL, LAYER_NORM = range(9)
SIGMOID, TANH, LEAKY_RELU, GELU_EXACT, GELU_TANH, SILU = range(6)

_KINDS: dict[type[Layer], int] = {
    Dense: DENSE,
    Conv: CONV,
    BatchNorm: NORM,
    MaxPool: POOL,
    ReLU: POOL,
    Dropout: DROPOUT,
    Flatten: FLATTEN,
    AvgPool: AVG_POOL,
    GlobalAvgPool: AVG_POOL,
    LayerNorm: LAYER_NORM,
    **dict.fromkeys((Sigmoid, Tanh, LeakyReLU, GELU, SiLU), ACTIVATION),
}

Shape = tuple[int, ...]
Named = tuple[Layer, dict[str, str]]


@dataclass
class Step:
    """One layer of the engine's.

    Attributes
    ----------
    kind : int
    before, after : shapes of one example
    names : a layer's own names ('W', 'gamma', ...) to the network's
    conv, norm, keep, relu : what the layers say
    pool : (size, stride); (1, 1) for none, (0, 1) for the whole image
    function, slope : of an activation
    eps : of a layer norm
    """

    kind: int
    before: Shape
    after: Shape
    names: dict[str, str]
    conv: Conv | None = None
    norm: BatchNorm | None = None
    keep: float = 1.0
    pool: tuple[int, int] = (1, 1)
    relu: bool = False
    function: int = 0
    slope: float = 0.0
    eps: float = 0.0

    @property
    def products(self) -> int:
        """Multiplications of one example forward."""
        if self.kind == DENSE:
            return self.before[0] * self.after[0]
        if self.conv is not None:
            pixels = math.prod(self.conv.output_shape(self.before))
            return pixels * self.before[0] * self.conv.size**2
        return math.prod(self.after)


def has_known_layers(network: Network) -> bool:
    """Whether all layers are ours: another's may do anything."""
    return bool(network.layers) and all(type(layer) in _KINDS for layer in network.layers)


def planned(network: Network) -> list[Step]:
    """Give the steps of a network for which ``has_known_layers`` holds."""
    rest: list[Named] = list(network.named_layers)
    for i in range(len(rest) - 1):
        if isinstance(rest[i][0], ReLU) and isinstance(rest[i + 1][0], MaxPool):
            rest[i], rest[i + 1] = rest[i + 1], rest[i]
    shape: Shape = network.input_shape
    if isinstance(rest[0][0], Flatten | Dense):
        shape = (math.prod(shape),)
    steps: list[Step] = []
    while rest:
        layer, names = rest.pop(0)
        if isinstance(layer, Flatten | Dense) and len(shape) > 1:
            steps.append(Step(FLATTEN, shape, (math.prod(shape),), {}))
            shape = steps[-1].after
        if isinstance(layer, Flatten):
            continue
        step = Step(_KINDS[type(layer)], shape, layer.output_shape(shape), dict(names))
        if isinstance(layer, Conv):
            step.conv = layer
            if not layer.bias and rest and isinstance(rest[0][0], BatchNorm):
                step.norm, more = rest[0][0], rest[0][1]
                step.names |= more
                rest.pop(0)
            _take_pool(step, rest)
        elif isinstance(layer, MaxPool):
            rest.insert(0, (layer, {}))
            step.after = shape
            _take_pool(step, rest)
        elif isinstance(layer, Dropout):
            step.keep = layer.keep
        elif isinstance(layer, BatchNorm):
            step.norm = layer
        else:
            _take_settings(step, layer)
        if isinstance(layer, ReLU):
            step.relu = True
        elif step.kind in (CONV, DENSE, POOL):
            step.relu = bool(rest) and isinstance(rest[0][0], ReLU)
            rest = rest[step.relu :]
        steps.append(step)
        shape = step.after
    # A network of flattenings alone still has to hand its input on.
    return steps or [Step(FLATTEN, shape, shape, {})]


def _take_settings(step: Step, layer: Layer) -> None:
    """Note what an activation, an average pool or a layer norm says of itself."""
    if isinstance(layer, AvgPool):
        step.pool = (layer.size, layer.size if layer.stride is None else layer.stride)
    elif isinstance(layer, GlobalAvgPool):
        step.pool = (0, 1)
    elif isinstance(layer, LayerNorm):
        step.eps = layer.eps
    elif isinstance(layer, LeakyReLU):
        step.function, step.slope = LEAKY_RELU, layer.slope
    elif isinstance(layer, GELU):
        step.function = GELU_TANH if layer.approximate else GELU_EXACT
    else:
        step.function = TANH if isinstance(layer, Tanh) else SILU if isinstance(layer, SiLU) else 0


def _take_pool(step: Step, rest: list[Named]) -> None:
    """Let a step do the max pool that follows."""
    if rest and isinstance(rest[0][0], MaxPool):
        pool = rest.pop(0)[0]
        assert isinstance(pool, MaxPool)
        step.pool = (pool.size, pool.size if pool.stride is None else pool.stride)
        step.after = pool.output_shape(step.after)
