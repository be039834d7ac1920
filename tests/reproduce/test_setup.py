"""What was trained is read off what trained: networks, solvers, recipes."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from handgrad import optim
from handgrad.cnn import ConvNet
from handgrad.datasets.course import stand_in
from handgrad.experiments import EXPERIMENTS, PROFILES, Experiment
from handgrad.network_spec import layers_of
from handgrad.reproduce import setup as setups
from handgrad.reproduce.setup import schedule_text
from handgrad.reproduce.training import run_final, standardisation_text, standardise
from handgrad.results import LayerRecord, Setup
from handgrad.typed_json import from_json

SHAPES = {"course": (20,), "mnist": (1, 28, 28)}
SEARCHED = {id: e for id, e in EXPERIMENTS.items() if isinstance(e, Experiment)}


def test_layers_shapes_and_parameters_by_hand():
    # 28 - 5 + 1 = 24, pooled 12; 8 * 12 * 12 = 1152 inputs of 16 units; norms have 2 a channel.
    net = ConvNet(
        (1, 28, 28), num_filters=8, filter_size=5, hidden_dim=16, batchnorm=["conv"], dropout=0.7
    )
    assert layers_of(net) == (
        LayerRecord("Conv", "filters 8, size 5, stride 1, padding 0, bias False", (8, 24, 24), 200),
        LayerRecord("BatchNorm", "momentum 0.9, eps 1e-05", (8, 24, 24), 16),
        LayerRecord("ReLU", "", (8, 24, 24), 0),
        LayerRecord("MaxPool", "size 2", (8, 12, 12), 0),
        LayerRecord("Flatten", "", (1152,), 0),
        LayerRecord("Dense", "units 16", (16,), 1152 * 16 + 16),
        LayerRecord("ReLU", "", (16,), 0),
        LayerRecord("Dropout", "keep 0.7 (drop 0.3)", (16,), 0),
        LayerRecord("Dense", "units 10", (10,), 170),
    )


@pytest.mark.parametrize("id", SEARCHED)
@pytest.mark.parametrize("profile", PROFILES)
def test_layers_have_the_networks_shapes_and_parameters(id, profile):
    experiment = SEARCHED[id]
    params = experiment.budgets[profile].candidates[-1]
    net = experiment.build(params, SHAPES[experiment.data], np.random.default_rng(0))
    found = layers_of(net)
    assert sum(layer.parameters for layer in found) == sum(a.size for a in net.params.values())
    outputs = net.activations(np.zeros((1, *net.input_shape)))
    assert [layer.output_shape for layer in found] == [out.shape[1:] for out in outputs]


def test_schedules_are_named_with_their_settings():
    assert schedule_text(optim.one_cycle()) == "one_cycle: final 0.0001, start 0.04, warm_up 0.3"
    assert schedule_text(optim.cosine(0.25)) == "cosine: final 0.25"
    assert schedule_text(optim.constant()) == "constant"


def test_standardisations_in_words():
    assert standardisation_text(np.zeros(20), np.ones(20)) == (
        "each feature less its mean, over its deviation, both of the training rows"
    )
    assert standardisation_text(np.asarray(0.13066), np.asarray(0.3081)) == (
        "pixels in [0, 1] less 0.1307, over 0.3081: mean and deviation of all pixels of the "
        "training rows"
    )


def test_a_retraining_records_what_it_trained(tmp_path, made_up):
    experiment = SEARCHED["2.4"]
    budget = experiment.budgets["smoke"]
    params = budget.candidates[0]
    ready, mean, std = standardise(made_up, None)
    run = run_final(experiment, budget, params, ready, (mean, std), 0, tmp_path, lambda done: None)
    found = run.setup
    assert found.layers == (
        LayerRecord("Dense", "units 5", (5,), 105),
        LayerRecord("ReLU", "", (5,), 0),
        LayerRecord("Dense", "units 1", (1,), 6),
    )
    assert (found.train_rows, found.val_rows, found.test_rows) == (500, 250, 250)
    assert found.initialisation == "weights normal with mean 0 and deviation 0.1, biases 0"
    trained = (found.optimizer, found.schedule, found.batch_size)
    assert trained == ("nesterov", "cosine: final 0.0", 20)
    assert found.fixed == {"momentum": 0.9, "dtype": "float64"}  # the rest was searched
    assert found.searched == {name: tuple(v) for name, v in budget.space.items()}
    assert (found.search_epochs, found.search_rows, found.search_seeds) == (5, 500, 1)
    assert run.epochs == 5
    assert "at most 1,000 evenly spaced training rows" in found.training_accuracy
    assert found.validation_accuracy.startswith("the best epoch's")
    assert from_json(Setup, json.loads(json.dumps(asdict(found)))) == found


def test_what_is_not_searched_is_fixed(tmp_path, made_up):
    experiment = SEARCHED["2.3"]
    budget = replace(experiment.budgets["smoke"], space={"learning_rate": [0.1]})
    params = {"learning_rate": 0.1, "reg": 0.25}
    data, *standardisation = standardise(made_up, None)
    found = run_final(
        experiment, budget, params, data, standardisation, 0, tmp_path, lambda done: None
    ).setup
    assert found.fixed == {"reg": 0.25, "momentum": 0.9, "dtype": "float64"}


@pytest.fixture
def made_up():
    from handgrad.datasets import Dataset

    X, y = stand_in()
    parts = [
        part
        for i in (0, 500, 750)
        for part in (X[i:][: 500 if not i else 250], y[i:][: 500 if not i else 250])
    ]
    return Dataset("course", *parts, "made up", {}, True, None)


# question 6 -------------------------------------------------------------------------------------


def test_modules_of_the_given_net_by_hand():
    vgg = pytest.importorskip("handgrad.vgg", reason="PyTorch is not installed")
    found = setups.modules_of(vgg.RECIPES["as-given"])
    kinds = [layer.kind for layer in found]
    assert (kinds.count("Conv2d"), kinds.count("MaxPool2d"), kinds.count("Linear")) == (8, 5, 2)
    assert found[0].output_shape == (8, 32, 32)
    assert found[0].parameters == 8 * 3 * 9 + 8
    shapes = [layer.output_shape for layer in found if layer.kind == "MaxPool2d"]
    assert shapes == [(8, 16, 16), (16, 8, 8), (32, 4, 4), (64, 2, 2), (64, 1, 1)]
    assert found[-1].output_shape == (10,)
    assert sum(layer.parameters for layer in found) == 149_370


def test_describing_a_recipe_leaves_the_global_generator_alone():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from handgrad.vgg import RECIPES

    torch.manual_seed(3)
    before = torch.get_rng_state()
    setups.modules_of(RECIPES["improved"])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_recipe_as_a_difference_field_by_field():
    vgg = pytest.importorskip("handgrad.vgg", reason="PyTorch is not installed")
    given, improved = vgg.RECIPES["as-given"], vgg.RECIPES["improved"]
    found = {d.name: (d.reference, d.here) for d in setups.differences(given, improved)}
    assert "name" not in found
    assert "summary" not in found
    assert found["optimizer"] == ("adam", "muon")
    assert found["batch_norm"] == (False, True)
    before, after = given.to_dict(), improved.to_dict()
    assert found == {
        name: (before[name], after[name])
        for name in before
        if before[name] != after[name] and name not in ("name", "summary")
    } | {"epochs": ("at most 60", 16)}  # with patience it is a limit
    assert setups.differences(given, given) == ()


def test_preprocessing_of_recipes_in_words():
    vgg = pytest.importorskip("handgrad.vgg", reason="PyTorch is not installed")
    given = vgg.RECIPES["as-given"]
    assert setups._images_text(given).endswith("over the training rows; no augmentation")
    assert setups._images_text(replace(given, normalize=False, flip="random", crop_padding=4)) == (
        "pixels scaled to [0, 1]; random crops of images padded by 4 reflected pixels; random "
        "mirroring"
    )
