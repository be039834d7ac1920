"""Splits: whole, deterministic, each class alike, groups together, times in order."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from handgrad.errors import DataError
from handgrad.tables import Columns, split, time_values


def is_whole(parts, rows):
    together = np.concatenate([parts.train, parts.val, parts.test])
    return np.array_equal(np.sort(together), np.arange(rows))


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=30).filter(lambda c: sum(c) >= 20),
    seed=st.integers(0, 99),
)
def test_each_class_has_its_share_in_each_part(counts, seed):
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = split(y, seed=seed)
    assert is_whole(parts, len(y))
    assert [len(parts.val), len(parts.test)] == [round(0.15 * len(y))] * 2 or abs(
        len(parts.val) - 0.15 * len(y)
    ) <= 1
    assert set(y[parts.train]) == set(y)
    trained_by_swap = sum(count < 4 for count in counts)
    for rows, fraction in ((parts.val, 0.15), (parts.test, 0.15)):
        for each, count in enumerate(counts):
            away = abs(np.sum(y[rows] == each) - fraction * count)
            # Two roundings, and what makes room for a class without training rows.
            assert away <= 2 + trained_by_swap


def test_an_even_split_is_even():
    y = np.repeat([0, 1, 2], [100, 40, 20])
    parts = split(y, seed=3)
    assert np.bincount(y[parts.val]).tolist() == [15, 6, 3]
    assert np.bincount(y[parts.test]).tolist() == [15, 6, 3]


def test_a_seed_gives_one_split_and_another_seed_another():
    y = np.arange(100) % 4
    first, same, other = split(y, seed=1), split(y, seed=1), split(y, seed=2)
    assert np.array_equal(first.train, same.train)
    assert np.array_equal(first.test, same.test)
    assert not np.array_equal(first.test, other.test)
    names = np.array(["d", "c", "b", "a"], object)[y]
    assert is_whole(split(names, seed=1), 100)


def test_amounts_and_combinations_of_labels():
    parts = split(np.linspace(0, 1, 101), seed=0)
    assert [len(parts.train), len(parts.val), len(parts.test)] == [71, 15, 15]
    labels = np.stack([np.arange(100) % 2, np.arange(100) % 50 == 0], axis=1)
    parts = split(labels, seed=0)
    assert is_whole(parts, 100)
    assert labels[parts.train][:, 1].any()
    assert is_whole(split(rows=20, seed=0), 20)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), groups=st.integers(12, 60))
def test_groups_stay_whole(seed, groups):
    rng = np.random.default_rng(seed)
    of_row = rng.integers(0, groups, 600)
    parts = split(rng.integers(0, 3, 600), groups=of_row.astype(float), seed=seed)
    assert is_whole(parts, 600)
    sets = [set(of_row[rows]) for rows in (parts.train, parts.val, parts.test)]
    assert sum(map(len, sets)) == len(set(of_row))  # no group is in two parts
    largest = np.bincount(of_row).max()
    assert abs(len(parts.train) - 420) <= largest


@pytest.mark.parametrize("groups", [3, 4, 9])
def test_few_groups_of_one_class_each_leave_no_part_empty(groups):
    # Of each group all rows are wanted most in training, until that is full.
    of_row = np.repeat(np.arange(groups), 40)
    parts = split(of_row, groups=of_row, seed=0)
    assert is_whole(parts, 40 * groups)
    assert all(len(rows) for rows in (parts.train, parts.val, parts.test))
    assert len(parts.train) >= len(parts.val)
    assert split(of_row, groups=of_row, fractions=(0.8, 0.2, 0), seed=0).test.size == 0


def test_times_go_in_order_and_equal_ones_together():
    times = np.random.default_rng(0).permutation(np.repeat(np.arange(20), 5))
    parts = split(times=times, fractions=(0.5, 0.22, 0.28), seed=0)
    assert times[parts.train].max() < times[parts.val].min()
    assert times[parts.val].max() < times[parts.test].min()
    assert [len(parts.train), len(parts.val), len(parts.test)] == [50, 25, 25]
    dates = np.datetime64("2020-01-01") + times
    assert np.array_equal(split(times=dates, seed=1).train, split(times=times, seed=2).train)


def test_times_of_a_column():
    columns = Columns({"n": [2, 1], "d": ["2020-01-02", "2020-01-01 12:00"], "t": ["x", "y"]})
    assert time_values(columns, "n").tolist() == [2, 1]
    assert time_values(columns, "d").tolist() == [18263.0, 18262.5]
    with pytest.raises(DataError, match="row 1, column 't' holds 'x', which is no number and no"):
        time_values(columns, "t")
    with pytest.raises(DataError, match="row 2, column 'n': the time is missing"):
        time_values(Columns({"n": [1, None]}), "n")


def test_no_test_rows_are_wanted():
    parts = split(np.arange(50) % 2, fractions=(0.8, 0.2, 0), seed=0)
    assert [len(parts.train), len(parts.val), len(parts.test)] == [40, 10, 0]


def test_what_is_refused():
    with pytest.raises(DataError, match="the split leaves no test rows: 40 rows"):
        split(groups=np.repeat([0, 1], 20), seed=0)
    with pytest.raises(DataError, match="no validation rows"):
        split(times=np.zeros(40), seed=0)
    with pytest.raises(ValueError, match="must agree on one number of rows; got none"):
        split(seed=0)
    with pytest.raises(ValueError, match=r"got \[2, 3\]"):
        split([0, 1], groups=[0, 1, 2], seed=0)
    with pytest.raises(ValueError, match="not both"):
        split(groups=[0, 1], times=[0, 1], seed=0)
    with pytest.raises(ValueError, match="add up to 1"):
        split([0, 1], fractions=(0.5, 0.2, 0.2), seed=0)
