"""The page's mistakes are check's: they give the wrong numbers of the patched reference."""

import numpy as np
import pytest
from page_arithmetic import answer, answers, array, close, described, needs_node

from handgrad.check.conventions import parse
from handgrad.check.courses import load
from handgrad.check.reference import Reference
from handgrad.network import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool, Network, ReLU

SOURCES = Reference(parse()).sources
TABLE = {mistake.name: mistake for mistake in load().mistakes}
SEED = 4

pytestmark = needs_node


@pytest.fixture(scope="module")
def known():
    """What the page says of its mistakes."""
    return answer("mistakes")


def patched(name):
    """Give the layers of the reference submission with a mistake in them."""
    layers = {"__name__": "layers"}
    exec(next(TABLE[name].planted(SOURCES))["layers"], layers)
    return layers


def arguments(kind, shape, mode, rng):
    """Give inputs of a layer: x, its parameters, and how the reference and the page are asked."""
    x = rng.standard_normal(shape)
    if kind == "Dense":
        own = {"W": rng.standard_normal((shape[1], 3)), "b": rng.standard_normal(3)}
        return x, own, Dense(3), ("fc", (x, own["W"], own["b"]))
    if kind == "Conv":
        own = {"W": rng.standard_normal((3, shape[1], 3, 3))}
        return x, own, Conv(3, 3), ("conv", (x, own["W"]))
    if kind == "ReLU":
        x[0, 0] = 0  # the kink
        return x, {}, ReLU(), ("relu", (x,))
    if kind == "MaxPool":
        x = rng.integers(-2, 2, shape).astype(float)  # with ties
        param = {"pool_height": 2, "pool_width": 2, "stride": 1}
        return x, {}, MaxPool(2, 1), ("max_pool", (x, param))
    if kind == "Dropout":
        return x, {}, Dropout(0.7), ("dropout", (x, {"p": 0.7, "mode": mode, "seed": SEED}))
    C = shape[1]
    own = {"gamma": rng.standard_normal(C), "beta": rng.standard_normal(C)}
    state = {"running_mean": rng.standard_normal(C), "running_var": 1 + rng.random(C)}
    param = {"mode": mode, "eps": 0.01, "momentum": 0.7, **state}
    function = "batchnorm" if len(shape) == 2 else "spatial_batchnorm"
    return x, own | state, BatchNorm(0.7, 0.01), (
        function, (x, own["gamma"], own["beta"], param)
    )  # fmt: skip


SHAPES = {
    "Dense": [(4, 5)], "ReLU": [(4, 5)], "Dropout": [(6, 5)], "Conv": [(3, 2, 5, 6)],
    "MaxPool": [(3, 2, 4, 5)], "BatchNorm": [(6, 4), (3, 2, 3, 4)],
}  # fmt: skip
NAMES = {"fc": ("dx", "W", "b"), "conv": ("dx", "W"), "batchnorm": ("dx", "gamma", "beta")}
NAMES |= {"spatial_batchnorm": NAMES["batchnorm"]}


def reference_layer(module, function, given, dout):
    """Run a layer of the reference: its output, its gradients, the statistics it leaves."""
    out, cache = module[f"{function}_forward"](*given)
    dout = dout[: out.size].reshape(out.shape)
    back = module[f"{function}_backward"](dout, cache)
    names = NAMES.get(function, ("dx",))
    gradients = dict(zip(names, back if isinstance(back, tuple) else (back,), strict=True))
    state = given[-1] if isinstance(given[-1], dict) else {}
    return out, gradients, {k: v for k, v in state.items() if k.startswith("running_")}


def layer_case(name, kind, shape, mode):
    """Give a page's case of a layer, and what the reference with that mistake gives."""
    x, own, layer, (function, given) = arguments(kind, shape, mode, np.random.default_rng(SEED))
    dout = np.random.default_rng(7).standard_normal(500)
    wanted = reference_layer(patched(name), function, given, dout)
    description = described(Network([layer, Flatten(), Dense(1)], shape[1:], loss="mse"))[
        "description"
    ]
    description["layers"] = description["layers"][:1]
    draws = np.random.RandomState(SEED).rand(*shape).ravel()
    return {
        "run": "layer", "description": description, "x": x.ravel(), "mode": mode, "draws": draws,
        "arrays": {f"{key}1": value.ravel() for key, value in own.items()},
        "dout": dout[: wanted[0].size], "mistake": name,
    }, wanted  # fmt: skip


def test_they_are_of_the_tables(known):
    """Of one that is named there twice, or is none of ours, there would be no words."""
    assert len(TABLE) == len(load().mistakes)
    assert set(known) <= set(TABLE)
    assert len(known) > 75
    kinds = {mistake.get("kind") or mistake.get("loss") or "penalty" for mistake in known.values()}
    assert kinds == {*SHAPES, "softmax", "logistic", "svm", "penalty"}


@pytest.mark.parametrize("kind", list(SHAPES))
def test_a_layers_mistakes_give_the_patched_references_numbers(known, kind):
    """Output, gradients and running statistics; and not the right ones."""
    names = [name for name, mistake in known.items() if mistake.get("kind") == kind]
    cases, wanted = [], []
    for name in names:
        for shape in SHAPES[kind]:
            for mode in ("train", "test"):
                case, result = layer_case(name, kind, shape, mode)
                cases.append(case)
                wanted.append((name, result))
    right = answers([{**case, "mistake": None} for case in cases])
    differ = set()
    for found, fine, (name, (out, gradients, state)) in zip(
        answers(cases), right, wanted, strict=True
    ):
        assert "error" not in found, (name, found)
        close(found["out"], out, 1e-9)
        for key, theirs in gradients.items():
            close(found["gradients"][key], theirs, 1e-9)
        for key, theirs in state.items():
            close(found["state"][f"{key}1"], theirs, 1e-9)
        if found != fine:
            differ.add(name)
    assert differ == set(names)


@pytest.mark.parametrize("loss", ["softmax", "logistic", "svm"])
def test_a_losss_mistakes_give_the_patched_references_numbers(known, loss):
    """The loss and its gradient; and not the right ones."""
    rng, outputs = np.random.default_rng(2), 3 if loss == "softmax" else 1
    scores, y = rng.standard_normal((6, outputs)), rng.integers(0, max(2, outputs), 6)
    spec = described(Network([Dense(outputs)], (2,), loss=loss))
    names = [name for name, mistake in known.items() if mistake.get("loss") == loss]
    cases = [
        {"run": "loss", **spec, "scores": scores.ravel(), "y": y, "mistake": name}
        for name in (None, *names)
    ]
    right, *found = answers(cases)
    for name, one in zip(names, found, strict=True):
        value, dx = patched(name)[f"{loss}_loss"](scores.copy(), y)
        assert one["loss"] == pytest.approx(value, rel=1e-9), name
        close(one["dx"], dx, 1e-9)
        assert one != right, name


def test_the_penaltys_mistakes_give_the_patched_references_numbers(known):
    """The reference's softmax classifier with a hidden layer, patched."""
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((5, 4)), rng.integers(0, 3, 5)
    network = Network([Dense(6), ReLU(), Dense(3)], (4,), reg=0.3, rng=rng)
    for name in network.params:
        network.params[name] = rng.standard_normal(network.params[name].shape)
    names = [name for name, mistake in known.items() if mistake["penalty"]]
    cases = [{"run": "pass", **described(network), "X": X.ravel(), "y": y, "mistake": name}
             for name in (None, *names)]  # fmt: skip
    right, *found = answers(cases)
    for name, one in zip((None, *names), (right, *found), strict=True):
        sources = dict(SOURCES) | (next(TABLE[name].planted(SOURCES)) if name else {})
        model = classifier(sources["softmax"])(4, 6, 3, reg=0.3)
        model.params.update(network.params)
        loss, grads = model.loss(X, y)
        assert one["loss"] == pytest.approx(loss, rel=1e-9), name
        for key, theirs in grads.items():
            close(one["params"][key], theirs, 1e-9)
        assert name is None or (one["loss"], one["params"]) != (right["loss"], right["params"])


def classifier(source):
    """The reference's classifier, beside the right layers."""
    space = {"__name__": "softmax"}
    exec(SOURCES["layers"], space)
    exec(
        "\n".join(line for line in source.splitlines() if not line.startswith("from layers")), space
    )
    return space["SoftmaxClassifier"]


def test_places_are_those_of_the_kind():
    """Layers by position, the loss and the penalty behind the last; nothing elsewhere."""
    network = Network([Dense(3), ReLU(), Dense(3), ReLU(), Dense(2)], (4,), reg=0.1)
    names = [
        "relu-no-mask",
        "fc-db-mean",
        "softmax-sum",
        "svm-twice",
        "softmax-no-decay",
        "conv-flipped",
    ]
    found = answer("places", **described(network), names=names)
    assert found == {"relu-no-mask": [1, 3], "fc-db-mean": [0, 2, 4], "softmax-sum": [5],
                     "svm-twice": [], "softmax-no-decay": [5], "conv-flipped": []}  # fmt: skip
    said = answer("pass", **described(network), X=np.ones(4), y=[0], mistake="conv-flipped")[
        "error"
    ]
    assert "the mistake conv-flipped cannot be made" in said


def test_a_mistake_below_changes_what_is_above_it_alone(known):
    """A missing mask: gradients of the layers before it are wrong, those behind it right."""
    network = Network([Dense(5), ReLU(), Dense(3)], (4,), rng=np.random.default_rng(0))
    given = {
        **described(network),
        "X": np.random.default_rng(1).standard_normal(24),
        "y": [0, 1, 2] * 2,
    }
    right, wrong = answers(
        [{"run": "pass", **given, "mistake": name} for name in (None, "relu-no-mask")]
    )
    assert right["outs"] == wrong["outs"]
    assert right["params"]["W2"] == wrong["params"]["W2"]
    assert not np.allclose(array(right["params"]["W1"]), array(wrong["params"]["W1"]))


def test_a_gradient_of_another_shape_is_told():
    """A db summed over the wrong axis: it is explained, and no step can be made with it."""
    network = Network([Dense(5), ReLU(), Dense(3)], (4,), rng=np.random.default_rng(0))
    X, y = np.random.default_rng(1).standard_normal((6, 4)), [0, 1, 2] * 2
    given = {**described(network), "X": X.ravel(), "y": y, "mistake": "fc-db-wrong-axis"}
    explained, trained = answers([
        {"run": "explain", **given, "mode": "train", "some": 2},
        {"run": "train", **given, "batches": [{"X": X.ravel(), "y": y}]},
    ])  # fmt: skip
    of_b = {each["name"]: each for each in explained["backward"] if each["name"].startswith("db2")}
    assert {each["value"] for each in of_b.values()} == {None}
    assert all(each["total"] == pytest.approx(each["numeric"]) for each in of_b.values())
    assert trained["error"] == "db1 has the shape (6) and b1 (5): no step can be made"
