"""Solver: what it leaves behind (best moment, accuracies), and whose models it can train."""

import numpy as np
import pytest
from test_solver import Spy, rng, rows

from handgrad.cnn import ConvNet
from handgrad.errors import NonFiniteLossError
from handgrad.logistic import LogisticClassifier
from handgrad.network import BatchNorm, Dense, Network, ReLU
from handgrad.optim import RULES
from handgrad.softmax import SoftmaxClassifier
from handgrad.solver import Solver
from handgrad.svm import SVM

# the best moment ------------------------------------------------------------------------------


class Scripted(Spy):
    """Its validation accuracy follows a script; params and state count the steps."""

    def __init__(self, accuracies):
        super().__init__()
        self.params = {"W1": np.zeros((3, 2))}
        self.state = {"running_mean1": np.zeros(2)}
        self.accuracies = accuracies

    def loss(self, X, y=None):
        if y is not None:
            self.state["running_mean1"] = self.state["running_mean1"] + 10  # as a batch norm
            return super().loss(X, y)
        epoch = len(self.batches)  # one batch an epoch
        right = round(10 * self.accuracies[min(epoch, len(self.accuracies)) - 1])
        return np.where(np.arange(len(X))[:, None] < right, [[1, 0]], [[0, 1]])


def scripted_data():
    return {
        "X_train": np.zeros((4, 3)),
        "y_train": np.zeros(4, int),
        "X_val": np.zeros((10, 3)),
        "y_val": np.zeros(10, int),
    }


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [
        ([0.2, 0.7, 0.9, 0.5], 3),
        ([0.8, 0.7, 0.1, 0.5], 1),
        ([0.2, 0.6, 0.6, 0.5], 2),  # the first of equals
        ([0.0, 0.0, 0.0, 0.0], 1),  # even where nothing is right
        ([0.1, 0.2, 0.3, 0.4], 4),
    ],
)
def test_parameters_and_statistics_are_of_the_same_best_moment(accuracies, best):
    model = Scripted(accuracies)
    solver = Solver(model, scripted_data(), "sgd", {"learning_rate": 1.0}, num_epochs=4)
    solver.train()
    assert solver.val_acc_history == accuracies
    assert solver.best_val_acc == accuracies[best - 1]
    np.testing.assert_array_equal(model.params["W1"], np.full((3, 2), -best))
    np.testing.assert_array_equal(model.state["running_mean1"], np.full(2, 10 * best))
    np.testing.assert_array_equal(solver.best_params["W1"], model.params["W1"])
    np.testing.assert_array_equal(solver.best_state["running_mean1"], [10 * best] * 2)


def test_the_best_snapshot_is_nobody_elses_array():
    def in_place(w, dw, config):  # as many a course solution has it
        w -= 1.0 * dw
        return w, config or {}

    model = Scripted([0.2, 0.9, 0.5])
    solver = Solver(model, scripted_data(), in_place, num_epochs=3)
    solver.train()
    np.testing.assert_array_equal(model.params["W1"], np.full((3, 2), -2))
    model.params["W1"] += 50
    model.state["running_mean1"] += 50
    np.testing.assert_array_equal(solver.best_params["W1"], np.full((3, 2), -2))
    np.testing.assert_array_equal(solver.best_state["running_mean1"], [20, 20])


def test_a_batch_norm_network_scores_its_best_accuracy_again():
    data = rows(60, 5, seed=4)
    net = Network([Dense(10), BatchNorm(), ReLU(), Dense(3)], (5,), rng=rng())
    solver = Solver(net, data, "adam", {"learning_rate": 0.3}, batch_size=7, rng=rng(1))
    solver.train()
    assert solver.check_accuracy(data["X_val"], data["y_val"]) == solver.best_val_acc
    assert solver.best_val_acc == max(solver.val_acc_history)
    assert len(set(solver.val_acc_history)) > 1


# overfitting ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_overfits_fifty_rows(rule):
    draw = rng(5)
    X, y = draw.standard_normal((50, 20)), draw.integers(0, 3, 50)
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    rate = {"sgd": 0.5, "sgd_momentum": 0.1, "nesterov": 0.1}.get(rule, 0.01)
    model = SoftmaxClassifier(20, 60, 3, "he", rng=rng())
    options = {"batch_size": 25, "num_epochs": 60, "rng": rng(1)}
    solver = Solver(model, data, rule, {"learning_rate": rate}, **options)
    solver.train()
    assert solver.best_val_acc == 1.0
    assert solver.train_acc_history[-1] == 1.0
    assert np.mean(solver.loss_history[-2:]) < 0.2 < solver.loss_history[0]


@pytest.mark.parametrize("model_class", [LogisticClassifier, SVM])
@pytest.mark.parametrize("coding", [(0, 1), (-1, 1)])
def test_binary_models_overfit_fifty_rows_in_both_codings(model_class, coding):
    draw = rng(6)
    X, y = draw.standard_normal((50, 20)), draw.choice(coding, 50)
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    model = model_class(20, 40, "he", rng=rng())
    solver = Solver(
        model, data, "adam", {"learning_rate": 0.02}, batch_size=25, num_epochs=40, rng=rng(1)
    )
    solver.train()
    assert solver.train_acc_history[-1] == solver.best_val_acc == 1.0


def test_the_convolutional_network_overfits_fifty_pictures():
    draw = rng(7)
    X, y = draw.standard_normal((50, 1, 12, 12)), draw.integers(0, 4, 50)
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    model = ConvNet(*((1, 12, 12), 6, 3, 30, 4, "he"), batchnorm=("conv",), dropout=0.9, rng=rng())
    solver = Solver(
        model, data, "adam", {"learning_rate": 5e-3}, batch_size=25, num_epochs=25, rng=rng(1)
    )
    solver.train()
    assert solver.best_val_acc == 1.0
    assert model.params["W1"].dtype == np.float32


# a student's model ----------------------------------------------------------------------------


class TwoLayerNet:
    """As in the course's notebooks: params, loss, nothing else."""

    def __init__(self, D, H, C):
        generator = np.random.RandomState(0)
        self.params = {}
        self.params["W1"] = 0.5 * generator.randn(D, H)
        self.params["b1"] = np.zeros(H)
        self.params["W2"] = 0.5 * generator.randn(H, C)
        self.params["b2"] = np.zeros(C)

    def loss(self, X, y=None):
        W1, b1, W2, b2 = (self.params[name] for name in ("W1", "b1", "W2", "b2"))
        hidden = np.maximum(0, X.dot(W1) + b1)
        scores = hidden.dot(W2) + b2
        if y is None:
            return scores
        N = X.shape[0]
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(N), y]).sum() / N
        dscores = p.copy()
        dscores[np.arange(N), y] -= 1
        dscores /= N
        grads = {"W2": hidden.T.dot(dscores), "b2": dscores.sum(axis=0)}
        dhidden = dscores.dot(W2.T)
        dhidden[hidden <= 0] = 0
        grads["W1"] = X.T.dot(dhidden)
        grads["b1"] = dhidden.sum(axis=0)
        return loss, grads


def test_a_students_model_trains_as_ours_does():
    data = rows(40, 4, seed=8)
    data["X_train"][:, 0] = rng(9).standard_normal(40)

    def train(model):
        solver = Solver(
            *(model, data, "sgd_momentum", {"learning_rate": 0.1}, 0.9, 8, 5, 10, False),
            rng=rng(2),
        )
        solver.train()
        return solver

    student, ours = TwoLayerNet(4, 6, 3), SoftmaxClassifier(4, 6, 3)
    ours.params.update({name: array.copy() for name, array in student.params.items()})
    theirs, own = train(student), train(ours)
    np.testing.assert_allclose(theirs.loss_history, own.loss_history, rtol=1e-10)
    for name, array in student.params.items():
        np.testing.assert_allclose(array, ours.params[name], rtol=1e-9, atol=1e-12)
    assert not hasattr(student, "state")
    assert theirs.best_state == {}


def test_a_students_model_can_be_checkpointed(tmp_path):
    data, path = rows(40, 4), tmp_path / "student.safetensors"

    def train(checkpoint, stop=None):
        def interrupt(record):
            if record["epoch"] == stop:
                raise KeyboardInterrupt

        model = TwoLayerNet(4, 6, 3)
        options = {"checkpoint": checkpoint, "on_epoch": interrupt, "rng": rng(2)}
        solver = Solver(
            model, data, "adam", {"learning_rate": 0.01}, batch_size=9, num_epochs=4, **options
        )
        solver.train()
        return solver.loss_history, model.params

    losses, params = train(None)
    with pytest.raises(KeyboardInterrupt):
        train(path, stop=2)
    resumed_losses, resumed = train(path)
    assert resumed_losses == losses
    for name, array in params.items():
        np.testing.assert_array_equal(resumed[name], array)


# check_accuracy -------------------------------------------------------------------------------


def accuracy_solver(scores):
    return Solver(Spy(scores=scores), rows())


@pytest.mark.parametrize("labels", [(0, 1), (-1, 1), (False, True), (0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_binary_accuracy_in_both_codings(labels, shape):
    solver = accuracy_solver(lambda model, X: X[:, 0].reshape(shape))
    X = np.array([[-2.0], [3.0], [0.0], [1e-9], [5.0]])
    y = np.array(labels)[[0, 1, 0, 1, 0]]
    # A score of exactly 0 is the negative class; only the last row is wrong.
    assert solver.check_accuracy(X, y) == 0.8
    assert solver.check_accuracy(X, y.reshape(-1, 1)) == 0.8


@pytest.mark.parametrize("batch_size", [1, 3, 10, 100])
def test_accuracy_of_classes(batch_size):
    sizes = []

    def scores(model, X):
        sizes.append(len(X))
        return np.eye(3)[X[:, 0].astype(int)]

    X = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0]).reshape(10, 1)
    y = np.array([0, 1, 2, 0, 1, 2, 0, 0, 0, 0])
    assert accuracy_solver(scores).check_accuracy(X, y, batch_size=batch_size) == 0.8
    assert max(sizes) <= batch_size
    assert sum(sizes) == 10
    # The first of equal scores, as argmax has it.
    assert accuracy_solver(lambda m, X: np.zeros((len(X), 3))).check_accuracy(X, y) == 0.6


@pytest.mark.parametrize(
    ("num_samples", "chosen"),
    [(None, range(9)), (9, range(9)), (50, range(9)), (3, [0, 4, 8]), (5, [0, 2, 4, 6, 8])],
)
def test_num_samples_are_evenly_spaced_rows(num_samples, chosen):
    seen = []

    def scores(model, X):
        seen.extend(X[:, 0])
        return np.eye(2)[np.zeros(len(X), int)]

    X, y = np.arange(9).reshape(9, 1), np.array([0, 1, 1, 1, 0, 1, 1, 1, 1])
    accuracy = accuracy_solver(scores).check_accuracy(X, y, num_samples, 2)
    assert seen == list(chosen)
    np.testing.assert_allclose(accuracy, np.mean(y[list(chosen)] == 0))


def test_accuracy_is_in_test_mode():
    net = Network([BatchNorm(), Dense(3)], (3,), rng=rng())
    before = {name: array.copy() for name, array in net.state.items()}
    Solver(net, rows()).check_accuracy(rows()["X_val"], rows()["y_val"])
    for name, array in before.items():
        np.testing.assert_array_equal(net.state[name], array)


@pytest.mark.parametrize(("rows_x", "rows_y"), [(3, 4), (0, 0)])
def test_accuracy_of_rows_that_do_not_belong_together_is_refused(rows_x, rows_y):
    solver = accuracy_solver(None)
    text = f"check_accuracy: .* same number of rows, at least 1; got {rows_x} and {rows_y}"
    with pytest.raises(ValueError, match=text):
        solver.check_accuracy(np.zeros((rows_x, 3)), np.zeros(rows_y))


def test_a_last_step_that_goes_astray_is_no_success():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((8, 6)), np.arange(8) % 2
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    model = SoftmaxClassifier(6, 5, 2, dtype=np.float32, rng=rng)
    solver = Solver(model, data, "sgd", {"learning_rate": 1e300}, num_epochs=1, rng=rng)
    with pytest.raises(
        NonFiniteLossError, match=r"W1 became non-finite at iteration 1 \(epoch 1\)"
    ):
        solver.train()


@pytest.mark.parametrize("y", [[7, 8, 7, 8], [0.5, 1, 0, 1]])
def test_accuracy_refuses_labels_the_model_cannot_mean(y):
    solver = Solver(LogisticClassifier(3, rng=np.random.default_rng(0)), binary_rows())
    with pytest.raises(ValueError, match="check_accuracy: the model's labels are -1, 0, 1; got"):
        solver.check_accuracy(np.zeros((4, 3)), y)


def test_a_misspelt_hyperparameter_is_named():
    with pytest.raises(ValueError, match="got also learning_rte"):
        Solver(LogisticClassifier(3), binary_rows(), "adam", {"learning_rte": 1.0})


def binary_rows():
    X, y = np.zeros((4, 3)), np.array([0, 1, 0, 1])
    return {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
