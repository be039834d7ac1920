"""The page's arithmetic is the library's: layers, losses and networks of all of them, in Node."""

from itertools import product

import numpy as np
import pytest
from page_arithmetic import answer, answers, array, close, described, needs_node, traced
from random_networks import LOSSES, a_network

from handgrad import layers, network_spec
from handgrad.network import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    Network,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)

NETWORKS = 6  # of each loss
EXACT, SINGLE = 1e-9, 1e-5  # of float64, of float32

pytestmark = needs_node


def drawn(loss, seed, dtype="float64"):
    """Draw a network that ends in a loss, with running statistics, and rows for it."""
    net, shape, X, y = a_network(np.random.default_rng([seed, len(loss), 21]), loss)
    network = Network(
        net, shape, loss=loss.replace("smoothed", "softmax"), loss_options=LOSSES[loss][0],
        reg=0.01 * (seed % 2), dtype=dtype, rng=np.random.default_rng(seed),
    )  # fmt: skip
    for name in network.state:
        network.state[name] = network.state[name] + network.dtype.type(0.5)
    return network, X.astype(dtype), y


def case_of(network, X, y, mode, seed):
    """Give a case, and what the library computes for it with the same draws."""
    wanted = describe_pass(network, X, y, mode, seed)
    draws = np.random.default_rng(seed).random(1_500)
    return {"run": "pass", **wanted["given"], "X": X.ravel(), "y": np.ravel(y), "mode": mode,
            "draws": draws}, wanted  # fmt: skip


def describe_pass(network, X, y, mode, seed):
    """Run the library's pass from the same draws; parameters and statistics as before it."""
    given = described(network)
    network.rng = np.random.default_rng(seed)
    found = traced(network, X, y, mode)
    return {"given": given, **found, "state": dict(network.state)}


def held(found, wanted, tolerance):
    """Hold a pass of the page to the library's.

    In float32 an entry's rounding is a share of the terms that it is the sum of, which may cancel:
    there the pass's largest gradient is the scale.
    """
    assert "error" not in found, found
    gradients = [*wanted["params"].values(), *wanted["inputs"]]
    scale = max(np.abs(each).max() for each in gradients) if tolerance == SINGLE else None
    for ours, theirs in zip(found["outs"], wanted["outs"], strict=True):
        close(ours, theirs, tolerance)
    assert found["loss"] == pytest.approx(wanted["loss"], rel=tolerance, abs=tolerance)
    close(found["scores"], wanted["scores"], tolerance)
    assert found["params"].keys() == wanted["params"].keys() == set(found["trained"])
    for name, theirs in wanted["state"].items():
        close(found["state"][name], theirs, tolerance)
    for name, theirs in wanted["params"].items():
        close(found["params"][name], theirs, tolerance, scale)
    for ours, theirs in zip(found["inputs"], wanted["inputs"], strict=True):
        close(ours, theirs, tolerance, scale)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_random_networks_are_the_librarys(dtype):
    """Outputs, loss, all gradients and statistics, of every loss, in training and in testing."""
    cases, wanted = [], []
    for loss, seed in product(LOSSES, range(NETWORKS)):
        network, X, y = drawn(loss, seed, dtype)
        for mode in ("train", "test"):
            case, result = case_of(network, X, y, mode, seed)
            cases.append(case)
            wanted.append(result)
    for found, result in zip(answers(cases), wanted, strict=True):
        held(found, result, EXACT if dtype == "float64" else SINGLE)


# Each layer by itself: settings that random networks seldom have, and the shapes it may stand in.
ALONE = [
    ([Dense(4)], (3, 2, 2)),
    ([Conv(3, 3, 2, 2, True)], (2, 7, 6)),
    ([Conv(2, 1, 3)], (3, 8, 7)),
    ([Conv(4, 5, 1, 4)], (2, 5, 5)),
    ([Conv(2, 4, 3, 1)], (1, 9, 6)),
    ([BatchNorm(0.7, 1e-3)], (4,)),
    ([BatchNorm()], (3, 4, 5)),
    ([LayerNorm(1e-3)], (6,)),
    ([LayerNorm()], (2, 3, 4)),
    ([MaxPool(3, 2)], (2, 8, 7)),
    ([MaxPool(2, 3)], (2, 8, 7)),
    ([AvgPool(3, 1)], (2, 5, 6)),
    ([GlobalAvgPool()], (3, 4, 5)),
    ([Flatten()], (2, 3, 4)),
    ([Dropout(0.3)], (2, 3, 4)),
    *(([layer], (7,)) for layer in
      (ReLU(), LeakyReLU(0.2), Sigmoid(), Tanh(), GELU(), GELU(approximate=True), SiLU())),
]  # fmt: skip


ACTIVATIONS = (ReLU, LeakyReLU, Sigmoid, Tanh, GELU, SiLU)


def alone(layer, shape):
    """Describe a network of this one layer without parameters."""
    spec = described(Network([layer, Flatten(), Dense(1)], shape, loss="mse"))
    spec["description"]["layers"] = spec["description"]["layers"][:1]
    return spec


@pytest.mark.parametrize("mode", ["train", "test"])
def test_each_layer_is_the_librarys(mode):
    """Behind it a dense layer, so that its upstream gradient is any."""
    cases, wanted = [], []
    for seed, (net, shape) in enumerate(ALONE):
        rng = np.random.default_rng(seed)
        network = Network([*net, Dense(3)], shape, rng=rng)
        for arrays in (network.params, network.state):
            for name in arrays:
                arrays[name] = arrays[name] + 0.3 + 0.2 * rng.random(arrays[name].shape)
        case, result = case_of(
            network, 3 * rng.standard_normal((5, *shape)), rng.integers(0, 3, 5), mode, seed
        )
        cases.append(case)
        wanted.append(result)
    for found, result in zip(answers(cases), wanted, strict=True):
        held(found, result, EXACT)


def test_every_layer_and_loss_is_there():
    """One that is new in the library is missed here until the page has it."""
    alone = {type(net[0]).__name__ for net, _ in ALONE}
    assert set(answer("constants")["kinds"]) == set(network_spec.KINDS) == alone


def test_ends_of_the_real_line():
    """Activations of huge, infinite and no numbers are what the library's are."""
    x = np.array([-np.inf, -1e300, -1e4, -50.0, -6.5, -2.9, -2.0, -0.3, -1e-20, 0.0])
    x = np.concatenate([x, -x, [np.nan]])
    dout = np.linspace(1, 2, len(x))
    kinds = [net[0] for net, _ in ALONE if isinstance(net[0], ACTIVATIONS)]
    # JSON has no infinity; Node's Float64Array takes these names for them.
    named = [str(value).replace("inf", "Infinity").replace("nan", "NaN") for value in x]
    cases = [
        {"run": "layer", **alone(layer, (len(x),)), "x": named, "dout": dout, "mode": "test"}
        for layer in kinds
    ]
    for layer, found in zip(kinds, answers(cases), strict=True):
        out, cache = layer.forward(x[None], {}, None)
        dx, _ = layer.backward(dout[None], cache, need_dx=True)
        np.testing.assert_allclose(array(found["out"]), out, rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(array(found["gradients"]["dx"]), dx, rtol=1e-9, atol=1e-15)
    assert len(kinds) == 7


def test_ties_and_kinks():
    """The first of equal pixels wins; the slope of ReLU at 0 is 0; NaN comes through a pool."""
    x = np.array([[[[1.0, 1, 0, -0.0], [1, 1, 0, 0], [2, 3, -1, -2], [3, 0, -2, np.nan]]]])
    dout = np.array([[[[1.0, 2], [4, 8]]]])
    spec = alone(MaxPool(2), (1, 4, 4))
    named = ["NaN" if np.isnan(value) else value for value in x.ravel()]
    found = answer("layer", **spec, x=named, dout=dout.ravel(), mode="test")
    out, _ = layers.max_pool_forward(x, {"pool_height": 2, "pool_width": 2, "stride": 2})
    np.testing.assert_array_equal(array(found["out"]), out)
    dx = array(found["gradients"]["dx"])[0, 0]
    # By hand: the first 1, the first 0, the first 3, and the NaN.
    assert [(i, j) for i, j in np.argwhere(dx)] == [(0, 0), (0, 2), (2, 1), (3, 3)]


def test_large_scores_do_not_overflow():
    """Losses and gradients of scores of a thousand are the library's, not infinite."""
    for loss, y in (("softmax", [0, 2]), ("multilabel", [[0, 1, 1], [1, 0, 1]])):
        network = Network([Dense(3)], (3,), loss=loss, rng=np.random.default_rng(0))
        network.params["W1"] = 500 * np.eye(3)
        case, wanted = case_of(
            network, np.array([[2.0, -2, 0], [-2, 2, 1]]), np.array(y), "train", 0
        )
        held(answers([case])[0], wanted, EXACT)


SIZES = [(1, 1, 1), (3, 7, 5), (4, 8, 16), (9, 2, 33), (17, 66, 10), (20, 70, 40)]


@pytest.mark.parametrize("numbers", ["Float32Array", "Float64Array"])
def test_fast_products_are_the_plain_loops(numbers):
    """Transposed or not, with a start in the middle of an array, added to what is there."""
    rng = np.random.default_rng(0)
    fast = ["plainlyFast", "product", *(["vectors"] if numbers == "Float32Array" else [])]
    cases = []
    for sizes, turned in product(SIZES, product((False, True), repeat=2)):
        rows, inner, columns = sizes
        factors = []
        for start, (high, wide), transposed in zip(
            (3, 2), ((rows, inner), (inner, columns)), turned, strict=True
        ):
            steps = (1, high) if transposed else (wide, 1)
            data = rng.standard_normal(start + high * wide)
            factors.append(
                {"data": data, "start": start, "rowStep": steps[0], "columnStep": steps[1]}
            )
        case = {
            "run": "product", "numbers": numbers, "A": factors[0], "B": factors[1],
            "sizes": {"rows": rows, "inner": inner, "columns": columns},
            "C": {"data": rng.standard_normal(1 + rows * columns), "start": 1},
        }  # fmt: skip
        cases += [{**case, "call": call} for call in ("plainProduct", *fast)]
    found = answers(cases)
    for first in range(0, len(found), 1 + len(fast)):
        for one in found[first + 1 : first + 1 + len(fast)]:
            np.testing.assert_allclose(one, found[first], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("units", [320, 333])
def test_a_large_networks_few_rows_are_the_librarys(units):
    """One row and three are multiplied where the weights lie, if columns are whole vectors."""
    rng = np.random.default_rng(5)
    cases, wanted = [], []
    for rows in (1, 3, 5):
        network = Network([Dense(units), ReLU(), Dense(3)], (400,), dtype="float32", rng=rng)
        network.params["b1"] += np.float32(0.5)
        X = rng.standard_normal((rows, 400)).astype(np.float32)
        case, result = case_of(network, X, rng.integers(0, 3, rows), "test", 0)
        cases.append(case)
        wanted.append(result)
    for found, result in zip(answers(cases), wanted, strict=True):
        held(found, result, SINGLE)


def test_what_does_not_fit_is_said():
    """A layer or loss that there is not, arrays and rows of another size."""
    given = described(Network([Dense(3)], (4,)))
    spec = given["description"]
    changes = [
        ({"description": {**spec, "layers": [{"kind": "Attention"}]}}, "no layer Attention"),
        ({"description": {**spec, "loss": "ctc"}}, "no loss ctc"),
        ({"arrays": {**given["arrays"], "W1": [1, 2]}}, "W1 must have 12 numbers; got 2"),
        ({"X": [1, 2, 3]}, "an example has 4 numbers; got 3"),
        ({"y": [0, 1, 2]}, "1 target(s) for each of 2 examples; got 3"),
    ]
    for change, said in changes:
        whole = {**given, "X": np.ones(8), "y": [0, 1], **change}
        assert said in answer("pass", **whole)["error"]
