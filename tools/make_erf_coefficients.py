"""Print the coefficients of handgrad.layers._erf: a Chebyshev series of erfc's smooth factor.

Run it with mpmath installed (SymPy brings it): ``python tools/make_erf_coefficients.py``. A test
holds the numbers in the module to these.
"""

import mpmath

CENTRE = mpmath.mpf("3.75")
TERMS = 26


def smooth(t: mpmath.mpf) -> mpmath.mpf:
    """(1 + 2 a) exp(a^2) erfc(a) at a = CENTRE (1 + t) / (1 - t), which is infinite at t = 1."""
    if t == 1:
        return 2 / mpmath.sqrt(mpmath.pi)
    a = CENTRE * (1 + t) / (1 - t)
    return (1 + 2 * a) * mpmath.exp(a * a) * mpmath.erfc(a)


def coefficients(terms: int = TERMS, nodes: int = 80) -> list[float]:
    """Give c_0, c_1, ... with smooth(t) = sum of c_k T_k(t), from values at Chebyshev's nodes."""
    with mpmath.workdps(60):
        angles = [mpmath.pi * (mpmath.mpf(j) + 0.5) / nodes for j in range(nodes)]
        values = [smooth(mpmath.cos(angle)) for angle in angles]
        found = []
        for k in range(terms):
            products = [v * mpmath.cos(k * angle) for v, angle in zip(values, angles, strict=True)]
            found.append(float((1 if k == 0 else 2) * mpmath.fsum(products) / nodes))
    return found


if __name__ == "__main__":
    for number in coefficients():
        print(f"    {number!r},")
