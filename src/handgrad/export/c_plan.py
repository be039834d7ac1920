"""What a C file does to one row, in order: the layers at prediction, images channels last.

Channels last (H, W, C), the numbers of all channels at a pixel are neighbours in memory, which is
what a compiler's vectors are filled with. The weights are laid out for it, once, when the file is
written.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from handgrad.arrays import Array
from handgrad.descriptions_base import Context, Shape
from handgrad.export.folding import Scale, Step, steps_of
from handgrad.network import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    Network,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)

ACTIVATIONS = (ReLU, LeakyReLU, Sigmoid, Tanh, GELU, SiLU)
KNOWN = (
    Dense, Conv, BatchNorm, LayerNorm, MaxPool, AvgPool, GlobalAvgPool, Flatten, Scale,
    *ACTIVATIONS,
)  # fmt: skip


@dataclass(frozen=True)
class Op:
    """One function of the C file.

    Attributes
    ----------
    kind : str
        'input', 'pad', 'conv', 'dense', 'maxpool', 'avgpool', 'affine', 'layernorm', 'activation'
        or 'reorder'.
    shape_in, shape_out : tuple of int
        Of one example, as the network has them: (C, H, W) or (D,).
    step : int
        Whose output of the folded steps this gives; -1 for the network's input.
    arrays : dict
        float64, laid out for channels last.
    window, stride : int
        Of conv and the pools; of pad, window is the rows and columns of zeros.
    activation : Layer, optional
        What is done to each number before it is written.
    said : str
        The layers, for the comment.
    """

    kind: str
    shape_in: Shape
    shape_out: Shape
    step: int
    arrays: dict[str, Array] = field(default_factory=dict)
    window: int | tuple[int, int] = 0
    stride: int = 1
    activation: Layer | None = None
    said: str = ""

    @property
    def size_in(self) -> int:
        """Numbers that go in."""
        return int(np.prod(self.shape_in))

    @property
    def size_out(self) -> int:
        """Numbers that come out."""
        return int(np.prod(self.shape_out))

    @property
    def in_place(self) -> bool:
        """Whether the result may stand where the input stood."""
        return self.kind in ("affine", "layernorm", "activation")


def plan(network: Network) -> tuple[list[Op], list[Step]]:
    """List what is to be done, and the folded steps it was made of.

    Raises
    ------
    ExportError
        Naming a layer that C lacks, or an array that is not finite.
    """
    steps = steps_of(network, KNOWN, "C", fold_batch_norm=True)
    ops: list[Op] = []
    # The image whose numbers, channels last, a vector holds; None for one in the network's order.
    image: Shape | None = network.input_shape if len(network.input_shape) == 3 else None
    if image and image[0] > 1 and image[1:] != (1, 1):
        ops.append(Op("input", image, image, -1, said="channels last"))
    for index, step in enumerate(steps):
        if isinstance(step.layer, Flatten):
            continue  # the numbers stay where they are; the next weights know their order
        if isinstance(step.layer, ACTIVATIONS) and ops and _takes_activation(ops[-1]):
            said = f"{ops[-1].said}, {step.layer}"
            ops[-1] = replace(ops[-1], activation=step.layer, step=index, said=said)
        else:
            ops += _ops_of(step, index, image)
        if len(step.output_shape) == 3:
            image = step.output_shape
        elif not isinstance(step.layer, (Flatten, *ACTIVATIONS, Scale, BatchNorm, LayerNorm)):
            image = None
    if image and image[0] > 1 and image[1:] != (1, 1):
        shape = network.output_shape
        ops.append(Op("reorder", image, shape, len(steps) - 1, said="in the network's order"))
    return ops, steps


def _takes_activation(op: Op) -> bool:
    return op.activation is None and op.kind in ("conv", "dense", "affine", "layernorm")


def _ops_of(step: Step, index: int, image: Shape | None) -> list[Op]:
    """Give what one layer is in C: an op, or two for a convolution with zeros around."""
    layer, given, made = step.layer, step.input_shape, step.output_shape
    own = {name: array.astype(np.float64) for name, array in step.arrays.items()}
    said = str(layer)
    if isinstance(layer, Dense):
        w = _channels_last(own["W"], image)
        return [Op("dense", given, made, index, {"w": w, "b": own["b"]}, said=said)]
    if isinstance(layer, Conv):
        ops = []
        if layer.padding:
            C, H, W = given
            padded = (C, H + 2 * layer.padding, W + 2 * layer.padding)
            ops.append(Op("pad", given, padded, index - 1, window=layer.padding, said="zeros"))
            given = padded
        arrays = {"w": own["W"].transpose(2, 3, 1, 0), "b": own.get("b", np.zeros(layer.filters))}
        return [*ops, Op("conv", given, made, index, arrays, layer.size, layer.stride, said=said)]
    if isinstance(layer, MaxPool | AvgPool):
        kind = "maxpool" if isinstance(layer, MaxPool) else "avgpool"
        stride = layer.stride or layer.size
        return [Op(kind, given, made, index, window=layer.size, stride=stride, said=said)]
    if isinstance(layer, GlobalAvgPool):
        return [Op("avgpool", given, made, index, window=(given[1], given[2]), said=said)]
    if isinstance(layer, LayerNorm):
        arrays = {n: _channels_last(own[n].reshape(-1), image) for n in ("gamma", "beta")}
        arrays["eps"] = np.array(layer.eps)
        return [Op("layernorm", given, made, index, arrays, said=said)]
    if isinstance(layer, BatchNorm):
        slope = own["gamma"] / np.sqrt(own["running_var"] + layer.eps)
        arrays = {"w": slope, "b": own["beta"] - own["running_mean"] * slope}
        if len(given) == 1:
            arrays = {name: _channels_last(array, image) for name, array in arrays.items()}
        return [Op("affine", given, made, index, arrays, said=said)]
    if isinstance(layer, Scale):
        arrays = {"w": np.array([layer.factor]), "b": np.zeros(1)}
        return [Op("affine", given, made, index, arrays, said=f"times {layer.factor:g}")]
    return [Op("activation", given, made, index, activation=layer, said=said)]


def _channels_last(array: Array, image: Shape | None) -> Array:
    """Lay out the first axis, the numbers of an image in the network's order, channels last."""
    if image is None:
        return array
    C, H, W = image
    rest = array.shape[1:]
    return np.moveaxis(array.reshape(C, H, W, *rest), 0, 2).reshape(C * H * W, *rest)


def largest(steps: list[Step], X: Array, dtype: np.dtype[np.generic]) -> list[float]:
    """Give the largest absolute number of the input, then of each step's output, for rows X."""
    out = np.asarray(X, dtype)
    found = [float(np.abs(out).max(initial=0.0))]
    context = Context("test", np.random.default_rng(0))
    for step in steps:
        if isinstance(step.layer, Scale):
            out = out * out.dtype.type(step.layer.factor)
        else:
            out, _ = step.layer.forward(out, step.arrays, context)
        found.append(float(np.abs(out).max(initial=0.0)))
    return found
