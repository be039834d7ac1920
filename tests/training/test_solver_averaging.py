"""Solver: clipped gradients, averages of parameters, and a rule's state that goes on."""

import copy

import numpy as np
import pytest
from engines import each_engine as each_engine, needs_the_engine
from test_solver import Spy, rng, rows

from handgrad import optim
from handgrad.engine.stepper import EngineStepper
from handgrad.errors import NonFiniteLossError
from handgrad.network import BatchNorm, Dense, Network, ReLU
from handgrad.solver import Readable, Solver

# The gradient of a bias before batch norm is rounding, some 1e-17 here, of which Adam makes steps
# of 1e-17 / epsilon = 1e-9 times the rate.
ROUNDING = 1e-8


def data():
    draw = rng(1)
    X, y = draw.standard_normal((60, 4)), draw.integers(0, 3, 60)
    return {"X_train": X[:43], "y_train": y[:43], "X_val": X[43:], "y_val": y[43:]}


def net():
    return Network([Dense(6), BatchNorm(), ReLU(), Dense(3)], (4,), reg=0.01, rng=rng())


def trained(model=None, rows=None, rule="adam", **options):
    options = {"batch_size": 10, "num_epochs": 3, "rng": rng(2), **options}
    given = {"learning_rate": 0.05, **options.pop("optim_config", {})}
    solver = Solver(model or net(), rows or data(), rule, given, **options)
    solver.train()
    return solver


def assert_equal(one, two):
    assert set(one) == set(two)
    for name, array in two.items():
        np.testing.assert_array_equal(one[name], array)


def without_validation():
    return {name: data()[name] for name in ("X_train", "y_train")}


# clipping -------------------------------------------------------------------------------------


def test_a_step_is_no_longer_than_max_norm():
    # Gradients of ones for 6 + 2 numbers: of length sqrt(8), in one batch an epoch.
    for max_norm, length in ((1.0, 1.0), (10.0, np.sqrt(8)), (np.inf, np.sqrt(8))):
        model = Spy()
        options = {"num_epochs": 1, "max_norm": max_norm}
        Solver(model, rows(), "sgd", {"learning_rate": 0.5}, **options).train()
        step = np.concatenate([array.ravel() for array in model.params.values()])
        np.testing.assert_allclose(step, -0.5 * length / np.sqrt(8), rtol=1e-12)


@needs_the_engine
@pytest.mark.parametrize("rule", ["sgd", "adam", "adamw"])
def test_both_halves_clip_alike(monkeypatch, rule):
    ends = []
    for half in ("", "layers"):
        monkeypatch.setenv("HANDGRAD_ENGINE", half)
        ends.append(trained(rule=rule, max_norm=0.1, lr_decay=0.5))
    fast, plain = ends
    assert isinstance(fast._stepper, EngineStepper)
    assert isinstance(plain._stepper, Readable)
    np.testing.assert_allclose(fast.loss_history, plain.loss_history, rtol=1e-8)
    for name, array in plain.model.params.items():
        np.testing.assert_allclose(fast.model.params[name], array, rtol=1e-6, atol=ROUNDING)
    free = trained(rule=rule, lr_decay=0.5)
    assert np.abs(np.subtract(free.loss_history, plain.loss_history)).max() > 1e-3


def test_clipped_gradients_still_diverge_by_name(each_engine):
    given = data()
    given["X_train"][:] = np.inf
    with pytest.raises(NonFiniteLossError, match="at iteration 1 "):
        trained(Network([Dense(3)], (4,)), given, max_norm=1.0)


# averages -------------------------------------------------------------------------------------


def test_the_average_by_hand():
    seen = []

    class Watched(Spy):
        def loss(self, X, y=None):
            if y is None:
                seen.append((self.params["b1"][0], self.state["count"][0]))
                return super().loss(X)
            self.state["count"] = self.state["count"] - 1  # as the parameters
            return super().loss(X, y)

    model = Watched()
    model.state = {"count": np.zeros(1)}
    solver = Solver(
        model, rows(), "sgd", {"learning_rate": 1.0}, batch_size=10, num_epochs=5, averaging=0.4,
        num_train_samples=1,
    )  # fmt: skip
    solver.train()
    # Parameters after step t are -t. d = 1/10, 2/11, 3/12, 4/13, 5/14, 6/15 = 0.4, then 0.4.
    mean, means = 0.0, []
    for t in range(1, 16):
        d = min(0.4, t / (9 + t))
        mean = d * mean + (1 - d) * -t
        means.append(mean)
    ends = means[2::3]  # three batches an epoch; validation and training rows are scored
    np.testing.assert_allclose(seen, np.repeat(ends, 4).reshape(-1, 2), rtol=1e-12)
    np.testing.assert_allclose(solver.best_state["count"], ends[0], rtol=1e-12)
    np.testing.assert_allclose(model.params["b1"], ends[0], rtol=1e-12)  # the first of equals
    np.testing.assert_allclose(solver.average.params["b1"], ends[-1], rtol=1e-12)


def test_training_goes_on_from_the_parameters_themselves(each_engine):
    seen = []

    class Sees:
        def on_epoch_end(self, solver, record):
            seen.append({name: array.copy() for name, array in solver.model.params.items()})

    averaged = trained(averaging=0.9, callbacks=[Sees()])
    kept = {name: array.copy() for name, array in averaged.model.params.items()}
    plain = trained(callbacks=[Sees()])
    np.testing.assert_allclose(averaged.loss_history, plain.loss_history, rtol=1e-9)
    for one, two in zip(seen[:3], seen[3:], strict=True):
        for name, array in two.items():
            np.testing.assert_allclose(one[name], array, rtol=1e-6, atol=ROUNDING)
    # The model is left with the average, statistics too, and scores as the best epoch did.
    assert all(np.abs(kept["W1"] - each["W1"]).max() > 1e-3 for each in seen)
    assert_equal(kept, averaged.best_params)
    assert_equal(averaged.model.state, averaged.best_state)
    assert set(averaged.best_state) == {"running_mean1", "running_var1"}
    X, y = data()["X_val"], data()["y_val"]
    assert averaged.check_accuracy(X, y) == averaged.best_val_acc
    best = next(r for r in averaged.history if r["val_accuracy"] == averaged.best_val_acc)
    np.testing.assert_allclose(averaged.model.loss_of(averaged.model.loss(X), y), best["val_loss"])


@needs_the_engine
def test_both_halves_average_alike(monkeypatch):
    ends = []
    for half in ("", "layers"):
        monkeypatch.setenv("HANDGRAD_ENGINE", half)
        ends.append(trained(averaging=0.8))
    for kind in ("best_params", "best_state"):
        for name, array in getattr(ends[1], kind).items():
            found = getattr(ends[0], kind)[name]
            np.testing.assert_allclose(found, array, rtol=1e-6, atol=ROUNDING)
    for ours, theirs in zip(ends[0].history, ends[1].history, strict=True):
        np.testing.assert_allclose(ours["val_loss"], theirs["val_loss"], rtol=1e-7)


def test_averages_keep_the_dtype_and_nobody_elses_arrays_change():
    model = Network([Dense(3)], (4,), dtype=np.float32, rng=rng())
    held = dict(model.params)
    before = copy.deepcopy(held)
    solver = trained(model, averaging=0.9)
    assert {array.dtype for array in solver.average.params.values()} == {np.dtype(np.float32)}
    assert {array.dtype for array in model.params.values()} == {np.dtype(np.float32)}
    assert_equal(held, before)


# a rule's state -------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", optim.RULES)
def test_two_trainings_with_the_state_are_one(each_engine, rule):
    """Without validation rows, of which the best epoch would be taken back."""
    whole = trained(rows=without_validation(), rule=rule, num_epochs=4)
    shuffling, model = rng(2), net()
    given = {"rows": without_validation(), "rule": rule, "num_epochs": 2, "rng": shuffling}
    first = trained(model, **given)
    state = copy.deepcopy(first.optim_configs)
    second = trained(model, optim_state=first.optim_configs, **given)
    assert first.loss_history + second.loss_history == whole.loss_history
    assert_equal(model.params, whole.model.params)
    for name, config in state.items():  # the first Solver's own is as it was
        for key, value in config.items():
            np.testing.assert_array_equal(first.optim_configs[name][key], value)
    if rule != "sgd":
        afresh = trained(net(), **given | {"rng": rng(2)})
        again = trained(afresh.model, **given | {"rng": afresh.rng})
        assert again.loss_history != second.loss_history


def test_hyperparameters_are_the_new_solvers():
    first = trained(lr_decay=0.1, optim_config={"beta1": 0.8, "weight_decay": 0.5}, rule="adamw")
    second = Solver(first.model, data(), "adamw", optim_state=first.optim_configs)
    assert set(second.optim_configs["W1"]) == {"m", "v", "t"}
    assert second.optim_configs["b2"]["weight_decay"] == 0
    assert second.optim_configs["W1"]["t"] == 15
    second.train()
    assert second.history[-1]["learning_rate"] == 1e-3
    assert second.optim_configs["W1"]["beta1"] == 0.9


def test_the_state_of_ones_own_rule_goes_on():
    def counting(w, dw, config):
        config = {"learning_rate": 0.1, **(config or {})}
        turns = config.setdefault("turns", np.zeros(1))
        turns += 1  # in place, as many a course solution has it
        return w, config

    first = Solver(Spy(), rows(), counting, num_epochs=3)
    first.train()
    second = Solver(Spy(), rows(), counting, num_epochs=2, optim_state=first.optim_configs)
    second.train()
    assert second.optim_configs["W1"]["turns"] == 5
    assert first.optim_configs["W1"]["turns"] == 3


def test_a_state_of_another_model_or_rule_is_refused():
    first = trained()
    with pytest.raises(ValueError, match=r"optim_state must have a config for each of W1, b1;.*b2"):
        Solver(Spy(), rows(), "adam", optim_state=first.optim_configs)
    with pytest.raises(ValueError, match=r"of the rule rmsprop, which keeps cache; got also"):
        Solver(net(), data(), "rmsprop", optim_state=first.optim_configs)
    wide = Network([Dense(7), BatchNorm(), ReLU(), Dense(3)], (4,))
    with pytest.raises(ValueError, match=r"optim_state of W1 must hold m of shape \(4, 7\); got"):
        Solver(wide, data(), "adam", optim_state=first.optim_configs)
