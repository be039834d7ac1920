"""Solver: what the history says of an epoch, for every task; training without validation rows."""

import numpy as np
import pytest
from engines import each_engine as each_engine
from test_solver import Spy, rng, rows

from handgrad.errors import NonFiniteLossError
from handgrad.logistic import LogisticClassifier
from handgrad.network import BatchNorm, Dense, Dropout, Network, ReLU, Tanh
from handgrad.solver import Solver
from handgrad.solver_scores import r2


def data(outputs=2, kind="regress"):
    draw = rng(1)
    X = draw.standard_normal((60, 4))
    y = X @ draw.standard_normal((4, outputs)) + 0.1 * draw.standard_normal((60, outputs))
    if kind == "multilabel":
        y = (y > 0).astype(int)
    if kind == "classify":
        y = y.argmax(axis=1)
    y = y[:, 0] if outputs == 1 else y
    return {"X_train": X[:40], "y_train": y[:40], "X_val": X[40:], "y_val": y[40:]}


def trained(rows, loss, outputs, **options):
    layers = [Dense(8), BatchNorm(), Tanh(), Dropout(0.9), Dense(outputs)]
    model = Network(layers, (4,), loss=loss, reg=0.01, rng=rng())
    options = {"batch_size": 10, "num_epochs": 5, "rng": rng(2), **options}
    solver = Solver(model, rows, "adam", {"learning_rate": 0.02}, **options)
    solver.train()
    return solver


TASKS = [
    ("softmax", "classify", 3), ("logistic", "classify", 1), ("svm", "classify", 1),
    ("multilabel", "multilabel", 3), ("mse", "regress", 1), ("mae", "regress", 2),
    ("huber", "regress", 2),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "kind", "outputs"), TASKS)
def test_the_history_of_every_task(each_engine, loss, kind, outputs):
    given = data(2 if outputs == 1 and kind == "classify" else outputs, kind)
    solver = trained(given, loss, outputs, num_train_samples=None)
    name = "r2" if kind == "regress" else "accuracy"
    assert list(solver.history[0]) == [
        "epoch", "loss", "val_loss", f"train_{name}", f"val_{name}", "learning_rate", "seconds",
    ]  # fmt: skip
    best = max(solver.history, key=lambda record: record[f"val_{name}"])
    assert solver.best_val_acc == best[f"val_{name}"]
    # The model holds the best epoch's parameters: it gives that epoch's numbers again.
    scores, y, net = solver.model.loss(given["X_val"]), given["y_val"], solver.model
    penalty = 0.005 * sum(float((net.params[w] ** 2).sum()) for w in ("W1", "W2"))
    plain = Network([], scores.shape[1:] or (1,), loss=loss, rng=rng())
    expected = plain.loss(scores.reshape(len(y), -1), y)[0] + penalty
    np.testing.assert_allclose(best["val_loss"], expected, rtol=1e-9)
    np.testing.assert_allclose(net.loss_of(scores, y), expected, rtol=1e-12)
    if kind == "multilabel":
        by_hand = np.mean([(s > 0).tolist() == (t == 1).tolist() for s, t in zip(scores, y)])  # noqa: B905
    elif kind == "classify":
        by_hand = np.mean(net.predict(given["X_val"]) == y)
    else:
        s, t = scores.reshape(20, -1), y.reshape(20, -1)
        by_hand = np.mean(1 - ((t - s) ** 2).sum(0) / ((t - t.mean(0)) ** 2).sum(0))
    np.testing.assert_allclose(best[f"val_{name}"], by_hand, rtol=1e-9)
    has_accuracy = kind != "regress"
    assert len(solver.val_acc_history) == len(solver.train_acc_history) == 5 * has_accuracy
    if has_accuracy:
        assert solver.check_accuracy(given["X_val"], y) == solver.best_val_acc
    else:
        with pytest.raises(ValueError, match="check_accuracy: the model's task is regression"):
            solver.check_accuracy(given["X_val"], y)


def test_every_validation_row_is_scored_once_an_epoch():
    class Counting(Network):
        def loss(self, X, y=None):
            if y is None:
                seen.append(np.asarray(X))
            return super().loss(X, y)

    seen, given = [], data(2, "classify")
    solver = Solver(
        Counting([Dense(2)], (4,)), given, num_epochs=2, num_train_samples=1,
        metrics={"one": lambda y, scores: 1.0},
    )  # fmt: skip
    solver.train()
    assert [len(X) for X in seen] == [20, 1, 20, 1]
    assert "val_loss" in solver.history[-1]


def test_r2_by_hand():
    # Residuals 1, 0, -1, 0 and deviations -1.5, -0.5, 0.5, 1.5: 1 - 2 / 5.
    y, scores = np.array([1.0, 2, 3, 4]), np.array([0.0, 2, 4, 4])
    assert r2(scores, y) == r2(scores[:, None], y) == r2(scores, y[:, None]) == 0.6
    # Weights 2, 0, 1, 1: mean 2.25; 2 + 1 = 3 over 2 * 1.5625 + 0.5625 + 3.0625 = 6.75.
    np.testing.assert_allclose(r2(scores, y, np.array([2.0, 0, 1, 1])), 1 - 3 / 6.75)
    two = r2(np.stack([scores, y], 1), np.stack([y, y], 1))
    np.testing.assert_allclose(two, (0.6 + 1) / 2)
    assert r2(np.array([5.0, 5.0]), np.array([5, 5])) == 1.0
    assert r2(np.array([5.0, 6.0]), np.array([5, 5])) == 0.0
    with pytest.raises(ValueError, match=r"r2: y must have .* \(2, 2\).* got \(2,\)"):
        r2(np.zeros((2, 2)), np.zeros(2))
    metrics = pytest.importorskip("sklearn.metrics", reason="the extra sklearn")
    draw = rng(3)
    y, scores, w = draw.standard_normal((9, 3)), draw.standard_normal((9, 3)), draw.random(9)
    np.testing.assert_allclose(r2(scores, y, w), metrics.r2_score(y, scores, sample_weight=w))


def test_metrics_are_of_validation_rows_and_in_the_history():
    def largest(y, scores):
        assert len(y) == len(scores) == 7
        return np.float32(scores.max())

    solver = Solver(Spy(), rows(), num_epochs=2, metrics={"largest": largest})
    solver.train()
    assert [record["val_largest"] for record in solver.history] == [0.0, 0.0]
    assert all(type(record["val_largest"]) is float for record in solver.history)


@pytest.mark.parametrize(
    ("metrics", "text"),
    [({"loss": len}, "got 'loss'"), ({"r2": len}, "got 'r2'"), ({"f1": 3}, "got 'f1': 3")],
)
def test_metrics_need_names_of_their_own_and_functions(metrics, text):
    with pytest.raises(ValueError, match=f"^Solver: metrics must map .*{text}"):
        Solver(Spy(), rows(), metrics=metrics)


def test_a_models_own_task_and_loss_of_scores_are_taken():
    class Line:
        """Least squares in one number, by hand."""

        task = "regress"

        def __init__(self):
            self.params = {"w": np.zeros(1)}

        def loss(self, X, y=None):
            scores = X[:, 0] * self.params["w"]
            if y is None:
                return scores
            return float(np.mean((scores - y) ** 2)), {
                "w": np.array([2 * np.mean((scores - y) * X[:, 0])])
            }

        def loss_of(self, scores, y):
            return np.mean((scores - y) ** 2)

    X = np.arange(1.0, 5)[:, None] / 4
    rows = {"X_train": X, "y_train": 3 * X[:, 0], "X_val": X, "y_val": 3 * X[:, 0]}
    solver = Solver(Line(), rows, "sgd", {"learning_rate": 0.5}, num_epochs=60, rng=rng())
    solver.train()
    np.testing.assert_allclose(solver.model.params["w"], 3, rtol=1e-6)
    assert solver.history[-1]["val_r2"] > 0.9999
    assert solver.history[-1]["val_loss"] < 1e-8
    # Before the first step of an epoch the loss is that of the epoch before, after its last.
    losses = [record["val_loss"] for record in solver.history]
    np.testing.assert_allclose(solver.loss_history[1:], losses[:-1], rtol=1e-9)


def test_labels_of_several_kinds_are_checked():
    given = data(3, "multilabel")
    solver = trained(given, "multilabel", 3)
    with pytest.raises(ValueError, match=r"y must be \(N, L\) = \(20, 3\).* got \(20,\)"):
        solver.check_accuracy(given["X_val"], given["y_val"][:, 0])
    with pytest.raises(ValueError, match="the model's labels are 0, 1; got 2"):
        solver.check_accuracy(given["X_val"], 2 * given["y_val"])


# without validation rows ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["absent", "None"])
def test_without_validation_rows_the_last_parameters_are_kept(each_engine, how):
    given, last = data(2, "classify"), []
    for name in ("X_val", "y_val"):
        given[name] = None
        if how == "absent":
            del given[name]
    see = lambda record: last.append(solver.model.params["W1"].copy())  # noqa: E731
    layers = [Dense(8), BatchNorm(), ReLU(), Dense(2)]
    solver = Solver(
        Network(layers, (4,), rng=rng()), given, "adam", {"learning_rate": 0.3}, on_epoch=see,
        rng=rng(1),
    )  # fmt: skip
    solver.train()
    assert list(solver.history[0]) == [
        "epoch", "loss", "train_accuracy", "learning_rate", "seconds"
    ]  # fmt: skip
    assert solver.val_acc_history == []
    assert solver.best_val_acc == -np.inf
    np.testing.assert_array_equal(solver.model.params["W1"], last[-1])
    np.testing.assert_array_equal(solver.best_params["W1"], last[-1])
    assert (solver.X_val, solver.y_val) == (None, None)


def test_a_failed_training_without_validation_rows_gives_the_last_epoch_back():
    model = Spy(losses=[1.0] * 6 + [np.nan])
    given = {name: rows()[name] for name in ("X_train", "y_train")}
    solver = Solver(model, given, "sgd", {"learning_rate": 0.25}, batch_size=5, num_epochs=3)
    with pytest.raises(NonFiniteLossError, match=r"; the model has the last epoch's .*\(epoch 1\)"):
        solver.train()
    np.testing.assert_allclose(model.params["b1"], -0.25 * 5)


def test_metrics_need_validation_rows():
    given = {name: rows()[name] for name in ("X_train", "y_train")}
    with pytest.raises(ValueError, match="metrics are measured on X_val, y_val; data has none"):
        Solver(Spy(), given, metrics={"own": len})


# the terminal ---------------------------------------------------------------------------------


def test_the_bar_shows_what_there_is(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    monkeypatch.setenv("COLUMNS", "120")

    def shown(model, given, **options):
        Solver(model, given, num_epochs=3, print_every=1, **options).train()
        return capsys.readouterr().err

    alone = {name: rows()[name] for name in ("X_train", "y_train")}
    text = shown(Spy([0.5]), alone)
    assert "loss 0.5000" in text
    assert "validation" not in text
    text = shown(Spy([0.5]), rows(), n_iter_no_change=5)
    assert "validation 42.86%" in text
    assert "no better for 2 of 5" in text
    regression = data(1)
    text = shown(Network([Dense(1)], (4,), loss="mse", rng=rng()), regression)
    assert "validation R2 " in text
    assert "%" not in text


def test_binary_validation_loss_is_of_either_coding():
    draw = rng(4)
    X, y = draw.standard_normal((20, 3)), draw.integers(0, 2, 20)
    losses = []
    for labels in (y, 2 * y - 1):
        given = {"X_train": X, "y_train": y, "X_val": X, "y_val": labels}
        solver = Solver(LogisticClassifier(3, rng=rng()), given, num_epochs=2, rng=rng())
        solver.train()
        losses.append([record["val_loss"] for record in solver.history])
    assert losses[0] == losses[1]
