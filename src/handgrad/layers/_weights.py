"""From the losses of examples to the loss of a batch: their mean, weighted or not."""

import numpy as np
from numpy.typing import ArrayLike

from handgrad.layers._checks import Array, require


def mean_over_examples(
    function: str, losses: Array, gradients: Array, sample_weight: ArrayLike | None
) -> tuple[float, Array]:
    """Give the mean of the examples' losses, and the gradient of that mean.

    Without weights each example counts 1/N; with weights w_n / sum(w), so that only their ratios
    matter. An example of weight 0 counts nothing, also where its loss is infinite or NaN; where all
    weights are 0, loss and gradient are 0. Derived in theory/weighted_losses.md.

    Parameters
    ----------
    function : str
        For error messages.
    losses : array (N,)
    gradients : array (N, ...)
        Of each example's own loss; may be overwritten.
    sample_weight : array (N,), optional
        Finite numbers from 0.

    Returns
    -------
    loss : float, dx : array in the shape of gradients

    Raises
    ------
    ValueError
        If sample_weight is not (N,), or a weight negative, infinite, NaN or no number.
    """
    N = len(losses)
    if sample_weight is None:
        gradients /= N
        return float(losses.mean()), gradients
    share = _shares(function, sample_weight, N).astype(losses.dtype)
    counts = share > 0
    loss = (share[counts] * losses[counts]).sum()
    by_example = (N,) + (1,) * (gradients.ndim - 1)  # the shape in which (N,) meets dx
    gradients[~counts] = 0
    gradients *= share.reshape(by_example)
    return float(loss), gradients


def _shares(function: str, sample_weight: ArrayLike, N: int) -> Array:
    """Check the weights; give w / sum(w) in float64, or zeros where all are 0."""
    w = np.asarray(sample_weight)
    if w.dtype.kind not in "biuf":
        raise ValueError(f"{function}: sample_weight must be numbers; got an array of {w.dtype}")
    rule = f"sample_weight must be (N,) = ({N},), one weight an example"
    require(w.shape == (N,), function, rule, sample_weight=w)
    w = w.astype(np.float64)
    bad = w[~(np.isfinite(w) & (w >= 0))]
    if bad.size:
        shown = ", ".join(str(weight) for weight in bad[:10].tolist())
        raise ValueError(f"{function}: sample_weight must be finite and at least 0; got {shown}")
    largest = w.max()
    if largest == 0:
        return w
    w = w / largest  # their sum is in [1, N] then: it cannot overflow
    shares: Array = w / w.sum()
    return shares
