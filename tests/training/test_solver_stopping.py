"""Solver: training that ends before its last epoch, and callbacks."""

import numpy as np
import pytest
from test_solver import Spy, rng, rows
from test_solver_results import Scripted, scripted_data

from handgrad.errors import NonFiniteLossError
from handgrad.solver import Solver


def scripted(accuracies, **options):
    """Train on a script of validation accuracies, of tenths; an epoch is one step."""
    options = {"num_epochs": len(accuracies), **options}
    solver = Solver(Scripted(accuracies), scripted_data(), "sgd", {"learning_rate": 1.0}, **options)
    solver.train()
    return solver


@pytest.mark.parametrize(
    ("accuracies", "patience", "tol", "epochs"),
    [
        ([0.5, 0.6, 0.6, 0.6, 0.9], 2, 0.0, 4),  # equal is no rise
        ([0.5, 0.4, 0.3, 0.2, 0.9], 3, 0.0, 4),
        ([0.5, 0.4, 0.6, 0.5, 0.7], 2, 0.0, 5),
        ([0.5, 0.6, 0.7, 0.8, 0.9], 1, 0.0, 5),
        ([0.5, 0.4, 0.9, 0.9, 0.9], 1, 0.0, 2),
        ([0.5, 0.6, 0.6, 0.6, 0.6], 2, 0.15, 3),  # 0.6 is no rise by more than 0.15
        ([0.5, 0.6, 0.7, 0.8, 0.9], 2, 0.15, 5),  # but two such steps together are one
        ([0.0, 0.0, 0.0, 0.0, 0.0], 4, 0.0, 5),
        ([0.5, 0.4, 0.3, 0.2, 0.1], None, 0.0, 5),
    ],
)
def test_patience(accuracies, patience, tol, epochs):
    solver = scripted(accuracies, n_iter_no_change=patience, tol=tol)
    assert solver.epoch == len(solver.history) == epochs
    assert solver.stopped_early == (epochs < 5)
    assert solver.best_val_acc == max(accuracies[:epochs])
    best = 1 + accuracies.index(max(accuracies[:epochs]))
    np.testing.assert_array_equal(solver.model.params["W1"], np.full((3, 2), -best))
    solver.train()  # a second call does nothing
    assert solver.epoch == epochs


def test_without_validation_rows_patience_watches_the_training_loss():
    alone = {name: rows()[name] for name in ("X_train", "y_train")}

    def epochs(losses, **options):
        solver = Solver(Spy(losses), alone, num_epochs=len(losses), **options)
        solver.train()
        return len(solver.history)

    assert epochs([5.0, 4, 3, 3, 3, 1], n_iter_no_change=2) == 5
    assert epochs([5.0, 4, 3, 2.5, 1.9, 1], n_iter_no_change=2, tol=1.0) == 6
    assert epochs([5.0, 4.5, 4, 3, 2, 1], n_iter_no_change=2, tol=1.0) == 3


def test_a_score_that_is_no_number_is_no_rise_and_never_the_best():
    class Overflows(Spy):
        task = "regress"

        def loss(self, X, y=None):
            if y is None:
                return np.full(len(X), np.nan if len(self.batches) in (1, 3, 4) else 0.5)
            return super().loss(X, y)

    solver = Solver(Overflows(), rows(), "sgd", num_epochs=6, n_iter_no_change=2)
    solver.train()
    assert solver.epoch == 4
    assert solver.best_val_acc == solver.history[1]["val_r2"]
    np.testing.assert_allclose(solver.model.params["b1"], -2 * 0.01)


# callbacks ------------------------------------------------------------------------------------


class Notes:
    def __init__(self, stop=None):
        self.seen, self.stop = [], stop

    def on_train_begin(self, solver):
        self.seen.append(("begin", solver.epoch))

    def on_epoch_end(self, solver, record):
        assert record is solver.history[-1]
        self.seen.append(("epoch", record["epoch"]))
        return record["epoch"] == self.stop

    def on_train_end(self, solver):
        self.seen.append(("end", float(solver.model.params["W1"][0, 0])))


def test_callbacks_are_told_in_order():
    first, second, order = Notes(), Notes(), []
    accuracies = [0.2, 0.9, 0.5]
    scripted(accuracies, callbacks=[first, second], on_epoch=lambda r: order.append(r["epoch"]))
    # At the end the model has the best epoch's parameters: two steps of -1.
    assert first.seen == [("begin", 0), ("epoch", 1), ("epoch", 2), ("epoch", 3), ("end", -2.0)]
    assert second.seen == first.seen
    assert order == [1, 2, 3]


def test_a_callback_ends_training_and_all_are_told_of_the_epoch():
    stops, later = Notes(stop=2), Notes(stop=99)
    solver = scripted([0.2, 0.9, 0.5], callbacks=[stops, later])
    assert solver.stopped_early
    assert solver.epoch == 2
    assert later.seen == stops.seen == [("begin", 0), ("epoch", 1), ("epoch", 2), ("end", -2.0)]
    assert not scripted([0.2, 0.9], callbacks=[Notes(stop=2)]).stopped_early  # it was the last


def test_a_callback_may_have_one_method_only():
    class Stops:
        def on_epoch_end(self, solver, record):
            return np.bool_(record["val_accuracy"] > 0.5)

    assert scripted([0.2, 0.9, 0.5], callbacks=(Stops(),)).epoch == 2


def test_the_end_is_told_however_training_ends():
    notes = Notes()
    solver = Solver(Spy([1.0, np.nan]), rows(), num_epochs=3, callbacks=[notes])
    with pytest.raises(NonFiniteLossError):
        solver.train()
    # The best parameters are there by then: after one step, of the rule's own rate.
    assert notes.seen == [("begin", 0), ("epoch", 1), ("end", -0.01)]

    class Interrupts:
        def on_epoch_end(self, solver, record):
            raise KeyboardInterrupt

    notes = Notes()
    solver = Solver(Spy(), rows(), num_epochs=3, callbacks=[notes, Interrupts()])
    with pytest.raises(KeyboardInterrupt):
        solver.train()
    assert [what for what, _ in notes.seen] == ["begin", "epoch", "end"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_iter_no_change": 0}, "n_iter_no_change must be a whole number from 1; got 0"),
        ({"n_iter_no_change": 1.5}, "n_iter_no_change must be a whole number from 1; got 1.5"),
        ({"tol": -1e-4}, "tol must be finite and at least 0; got -0.0001"),
        ({"tol": np.nan}, "tol must be finite"),
        ({"max_norm": 0}, "max_norm must be above 0; got 0"),
        ({"max_norm": np.nan}, "max_norm must be above 0; got nan"),
        ({"averaging": 1.0}, r"averaging must be a decay in \(0, 1\); got 1.0"),
        ({"averaging": 0}, r"averaging must be a decay in \(0, 1\); got 0"),
        ({"callbacks": [len]}, "a callback must have one of on_train_begin, .*; got <built-in"),
    ],
)
def test_a_wrong_option_is_named(options, text):
    with pytest.raises(ValueError, match=f"^Solver: {text}"):
        Solver(Spy(), rows(), rng=rng(), **options)
