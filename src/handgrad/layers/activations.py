"""The smooth activations and the leaky one: tanh, leaky ReLU, GELU and SiLU.

At infinity they have the values and slopes of their limits: GELU and SiLU of -inf are 0, though
-inf * 0 is NaN. NaN gives NaN.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from handgrad.layers._checks import Array, floating, require, underflow_is_zero
from handgrad.layers._erf import erfc

# Beyond them Phi and the sigmoids below are 0 or 1 to the last bit of float64, and the products
# with them 0 or x: what is infinite is taken for what is that far out.
_FAR = 40.0
_FAR_SIGMOID = 1e3

# GELU's tanh form (Hendrycks & Gimpel): sqrt(2 / pi) * (x + 0.044715 x^3).
_STEEPNESS, _CUBIC = np.sqrt(2 / np.pi), 0.044715


def _upstream(function: str, dout: ArrayLike, x: Array) -> Array:
    """Take dout in x's dtype, and require x's shape."""
    dout = floating(dout, x.dtype)
    require(dout.shape == x.shape, function, f"dout must be of x's shape {x.shape}", dout=dout)
    return dout


@underflow_is_zero
def tanh_forward(x: ArrayLike) -> tuple[Array, Array]:
    """Hyperbolic tangent: out = tanh(x), element by element; x of any shape."""
    out = np.asarray(np.tanh(floating(x)))
    return out, out


@underflow_is_zero
def tanh_backward(dout: ArrayLike, cache: Array) -> Array:
    """Gradient of tanh: dx = dout * (1 - out^2), computed as dout * (1 - out) * (1 + out).

    Derived in theory/activations.md, formula tanh-backward. Raises ValueError if dout is not of
    x's shape.
    """
    out = cache
    return np.asarray(_upstream("tanh_backward", dout, out) * ((1 - out) * (1 + out)))


class LeakyReLUCache(NamedTuple):
    """What leaky_relu_backward needs."""

    x: Array
    slope: float


@underflow_is_zero
def leaky_relu_forward(x: ArrayLike, slope: float = 0.01) -> tuple[Array, LeakyReLUCache]:
    """Leaky rectified linear unit: out = max(x, slope * x), element by element.

    Parameters
    ----------
    x : array of any shape
    slope : float in (0, 1), default 0.01
        Of the side where x < 0.

    Returns
    -------
    out : array in x's shape
    cache : for leaky_relu_backward

    Raises
    ------
    ValueError
        For a slope outside (0, 1): 0 is relu_forward.

    References
    ----------
    Maas, Hannun & Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.
    """
    x = floating(x)
    require(0 < slope < 1, "leaky_relu_forward", "slope must be in (0, 1)", slope=slope)
    return np.maximum(x, x.dtype.type(slope) * x), LeakyReLUCache(x, float(slope))


@underflow_is_zero
def leaky_relu_backward(dout: ArrayLike, cache: LeakyReLUCache) -> Array:
    """Gradient of max(x, slope x): dx = dout where x > 0, else slope * dout.

    At the kink x = 0 every number in [slope, 1] is a subgradient; like PyTorch we take slope.
    Derived in theory/activations.md, formula leaky-backward. Raises ValueError if dout is not of
    x's shape.
    """
    x, slope = cache
    dout = _upstream("leaky_relu_backward", dout, x)
    return np.where(x > 0, dout, x.dtype.type(slope) * dout)


class GELUCache(NamedTuple):
    """What gelu_backward needs."""

    x: Array
    approximate: bool


@underflow_is_zero
def gelu_forward(x: ArrayLike, approximate: bool = False) -> tuple[Array, GELUCache]:
    """Gaussian error linear unit: out = x * Phi(x), element by element; x of any shape.

    Phi(x) is the probability that a standard normal number is below x: (1 + erf(x / sqrt(2))) / 2,
    computed as erfc(-x / sqrt(2)) / 2, which keeps its digits far to the left, too. The exact form
    is computed in float64, whatever x's dtype.

    Parameters
    ----------
    x : array of any shape
    approximate : bool, default False
        The tanh form: Phi(x) taken for (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3),
        which is within 5e-4 of it.

    Returns
    -------
    out : array in x's shape
    cache : for gelu_backward

    References
    ----------
    Hendrycks & Gimpel, "Gaussian error linear units (GELUs)", 2016.
    """
    x = floating(x)
    z = np.clip(x, -_FAR, _FAR)
    share = _tanh_form(z)[0] if approximate else _phi(z)
    # Not x but z from the left: -inf * 0 is no number.
    out = np.asarray(np.maximum(x, -_FAR) * share, x.dtype)
    return out, GELUCache(x, bool(approximate))


@underflow_is_zero
def gelu_backward(dout: ArrayLike, cache: GELUCache) -> Array:
    """Gradient of GELU: dx = dout * (Phi(x) + x phi(x)), phi the normal density.

    In the tanh form, with s = sigmoid(2u) = (1 + tanh(u)) / 2 and u' = du/dx,
    dx = dout * (s + 2 x s (1 - s) u').
    Derived in theory/activations.md, formulas gelu-backward and gelu-tanh-backward. Raises
    ValueError if dout is not of x's shape.
    """
    x, approximate = cache
    dout = _upstream("gelu_backward", dout, x)
    z = np.clip(x, -_FAR, _FAR)
    if approximate:
        s, rest = _tanh_form(z)
        slope = s + 2 * z * s * rest * (_STEEPNESS * (1 + 3 * _CUBIC * z * z)).astype(x.dtype)
    else:
        z = z.astype(np.float64)
        slope = _phi(z) + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    return np.asarray(dout * slope.astype(x.dtype))


def _phi(z: Array) -> Array:
    """The normal distribution function, in float64."""
    return erfc(-z.astype(np.float64) / np.sqrt(2)) / 2


def _tanh_form(z: Array) -> tuple[Array, Array]:
    """(1 + tanh(u)) / 2 and (1 - tanh(u)) / 2, both with all their digits."""
    u = z.dtype.type(_STEEPNESS) * (z + z.dtype.type(_CUBIC) * z * z * z)
    return _sigmoids(2 * u)


@underflow_is_zero
def silu_forward(x: ArrayLike) -> tuple[Array, Array]:
    """Sigmoid linear unit, or swish: out = x * sigmoid(x), element by element; x of any shape.

    References
    ----------
    Elfwing, Uchibe & Doya, "Sigmoid-weighted linear units", 2017.
    """
    x = floating(x)
    sigmoid, _ = _sigmoids(np.clip(x, -_FAR_SIGMOID, _FAR_SIGMOID))
    return np.asarray(np.maximum(x, -_FAR_SIGMOID) * sigmoid), x


@underflow_is_zero
def silu_backward(dout: ArrayLike, cache: Array) -> Array:
    """Gradient of SiLU: with s = sigmoid(x), dx = dout * s * (1 + x (1 - s)).

    Derived in theory/activations.md, formula silu-backward. Raises ValueError if dout is not of
    x's shape.
    """
    x = cache
    dout = _upstream("silu_backward", dout, x)
    z = np.clip(x, -_FAR_SIGMOID, _FAR_SIGMOID)
    s, rest = _sigmoids(z)
    return np.asarray(dout * (s * (1 + z * rest)))


def _sigmoids(z: Array) -> tuple[Array, Array]:
    """sigmoid(z) and 1 - sigmoid(z) = sigmoid(-z), from exp(-abs(z)), which cannot overflow."""
    small = np.exp(-np.abs(z))
    large, little = 1 / (1 + small), small / (1 + small)
    return np.where(z >= 0, large, little), np.where(z >= 0, little, large)
