"""The metrics are scikit-learn's; judging keeps the rows' numbers; importance finds the columns."""

import numpy as np
import pytest

from handgrad.own_data import judging, metrics
from handgrad.probabilities import softmax


def test_a_classification_worked_by_hand():
    labels = np.array([0, 0, 0, 1])
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    # Predicted 0, 0, 1, 0 (of equals the first): 2 of 4 right; of class 0 two thirds, of 1 none.
    found = metrics.of_classes(labels, probabilities)
    assert found["accuracy"] == 0.5
    assert found["balanced_accuracy"] == pytest.approx(1 / 3)
    assert found["log_loss"] == pytest.approx(-np.mean(np.log([0.9, 0.6, 0.2, 0.5])))


def test_a_regression_worked_by_hand():
    found = metrics.of_numbers(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0]))
    # Errors 0, 0, 2; squares about the mean sum to 2.
    assert found == {"r2": -1.0, "rmse": pytest.approx(np.sqrt(4 / 3)), "mae": pytest.approx(2 / 3)}


def test_what_has_no_value_is_none():
    assert metrics.of_numbers(np.ones(3), np.zeros(3))["r2"] is None


def test_they_are_those_of_scikit_learn():
    theirs = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 4, 200), rng.normal(size=(200, 4)) * 3
    p = softmax(scores)
    found = metrics.of("classify", labels, p)
    assert found["accuracy"] == pytest.approx(theirs.accuracy_score(labels, p.argmax(1)))
    assert found["balanced_accuracy"] == pytest.approx(
        theirs.balanced_accuracy_score(labels, p.argmax(1))
    )
    assert found["log_loss"] == pytest.approx(theirs.log_loss(labels, p))
    y, predicted = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    found = metrics.of("regress", y, predicted)
    assert found["r2"] == pytest.approx(theirs.r2_score(y, predicted))
    assert found["rmse"] == pytest.approx(theirs.root_mean_squared_error(y, predicted))
    assert found["mae"] == pytest.approx(theirs.mean_absolute_error(y, predicted))
    labels, p = rng.integers(0, 2, (80, 3)), rng.random((80, 3))
    found = metrics.of("multilabel", labels, p)
    assert found["accuracy"] == pytest.approx(theirs.accuracy_score(labels, p > 0.5))
    assert found["label_accuracy"] == pytest.approx(1 - theirs.hamming_loss(labels, p > 0.5))


def test_a_certain_mistake_has_a_finite_log_loss():
    found = metrics.of_classes(np.array([0]), np.array([[0.0, 1.0]]))
    assert found["log_loss"] == pytest.approx(-np.log(np.finfo(float).eps))


def test_importance_is_of_the_columns_that_the_score_depends_on():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 4))
    y = X[:, 0] + X[:, 2]
    groups = {"none": slice(3, 4), "pair": slice(0, 2), "alone": slice(2, 3)}

    def score(X, y):
        return metrics.of_numbers(y, X[:, 0] + X[:, 2])["r2"]

    found, rows = judging.importances(X, y, groups, score, rng)
    assert rows == 2000
    assert {each.column for each in found[:2]} == {"pair", "alone"}
    # Shuffling one of two equal shares of the variance leaves errors of twice that share: R2 is 0.
    assert found[0].mean == pytest.approx(1.0, abs=0.1)
    assert (found[2].column, found[2].mean, found[2].std) == ("none", 0.0, 0.0)
    assert found[0].repeats == 5


def test_the_worst_residuals_come_first_with_their_rows_numbers():
    truth = np.arange(50.0)
    predicted = truth.copy()
    predicted[7] -= 9
    predicted[3] += 4
    (found,) = judging.of_numbers(("y",), truth, predicted, np.arange(50) + 100)
    worst = found.regression.worst
    assert (worst[0].row, worst[0].truth, worst[0].prediction) == (107, 7.0, -2.0)
    assert worst[1].row == 103
    assert sum(found.regression.counts) == 50
    assert found.regression.edges[0] == -9.0
