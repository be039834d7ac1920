"""Networks trained several steps a call: the same run as one step at a time."""

import numpy as np
import pytest
from engines import needs_the_engine

from handgrad import engine, optim
from handgrad.engine.program import Program
from handgrad.engine.stepper import EngineStepper
from handgrad.errors import NonFiniteLossError
from handgrad.network import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    MaxPool,
    Network,
    ReLU,
)
from handgrad.solver import Readable, Solver

pytestmark = needs_the_engine

NETS = {
    "linear": [Dense(3)],
    "hidden": [Dense(7), ReLU(), Dense(3)],
    "two hidden": [Flatten(), Dense(7), ReLU(), Dense(4), ReLU(), Dense(3)],
}


class OneAtATime(Network):
    """A subclass with a loss of its own is trained through it."""

    def loss(self, X, y=None):
        return super().loss(X, y)


def data(loss, dtype, rows=53):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3 if loss == "softmax" else 2, rows)
    X = rng.standard_normal((rows, 2, 3)).astype(dtype)
    return {"X_train": X, "y_train": y, "X_val": X[:9], "y_val": y[:9]}


def trained(kind, net, loss, rule, dtype=np.float64, rows=None, **options):
    net = [*net[:-1], Dense(1)] if loss != "softmax" else net
    model = kind(net, (2, 3), loss=loss, reg=0.01, dtype=dtype, rng=np.random.default_rng(1))
    solver = Solver(
        model, rows or data(loss, dtype), rule, {"learning_rate": 0.01, **options}, batch_size=10,
        num_epochs=4, lr_decay=0.9, rng=np.random.default_rng(2),
    )  # fmt: skip
    solver.train()
    return solver


@pytest.mark.parametrize("rule", optim.RULES)
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("loss", ["softmax", "logistic", "svm"])
def test_the_run_is_that_of_single_steps(name, loss, rule):
    fast = trained(Network, NETS[name], loss, rule)
    slow = trained(OneAtATime, NETS[name], loss, rule)
    np.testing.assert_allclose(fast.loss_history, slow.loss_history, rtol=1e-8)
    assert fast.val_acc_history == slow.val_acc_history
    for parameter, array in slow.model.params.items():
        np.testing.assert_allclose(fast.model.params[parameter], array, rtol=1e-6, atol=1e-9)
        state = slow.optim_configs[parameter]
        assert set(fast.optim_configs[parameter]) == set(state)
        for key, value in state.items():
            np.testing.assert_allclose(
                fast.optim_configs[parameter][key], value, rtol=1e-6, atol=1e-9
            )


@pytest.mark.parametrize("rule", optim.RULES)
def test_steps_in_place_are_those_of_the_pure_rules(rule):
    net = [Dense(7), BatchNorm(), ReLU(), Dropout(0.8), Dense(3)]
    ours = trained(Network, net, "softmax", rule)
    pure = optim.RULES[rule]
    theirs = trained(
        Network, net, "softmax", lambda w, dw, config: pure(w, dw, config), weight_decay=0.0
    )
    if rule == "adamw":
        ours = trained(Network, net, "softmax", rule, weight_decay=0.0)
    np.testing.assert_allclose(ours.loss_history, theirs.loss_history, rtol=1e-9)


CONVOLVED = [
    *(Conv(3, size=3, bias=True), BatchNorm(), ReLU(), MaxPool(2), Conv(4, size=3), BatchNorm()),
    *(Flatten(), Dense(7), BatchNorm(), ReLU(), Dropout(0.8), Dense(3)),
]


@pytest.mark.parametrize("rule", optim.RULES)
def test_learning_is_a_loss_and_steps(rule):
    """A network's steps where its gradients are made are those made afterwards."""
    runs = []
    for kind in (Network, OneAtATime):
        rng = np.random.default_rng(0)
        model = kind(CONVOLVED, (1, 9, 9), reg=0.01, rng=rng)
        rows = {
            f"{letter}_{part}": values[:size]
            for letter, values in (
                ("X", rng.standard_normal((60, 1, 9, 9))), ("y", rng.integers(0, 3, 60))
            )
            for part, size in (("train", 60), ("val", 20))
        }  # fmt: skip
        solver = Solver(
            model, rows, rule, {"learning_rate": 0.01}, batch_size=25, num_epochs=3,
            verbose=False, rng=rng,
        )  # fmt: skip
        solver.train()
        assert isinstance(solver._stepper, EngineStepper if kind is Network else Readable)
        runs.append(solver)
    fast, slow = runs
    np.testing.assert_allclose(fast.loss_history, slow.loss_history, rtol=1e-8)
    for name, array in slow.model.params.items():
        np.testing.assert_allclose(fast.model.params[name], array, rtol=1e-6, atol=1e-9)


def test_the_engine_reads_nothing_but_what_it_was_given():
    """C asks no array for its length: what does not fit is refused before."""
    model = Network(CONVOLVED, (1, 9, 9), rng=np.random.default_rng(0))
    X, y = np.random.default_rng(1).standard_normal((6, 1, 9, 9)), np.arange(6) % 3

    def stepper(augment=None):
        configs = {name: {} for name in model.params}
        made = engine.stepper(model, optim.adam, configs, X, y, 3, augment)
        made.own()
        return made

    for rows in ([0, 1, -1], [0, 1, 6]):
        with pytest.raises(IndexError):
            stepper().run(np.array(rows), [0.1])
    with pytest.raises(ValueError, match="augment was given 3 rows and gave 2"):
        stepper(lambda X: X[:2]).run(np.arange(3), [0.1])
    with pytest.raises(ValueError, match=r"the shape \(1, 9, 9\)"):
        stepper(lambda X: X[:, :, :8]).run(np.arange(3), [0.1])
    program = Program(model)
    with pytest.raises(ValueError, match=r"dout must have the shape \(6, 3\); got \(6, 2\)"):
        program.backward(X, np.ones((6, 2)))
    program.scores(X)
    for name, array in (model.params | model.state).items():
        held = model.params if name in model.params else model.state
        held[name] = array.reshape(-1)[1:]
        with pytest.raises(ValueError, match=f"{name} must have the shape"):
            program.scores(X)
        held[name] = array
    np.testing.assert_allclose(program.scores(X), model.loss(X), rtol=1e-9)


def test_a_loss_that_is_not_finite_moves_nothing():
    model = Network(CONVOLVED, (1, 9, 9), rng=np.random.default_rng(0))
    X = np.full((5, 1, 9, 9), np.nan)
    configs = {name: {} for name in model.params}
    stepper = engine.stepper(model, optim.adam, configs, X, np.arange(5) % 3, 5)
    before = {name: array.copy() for name, array in model.params.items()}
    stepper.own()
    (loss,) = stepper.run(np.arange(5), [0.1])
    assert not np.isfinite(loss)
    for name, array in model.params.items():
        np.testing.assert_array_equal(array, before[name])
        assert configs[name]["t"] == 0


@pytest.mark.parametrize("name", ["hidden", "convolved"])
def test_a_loss_set_on_the_model_itself_is_asked(name):
    net, shape = (CONVOLVED, (1, 9, 9)) if name == "convolved" else (NETS["hidden"], (2, 3))
    model = Network(net, shape, rng=np.random.default_rng(0))
    calls, inner = [], model.loss

    def loss(X, y=None):
        calls.append(y is not None)
        return inner(X, y)

    model.loss = loss
    X = np.random.default_rng(1).standard_normal((20, *shape))
    rows = {"X_train": X, "y_train": np.arange(20) % 3, "X_val": X, "y_val": np.arange(20) % 3}
    Solver(model, rows, "sgd", {"learning_rate": 0.1}, batch_size=10, num_epochs=2).train()
    assert sum(calls) == 4


@pytest.mark.parametrize("name", ["hidden", "convolved"])
def test_an_interrupted_run_goes_on_to_the_same_bits(name, tmp_path):
    net, shape = (CONVOLVED, (1, 9, 9)) if name == "convolved" else (NETS["hidden"], (2, 3))
    X = np.random.default_rng(1).standard_normal((40, *shape))
    rows = {"X_train": X, "y_train": np.arange(40) % 3, "X_val": X, "y_val": np.arange(40) % 3}

    def run(checkpoint, stop_after=None):
        def look(record):
            if record["epoch"] == stop_after:
                raise KeyboardInterrupt

        solver = Solver(
            Network(net, shape, reg=0.01, rng=np.random.default_rng(0)), rows, "adam",
            {"learning_rate": 0.01}, batch_size=15, num_epochs=4, checkpoint=checkpoint,
            on_epoch=look, rng=np.random.default_rng(2),
        )  # fmt: skip
        if stop_after is None:
            solver.train()
        else:
            with pytest.raises(KeyboardInterrupt):
                solver.train()
        assert isinstance(solver._stepper, EngineStepper)
        return solver

    whole = run(None)
    run(tmp_path / "half.safetensors", stop_after=2)
    resumed = run(tmp_path / "half.safetensors")
    assert resumed.loss_history == whole.loss_history
    for parameter, array in whole.model.params.items():
        np.testing.assert_array_equal(resumed.model.params[parameter], array)


def test_a_batch_larger_than_the_data_is_all_of_them():
    model = Network(NETS["hidden"], (2, 3), rng=np.random.default_rng(0))
    rows = data("softmax", np.float64)
    solver = Solver(model, rows, "sgd", {"learning_rate": 0.1}, batch_size=10**12, num_epochs=2)
    solver.train()
    assert len(solver.loss_history) == 2


def test_float32_stays_float32():
    solver = trained(Network, NETS["hidden"], "softmax", "adam", np.float32)
    assert {a.dtype for a in solver.model.params.values()} == {np.dtype(np.float32)}
    slow = trained(OneAtATime, NETS["hidden"], "softmax", "adam", np.float32)
    np.testing.assert_allclose(solver.loss_history, slow.loss_history, rtol=1e-4)


def test_nobody_elses_arrays_change():
    model = Network(NETS["hidden"], (2, 3), rng=np.random.default_rng(0))
    held = dict(model.params)
    kept = {name: array.copy() for name, array in held.items()}
    seen = []
    Solver(
        model, data("softmax", np.float64), "adam", {"learning_rate": 0.1}, num_epochs=3,
        on_epoch=lambda record: seen.append((dict(model.params), model.params["W1"].copy())),
    ).train()  # fmt: skip
    for name, array in held.items():
        np.testing.assert_array_equal(array, kept[name])
    for params, copy in seen:
        np.testing.assert_array_equal(params["W1"], copy)


@pytest.mark.parametrize("print_every", [1, 5, 12, 23])
@pytest.mark.parametrize("kind", [Network, OneAtATime])
def test_the_bar_moves_every_so_many_iterations(kind, print_every):
    """Of 11 batches an epoch: a dense network makes them in one call, another one by one."""
    rows = data("softmax", np.float64)
    solver = Solver(
        kind(NETS["hidden"], (2, 3)), rows, "sgd", batch_size=5, print_every=print_every
    )
    assert len(rows["X_train"]) == 53  # 11 batches, and the same again
    shown = []
    for _ in range(2):
        solver._one_epoch(lambda: shown.append(len(solver.loss_history)))
    if kind is OneAtATime:
        assert shown == list(range(print_every, 23, print_every))
    else:  # a call is an epoch here
        assert shown == [n for n in (11, 22) if n // print_every > (n - 11) // print_every]


def test_divergence_is_named_at_its_iteration():
    rows = data("softmax", np.float64)
    rows["X_train"][:] = np.inf
    with pytest.raises(NonFiniteLossError, match=r"at iteration 1 \(epoch 1\), learning rate 0.01"):
        trained(Network, NETS["hidden"], "softmax", "sgd", rows=rows)


def test_unknown_labels_are_refused_by_name():
    rows = data("softmax", np.float64)
    rows["y_train"][3] = 7
    with pytest.raises(ValueError, match=r"labels must be whole numbers in \[0, 3\); got 7"):
        trained(Network, NETS["hidden"], "softmax", "sgd", rows=rows)
