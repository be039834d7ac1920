"""The page's arithmetic is the library's: layers, losses and networks of all of them, in Node."""

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

NETWORKS = 12  # of each loss
EXACT, SINGLE = 1e-9, 1e-5  # of float64, of float32

pytestmark = needs_node


def case_of(network, X, y, mode, seed):
    """Give a case, and what the library computes for it with the same draws."""
    wanted = describe_pass(network, X, y, mode, seed)
    draws = np.random.default_rng(seed).random(20_000)
    return {"run": "pass", **wanted["given"], "X": X.ravel(), "y": np.ravel(y), "mode": mode,
            "draws": draws}, wanted  # fmt: skip


def describe_pass(network, X, y, mode, seed):
    """Run the library's pass from the same draws; parameters and statistics as before it."""
    given = described(network)
    network.rng = np.random.default_rng(seed)
    found = traced(network, X, y, mode)
    return {"given": given, **found, "state": dict(network.state)}


def held(found, wanted, tolerance):
    """Hold a pass of the page to the library's."""
    assert "error" not in found, found
    for ours, theirs in zip(found["outs"], wanted["outs"], strict=True):
        close(ours, theirs, tolerance)
    assert found["loss"] == pytest.approx(wanted["loss"], rel=tolerance, abs=tolerance)
    close(found["scores"], wanted["scores"], tolerance)
    assert found["params"].keys() == wanted["params"].keys() == set(found["trained"])
    for part in ("params", "state"):
        for name, theirs in wanted[part].items():
            close(found[part][name], theirs, tolerance)
    for ours, theirs in zip(found["inputs"], wanted["inputs"], strict=True):
        close(ours, theirs, tolerance)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", list(LOSSES))
def test_random_networks_are_the_librarys(loss, dtype):
    """Outputs, loss, all gradients and the statistics, in training and in testing."""
    cases, wanted = [], []
    for seed in range(NETWORKS):
        net, shape, X, y = a_network(np.random.default_rng([seed, len(loss), 21]), loss)
        network = Network(
            net, shape, loss=loss.replace("smoothed", "softmax"), loss_options=LOSSES[loss][0],
            reg=0.01 * (seed % 2), dtype=dtype, rng=np.random.default_rng(seed),
        )  # fmt: skip
        for name in network.state:
            network.state[name] = network.state[name] + network.dtype.type(0.5)
        for mode in ("train", "test"):
            case, result = case_of(network, X.astype(dtype), y, mode, seed)
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
    for layer in (ReLU(), LeakyReLU(0.1), Sigmoid(), Tanh(), GELU(), GELU(approximate=True), SiLU()):
        network = Network([layer, Dense(1)], (len(x),), loss="mse")
        spec = described(network)
        spec["description"]["layers"] = spec["description"]["layers"][:1]
        # JSON has no infinity; Node's Float64Array takes these names for them.
        named = [str(value).replace("inf", "Infinity").replace("nan", "NaN") for value in x]
        found = answer("layer", **spec, x=named, dout=dout, mode="test")
        out, cache = layer.forward(x[None], {}, None)
        dx, _ = layer.backward(dout[None], cache, need_dx=True)
        np.testing.assert_allclose(array(found["out"]), out, rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(array(found["gradients"]["dx"]), dx, rtol=1e-9, atol=1e-300)


def test_ties_and_kinks():
    """The first of equal pixels wins; the slope of ReLU at 0 is 0; NaN comes through a pool."""
    x = np.array([[[[1.0, 1, 0, -0.0], [1, 1, 0, 0], [2, 3, -1, -2], [3, 0, -2, np.nan]]]])
    dout = np.array([[[[1.0, 2], [4, 8]]]])
    network = Network([MaxPool(2), Flatten(), Dense(1)], (1, 4, 4), loss="mse")
    spec = described(network)
    spec["description"]["layers"] = spec["description"]["layers"][:1]
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
        case, wanted = case_of(network, np.array([[2.0, -2, 0], [-2, 2, 1]]), np.array(y), "train", 0)
        held(answers([case])[0], wanted, EXACT)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 7, 5), (4, 8, 16), (9, 2, 33), (17, 66, 10)])
@pytest.mark.parametrize("numbers", ["Float32Array", "Float64Array"])
def test_fast_products_are_the_plain_loops(sizes, numbers):
    """Transposed or not, with a start in the middle of an array, added to what is there."""
    rows, inner, columns = sizes
    rng = np.random.default_rng(rows)
    whole = {"rows": rows, "inner": inner, "columns": columns}
    cases = []
    for turned_a in (False, True):
        for turned_b in (False, True):
            A = {"data": rng.standard_normal(3 + rows * inner), "start": 3,
                 "rowStep": 1 if turned_a else inner, "columnStep": rows if turned_a else 1}  # fmt: skip
            B = {"data": rng.standard_normal(2 + inner * columns), "start": 2,
                 "rowStep": 1 if turned_b else columns, "columnStep": inner if turned_b else 1}  # fmt: skip
            C = {"data": rng.standard_normal(1 + rows * columns), "start": 1}
            for run in ("plainProduct", "product"):
                cases.append({"run": "product", "sizes": whole, "A": A, "B": B, "C": C,
                              "numbers": numbers, "call": run})  # fmt: skip
    found = answers(cases)
    for plain, fast in zip(found[::2], found[1::2], strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-5, atol=1e-5)


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
