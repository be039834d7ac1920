"""Explanations of single numbers: their totals are the numbers, and the differences agree."""

import itertools

import numpy as np
import pytest
from page_arithmetic import answers, described, needs_node
from random_networks import LOSSES, a_network

from handgrad.network import Conv, Dense, Flatten, MaxPool, Network, ReLU
from handgrad.theory.pages import ORDER, formula_numbers

NETWORKS = 5  # of each loss

pytestmark = needs_node


def explained(network, X, y, mode="train", some=4, **more):
    """Give the case in which some entries of every array are explained."""
    return {
        "run": "explain", **described(network), "X": X.ravel(), "y": np.ravel(y), "mode": mode,
        "some": some, "draws": np.random.default_rng(0).random(1_500), **more,
    }  # fmt: skip


def of_terms(found):
    """Compute an explanation's total from its terms."""
    products = [np.prod([factor["value"] for factor in term["factors"]]) for term in found["terms"]]
    for term, product in zip(found["terms"], products, strict=True):
        assert term["product"] == pytest.approx(product, rel=1e-12, abs=1e-300)
    if found["operation"] == "sum":
        return sum(products) * np.prod([factor["value"] for factor in found["scale"]])
    return max(products) if found["operation"] == "max" else found["total"]


@pytest.fixture(scope="module")
def found():
    """Explanations of networks of everything, in float64, in training and in testing."""
    cases = []
    for loss, seed in itertools.product(LOSSES, range(NETWORKS)):
        net, shape, X, y = a_network(np.random.default_rng([seed, len(loss), 4]), loss)
        network = Network(
            net, shape, loss=loss.replace("smoothed", "softmax"), loss_options=LOSSES[loss][0],
            reg=0.01 * (seed % 2), rng=np.random.default_rng(seed),
        )  # fmt: skip
        for name in network.state:
            network.state[name] = network.state[name] + 0.5
        cases.append(explained(network, X, y, "test" if seed % 3 == 2 else "train", some=3))
    return answers(cases)


def test_totals_are_the_entries_and_differences_agree(found):
    """Forward and backward, of every layer, parameter and loss; few differences cross a kink."""
    kinks = entries = 0
    for one in found:
        assert "error" not in one, one
        for each in (*one["forward"], *one["backward"], *one["losses"]):
            assert each["total"] == pytest.approx(of_terms(each), rel=1e-9, abs=1e-12)
            assert each["value"] == pytest.approx(each["total"], rel=1e-8, abs=1e-10), each
        for each in one["backward"]:
            entries += 1
            kinks += each["crossesKink"]
            if not each["crossesKink"]:
                scale = max(1.0, abs(each["above"]))
                assert each["numeric"] == pytest.approx(
                    each["value"], rel=1e-5, abs=1e-7 * scale
                ), each
        mean = np.mean([each["value"] for each in one["losses"]])
        assert mean + one["penalty"] == pytest.approx(one["loss"], rel=1e-9)
    assert kinks < 0.1 * entries


def test_every_formula_is_one_of_the_theorys(found):
    """Each explanation names a page of the theory and a formula on it, and says a sentence."""
    known, seen = formula_numbers(), set()
    for one in found:
        for each in (*one["forward"], *one["backward"], *one["losses"]):
            theory = each["theory"]
            assert theory["page"] in ORDER
            assert known[theory["formula"]][0] == theory["page"], theory
            assert each["says"].endswith(".")
            assert " = " in each["formula"]
            assert " = " in each["numbers"]
            seen.add(theory["formula"])
    assert len(seen) > 40


def test_a_convolutions_sum_by_hand():
    """out[0, 0, 1, 0] of an image 1 ... 9 and the filter 1, 2, 3, 4: 4 + 2*5 + 3*7 + 4*8 = 67."""
    network = Network([Conv(1, 2), ReLU(), MaxPool(2), Flatten(), Dense(2)], (1, 3, 3))
    network.params["W1"] = np.array([[[[1.0, 2], [3, 4]]]])
    network.params["W2"] = np.array([[1.0, -1.0]])
    X, y = np.arange(1.0, 10).reshape(1, 1, 3, 3), [0]
    (found,) = answers([explained(network, X, y, some=100)])
    (one,) = [each for each in found["forward"] if each["name"] == "out[0, 0, 1, 0]"
              and "x[n, c, i + k" in each["formula"]]  # fmt: skip
    assert one["total"] == one["value"] == 67
    assert one["numbers"] == "4 · 1 + 5 · 2 + 7 · 3 + 8 · 4 = 67"
    assert [term["factors"][0]["index"] for term in one["terms"]] == [
        [0, 0, 1, 0], [0, 0, 1, 1], [0, 0, 2, 0], [0, 0, 2, 1]]  # fmt: skip
    patch = {"role": "patch", "array": "x", "position": 0, "from": [0, 0, 1, 0], "to": [0, 0, 2, 1]}
    assert patch in one["boxes"]
    # The pool's winner is 5 + 2*6 + 3*8 + 4*9 = 77, of all four windows.
    (pool,) = [each for each in found["forward"] if each["operation"] == "max"]
    assert pool["numbers"] == "max(37, 47, 67, 77) = 77"
    assert [term.get("note") for term in pool["terms"]] == [None, None, None, "the winner"]
    # Its gradient comes from the winner's patch alone: dW = patch * (p[0] - 1 - p[1]), p = softmax.
    tap = next(each for each in found["backward"] if each["name"] == "dW1[0, 0, 1, 1]")
    upstream = -2 / (1 + np.exp(2 * 77.0))
    assert tap["value"] == pytest.approx(9 * upstream)
    assert [term["factors"][1]["value"] != 0 for term in tap["terms"]] == [False] * 3 + [True]


def test_a_kink_is_told():
    """Where ReLU's input is 0 to rounding, the difference is said to cross a kink."""
    network = Network([ReLU(), Dense(2)], (2,), rng=np.random.default_rng(0))
    (found,) = answers([explained(network, np.array([[0.0, 2.0]]), [1], some=9)])
    of_x = [each for each in found["backward"] if each["kind"] == "ReLU"]
    assert [each["crossesKink"] for each in of_x] == [True, False]


@pytest.mark.parametrize("loss", ["softmax", "mse"])
def test_float32_networks_have_float64_differences(loss):
    """The page's networks are float32 mostly: the gradient and its difference agree to 1e-5."""
    network = Network(
        [Conv(4, 3), ReLU(), MaxPool(2), Flatten(), Dense(8), ReLU(), Dense(3)], (1, 10, 10),
        loss=loss, dtype="float32", rng=np.random.default_rng(1),
    )  # fmt: skip
    rng = np.random.default_rng(2)
    y = rng.integers(0, 3, 6) if loss == "softmax" else rng.standard_normal((6, 3))
    case = explained(network, rng.standard_normal((6, 1, 10, 10)).astype(np.float32), y, some=12)
    (found,) = answers([case])
    largest = max(abs(each["value"]) for each in found["backward"])
    for each in found["backward"]:
        assert each["crossesKink"] or each["numeric"] == pytest.approx(
            each["value"], rel=1e-5, abs=1e-5 * largest
        )
