"""The error function on arrays: against math's and mpmath's, at the edges, and its coefficients."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from references import LAWS

from handgrad.layers import _erf
from handgrad.layers._erf import erf, erfc

mpmath = pytest.importorskip("mpmath")

# Where the tail's values are normal numbers; math.erfc's own rounding is in the tolerances.
POINTS = np.concatenate([
    np.linspace(-6, 6, 20_001), np.linspace(-26.5, 26.5, 20_001),
    np.nextafter(0.5, [0, 1]), -np.nextafter(0.5, [0, 1]), [0.5, -0.5], np.logspace(-300, 0, 601),
])  # fmt: skip


def ulps(ours, wanted):
    return np.abs(ours - wanted) / np.spacing(np.abs(wanted))


@pytest.mark.parametrize(("ours", "theirs", "allowed"), [(erf, math.erf, 3), (erfc, math.erfc, 6)])
def test_within_a_few_units_in_the_last_place_of_math(ours, theirs, allowed):
    wanted = np.array([theirs(x) for x in POINTS])
    assert ulps(ours(POINTS), wanted).max() <= allowed


@pytest.mark.parametrize(("name", "ours", "allowed"), [("erf", erf, 2), ("erfc", erfc, 5)])
def test_within_a_few_units_in_the_last_place_of_40_digits(name, ours, allowed):
    points = np.random.default_rng(0).uniform(-6, 26, 1500)
    found = ours(points)
    with mpmath.workdps(40):
        exact = [getattr(mpmath, name)(mpmath.mpf(float(x))) for x in points]
        off = [abs(mpmath.mpf(float(a)) - b) for a, b in zip(found, exact, strict=True)]
    assert (np.array(off, dtype=float) / np.spacing(np.abs(found))).max() <= allowed


def test_the_edges():
    x = np.array([-np.inf, np.inf, np.nan, 0.0, -0.0, 1e300, -1e300, 5e-324])
    with np.errstate(all="raise"):
        plain, complement = erf(x), erfc(x)
    np.testing.assert_array_equal(plain, [-1, 1, np.nan, 0, 0, 1, -1, 5e-324])
    np.testing.assert_array_equal(np.signbit(plain[3:5]), [False, True])
    np.testing.assert_array_equal(complement, [2, 0, np.nan, 1, 1, 0, 2, 1])


@pytest.mark.parametrize("x", [26.6, 27.0, 27.2])
def test_the_last_values_before_zero_are_right_to_their_few_digits(x):
    assert erfc(np.array([x]))[0] == pytest.approx(math.erfc(x), rel=1e-10, abs=5e-324)


@LAWS
@given(st.floats(-40, 40))
def test_it_is_odd_its_complement_is_the_rest_and_both_stay_in_their_range(x):
    one, other = erf(np.array([x, -x]))
    assert one == -other
    assert abs(one) <= 1
    rest = erfc(np.array([x]))[0]
    assert 0 <= rest <= 2
    assert abs(one + rest - 1) <= 3e-16


@LAWS
@given(st.floats(-8, 8), st.floats(1e-6, 1))
def test_it_rises(x, step):
    low, high = erf(np.array([x, x + step]))
    assert low <= high
    low, high = erfc(np.array([x, x + step]))
    assert low >= high


@pytest.mark.parametrize("shape", [(), (0,), (1, 1), (2, 3, 4)])
def test_any_shape(shape):
    assert erf(np.ones(shape)).shape == erfc(np.ones(shape)).shape == shape


def test_the_coefficients_are_those_of_the_tool():
    path = Path(__file__).resolve().parents[2] / "tools" / "make_erf_coefficients.py"
    spec = importlib.util.spec_from_file_location("make_erf_coefficients", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    np.testing.assert_allclose(_erf._SMOOTH, tool.coefficients(), rtol=1e-15, atol=1e-30)
    assert float(tool.CENTRE) == _erf._CENTRE
