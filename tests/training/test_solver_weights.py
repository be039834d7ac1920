"""Solver: what rows and classes count, in the loss and in scores, and which weights are refused."""

import numpy as np
import pytest
from engines import each_engine as each_engine
from test_solver import Spy, rng, rows

from handgrad.logistic import LogisticClassifier
from handgrad.network import Dense, Network, ReLU, Tanh
from handgrad.solver import Solver


def data(N=30, classes=3):
    draw = rng(1)
    X, y = draw.standard_normal((N, 4)), draw.integers(0, classes, N)
    return {"X_train": X, "y_train": y, "X_val": X[:7], "y_val": y[:7]}


def trained(rows, loss="softmax", **options):
    """All rows in one batch: the order does not matter but for rounding."""
    model = Network([Dense(5), ReLU(), Dense(3)], (4,), loss=loss, reg=0.01, rng=rng())
    options = {"batch_size": 1000, "num_epochs": 4, "rng": rng(2), **options}
    solver = Solver(model, rows, "adam", {"learning_rate": 0.05}, **options)
    solver.train()
    return solver


def assert_same_run(one, two):
    np.testing.assert_allclose(one.loss_history, two.loss_history, rtol=1e-9)
    for name, array in two.model.params.items():
        np.testing.assert_allclose(one.model.params[name], array, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("loss", ["softmax", "mse"])
def test_a_weight_of_k_is_k_copies_of_the_row(each_engine, loss):
    once, counts = data(), rng(3).integers(0, 4, 30)
    if loss == "mse":
        once["y_train"] = rng(4).standard_normal((30, 3))
        once["y_val"] = once["y_train"][:7]
    repeated = once | {name: np.repeat(once[name], counts, axis=0) for name in list(once)[:2]}
    weighted = trained(once, loss, sample_weight=counts)
    assert_same_run(weighted, trained(repeated, loss))
    # The training score too is that of the copies, and rows of weight 0 are in neither.
    name = "train_r2" if loss == "mse" else "train_accuracy"
    copies = trained(repeated, loss, num_train_samples=None)
    for ours, theirs in zip(weighted.history, copies.history, strict=True):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6)


def test_weights_of_ones_change_nothing(each_engine):
    weighted = trained(data(), sample_weight=np.full(30, 7.0), batch_size=8)
    assert_same_run(weighted, trained(data(), batch_size=8))


def test_an_epochs_loss_is_the_mean_by_weight():
    class Weighted(Spy):
        def loss(self, X, y=None, sample_weight=None):
            if y is None:
                return super().loss(X)
            seen.append(sample_weight)
            return super().loss(X, y)

    seen, weights = [], np.arange(23.0)
    solver = Solver(
        Weighted(losses=[1.0, 2.0, 5.0]), rows(), batch_size=10, num_epochs=1, rng=rng(),
        sample_weight=weights,
    )  # fmt: skip
    solver.train()
    # X[:, 0] tells the row: each row came with its own weight.
    for (X, _), given in zip(solver.model.batches, seen, strict=True):
        np.testing.assert_array_equal(given, X[:, 0])
    totals = [given.sum() for given in seen]
    expected = (totals[0] + 2 * totals[1] + 5 * totals[2]) / weights.sum()
    np.testing.assert_allclose(solver.history[0]["loss"], expected, rtol=1e-12)


def test_balanced_classes_have_the_same_total():
    uneven = data()
    uneven["y_train"] = np.repeat([0, 1, 2], [20, 8, 2])
    # 30 / (3 * size): 0.5, 1.25 and 5.
    by_hand = np.repeat([0.5, 1.25, 5.0], [20, 8, 2])
    balanced = trained(uneven, class_weight="balanced", batch_size=7)
    assert_same_run(balanced, trained(uneven, sample_weight=by_hand, batch_size=7))
    mapped = trained(uneven, class_weight={0: 0.5, 1: 1.25, 2: 5}, batch_size=7)
    assert_same_run(balanced, mapped)
    np.testing.assert_array_equal(balanced.data.train_weights, by_hand)
    # Accuracies are of rows as they are: both are measured alike.
    assert balanced.val_acc_history == mapped.val_acc_history
    assert balanced.data.train.sample_weight is None


def test_balanced_counts_rows_by_their_weights():
    uneven, weights = data(), np.ones(30)
    uneven["y_train"] = np.repeat([0, 1], 15)
    weights[:5] = 3  # 25 against 15
    solver = Solver(
        Network([Dense(2)], (4,)), uneven, sample_weight=weights, class_weight="balanced"
    )
    found = solver.data.train_weights
    np.testing.assert_allclose([found[:15].sum(), found[15:].sum()], [20, 20])
    sklearn = pytest.importorskip("sklearn.utils.class_weight", reason="the extra sklearn")
    plain = Solver(Network([Dense(2)], (4,)), data(classes=2), class_weight="balanced")
    expected = sklearn.compute_sample_weight("balanced", plain.y_train)
    np.testing.assert_allclose(plain.data.train_weights, expected, rtol=1e-12)


def test_labels_that_the_mapping_or_the_training_rows_lack_count_1():
    few = data() | {"y_train": np.arange(30) % 2, "y_val": np.arange(7) % 3}
    solver = Solver(Network([Dense(3)], (4,)), few, class_weight={1: 4})
    np.testing.assert_array_equal(solver.data.train_weights, [1, 4] * 15)
    np.testing.assert_array_equal(solver.data.val_weights, [1, 4, 1, 1, 4, 1, 1])


@pytest.mark.parametrize("coding", [(0, 1), (-1, 1)])
def test_binary_labels_in_both_codings(coding):
    draw = rng(5)
    X, y = draw.standard_normal((20, 3)), draw.choice(coding, (20, 1))
    rows = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    solver = Solver(LogisticClassifier(3), rows, class_weight={coding[1]: 3.0})
    np.testing.assert_array_equal(solver.data.train_weights, np.where(y[:, 0] == 1, 3, 1))
    solver.train()


def test_validation_weights_are_in_loss_and_accuracy():
    weights = np.array([0.0, 1, 2, 3, 0, 1, 5])
    once = data()
    weighted = trained(once | {"sample_weight_val": weights})
    copies = {name: np.repeat(once[name], weights.astype(int), axis=0) for name in list(once)[2:]}
    repeated = trained(once | copies)
    for name in ("val_loss", "val_accuracy"):
        found, expected = ([r[name] for r in s.history] for s in (weighted, repeated))
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert weighted.loss_history == repeated.loss_history


# what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sample_weight": np.ones(29)}, r"sample_weight must be \(30,\), .* got float64 of .*29"),
        ({"sample_weight": np.ones((30, 1))}, r"sample_weight must be \(30,\)"),
        (
            {"sample_weight": ["a"] * 30},
            r"sample_weight must be \(30,\), one number a row; got <U1",
        ),
        ({"sample_weight": -np.ones(30)}, "finite and at least 0, .* from -1.0 to -1.0"),
        ({"sample_weight": np.full(30, np.inf)}, "finite and at least 0"),
        ({"sample_weight": np.full(30, np.nan)}, "finite and at least 0"),
        ({"sample_weight": np.zeros(30)}, "not all 0"),
        ({"class_weight": "equal"}, "class_weight must be None, 'balanced' or .*; got 'equal'"),
        ({"class_weight": {7: 1.0}}, "class_weight must map .*; got the labels 7"),
        ({"class_weight": {1: -2.0}}, "class_weight must map .*; got the weights -2.0"),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, "no training row counts at all"),
    ],
)
def test_impossible_weights_are_refused(options, text):
    with pytest.raises(ValueError, match=f"^Solver: .*{text}"):
        Solver(Network([Dense(3)], (4,)), data(), **options)


def test_validation_weights_are_checked_too():
    model = Network([Dense(3)], (4,))
    with pytest.raises(ValueError, match=r"^Solver: sample_weight_val must be \(7,\)"):
        Solver(model, data() | {"sample_weight_val": np.ones(6)})
    alone = {name: data()[name] for name in ("X_train", "y_train")}
    with pytest.raises(ValueError, match="sample_weight_val but no X_val, y_val"):
        Solver(model, alone | {"sample_weight_val": np.ones(6)})


@pytest.mark.parametrize("options", [{"sample_weight": np.ones(23)}, {"class_weight": "balanced"}])
def test_a_model_that_takes_no_weights_is_refused_by_name(options):
    text = r"must have loss\(X, y, sample_weight\); that of Spy takes X, y$"
    with pytest.raises(ValueError, match=text):
        Solver(Spy(), rows(), **options)


def test_a_model_that_takes_anything_is_given_weights():
    class Anything(Spy):
        def loss(self, X, y=None, **more):
            if y is not None:
                assert set(more) == {"sample_weight"}
            return super().loss(X, y)

    Solver(Anything(), rows(), num_epochs=1, sample_weight=np.ones(23)).train()


@pytest.mark.parametrize(("loss", "task"), [("multilabel", "multilabel"), ("mse", "regress")])
def test_class_weights_are_for_classes(loss, task):
    y = np.zeros((30, 2))
    rows = data() | {"y_train": y, "y_val": y[:7]}
    with pytest.raises(ValueError, match=f"task is {task}: give sample_weight"):
        Solver(Network([Tanh(), Dense(2)], (4,), loss=loss), rows, class_weight="balanced")


def test_the_training_score_is_of_rows_that_count():
    class Weighted(Spy):
        def loss(self, X, y=None, sample_weight=None):
            return super().loss(X, y)

    weights = np.zeros(23)
    weights[[20, 21]] = 1, 3  # labels 2 and 0, of which scores of zeros mean 0
    solver = Solver(
        Weighted(), rows(), num_epochs=1, num_train_samples=3, batch_size=23, sample_weight=weights
    )
    solver.train()
    assert solver.train_acc_history == [0.75]
