"""A network's description in JSON: it builds the same network, and only from handgrad's layers."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from handgrad import network_spec
from handgrad.errors import CheckpointError
from handgrad.network import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    MaxPool,
    Network,
    ReLU,
    Sigmoid,
)


def a_network():
    layers = [Conv(4, 3, padding=1, bias=True), BatchNorm(0.8), ReLU(), MaxPool(2, 1), Flatten()]
    layers += [Dense(6), Sigmoid(), Dropout(0.75), Dense(3)]
    return Network(layers, (2, 5, 5), reg=0.01, dtype=np.float32, rng=np.random.default_rng(3))


def test_what_comes_back_computes_the_same():
    first = a_network()
    second = network_spec.from_spec(json.loads(json.dumps(network_spec.to_spec(first))))
    assert second.layers == first.layers
    assert (second.reg, second.dtype, second.loss_name) == (0.01, np.float32, "softmax")
    second.params.update(first.params)
    second.state.update(first.state)
    X = np.random.default_rng(0).normal(size=(3, 2, 5, 5)).astype(np.float32)
    np.testing.assert_array_equal(first.loss(X), second.loss(X))


def test_every_layer_of_the_library_has_a_description():
    assert {"Dense", "Conv", "Dropout"} <= set(network_spec.KINDS)
    assert not {"Network", "Layer"} & set(network_spec.KINDS)


def test_initial_weights_are_those_of_the_generator():
    spec = network_spec.to_spec(a_network())
    again = network_spec.from_spec(spec, rng=np.random.default_rng(3))
    np.testing.assert_array_equal(again.params["W1"], a_network().params["W1"])


def test_a_foreign_layer_is_refused():
    @dataclass(frozen=True)
    class Dense2(Dense):
        pass

    with pytest.raises(CheckpointError, match=r"handgrad's own layers \(.*\); got .*Dense2"):
        network_spec.to_spec(Network([Dense2(3)], (4,), rng=np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s["layers"][0].update(kind="Attention"), "has no layer Attention; it has"),
        (lambda s: s["layers"].__setitem__(0, 7), "has no layer None"),
        (lambda s: s["layers"][0].update(dilation=2), "in this version of handgrad; got"),
        (lambda s: s["layers"][0].pop("filters"), "Conv has the settings filters, size"),
        (lambda s: s.pop("reg"), "must have layers, input_shape"),
        (lambda s: s.update(loss="focal"), "is damaged: Network: loss must be one of"),
        (lambda s: s.update(layers=3), "is damaged"),
        (lambda s: s.update(dtype="float99"), "is damaged"),
        (lambda s: s["layers"][7].update(keep=float("nan")), "settings must be finite"),
        (lambda s: s["layers"][5].update(units="9"), "is damaged"),
    ],
)
def test_a_damaged_or_newer_description_is_refused(change, said):
    spec = network_spec.to_spec(a_network())
    change(spec)
    with pytest.raises(CheckpointError) as error:
        network_spec.from_spec(spec)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
