"""Standardisation: the right value for constant features, large offsets and small deviations."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from handgrad import scaling
from handgrad.bench.workloads import WORKLOADS
from handgrad.datasets import Dataset, load_course, load_mnist
from handgrad.experiments import studies
from handgrad.reproduce.training import standardise


def exact(column: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Mean and deviation in rational numbers, the root alone rounded."""
    values = [Fraction(float(value)) for value in column]
    mean = sum(values) / len(values)
    unit = max(abs(value - mean) for value in values)  # squares of 1e-200 are no float64
    variance = sum(((value - mean) / unit) ** 2 for value in values) / len(values)
    return float(mean), float(variance) ** 0.5 * float(unit)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 3, 500, 54_001])
@pytest.mark.parametrize("value", [14.62, 12345.678, -0.1, 1e8 + 0.1, 1e30, 1e-30, 0.0])
def test_a_constant_feature_is_0_and_left_undivided(dtype: type, rows: int, value: float) -> None:
    X = np.full((rows, 1), value, dtype)
    mean, deviation = scaling.mean_and_deviation(X)
    assert mean.tolist() == [float(X[0, 0])]
    assert deviation.tolist() == [1.0]
    assert not scaling.standardise(X, mean, deviation).any()
    other = np.array([[15.0]], dtype)
    want = float(other[0, 0]) - float(X[0, 0])
    np.testing.assert_array_equal(scaling.standardise(other, mean, deviation), dtype(want))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_feature_that_varies_by_a_rounding_error_is_constant(dtype: type) -> None:
    value = dtype(14.62)
    X = np.where(np.arange(500) % 2, value, np.nextafter(value, dtype(15)))[:, None]
    mean, deviation = scaling.mean_and_deviation(X)
    assert deviation.tolist() == [1.0]
    assert np.abs(scaling.standardise(X, mean, deviation)).max() < 2e-6


@pytest.mark.parametrize(
    ("dtype", "offset", "spread"),
    [
        (np.float64, 1e8, 1e-3),
        (np.float64, -1e8, 1e-3),
        (np.float64, 1e12, 1.0),
        (np.float64, 0.0, 1e-200),
        (np.float32, 1e4, 0.1),
        (np.float32, 1e8, 200.0),
        (np.float32, 0.0, 1e-30),
        (np.float32, 0.0, 1e30),
    ],
)
@pytest.mark.parametrize("rows", [2, 500, 20_000])
def test_a_feature_that_really_varies_has_mean_0_and_deviation_1(
    dtype: type, offset: float, spread: float, rows: int
) -> None:
    rng = np.random.default_rng(rows)
    signs = np.where(np.arange(rows) % 2, 1.0, -1.0)
    X = (offset + spread * signs * (1 + 0.1 * rng.random(rows))).astype(dtype)[:, None]
    mean, deviation = scaling.mean_and_deviation(X)
    want_mean, want_deviation = exact(X[:, 0])
    np.testing.assert_allclose(mean, want_mean, rtol=2.3e-16, atol=1e-15 * spread)
    np.testing.assert_allclose(deviation, want_deviation, rtol=1e-12)
    scaled = scaling.standardise(X, mean, deviation)
    assert scaled.dtype == dtype
    rounding = abs(offset) * 2.3e-16 / spread  # of the mean, which is one float64
    want = [(Fraction(float(x)) - Fraction(want_mean)) / Fraction(want_deviation) for x in X[:, 0]]
    np.testing.assert_allclose(
        scaled[:, 0], np.array(want, np.float64), rtol=np.finfo(dtype).eps + 1e-12, atol=rounding
    )


def test_whole_numbers_become_float64_and_one_mean_for_all_is_possible() -> None:
    X = np.arange(24, dtype=np.uint8).reshape(3, 2, 2, 2)
    mean, deviation = scaling.mean_and_deviation(X, axis=None)
    assert (mean.shape, deviation.shape) == ((), ())
    # 0..23: mean 11.5, variance (24^2 - 1) / 12.
    np.testing.assert_allclose([mean, deviation], [11.5, (575 / 12) ** 0.5])
    scaled = scaling.standardise(X, mean, deviation)
    assert scaled.dtype == np.float64
    np.testing.assert_allclose(scaled, (X - 11.5) / (575 / 12) ** 0.5)


def test_blocks_of_rows_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).random((37, 5), np.float32)
    mean, deviation = scaling.mean_and_deviation(X)
    whole = scaling.standardise(X, mean, deviation)
    monkeypatch.setattr(scaling, "_BLOCK", 20)
    np.testing.assert_array_equal(scaling.standardise(X, mean, deviation), whole)
    assert scaling.standardise(X[:0], mean, deviation).shape == (0, 5)


def with_column(data: Dataset, value: float) -> Dataset:
    """Put a constant into the first feature of the training rows, 15.0 into that of the others."""
    parts = {name: np.array(getattr(data, name)) for name in ("X_train", "X_val", "X_test")}
    for name, X in parts.items():
        X[:, 0] = value if name == "X_train" else 15.0
    return replace(data, **parts)


def test_an_experiment_gets_a_new_value_of_a_constant_feature_undivided() -> None:
    ready, mean, deviation = standardise(with_column(load_course(), 14.62), None)
    assert (mean[0], deviation[0]) == (14.62, 1.0)
    assert not ready.X_train[:, 0].any()
    np.testing.assert_allclose(ready.X_val[:, 0], 0.38, rtol=1e-12)
    np.testing.assert_allclose(ready.X_test[:, 0], 0.38, rtol=1e-12)


def test_a_study_of_constant_pixels_has_finite_rows() -> None:
    data = load_mnist(offline=True)
    blank = replace(data, X_train=np.full_like(data.X_train, 0.1))
    X, y = studies._rows(blank, 100)
    assert X.shape == (100, 784)
    assert not X.any()
    assert len(y) == 100


def test_the_benchmarks_rows_have_mean_0_and_deviation_1() -> None:
    workload = next(each for each in WORKLOADS if each.data == "mnist")
    X, _ = workload.rows()
    assert X.dtype == np.float32
    np.testing.assert_allclose([X.mean(dtype=float), X.std(dtype=float)], [0, 1], atol=1e-6)
