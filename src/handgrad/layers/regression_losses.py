"""The losses of regression: squared, absolute and Huber's, each with its gradient."""

import numpy as np
from numpy.typing import ArrayLike

from handgrad.layers._checks import Array, floating, require, underflow_is_zero
from handgrad.layers._weights import mean_over_examples


def _residual(function: str, x: ArrayLike, y: ArrayLike) -> Array:
    """Check a regression loss's arguments and return x - y, in x's shape and dtype."""
    x, y = floating(x), np.asarray(y)
    if y.dtype.kind not in "biuf":
        raise ValueError(f"{function}: targets must be numbers; got an array of {y.dtype}")
    require(x.ndim in (1, 2), function, "x must be (N,) or (N, M)", x=x)
    require(x.size > 0, function, "x must hold at least one example and one output", x=x)
    # (N,) and (N, 1) mean the same; broadcasting them would make (N, N) of it.
    one_each = y.ndim in (1, 2) and len(y) == len(x) and x.size == y.size == len(x)
    require(y.shape == x.shape or one_each, function, "y must be of x's shape", x=x, y=y)
    with np.errstate(over="ignore"):
        targets = y.astype(x.dtype)
    bad = y[~np.isfinite(targets)]
    if bad.size:
        shown = ", ".join(str(value) for value in bad.ravel()[:10].tolist())
        raise ValueError(f"{function}: targets must be finite in {x.dtype}; got {shown}")
    residual: Array = x - targets.reshape(x.shape)
    return residual


def _mean(
    function: str, losses: Array, slopes: Array, sample_weight: ArrayLike | None
) -> tuple[float, Array]:
    """Average over an example's outputs, then over the examples."""
    of_outputs = losses.reshape(len(losses), -1)
    slopes /= of_outputs.shape[1]
    return mean_over_examples(function, of_outputs.mean(axis=1), slopes, sample_weight)


@underflow_is_zero
def mse_loss(
    x: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """Mean squared error: the mean over examples and outputs of (x - y)^2, without a 1/2.

    dx = 2 (x - y) / (N M). Derived in theory/regression_losses.md, formula mse-gradient.

    Parameters
    ----------
    x : array (N,) or (N, M)
        Predictions, M numbers an example.
    y : array of x's shape; (N,) and (N, 1) mean the same
        Targets, finite numbers of any integer, bool or float dtype; not modified.
    sample_weight : array (N,), optional
        Finite, at least 0: the mean over examples is then sum(w * loss) / sum(w), and dx likewise;
        0 where all weights are 0 (theory/weighted_losses.md, formula weighted-gradient).

    Returns
    -------
    loss : float, dx : array in x's shape

    Raises
    ------
    ValueError
        For a wrong shape, a target that is infinite or NaN in x's dtype, or a weight that is
        negative, infinite or NaN.
    """
    residual = _residual("mse_loss", x, y)
    return _mean("mse_loss", residual * residual, 2 * residual, sample_weight)


@underflow_is_zero
def mae_loss(
    x: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """Mean absolute error: the mean over examples and outputs of abs(x - y).

    dx = sign(x - y) / (N M). At the kink x = y every number in [-1, 1] / (N M) is a subgradient;
    like PyTorch we take 0. Derived in theory/regression_losses.md, formula mae-gradient.

    Parameters, returns and errors are those of mse_loss.
    """
    residual = _residual("mae_loss", x, y)
    return _mean("mae_loss", np.abs(residual), np.sign(residual), sample_weight)


@underflow_is_zero
def huber_loss(
    x: ArrayLike,
    y: ArrayLike,
    *,
    delta: float = 1.0,
    sample_weight: ArrayLike | None = None,
) -> tuple[float, Array]:
    """Huber's loss: with r = x - y, r^2 / 2 where abs(r) <= delta, else delta (abs(r) - delta / 2).

    The mean over examples and outputs; dx = max(-delta, min(r, delta)) / (N M), which is
    continuous: at abs(r) = delta both pieces have the same slope. With c the clipped r, both are
    c (r - c / 2). Derived in theory/regression_losses.md, formula huber-gradient.

    Parameters
    ----------
    x, y, sample_weight : as mse_loss takes them
    delta : float, default 1
        Where the square ends, in the targets' unit; positive and finite.

    Returns
    -------
    loss : float, dx : array in x's shape

    Raises
    ------
    ValueError
        As mse_loss, and for a delta that is not positive and finite.

    References
    ----------
    Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35 (1964).
    """
    require(0 < delta < np.inf, "huber_loss", "delta must be positive and finite", delta=delta)
    residual = _residual("huber_loss", x, y)
    clipped = np.clip(residual, -residual.dtype.type(delta), residual.dtype.type(delta))
    losses = clipped * (residual - clipped / 2)
    return _mean("huber_loss", losses, clipped, sample_weight)
