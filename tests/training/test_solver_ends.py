"""Solver: an epoch's loss over its rows, batches of one row, and what a failed training leaves."""

import numpy as np
import pytest
from engines import each_engine as each_engine

from handgrad.errors import NonFiniteLossError
from handgrad.network import BatchNorm, Conv, Dense, Flatten, Network, ReLU, Sigmoid
from handgrad.solver import Solver


def rng(seed=0):
    return np.random.default_rng(seed)


def rows(N=23, D=3):
    draw = rng()
    rows = {"X_train": draw.standard_normal((N, D)), "X_val": draw.standard_normal((7, D))}
    return {**rows, "y_train": np.arange(N) % 3, "y_val": np.arange(7) % 3}


@pytest.mark.parametrize("count", [101, 150, 199, 200, 99, 1])
@pytest.mark.parametrize("layers", [[Dense(3)], [Dense(4), Sigmoid(), Dense(3)]])
def test_an_epochs_loss_is_the_mean_over_its_rows(each_engine, layers, count):
    X, y = rng().standard_normal((count, 5)), rng().integers(0, 3, count)
    model = Network(layers, (5,), weight_scale=2.0, reg=0.1, rng=rng())
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    solver = Solver(model, data, "sgd", {"learning_rate": 0.0}, num_epochs=3, rng=rng())
    solver.train()
    whole, _ = model.loss(X, y)
    np.testing.assert_allclose([record["loss"] for record in solver.history], whole, rtol=1e-12)


def norm_net(layers, shape):
    return Network([*layers, Dense(3)], shape, rng=rng())


@pytest.mark.parametrize(("count", "batch_size"), [(101, 100), (9, 4), (5, 1), (1, 100)])
def test_a_batch_of_one_row_is_no_batch_for_batch_norm(count, batch_size):
    X, y = rng().standard_normal((count, 4)), rng().integers(0, 3, count)
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    options = {"batch_size": batch_size, "num_epochs": 1, "rng": rng()}
    message = (
        f"^Solver: of {count} training rows a batch_size of {batch_size} leaves a batch of one"
    )
    with pytest.warns(UserWarning, match=message):
        solver = Solver(norm_net([Dense(6), BatchNorm(), ReLU()], (4,)), data, **options)
    solver.train()  # it is possible all the same
    assert np.isfinite(solver.loss_history).all()
    Solver(norm_net([Dense(6), ReLU()], (4,)), data, **options)  # nothing to warn of
    if count > 2:
        options["batch_size"] = 3 if count % 3 != 1 else count
        Solver(norm_net([BatchNorm()], (4,)), data, **options)


def test_one_image_is_a_batch_for_batch_norm_where_it_has_pixels():
    X, y = rng().standard_normal((5, 1, 4, 4)), rng().integers(0, 3, 5)
    data = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    Solver(norm_net([Conv(2, 3), BatchNorm(), Flatten()], (1, 4, 4)), data, batch_size=4)
    with pytest.warns(UserWarning, match="leaves a batch of one row"):
        Solver(norm_net([Conv(2, 4), BatchNorm(), Flatten()], (1, 4, 4)), data, batch_size=4)


@pytest.mark.parametrize("kind", ["dense", "norm"])
def test_a_failed_training_gives_the_best_epoch_back(each_engine, kind):
    layers = [Dense(8), ReLU(), Dense(3)] if kind == "dense" else [Dense(8), BatchNorm(), Dense(3)]
    data = rows()
    model = Network(layers, (3,), rng=rng())

    def schedule(progress):  # two good epochs, then one that diverges
        return 1.0 if progress < 0.5 else 1e200

    solver = Solver(
        model,
        data,
        "sgd",
        {"learning_rate": 0.1},
        num_epochs=4,
        batch_size=8,
        rng=rng(),
        schedule=schedule,
    )
    with pytest.raises(NonFiniteLossError, match=r"; the model has the best epoch's parameters"):
        solver.train()
    assert len(solver.history) == 2
    for name, array in model.params.items():
        np.testing.assert_array_equal(array, solver.best_params[name])
        assert np.isfinite(array).all()
    for name, array in model.state.items():
        np.testing.assert_array_equal(array, solver.best_state[name])
    assert solver.check_accuracy(data["X_val"], data["y_val"]) == solver.best_val_acc


def test_a_training_that_fails_at_once_gives_the_start_back(each_engine):
    model = Network([Dense(8), BatchNorm(), ReLU(), Dense(3)], (3,), rng=rng())
    start = {name: array.copy() for name, array in (model.params | model.state).items()}
    solver = Solver(model, rows(), "sgd", {"learning_rate": 1e300}, batch_size=5, rng=rng())
    with pytest.raises(NonFiniteLossError, match=r"; the model has the parameters from before"):
        solver.train()
    for name, array in (model.params | model.state).items():
        np.testing.assert_array_equal(array, start[name])
