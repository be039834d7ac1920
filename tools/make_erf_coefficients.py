"""Print the coefficients of handgrad.layers._erf: a polynomial for erfc's smooth factor.

Run it with mpmath installed (SymPy brings it): ``python tools/make_erf_coefficients.py``. A test
holds the numbers in the module to these.
"""

import mpmath

CENTRE = mpmath.mpf("3.75")
TERMS = 26


def smooth(t: mpmath.mpf) -> mpmath.mpf:
    """(1 + 2 a) exp(a^2) erfc(a) at a = CENTRE (1 + t) / (1 - t), which is infinite at t = 1."""
    a = CENTRE * (1 + t) / (1 - t)
    return (1 + 2 * a) * mpmath.exp(a * a) * mpmath.erfc(a)


def chebyshev(terms: int, nodes: int = 80) -> list[mpmath.mpf]:
    """Give c_0, c_1, ... with smooth(t) = sum of c_k T_k(t), from values at Chebyshev's nodes."""
    angles = [mpmath.pi * (mpmath.mpf(j) + 0.5) / nodes for j in range(nodes)]
    values = [smooth(mpmath.cos(angle)) for angle in angles]
    found = []
    for k in range(terms):
        products = [v * mpmath.cos(k * angle) for v, angle in zip(values, angles, strict=True)]
        found.append((1 if k == 0 else 2) * mpmath.fsum(products) / nodes)
    return found


def coefficients() -> list[float]:
    """Give p_0, p_1, ... with smooth(t) = sum of p_k t^k: the Chebyshev series, multiplied out."""
    with mpmath.workdps(60):
        powers = [mpmath.mpf(0)] * TERMS
        before, now = [mpmath.mpf(0)], [mpmath.mpf(1)]  # T_0, and what makes T_1 = t of it
        for k, c in enumerate(chebyshev(TERMS)):
            for place, coefficient in enumerate(now):
                powers[place] += c * coefficient
            # T_(k+1) = 2 t T_k - T_(k-1), but T_1 = t T_0
            after = [mpmath.mpf(0), *((1 if k == 0 else 2) * coefficient for coefficient in now)]
            for place, coefficient in enumerate(before):
                after[place] -= coefficient
            before, now = now, after
        return [float(power) for power in powers]


if __name__ == "__main__":
    for number in coefficients():
        print(f"    {number!r},")
