"""The error function and its complement on arrays, to a few units in the last place of float64.

Near 0 the Taylor series of erf, in powers of x^2. Away from it the complement: with a = abs(x),

    erfc(a) = exp(-a^2) / (1 + 2 a) * g(t),   t = (a - 3.75) / (a + 3.75),

where g is smooth, between 1.1 and 1.3 on [1/2, inf), and a short Chebyshev series in t (Shepherd &
Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < inf", Math. Comp. 36,
1981). tools/make_erf_coefficients.py computes ours.

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
_CHEBYSHEV = (
    1.1775789345674017,
    -0.004590054580646478,
    -0.08424913336651792,
    0.05920993999819189,
    -0.026658668435305753,
    0.009074997670705265,
    -0.002413163540417608,
    0.0004907758365258086,
    -6.916973302501207e-05,
    4.13902798607301e-06,
    7.74038306619849e-07,
    -2.1886401049234397e-07,
    1.076499946567091e-08,
    4.521959811218287e-09,
    -7.754400208831351e-10,
    -6.318088340886684e-11,
    2.86879501093067e-11,
    1.9455868545777347e-13,
    -9.65469674843344e-13,
    3.25254814814874e-14,
    3.3478119482868056e-14,
    -1.864562880419313e-15,
    -1.2507950530688648e-15,
    7.418235256624044e-17,
    5.068148904796111e-17,
    -2.2370566594359995e-18,
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
    square, total = a * a, np.zeros_like(a)
    for coefficient in reversed(_TAYLOR):
        total = total * square + coefficient
    return total * a


def _tail(a: Array) -> Array:
    """Give erfc of a >= 1/2."""
    a = np.minimum(a, _FAR)  # an infinite t would be no number
    t = (a - _CENTRE) / (a + _CENTRE)
    one, two = np.zeros_like(a), np.zeros_like(a)  # Clenshaw's recurrence
    for coefficient in reversed(_CHEBYSHEV[1:]):
        one, two = 2 * t * one - two + coefficient, one
    smooth = t * one - two + _CHEBYSHEV[0]
    # a^2 has more digits than a float64; its rounding, of up to 1e-13, would be erfc's error.
    # The square of a's first 24 bits is exact, and the rest is small.
    head = a.astype(np.float32).astype(np.float64)
    gauss = np.exp(-head * head) * np.exp(-(a - head) * (a + head))
    return np.asarray(gauss * smooth / (1 + 2 * a))
