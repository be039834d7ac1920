"""Layer normalisation: each example by its own mean and variance."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from handgrad.layers._checks import Array, floating, require, underflow_is_zero


class LayerNormCache(NamedTuple):
    """What layernorm_backward needs: x_hat in x's shape, gamma, inverse_std (N, 1)."""

    x_hat: Array
    gamma: Array
    inverse_std: Array


@underflow_is_zero
def layernorm_forward(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, ln_param: Mapping[str, Any] | None = None
) -> tuple[Array, LayerNormCache]:
    """Layer normalisation: out = gamma * x_hat + beta with x_hat = (x - mean) / sqrt(var + eps).

    Mean and (biased) variance are of the D numbers of one example: examples do not see each
    other, and training and testing are the same.

    Parameters
    ----------
    x : array (N, D) or (N, C, H, W)
        Of an image, all D = C * H * W numbers are normalised together.
    gamma, beta : array (D,) or (C, H, W)
        Scale and shift, in the shape of one example.
    ln_param : mapping, optional
        ``eps``, default 1e-5.

    Returns
    -------
    out : array in x's shape
    cache : for layernorm_backward

    Raises
    ------
    ValueError
        If x is neither (N, D) nor (N, C, H, W), gamma or beta is not of an example's shape, or eps
        is negative.

    References
    ----------
    Ba, Kiros & Hinton, "Layer normalization", 2016. An example whose numbers are all the same gives
    x_hat = 0 and out = beta.
    """
    x = floating(x)
    gamma, beta = floating(gamma, x.dtype), floating(beta, x.dtype)
    eps = (ln_param or {}).get("eps", 1e-5)
    rule = "x must be (N, D) or (N, C, H, W), with at least one number an example"
    require(x.ndim in (2, 4) and 0 not in x.shape[1:], "layernorm_forward", rule, x=x)
    one = x.shape[1:]
    for name, array in (("gamma", gamma), ("beta", beta)):
        rule = f"{name} must be {one}, the shape of one example of x"
        require(array.shape == one, "layernorm_forward", rule, **{name: array})
    require(eps >= 0, "layernorm_forward", "ln_param['eps'] must be at least 0", eps=eps)

    flat = x.reshape(len(x), gamma.size)  # (N, D)
    # From the first number on: the mean of what is constant is then that, to the last bit.
    centred = np.subtract(flat, flat[:, :1], order="C")
    centred -= centred.mean(axis=1, keepdims=True)
    var = np.square(centred).mean(axis=1, keepdims=True)
    inverse_std = 1 / np.sqrt(var + x.dtype.type(eps))
    x_hat = np.multiply(centred, inverse_std, out=centred).reshape(x.shape)
    out = x_hat * gamma
    out += beta
    return out, LayerNormCache(x_hat, gamma, inverse_std)


@underflow_is_zero
def layernorm_backward(dout: ArrayLike, cache: LayerNormCache) -> tuple[Array, Array, Array]:
    """Gradients of layer normalisation.

    dbeta = sum(dout), dgamma = sum(dout * x_hat), sums over the examples; and with
    g = gamma * dout and means over the D numbers of an example,

        dx = (g - mean(g) - x_hat * mean(g * x_hat)) / sqrt(var + eps)

    Derived in theory/layer_normalisation.md, formula ln-dx.

    Parameters
    ----------
    dout : array in x's shape
    cache : from layernorm_forward

    Returns
    -------
    dx : array in x's shape, dgamma, dbeta : array in the shape of one example

    Raises
    ------
    ValueError
        If dout has another shape.
    """
    x_hat, gamma, inverse_std = cache
    dout = floating(dout, x_hat.dtype)
    rule = f"dout must be of x's shape {x_hat.shape}"
    require(dout.shape == x_hat.shape, "layernorm_backward", rule, dout=dout)
    dbeta = dout.sum(axis=0)
    dgamma = (dout * x_hat).sum(axis=0)
    flat_hat = x_hat.reshape(len(x_hat), gamma.size)  # (N, D)
    g = np.multiply(dout, gamma, order="C").reshape(flat_hat.shape)
    dx = g - g.mean(axis=1, keepdims=True)
    dx -= flat_hat * (g * flat_hat).mean(axis=1, keepdims=True)
    dx *= inverse_std
    dx = dx.reshape(x_hat.shape)
    return dx, dgamma, dbeta
