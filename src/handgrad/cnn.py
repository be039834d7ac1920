"""The assignment's convolutional network, with batch normalisation, dropout and a second block."""

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from handgrad.network import BatchNorm, Conv, Dense, Dropout, Flatten, Layer, MaxPool, Network, ReLU

_PLACES = ("conv", "dense")


class ConvNet(Network):
    """conv - relu - 2x2 max pool - fc - relu - fc - softmax, and the variants of question 5.

    Parameters
    ----------
    input_dim : (C, H, W), default (1, 28, 28)
    num_filters : int, default 32
        Filters of the first convolution; a second block has twice as many.
    filter_size : int, default 7
        Of all convolutions (stride 1, no padding, no bias).
    hidden_dim : int, default 100
    num_classes : int, default 10
    weight_scale : float or 'he', default 1e-3
    reg : float, default 0
    dtype : default float32
    blocks : 1 or 2, default 1
        How many times conv - relu - pool.
    batchnorm : collection of 'conv', 'dense', default none
        Normalise before the ReLU of the convolutions, of the hidden layer.
    dropout : float, optional
        The probability p to KEEP a unit; None is no dropout.
    dropout_at : collection of 'conv', 'dense', default ('dense',)
        Drop after the pools, after the hidden layer.
    rng : see Network
    """

    def __init__(
        self,
        input_dim: Sequence[int] = (1, 28, 28),
        num_filters: int = 32,
        filter_size: int = 7,
        hidden_dim: int = 100,
        num_classes: int = 10,
        weight_scale: float | Literal["he"] = 1e-3,
        reg: float = 0.0,
        dtype: DTypeLike = np.float32,
        *,
        blocks: int = 1,
        batchnorm: Collection[str] = (),
        dropout: float | None = None,
        dropout_at: Collection[str] = ("dense",),
        rng: np.random.Generator | None = None,
    ) -> None:
        for name, places in (("batchnorm", batchnorm), ("dropout_at", dropout_at)):
            if isinstance(places, str) or not set(places) <= set(_PLACES):
                raise ValueError(
                    f"ConvNet: {name} must be a collection of 'conv' and 'dense'; got {places!r}"
                )
        if blocks < 1:
            raise ValueError(f"ConvNet: blocks must be at least 1; got {blocks}")

        def after(place: str) -> list[Dropout]:
            return [] if dropout is None or place not in dropout_at else [Dropout(dropout)]

        def before_relu(place: str) -> list[BatchNorm]:
            return [BatchNorm()] if place in batchnorm else []

        net: list[Layer] = []
        for block in range(blocks):
            conv = Conv(num_filters * 2**block, size=filter_size)
            net += [conv, *before_relu("conv"), ReLU(), MaxPool(2), *after("conv")]
        net += [Flatten(), Dense(hidden_dim), *before_relu("dense"), ReLU(), *after("dense")]
        super().__init__(
            [*net, Dense(num_classes)],
            input_dim,
            weight_scale=weight_scale,
            reg=reg,
            dtype=dtype,
            rng=rng,
        )
