"""The error function and its complement on arrays, to a few units in the last place of float64.

Near 0 the Taylor series of erf, in powers of x^2. Away from it the complement: with a = abs(x),

    erfc(a) = exp(-a^2) / (1 + 2 a) * g(t),   t = (a - 3.75) / (a + 3.75),

where g is smooth, between 1.1 and 1.3 on [1/2, inf), and a polynomial in t, a Chebyshev series
multiplied out (Shepherd & Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in
0 <= x < inf", Math. Comp. 36, 1981). tools/make_erf_coefficients.py computes ours.

erf(-inf) = -1, erf(inf) = 1, erfc(-inf) = 2, erfc(inf) = 0; NaN gives NaN.
"""

import math

import numpy as np

from handgrad.layers._checks import Array, underflow_is_zero

# Of x * (x^2)^k, k = 0, 1, ...: at abs(x) = 1/2 the first that is left out is below 1e-19.
_TAYLOR = tuple(
    (-1) ** k * 2 / math.sqrt(math.pi) / (math.factorial(k) * (2 * k + 1)) for k in range(13)
)
_SMALL = 0.5  # up to here the series of erf
_FAR = 28.0  # from here on erfc is 0 in float64

_CENTRE = 3.75
_SMOOTH = (
    1.2375126308378275,
    -0.14024059858554702,
    0.0035854154854644293,
    0.08227673849015102,
    -0.10880393014174886,
    0.09230432116019834,
    -0.05869339858963677,
    0.0283622774215156,
    -0.009746579558029276,
    0.0017556258324217529,
    0.0002937136655913448,
    -0.00029015397928986765,
    5.164909889268241e-05,
    2.2383912036550678e-05,
    -1.1444146237700524e-05,
    -9.72849582211122e-07,
    1.751637648849062e-06,
    -5.826281078800777e-08,
    -2.5866850716155884e-07,
    2.4289762925488707e-08,
    3.8675334242222354e-08,
    -4.389284159986328e-09,
    -5.1739902140113095e-09,
    5.457157304704688e-10,
    4.2514714447963895e-10,
    -3.75315827795962e-11,
)


@underflow_is_zero
def erf(x: Array) -> Array:
    """2 / sqrt(pi) times the integral of exp(-s^2) from 0 to x; x float64 of any shape."""
    a = np.abs(x)
    out, small = np.empty_like(a), a < _SMALL
    out[small] = _series(a[small])
    out[~small] = 1 - _tail(a[~small])
    return np.copysign(out, x)


@underflow_is_zero
def erfc(x: Array) -> Array:
    """1 - erf(x), with all its digits where that is nearly 0; x float64 of any shape."""
    a = np.abs(x)
    out, small = np.empty_like(a), a < _SMALL
    out[small] = 1 - np.copysign(_series(a[small]), x[small])
    tail = _tail(a[~small])
    out[~small] = np.where(x[~small] < 0, 2 - tail, tail)
    return out


def _series(a: Array) -> Array:
    """Give erf of 0 <= a < 1/2."""
    return np.asarray(_horner(_TAYLOR, a * a) * a)


def _tail(a: Array) -> Array:
    """Give erfc of a >= 1/2."""
    a = np.minimum(a, _FAR)  # an infinite t would be no number
    smooth = _horner(_SMOOTH, (a - _CENTRE) / (a + _CENTRE))
    # a^2 has more digits than a float64; its rounding, of up to 1e-13, would be erfc's error.
    # The square of a's first 24 bits is exact, and the rest is small.
    head = a.astype(np.float32).astype(np.float64)
    gauss = np.exp(-head * head) * np.exp(-(a - head) * (a + head))
    return np.asarray(gauss * smooth / (1 + 2 * a))


def _horner(coefficients: tuple[float, ...], t: Array) -> Array:
    """Give the sum of coefficients[k] * t^k."""
    total = np.full_like(t, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total *= t
        total += coefficient
    return total
