"""Solver: the loop's promises, one by one: rows, rates, histories, the best moment, errors."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest

from handgrad import optim
from handgrad.errors import NonFiniteLossError
from handgrad.logistic import LogisticClassifier
from handgrad.network import BatchNorm, Dense, Dropout, Network, ReLU
from handgrad.softmax import SoftmaxClassifier
from handgrad.solver import Solver


def rng(seed=0):
    return np.random.default_rng(seed)


def rows(N=23, D=3, classes=3, seed=0):
    """Return data whose X_train[i, 0] = i tells the row."""
    draw = rng(seed)
    X = draw.standard_normal((N, D))
    X[:, 0] = np.arange(N)
    return {
        "X_train": X,
        "y_train": np.arange(N) % classes,
        "X_val": draw.standard_normal((7, D)),
        "y_val": np.arange(7) % classes,
    }


class Spy:
    """A model without maths: notes the batches, gives the loss and scores it is told to."""

    def __init__(self, losses=(1.0,), scores=None, **params):
        self.params = {"W1": np.zeros((3, 2)), "b1": np.zeros(2), **params}
        self.losses, self.scores = losses, scores
        self.batches = []

    def loss(self, X, y=None):
        if y is None:
            return np.zeros((len(X), 3)) if self.scores is None else self.scores(self, X)
        self.batches.append((X, y))
        loss = self.losses[min(len(self.batches), len(self.losses)) - 1]
        return loss, {name: np.ones_like(w) for name, w in self.params.items()}


def recording_rule(rates):
    """Return a rule that notes the learning rates it sees for W1 and changes nothing."""

    def rule(w, dw, config):
        config = {"learning_rate": 0.5, **(config or {})}
        if w.shape == (3, 2):
            rates.append(config["learning_rate"])
        return w, config

    return rule


# the signature --------------------------------------------------------------------------------


def test_positional_arguments_and_defaults():
    parameters = inspect.signature(Solver).parameters.values()
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in positional] == [
        *("model", "data", "update_rule", "optim_config", "lr_decay", "batch_size"),
        *("num_epochs", "print_every", "verbose"),
    ]
    defaults = {p.name: p.default for p in positional[2:]}
    assert defaults.pop("optim_config") in (None, {})
    assert defaults == {
        "update_rule": "sgd",
        "lr_decay": 1.0,
        "batch_size": 100,
        "num_epochs": 10,
        "print_every": 10,
        "verbose": True,
    }
    assert list(inspect.signature(Solver.check_accuracy).parameters) == [
        *("self", "X", "y", "num_samples", "batch_size")
    ]
    assert inspect.signature(Solver.check_accuracy).parameters["batch_size"].default == 100


def test_unknown_keyword_is_named():
    with pytest.raises(TypeError, match="learning_rate"):
        Solver(Spy(), rows(), learning_rate=0.1)


@pytest.mark.parametrize("gone", ["X_train", "y_train", "X_val", "y_val"])
@pytest.mark.parametrize("as_object", [False, True])
def test_data_may_be_a_mapping_or_an_object_and_what_is_missing_is_named(gone, as_object):
    data = rows()
    whole = SimpleNamespace(**data) if as_object else data
    solver = Solver(Spy(), whole, num_epochs=1)
    np.testing.assert_array_equal(solver.X_val, data["X_val"])
    del data[gone]
    with pytest.raises(ValueError, match=f"^Solver: data must have .*; missing {gone}$"):
        Solver(Spy(), SimpleNamespace(**data) if as_object else data)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"y_train": np.zeros(22, int)}, "X_train and y_train must .* got 23 and 22"),
        ({"X_val": np.zeros((8, 3))}, "X_val and y_val must .* got 8 and 7"),
        ({"X_val": np.zeros((0, 3)), "y_val": []}, "X_val and y_val must .* got 0 and 0"),
    ],
)
def test_rows_that_do_not_belong_together_are_refused(changed, text):
    with pytest.raises(ValueError, match=f"^Solver: {text}"):
        Solver(Spy(), rows() | changed)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"update_rule": "adagrad"}, "update_rule must be one of sgd, .*adam.*; got 'adagrad'"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1; got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number from 1; got 2.5"),
        ({"num_epochs": 0}, "num_epochs must be a whole number from 1; got 0"),
        ({"num_epochs": "3"}, "num_epochs must be a whole number from 1; got '3'"),
        (
            {"lr_decay": 0.9, "schedule": optim.cosine()},
            "give schedule or lr_decay, not both; got lr_decay=0.9",
        ),
    ],
)
def test_a_wrong_option_is_named(options, text):
    with pytest.raises(ValueError, match=f"^Solver: {text}"):
        Solver(Spy(), rows(), **options)


# the rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch_size", "sizes"), [(5, [5, 5, 5, 5, 3]), (23, [23]), (100, [23])])
def test_each_epoch_visits_every_row_once_in_another_order(batch_size, sizes):
    model, data = Spy(), rows()
    Solver(model, data, batch_size=batch_size, num_epochs=3, rng=rng()).train()
    assert [len(X) for X, _ in model.batches] == sizes * 3
    orders = []
    for epoch in range(3):
        batches = model.batches[epoch * len(sizes) : (epoch + 1) * len(sizes)]
        X = np.concatenate([X for X, _ in batches])
        y = np.concatenate([y for _, y in batches])
        order = X[:, 0].astype(int)
        assert sorted(order) == list(range(23))
        np.testing.assert_array_equal(X, data["X_train"][order])
        np.testing.assert_array_equal(y, data["y_train"][order])
        orders.append(order.tolist())
    assert list(range(23)) not in orders
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_the_data_is_not_modified():
    data = rows()
    before = {name: array.copy() for name, array in data.items()}
    for array in data.values():
        array.flags.writeable = False
    Solver(SoftmaxClassifier(3, 4, 3, rng=rng()), data, num_epochs=2, batch_size=5).train()
    for name, array in before.items():
        np.testing.assert_array_equal(data[name], array)


def test_augment_replaces_training_batches_only():
    seen = []

    def augment(X, generator):
        assert isinstance(generator, np.random.Generator)
        seen.append(generator)
        return X + 100

    model = Spy(scores=lambda model, X: (seen.append(X.max()), np.zeros((len(X), 3)))[1])
    solver = Solver(model, rows(), batch_size=10, num_epochs=1, rng=rng(), augment=augment)
    solver.train()
    assert all(X.min() > 90 for X, _ in model.batches)
    assert seen[:3] == [solver.rng] * 3
    assert max(seen[3:]) < 90  # accuracies are of the pictures as they are
    assert sorted(np.concatenate([X for X, _ in model.batches])[:, 0]) == list(range(100, 123))


# histories ------------------------------------------------------------------------------------


def test_histories():
    losses = np.arange(1.0, 16.0)
    records, model = [], Spy(losses=losses)
    solver = Solver(
        model,
        rows(),
        "sgd",
        {"learning_rate": 0.5},
        lr_decay=0.1,
        batch_size=5,
        num_epochs=3,
        on_epoch=records.append,
    )
    solver.train()
    assert solver.loss_history == losses.tolist()
    assert len(solver.train_acc_history) == len(solver.val_acc_history) == 3
    # Scores of zeros: class 0 is predicted. 8 of 23 training, 3 of 7 validation rows are it.
    np.testing.assert_allclose(solver.train_acc_history, [8 / 23] * 3)
    np.testing.assert_allclose(solver.val_acc_history, [3 / 7] * 3)
    assert solver.best_val_acc == 3 / 7
    assert records == solver.history
    assert [record["epoch"] for record in records] == [1, 2, 3]
    # Of the epoch's five batches the last has 3 of the 23 rows: (5 * (1 + 2 + 3 + 4) + 3 * 5) / 23.
    means = [record["loss"] for record in records]
    np.testing.assert_allclose(means, [65 / 23, 180 / 23, 295 / 23], rtol=1e-15)
    assert [record["val_accuracy"] for record in records] == solver.val_acc_history
    np.testing.assert_allclose([r["learning_rate"] for r in records], [0.5, 0.05, 0.005])
    seconds = [record["seconds"] for record in records]
    assert 0 < seconds[0] < seconds[1] < seconds[2]


def test_training_accuracy_is_of_evenly_spaced_rows():
    def knows_the_first_half(model, X):  # right for rows 0 to 9 (X[:, 0] is the row)
        return np.where(X[:, :1] < 10, [[1, 0, 0]], [[0, 1, 0]])

    data = rows(20) | {"y_train": np.zeros(20, int)}
    # 3 of 20 rows: 0, 9.5 (rounded to even: 10), 19.
    for samples, expected in ((None, 0.5), (1000, 0.5), (10, 0.5), (3, 1 / 3), (1, 1.0)):
        model = Spy(scores=knows_the_first_half)
        solver = Solver(model, data, num_epochs=1, num_train_samples=samples)
        solver.train()
        np.testing.assert_allclose(solver.train_acc_history, [expected])


def test_same_seed_same_history_and_another_seed_another():
    def history(seed, shuffle_seed):
        net = Network([Dense(8), BatchNorm(), ReLU(), Dropout(0.7), Dense(3)], (3,), rng=rng(seed))
        solver = Solver(
            net, rows(), "adam", batch_size=5, num_epochs=3, rng=rng(shuffle_seed), verbose=False
        )
        solver.train()
        return solver.loss_history

    assert history(0, 1) == history(0, 1)
    assert history(0, 1) != history(0, 2)
    assert history(0, 1) != history(1, 1)


def test_without_rng_numpys_global_seed_decides():
    def order(seed):
        np.random.seed(seed)  # noqa: NPY002 (what the course's scripts call)
        model = Spy()
        Solver(model, rows(), num_epochs=1).train()
        return model.batches[0][0][:, 0].tolist()

    assert order(1) == order(1)
    assert order(1) != order(2)


# learning rates -------------------------------------------------------------------------------


def test_lr_decay_acts_after_each_epoch():
    rates = []
    options = {"lr_decay": 0.1, "batch_size": 10, "num_epochs": 3}
    Solver(Spy(), rows(), recording_rule(rates), {"learning_rate": 2.0}, **options).train()
    np.testing.assert_allclose(rates, [2.0] * 3 + [0.2] * 3 + [0.02] * 3, rtol=1e-12)


def test_the_rules_own_default_rate_is_the_base():
    rates = []
    Solver(Spy(), rows(), recording_rule(rates), lr_decay=0.5, num_epochs=3).train()
    np.testing.assert_allclose(rates, [0.5, 0.25, 0.125])


def test_a_schedule_sees_the_progress_of_each_step():
    rates, progress = [], []

    def schedule(at):
        progress.append(at)
        return 1 + at

    Solver(
        Spy(),
        rows(),
        recording_rule(rates),
        {"learning_rate": 2.0},
        batch_size=10,
        num_epochs=2,
        schedule=schedule,
    ).train()
    np.testing.assert_allclose(progress, np.arange(6) / 6, atol=1e-15)
    np.testing.assert_allclose(rates, 2 * (1 + np.arange(6) / 6))


def test_every_array_takes_the_scheduled_rate_and_has_its_own_state():
    model = Spy()
    solver = Solver(model, rows(), "sgd_momentum", {"learning_rate": 1.0, "momentum": 0.5})
    solver.num_epochs = 1
    solver.train()
    # One step with gradients of ones: velocity -1, for both.
    np.testing.assert_array_equal(model.params["W1"], -np.ones((3, 2)))
    np.testing.assert_array_equal(model.params["b1"], -np.ones(2))


@pytest.mark.parametrize("rule", ["adamw", optim.adamw])
def test_adamw_does_not_decay_arrays_of_one_dimension(rule):
    def trained(weight_decay):
        start = {"W1": np.full((3, 2), 5.0), "b1": np.full(2, 5.0), "gamma1": np.full(2, 5.0)}
        model = Spy(**start)
        config = {"learning_rate": 0.1, "weight_decay": weight_decay}
        Solver(model, rows(), rule, config, num_epochs=1).train()
        return model.params

    plain, decayed = trained(0.0), trained(0.4)
    for name in ("b1", "gamma1"):
        np.testing.assert_array_equal(decayed[name], plain[name])
    np.testing.assert_allclose(decayed["W1"], plain["W1"] - 0.1 * 0.4 * 5, rtol=1e-12)


def test_the_callers_config_is_not_modified():
    config = {"learning_rate": 0.5}
    Solver(Spy(), rows(), "adamw", config, lr_decay=0.5, num_epochs=2).train()
    assert config == {"learning_rate": 0.5}


# a loss that is no number ---------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_no_number_stops_training(bad):
    model = Spy(losses=[1.0] * 6 + [bad])
    solver = Solver(
        model, rows(), "sgd", {"learning_rate": 0.25}, lr_decay=0.5, batch_size=5, num_epochs=3
    )
    with pytest.raises(NonFiniteLossError) as raised:
        solver.train()
    text = str(raised.value)
    # Five iterations an epoch: the seventh is in the second, at half the rate.
    assert f"the loss became {bad} at iteration 7 (epoch 2), learning rate 0.125: try " in text
    assert "smaller" in text
    assert len(solver.loss_history) == 6
    # The first epoch's five steps: neither the sixth's, nor one of the loss that is no number.
    np.testing.assert_allclose(model.params["b1"], -0.25 * 5)
    assert text.endswith("; the model has the best epoch's parameters (epoch 1)")


@pytest.mark.parametrize("batch_size", [5, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_diverging_network_ends_in_the_error_and_in_no_warning(dtype, batch_size):
    # pytest turns warnings into errors: an overflow on the way would show.
    data = rows()
    model = SoftmaxClassifier(3, 8, 3, 1.0, dtype=dtype, rng=rng())
    config = {"learning_rate": 1e30 if dtype == np.float32 else 1e200}
    solver = Solver(model, data, "sgd", config, batch_size=batch_size, num_epochs=20, rng=rng())
    with pytest.raises(NonFiniteLossError, match=r"learning rate 1e\+"):
        solver.train()


# the terminal ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verbose", [True, False])
def test_quiet_when_not_on_a_terminal(capsys, monkeypatch, verbose):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    Solver(Spy(), rows(), num_epochs=2, print_every=1, verbose=verbose).train()
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal_and_silence_when_asked(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    monkeypatch.setenv("COLUMNS", "100")
    Solver(Spy([0.5]), rows(), batch_size=10, num_epochs=2, print_every=1).train()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "2/2" in shown.err
    assert "0.5000" in shown.err
    assert "42.86%" in shown.err  # 3 of 7
    Solver(Spy(), rows(), num_epochs=2, verbose=False).train()
    assert capsys.readouterr() == ("", "")


def test_learns_what_is_learnable():
    draw = rng(3)
    X = draw.standard_normal((200, 4))
    y = (X @ [1.0, -2, 0.5, 0] > 0).astype(int)
    data = {"X_train": X[:150], "y_train": y[:150], "X_val": X[150:], "y_val": y[150:]}
    solver = Solver(
        LogisticClassifier(4, rng=rng()), data, "sgd", {"learning_rate": 1.0}, rng=rng()
    )
    solver.train()
    assert solver.best_val_acc >= 0.9
