"""Training on the page: the library's steps, epochs that visit each row once, divergence."""

import numpy as np
import pytest
from page_arithmetic import answer, answers, array, close, described, needs_node

from handgrad import optim
from handgrad.network import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool, Network, ReLU

pytestmark = needs_node


def a_net(dtype, seed=0):
    """A convolutional net with everything that training moves.

    No bias stands right before the norm: its gradient is 0 but for rounding, which Adam enlarges.
    """
    return Network(
        [Conv(3, 3, bias=True), ReLU(), BatchNorm(), MaxPool(2), Flatten(), Dense(8), ReLU(),
         Dropout(0.7), Dense(3)],
        (1, 6, 6), reg=0.01, dtype=dtype, rng=np.random.default_rng(seed),
    )  # fmt: skip


def stepped(network, batches, rule, settings, seed):
    """Take the library's steps, as the Solver does: biases and scales do not decay."""
    given = described(network)
    network.rng, losses = np.random.default_rng(seed), []
    configs = {name: dict(settings) for name in network.params}
    if rule == "adamw":
        for name in set(network.params) - set(network.penalised):
            configs[name]["weight_decay"] = 0.0
    for X, y in batches:
        loss, grads = network.loss(X, y)
        losses.append(loss)
        for name, w in network.params.items():
            network.params[name], configs[name] = optim.RULES[rule](w, grads[name], configs[name])
    return given, losses


@pytest.mark.parametrize("rule", list(optim.RULES))
def test_steps_are_the_librarys(rule):
    """Five batches, all rules, both dtypes: losses, parameters and running statistics."""
    rng = np.random.default_rng(3)
    batches = [(rng.standard_normal((4, 1, 6, 6)), rng.integers(0, 3, 4)) for _ in range(5)]
    settings = {"learning_rate": 0.02, **({"momentum": 0.8} if rule == "nesterov" else {})}
    cases, wanted = [], []
    for dtype in ("float64", "float32"):
        network = a_net(dtype)
        given, losses = stepped(network, batches, rule, settings, seed=9)
        cases.append({
            "run": "train", **given, "rule": rule, "settings": settings,
            "batches": [{"X": X.ravel(), "y": y} for X, y in batches],
            "draws": np.random.default_rng(9).random(1000),
        })  # fmt: skip
        wanted.append((network, losses))
    for found, (network, losses), tolerance in zip(
        answers(cases), wanted, (1e-9, 1e-5), strict=True
    ):
        assert "error" not in found, found
        np.testing.assert_allclose(found["losses"], losses, rtol=tolerance)
        for name, theirs in network.params.items():
            close(found["params"][name], theirs, tolerance)
        for name, theirs in network.state.items():
            close(found["state"][name], theirs, tolerance)
        assert (found["steps"], found["diverged"]) == (5, False)


def blobs(rng, rows=60):
    """Three clouds of points, told apart by a line each."""
    y = np.arange(rows) % 3
    return np.array([[0.0, 2], [2, -2], [-2, -2]])[y] + 0.3 * rng.standard_normal((rows, 2)), y


def test_an_epoch_visits_each_row_once_and_training_learns():
    """By the seed, which decides the order; the last batch is smaller."""
    X, y = blobs(np.random.default_rng(0))
    given = described(Network([Dense(16), ReLU(), Dense(3)], (2,), rng=np.random.default_rng(1)))
    options = {"rule": "adam", "settings": {"learning_rate": 0.05}, "batchSize": 16, "seed": 5}
    case = {"run": "epochs", **given, "X": X.ravel(), "y": y, "epochs": 8, "options": options}
    first, again, other = answers([case, case, {**case, "options": {**options, "seed": 6}}])
    assert first == again
    assert first["losses"] != other["losses"]
    assert (first["steps"], first["epochs"], len(first["losses"])) == (32, 8, 32)
    assert first["means"][-1] < 0.05 < first["means"][0]
    # A rate of 0 changes nothing: an epoch's losses, by their rows' number, are those of all rows.
    still = {**case, "epochs": 1, "options": {"settings": {"learning_rate": 0}, "batchSize": 16}}
    whole = {**still, "options": {**still["options"], "batchSize": 60}}
    parts, all_rows = answers([still, whole])
    mean = np.average(parts["losses"], weights=[16, 16, 16, 12])
    assert mean == pytest.approx(all_rows["losses"][0], rel=1e-6)


def test_divergence_is_seen_and_stops():
    """A rate far too large: the loss stops being finite, and nothing moves after that."""
    X, y = blobs(np.random.default_rng(0))
    given = described(Network([Dense(16), ReLU(), Dense(1)], (2,), loss="mse",
                              rng=np.random.default_rng(1)))  # fmt: skip
    case = {"run": "epochs", **given, "X": X.ravel(), "y": y,
            "options": {"settings": {"learning_rate": 50}, "batchSize": 20}}  # fmt: skip
    short, long = answers([{**case, "epochs": 60}, {**case, "epochs": 90}])
    assert short["diverged"]
    assert short["losses"][-1] in ("Infinity", "NaN", "-Infinity")
    assert np.isfinite(np.array(short["losses"][:-1], float)).all()
    assert (short["losses"], short["steps"]) == (long["losses"], long["steps"])
    assert short["params"] == long["params"]


def test_a_changed_architecture_has_its_own_parameters():
    """Sigmoid for ReLU, without dropout; with a seed new weights of the right scale."""
    network = a_net("float64")
    given = described(network)
    changes = {"activations": {"ReLU": "Sigmoid"}, "dropout": False}
    found = answer("changed", **given, changes=changes)
    kinds = [layer["kind"] for layer in found["description"]["layers"]]
    assert "ReLU" not in kinds
    assert "Dropout" not in kinds
    assert kinds.count("Sigmoid") == 2
    np.testing.assert_array_equal(array(found["W1"]), network.params["W1"])
    np.testing.assert_array_equal(array(found["params"]["W3"]), network.params["W3"])
    assert array(found["params"]["W1"]).ravel()[0] == network.params["W1"].ravel()[0] + 1
    wide = Network([Dense(300), ReLU(), Dense(2)], (50,))
    one, same, other = (
        answer("changed", **described(wide), changes={"seed": seed}) for seed in (1, 1, 2)
    )
    assert one == same != other
    drawn = array(one["params"]["W2"])
    assert drawn.std() == pytest.approx(np.sqrt(2 / 300), rel=0.1)
    assert not array(one["params"]["b1"]).any()


def test_an_unknown_rule_is_told():
    """With those that there are."""
    given = described(Network([Dense(2)], (2,)))
    options = {"rule": "lion"}
    said = answer("epochs", **given, X=[1, 2], y=[0], epochs=1, options=options)["error"]
    assert "no rule lion; there are sgd, " in said
