"""What the assignment's dense models share: a network of one layer or two (fc - relu - fc)."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import DTypeLike

from handgrad.network import Dense, Layer, Network, ReLU


def dense_layers(hidden_dim: int | None, outputs: int) -> list[Layer]:
    """List the layers: linear without ``hidden_dim``, else fc - relu - fc."""
    hidden: list[Layer] = [] if hidden_dim is None else [Dense(hidden_dim), ReLU()]
    return [*hidden, Dense(outputs)]


class BinaryClassifier(Network):
    """A classifier of two classes, linear or with one hidden layer: 1 above a score of 0.

    Parameters
    ----------
    input_dim : int, default 100
        Features D; X is (N, D) or (N, d1, ..., dk) with D entries an example.
    hidden_dim : int, optional
        Hidden units; None is the linear model.
    weight_scale : float or 'he', default 1e-3
        Standard deviation of the initial weights; biases start at 0.
    reg : float, default 0
        L2: 0.5 * reg * sum(W**2) over the weights.
    dtype, rng : see Network
    """

    binary_loss: ClassVar[Literal["logistic", "svm"]]

    def __init__(
        self,
        input_dim: int = 100,
        hidden_dim: int | None = None,
        weight_scale: float | Literal["he"] = 1e-3,
        reg: float = 0.0,
        *,
        dtype: DTypeLike = np.float64,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__(
            dense_layers(hidden_dim, outputs=1),
            (input_dim,),
            loss=self.binary_loss,
            weight_scale=weight_scale,
            reg=reg,
            dtype=dtype,
            rng=rng,
        )
