"""A network's plain layers at prediction give what the network gives."""

from itertools import pairwise

import numpy as np
import pytest

from handgrad.errors import ExportError
from handgrad.export.folding import Scale, Step, steps_of
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
from handgrad.network_spec import KINDS

ALL = frozenset(KINDS.values()) - {Dropout}


def given(layers, shape, seed=0):
    """A network with statistics and parameters of no special value."""
    rng = np.random.default_rng(seed)
    network = Network(layers, shape, rng=rng)
    for group in (network.params, network.state):
        for name, array in group.items():
            low = 0.5 if "var" in name or "gamma" in name else -1.0
            group[name] = rng.uniform(low, 1.5, array.shape)
    return network


def scores(steps: list[Step], X):
    """Run the steps as one-layer networks."""
    for step in steps:
        if isinstance(step.layer, Scale):
            X = X * step.layer.factor
            continue
        own = Network([step.layer, Flatten()], step.input_shape, rng=np.random.default_rng(0))
        for group in (own.params, own.state):
            group.update({name: step.arrays[name[:-1]] for name in group})
        X = own.activations(X)[0]
        assert X.shape[1:] == step.output_shape
    return X


NETWORKS = {
    "into dense": ([Dense(5), ReLU(), Dropout(0.6), Dense(3)], (4,)),
    "at the start": ([Dropout(0.9), Dense(3)], (4,)),
    "at the end": ([Dense(3), Dropout(0.7)], (4,)),
    "alone": ([Dropout(0.7)], (4,)),
    "twice": ([Dropout(0.5), ReLU(), Dropout(0.5), Dense(3)], (4,)),
    "before what bends": ([Dense(5), Dropout(0.5), Tanh(), Dropout(0.8), GELU(), Dense(2)], (4,)),
    "into batch norm": ([Dense(4), Dropout(0.5), BatchNorm(), SiLU(), Dense(2)], (3,)),
    "layer norm": ([Dropout(0.5), LayerNorm(eps=0.3), Dense(2)], (3,)),
    "through pools": (
        [
            Conv(3, size=3, padding=1), BatchNorm(), LeakyReLU(), Dropout(0.5), MaxPool(2),
            AvgPool(2), Conv(4, size=1, bias=True), BatchNorm(), Sigmoid(), Dropout(0.5),
            GlobalAvgPool(), Dense(3),
        ],
        (2, 8, 8),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_steps_give_what_the_network_gives(name, fold):
    layers, shape = NETWORKS[name]
    network = given(layers, shape)
    steps = steps_of(network, ALL, "C", fold_batch_norm=fold)
    X = np.random.default_rng(1).normal(size=(9, *shape))
    np.testing.assert_allclose(scores(steps, X), network.loss(X), rtol=1e-12, atol=1e-12)
    assert not any(isinstance(step.layer, Dropout) for step in steps)


def test_dropout_leaves_a_scale_only_where_no_weights_can_take_it():
    def scales(name):
        steps = steps_of(given(*NETWORKS[name]), ALL, "ONNX")
        return [step.layer.factor for step in steps if isinstance(step.layer, Scale)]

    kept = {name: scales(name) for name in NETWORKS}
    assert {name: found for name, found in kept.items() if found} == {
        "at the end": [0.7],
        "alone": [0.7],
        "before what bends": [0.5, 0.8],
        "layer norm": [0.5],
    }


def test_batch_norm_goes_into_the_weights_before_it():
    network = given(*NETWORKS["through pools"])
    steps = steps_of(network, ALL, "C", fold_batch_norm=True)
    assert [type(step.layer) for step in steps if step.arrays] == [Conv, Conv, Dense]
    assert all("b" in step.arrays for step in steps if step.arrays)
    assert steps[0].layer.bias  # its Conv had none
    behind = steps_of(given([BatchNorm(), Dense(2)], (3,)), ALL, "C", fold_batch_norm=True)
    assert [type(step.layer) for step in behind] == [BatchNorm, Dense]


def test_the_network_is_left_as_it_is():
    network = given(*NETWORKS["through pools"])
    before = {name: array.copy() for name, array in {**network.params, **network.state}.items()}
    steps_of(network, ALL, "C", fold_batch_norm=True)
    for name, array in {**network.params, **network.state}.items():
        assert np.array_equal(array, before[name])


def test_shapes_follow_each_other_and_positions_are_the_networks():
    network = given(*NETWORKS["through pools"])
    steps = steps_of(network, ALL, "ONNX")
    assert all(a.output_shape == b.input_shape for a, b in pairwise(steps))
    assert all(type(network.layers[step.position]) is type(step.layer) for step in steps)


def test_what_cannot_be_written_is_named():
    network = given([Dense(3), Tanh(), Dense(2), GELU()], (4,))
    with pytest.raises(ExportError, match=r"^cannot write Tanh \(layer 1\), GELU \(layer 3\) as C"):
        steps_of(network, ALL - {Tanh, GELU}, "C")
    network.params["W2"][0, 0] = np.nan
    with pytest.raises(ExportError, match="cannot write W2 as C: it has values that are not finit"):
        steps_of(network, ALL, "C")


def test_a_layer_that_derives_from_a_known_one_is_not_taken_for_it():
    class Twice(ReLU):
        def forward(self, x, own, context):
            return 2 * x, None

    with pytest.raises(ExportError, match=r"Twice \(layer 0\)"):
        steps_of(given([Twice(), Dense(2)], (3,)), ALL, "ONNX")
