"""Lists of layer descriptions for the usual networks: dense on rows, convolutional on images."""

from collections.abc import Callable, Sequence

from handgrad.descriptions import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool
from handgrad.descriptions_activations import GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Tanh
from handgrad.descriptions_base import Layer, Shape

ACTIVATIONS: dict[str, Callable[[], Layer] | None] = {
    "relu": ReLU,
    "sigmoid": Sigmoid,
    "logistic": Sigmoid,  # scikit-learn's name for it
    "tanh": Tanh,
    "leaky_relu": LeakyReLU,
    "gelu": GELU,
    "silu": SiLU,
    "identity": None,
}
"""What makes a hidden layer's non-linearity, by name; None adds no layer."""


def mlp(
    hidden_layer_sizes: Sequence[int],
    outputs: int,
    *,
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
) -> list[Layer]:
    """List a dense network: dense - [batch norm] - activation - [dropout] each, then a dense layer.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int
        Units of each hidden layer; empty gives a linear model.
    outputs : int
        Scores of one example.
    activation : str, default 'relu'
        A name of ``ACTIVATIONS``.
    dropout : float, default 0
        The fraction of hidden units that is dropped in training, in [0, 1).
    batch_norm : bool, default False
        Normalise before each activation.

    Raises
    ------
    ValueError
        If a size is no whole number from 1, an activation is unknown, or dropout is out of range.
    """
    _require_sizes("mlp", "hidden_layer_sizes", hidden_layer_sizes)
    _require_sizes("mlp", "outputs", (outputs,))
    after = _after("mlp", activation, dropout, batch_norm)
    net: list[Layer] = []
    for units in hidden_layer_sizes:
        net += [Dense(int(units)), *after()]
    return [*net, Dense(int(outputs))]


def convnet(
    input_shape: Shape,
    outputs: int,
    *,
    filters: Sequence[int] = (16, 32),
    kernel_size: int = 3,
    hidden_layer_sizes: Sequence[int] = (64,),
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
) -> list[Layer]:
    """List a convolutional network's layers: a block for each of ``filters``, then a dense network.

    A block is conv - [batch norm] - activation - 2 x 2 max pool. A convolution keeps the image's
    size where the kernel is odd; the pool is left out once height or width is 1. Dropout follows
    the hidden dense layers, as convolutions' neighbouring pixels tell a dropped one.

    Parameters
    ----------
    input_shape : (C, H, W)
    outputs : int
        Scores of one example.
    filters : sequence of int, default (16, 32)
    kernel_size : int, default 3
        Height and width of each filter.
    hidden_layer_sizes : sequence of int, default (64,)
        Units of the dense layers behind the blocks.
    activation, dropout, batch_norm : as `mlp` takes them

    Raises
    ------
    ValueError
        As `mlp`, and if input_shape is none of an image.
    """
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise ValueError(f"convnet: input_shape must be (C, H, W); got {tuple(input_shape)}")
    _require_sizes("convnet", "filters", filters)
    _require_sizes("convnet", "kernel_size", (kernel_size,))
    after = _after("convnet", activation, 0.0, batch_norm)
    net: list[Layer] = []
    shape: Shape = tuple(input_shape)
    for count in filters:
        # The norm's beta is the bias where there is one.
        conv = Conv(int(count), int(kernel_size), padding=kernel_size // 2, bias=not batch_norm)
        block: list[Layer] = [conv, *after()]
        shape = conv.output_shape(shape)
        if min(shape[1:]) > 1:
            block.append(MaxPool(2))
            shape = MaxPool(2).output_shape(shape)
        net += block
    dense = mlp(
        hidden_layer_sizes, outputs, activation=activation, dropout=dropout, batch_norm=batch_norm
    )
    return [*net, Flatten(), *dense]


def _after(
    function: str, activation: str, dropout: float, batch_norm: bool
) -> Callable[[], list[Layer]]:
    """Give what lists the layers between two with weights."""
    if activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f"{function}: activation must be one of {known}; got {activation!r}")
    if not 0 <= dropout < 1:
        raise ValueError(
            f"{function}: dropout, the fraction dropped, must be in [0, 1); got {dropout!r}"
        )
    make = ACTIVATIONS[activation]

    def layers() -> list[Layer]:
        net: list[Layer] = [BatchNorm()] if batch_norm else []
        net += [] if make is None else [make()]
        return [*net, Dropout(1 - dropout)] if dropout else net

    return layers


def _require_sizes(function: str, name: str, sizes: Sequence[int]) -> None:
    for size in sizes:
        if isinstance(size, bool) or int(size) != size or size < 1:
            raise ValueError(f"{function}: {name} must be whole numbers from 1; got {size!r}")
