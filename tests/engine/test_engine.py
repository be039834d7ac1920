"""The door: what is behind it gives what the readable half gives, on networks of any kind."""

import numpy as np
import pytest
from engines import needs_the_engine
from random_networks import LOSSES, a_network

from handgrad import engine, optim
from handgrad.engine.stepper import EngineStepper
from handgrad.errors import EngineError
from handgrad.network import BatchNorm, Conv, Dense, Flatten, MaxPool, Network, ReLU
from handgrad.solver import Readable, Solver

NETWORKS = 60  # of each loss

pytestmark = needs_the_engine


@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("seed", range(NETWORKS))
def test_both_halves_train_random_networks_alike(monkeypatch, seed, loss):
    """To the same losses, parameters and statistics, by every rule; and score alike."""
    net, shape, X, y = a_network(np.random.default_rng([seed, len(loss)]), loss)
    rule = list(optim.RULES)[seed % len(optim.RULES)]
    rows = {"X_train": X, "y_train": y, "X_val": X[:4], "y_val": y[:4]}
    weights = np.arange(len(X)) % 3 * 0.75 if seed % 2 else None
    ends = []
    for wanted in ("", "layers"):
        monkeypatch.setenv("HANDGRAD_ENGINE", wanted)
        model = Network(
            net, shape, loss=loss.replace("smoothed", "softmax"), loss_options=LOSSES[loss][0],
            reg=0.01, rng=np.random.default_rng(seed),
        )  # fmt: skip
        solver = Solver(
            model, rows, rule, {"learning_rate": 1e-3}, batch_size=7, num_epochs=2,
            rng=np.random.default_rng(1), sample_weight=weights,
        )  # fmt: skip
        solver.train()
        ends.append((solver, engine.scores(model, X)))
    (fast, scored), (plain, scored_plainly) = ends
    assert isinstance(plain._stepper, Readable)
    assert isinstance(fast._stepper, EngineStepper)
    np.testing.assert_allclose(fast.loss_history, plain.loss_history, rtol=1e-7)
    for ours, theirs in ((fast.model.params, plain.model.params),
                         (fast.model.state, plain.model.state)):  # fmt: skip
        assert set(ours) == set(theirs)
        for name, array in theirs.items():
            np.testing.assert_allclose(ours[name], array, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(scored, scored_plainly, rtol=1e-5, atol=1e-7)


def steppers(rule="sgd", augment=None, kind=Network):
    dense = kind([Dense(4), ReLU(), Dense(3)], (5,), rng=np.random.default_rng(0))
    normed = kind([Dense(4), BatchNorm(), Dense(3)], (5,), rng=np.random.default_rng(0))
    X, y = np.zeros((6, 5)), np.arange(6) % 3
    rule = optim.RULES.get(rule, rule)
    return [
        type(engine.stepper(model, rule, {name: {} for name in model.params}, X, y, 3, augment))
        for model in (dense, normed)
    ]


class WithALossOfItsOwn(Network):
    def loss(self, X, y=None):
        return super().loss(X, y)


def test_who_gets_which_stepper(monkeypatch):
    assert steppers() == [EngineStepper] * 2
    assert steppers(rule=lambda w, dw, config: (w, config)) == [EngineStepper] * 2
    assert steppers(augment=lambda X: X) == [EngineStepper] * 2
    nothing = [type(None)] * 2
    assert steppers(kind=WithALossOfItsOwn) == nothing
    monkeypatch.setenv("HANDGRAD_ENGINE", "layers")
    assert steppers() == nothing


def test_a_network_with_a_loss_of_its_own_is_asked_for_its_scores():
    class Ones(Network):
        def loss(self, X, y=None):
            return np.ones((len(X), 3))

    X = np.zeros((4, 5))
    assert engine.scores(Ones([Dense(3)], (5,)), X).tolist() == np.ones((4, 3)).tolist()
    plain = Network([Dense(3)], (5,))
    np.testing.assert_allclose(engine.scores(plain, X + 1), plain.loss(X + 1), rtol=1e-12)


def test_another_value_is_refused(monkeypatch):
    monkeypatch.setenv("HANDGRAD_ENGINE", "fast")
    with pytest.raises(EngineError, match="must be layers, or not set; got 'fast'"):
        steppers()


def test_an_own_rule_steps_the_engines_gradients():
    """Whoever writes a rule keeps the fast passes, and gets what the readable half gets."""
    net = [Conv(3, 3), BatchNorm(), ReLU(), MaxPool(2), Flatten(), Dense(3)]
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 1, 8, 8)), rng.integers(0, 3, 20)
    rows = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    seen = []

    def signs(w, dw, config):
        seen.append(config["learning_rate"])
        return w - config["learning_rate"] * np.sign(dw), config

    ends = []
    for kind in (Network, WithALossOfItsOwn):
        model = kind(net, (1, 8, 8), rng=np.random.default_rng(1))
        solver = Solver(
            model, rows, signs, {"learning_rate": 0.01}, lr_decay=0.5, batch_size=6, num_epochs=3,
            rng=np.random.default_rng(2),
        )  # fmt: skip
        solver.train()
        ends.append(solver)
    assert sorted(set(seen)) == [0.0025, 0.005, 0.01]
    np.testing.assert_allclose(ends[0].loss_history, ends[1].loss_history, rtol=1e-9)
