"""The assignment's softmax classifier: linear, or with one hidden layer (fc - relu - fc)."""

from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from handgrad.classifiers import dense_layers
from handgrad.network import Network


class SoftmaxClassifier(Network):
    """A classifier of ``num_classes`` classes with softmax loss.

    Parameters
    ----------
    input_dim : int, default 28 * 28
        Features D; X is (N, D) or (N, d1, ..., dk) with D entries an example.
    hidden_dim : int, optional, default 100
        Hidden units; None is the linear model.
    num_classes : int, default 10
    weight_scale : float or 'he', default 1e-3
        Standard deviation of the initial weights; biases start at 0.
    reg : float, default 0
        L2: 0.5 * reg * sum(W**2) over the weights.
    dtype, rng : see Network
    """

    def __init__(
        self,
        input_dim: int = 28 * 28,
        hidden_dim: int | None = 100,
        num_classes: int = 10,
        weight_scale: float | Literal["he"] = 1e-3,
        reg: float = 0.0,
        *,
        dtype: DTypeLike = np.float64,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__(
            dense_layers(hidden_dim, outputs=num_classes),
            (input_dim,),
            weight_scale=weight_scale,
            reg=reg,
            dtype=dtype,
            rng=rng,
        )
