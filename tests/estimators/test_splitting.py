"""Rows held out for early stopping: of each class its share."""

import numpy as np
import pytest

from handgrad.estimators.splitting import held_out


def test_each_class_gives_its_share():
    classes = np.repeat([0, 1, 2, 3], [600, 300, 90, 10])
    mask = held_out(1000, 0.1, np.random.default_rng(0), classes)
    assert np.bincount(classes[mask]).tolist() == [60, 30, 9, 1]


def test_shares_are_rounded_so_that_the_numbers_add_up():
    # 33.3 of each: 100 = 34 + 33 + 33
    classes = np.arange(999) % 3
    taken = np.bincount(classes[held_out(999, 0.1, np.random.default_rng(0), classes)])
    assert taken.sum() == 100
    assert taken.max() - taken.min() <= 1


def test_a_class_of_one_row_stays_to_train_on():
    classes = np.array([0] * 9 + [1])
    for seed in range(20):
        assert not held_out(10, 0.3, np.random.default_rng(seed), classes)[9]


def test_without_classes_all_rows_are_alike():
    mask = held_out(50, 0.25, np.random.default_rng(0))
    assert mask.sum() == 13  # ceil(12.5)
    assert not np.array_equal(mask, held_out(50, 0.25, np.random.default_rng(1)))
    assert np.array_equal(mask, held_out(50, 0.25, np.random.default_rng(0)))


def test_nothing_to_hold_out_is_said():
    with pytest.raises(ValueError, match="none can be held out"):
        held_out(2, 0.1, np.random.default_rng(0), np.array([0, 1]))
