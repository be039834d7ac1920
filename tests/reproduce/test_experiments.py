"""The assignment's experiments: their spaces, their networks, and which rows they may see."""

import dataclasses
import json

import numpy as np
import pytest

from handgrad import checkpoint
from handgrad.datasets import Dataset
from handgrad.datasets.course import stand_in
from handgrad.experiments import (
    EXPERIMENTS,
    PROFILES,
    QUESTIONS,
    Budget,
    Experiment,
    RecipeExperiment,
)
from handgrad.experiments.mnist_conv import ARCHITECTURES
from handgrad.reproduce.training import (
    Diverged,
    read_final,
    run_candidate,
    run_final,
    standardise,
    streams,
)
from handgrad.selection import Search
from handgrad.solver import Solver

SHAPES = {"course": (20,), "mnist": (1, 28, 28)}
THOROUGH = ("standard", "full")
SEARCHED = {id: e for id, e in EXPERIMENTS.items() if isinstance(e, Experiment)}
RECIPES = {id: e for id, e in EXPERIMENTS.items() if isinstance(e, RecipeExperiment)}


def space(experiment, profile):
    return SEARCHED[experiment].budgets[profile].space


# what is searched -------------------------------------------------------------------------------


def test_the_items_of_the_assignment_are_there():
    assert list(SEARCHED) == ["2.3", "2.4", "3.3", "3.4", "4.3", "4.4", "5.3", "5.4"]
    assert [e.data for e in SEARCHED.values()] == ["course"] * 4 + ["mnist"] * 4
    assert list(RECIPES) == ["6.2", "6.3"]
    assert [e.data for e in RECIPES.values()] == ["cifar10"] * 2
    assert QUESTIONS == (2, 3, 4, 5, 6, 7)
    for id, experiment in EXPERIMENTS.items():
        assert (experiment.id, experiment.question) == (id, int(id[0]))
        assert set(experiment.budgets) == set(PROFILES) == {"smoke", "standard", "full"}


@pytest.mark.parametrize("profile", THOROUGH)
@pytest.mark.parametrize("experiment", ["2.4", "3.4", "4.4"])
def test_five_hidden_sizes_with_learning_rate_and_penalty(experiment, profile):
    values = space(experiment, profile)
    assert set(values) == {"hidden_dim", "learning_rate", "reg"}
    assert len(set(values["hidden_dim"])) >= 5
    assert len(set(values["learning_rate"])) >= 2
    assert len(set(values["reg"])) >= 2


@pytest.mark.parametrize("profile", THOROUGH)
@pytest.mark.parametrize("experiment", ["2.3", "3.3", "4.3"])
def test_the_linear_models_have_no_hidden_size(experiment, profile):
    assert set(space(experiment, profile)) == {"learning_rate", "reg"}


@pytest.mark.parametrize("profile", THOROUGH)
def test_the_convnet_searches_filter_size_and_hidden_units(profile):
    values = space("5.3", profile)
    assert set(values) == {"filter_size", "hidden_dim"}
    assert len(set(values["filter_size"])) >= 3
    assert len(set(values["hidden_dim"])) >= 3


@pytest.mark.parametrize("profile", THOROUGH)
def test_the_regularised_convnet_searches_architecture_and_dropout_rate(profile):
    values = space("5.4", profile)
    assert set(values) == {"architecture", "keep"}
    assert len(set(values["keep"]) - {1.0}) >= 3
    chosen = [ARCHITECTURES[name] for name in values["architecture"]]
    assert {part["blocks"] for part in chosen} == {1, 2}
    assert len({tuple(part["batchnorm"]) for part in chosen}) >= 2
    assert len({tuple(part["dropout_at"]) for part in chosen}) >= 2
    assert all(part["batchnorm"] and part["dropout_at"] for part in chosen)


@pytest.mark.parametrize(("name", "parts"), ARCHITECTURES.items())
def test_an_architecture_is_what_its_name_says(name, parts):
    blocks, norm, dropout = name.split(", ")
    places = {"fc": {"dense"}, "conv": {"conv"}, "everywhere": {"conv", "dense"}}
    assert blocks.split()[0] == str(parts["blocks"])
    assert places[norm.split()[-1]] == set(parts["batchnorm"])
    assert places[dropout.split()[-1]] == set(parts["dropout_at"])
    params = {"architecture": name, "keep": 0.5}
    network = SEARCHED["5.4"].build(params, SHAPES["mnist"], np.random.default_rng(0))
    built = [type(layer).__name__ for layer in network.layers]
    flat = built.index("Flatten")
    for kind, where in (("BatchNorm", "batchnorm"), ("Dropout", "dropout_at")):
        assert built[:flat].count(kind) == parts["blocks"] * ("conv" in parts[where])
        assert built[flat:].count(kind) == ("dense" in parts[where])
    assert built.count("Conv") == built.count("MaxPool") == parts["blocks"]


@pytest.mark.parametrize("profile", THOROUGH)
def test_five_seeds_for_the_binary_data_and_three_for_mnist(profile):
    for experiment in SEARCHED.values():
        expected = {"course": 5, "mnist": 3}[experiment.data]
        assert experiment.budgets[profile].seeds == expected, experiment.id
        assert experiment.budgets[profile].train_rows is None, experiment.id  # every row


@pytest.mark.parametrize("profile", PROFILES)
def test_the_nets_without_dropout_are_a_control_and_no_candidate_else_is(profile):
    budget = SEARCHED["5.4"].budgets[profile]
    assert budget.controls == [p for p in budget.candidates if p["keep"] == 1.0]
    assert len(budget.controls) == len(budget.space["architecture"])
    for id, experiment in SEARCHED.items():
        if id != "5.4":
            assert experiment.budgets[profile].controls == []


def test_candidates_are_all_different():
    for experiment in SEARCHED.values():
        for profile, budget in experiment.budgets.items():
            seen = {json.dumps(params) for params in budget.candidates}
            assert len(seen) == len(budget.candidates) >= 2, (experiment.id, profile)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("id", SEARCHED)
def test_every_candidate_takes_a_finite_training_step(id, profile):
    experiment = SEARCHED[id]
    rng = np.random.default_rng(0)
    shape, classes = SHAPES[experiment.data], {"course": 2, "mnist": 10}[experiment.data]
    X, y = rng.standard_normal((3, *shape)), np.arange(3) % classes
    data = {"X_train": X, "y_train": y, "X_val": X[:1], "y_val": y[:1]}
    for params in experiment.budgets[profile].candidates:
        network = experiment.build(params, shape, np.random.default_rng(0))
        assert np.prod(network.input_shape) == np.prod(shape)
        before = {name: array.copy() for name, array in network.params.items()}
        settings = {"num_epochs": 1, "num_train_samples": 1, **experiment.solver(params)}
        solver = Solver(network, data, rng=rng, verbose=False, **settings)
        solver.train()
        assert len(solver.loss_history) == 1, params
        assert np.isfinite(solver.loss_history).all(), params
        for name, array in network.params.items():
            assert np.isfinite(array).all(), (params, name)
        assert any((network.params[name] != before[name]).any() for name in before), params


# randomness -------------------------------------------------------------------------------------


def test_experiments_and_seeds_have_streams_of_their_own():
    first = set()
    for experiment in SEARCHED.values():
        for seed in (0, 1, 2, 3, 4, 10, 2**40):
            first.update(rng.integers(2**63) for rng in streams(experiment, seed))
    assert len(first) == len(SEARCHED) * 7 * 2


def test_a_stream_depends_on_experiment_and_seed_alone():
    once, again = (streams(SEARCHED["5.4"], 3) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a.integers(2**63, size=8), b.integers(2**63, size=8))


# standardising ----------------------------------------------------------------------------------


def dataset(X, y, train, val):
    val = train + val
    splits = (X[:train], y[:train], X[train:val], y[train:val], X[val:], y[val:])
    return Dataset("course", *splits, "made up", {}, True, None)


@pytest.mark.parametrize("shape", [(6,), (1, 4, 4)])
def test_only_training_rows_decide_the_standardisation(shape):
    X = 3.0 + 2.0 * np.random.default_rng(0).standard_normal((30, *shape))
    X[20:] = np.nan  # validation and test
    ready, mean, std = standardise(dataset(X, np.zeros(30, int), 20, 5), None)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    axes = 0 if len(shape) == 1 else None
    np.testing.assert_allclose(ready.X_train.mean(axis=axes), 0, atol=1e-12)
    np.testing.assert_allclose(ready.X_train.std(axis=axes), 1, atol=1e-12)
    assert mean.shape == std.shape == (shape if len(shape) == 1 else ())


def test_train_rows_cuts_before_the_mean_and_leaves_constant_features_alone():
    X = np.column_stack([np.arange(10.0), np.full(10, 7.0)])
    ready, mean, std = standardise(dataset(X, np.arange(10), 6, 2), 4)
    # The first four rows, 0 to 3: mean 1.5, variance (2.25 + 0.25) * 2 / 4 = 1.25.
    np.testing.assert_allclose(mean, [1.5, 7.0])
    np.testing.assert_allclose(std, [1.25**0.5, 1.0])
    assert (len(ready.X_train), len(ready.y_train), len(ready.X_val)) == (4, 4, 2)
    np.testing.assert_allclose(ready.X_test[:, 0], (np.array([8.0, 9.0]) - 1.5) / 1.25**0.5)
    np.testing.assert_array_equal(ready.X_train[:, 1], 0.0)


# which rows a run sees --------------------------------------------------------------------------


class Untouchable:
    """Test rows during a search: whatever is done with them is an error."""

    def __getattribute__(self, name):
        raise AssertionError(f"the search touched the test rows ({name})")

    def _refuse(self, *_):
        raise AssertionError("the search touched the test rows")

    __len__ = __getitem__ = __iter__ = __array__ = __sub__ = __add__ = __bool__ = _refuse


class Spy:
    """A model that writes down which rows it was trained on and which it scored."""

    def __init__(self):
        self.params, self.state = {"W1": np.zeros((2, 1))}, {}
        self.loss_name, self.layers = "svm", ()
        self.input_shape, self.reg, self.weight_scale = (2,), 0.0, "he"
        self.dtype = np.dtype("float64")
        self.seen = []

    def loss(self, X, y=None):
        kind = "score" if y is None else "train"
        self.seen += [(kind, round(float(row[0]))) for row in X]
        return np.zeros(len(X)) if y is None else (1.0, {"W1": np.zeros((2, 1))})


def spied(**budget):
    """An experiment of the spy, and the list of its models; row i's first feature is i."""
    models = []

    def build(params, input_shape, rng):
        models.append(Spy())
        return models[-1]

    budget = Budget({"reg": [1.0, 2.0]}, 2, 3, 1, **budget)
    experiment = Experiment(
        "2.3", "Spy", "course", build, lambda params: {"batch_size": 7}, {"smoke": budget}
    )
    X = np.column_stack([np.arange(100.0), np.zeros(100)])
    return experiment, budget, models, dataset(X, np.arange(100) % 2, 50, 20)


def nothing(done):
    assert 0 <= done <= 1


def test_a_search_never_touches_the_test_rows_nor_trains_on_validation_rows(tmp_path):
    experiment, budget, models, data = spied(repeats=2)
    data = dataclasses.replace(data, X_test=Untouchable(), y_test=Untouchable())
    search = Search.prepare(tmp_path / "j", "2.3", budget.space)
    for _ in range(3):  # one more than there are candidates
        run_candidate(experiment, budget, data, search, tmp_path / "runs", 0, nothing)
    assert search.open_candidates() == []
    assert len(models) == 2 * 2
    for model in models:
        trained = [row for kind, row in model.seen if kind == "train"]
        assert sorted(trained) == sorted(2 * list(range(50)))  # every row once an epoch
        assert {row for kind, row in model.seen if kind == "score"} == set(range(70))
    histories = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("history.jsonl"))
    assert histories == [
        f"runs/candidate-00{c}/repeat-{r}/history.jsonl" for c in (0, 1) for r in (0, 1)
    ]


def test_a_retraining_scores_each_test_row_once_and_last(tmp_path):
    experiment, budget, models, data = spied()
    arguments = (data, (np.zeros(2), np.ones(2)), 0, tmp_path / "seed-0", nothing)
    run = run_final(experiment, budget, {"reg": 1.0}, *arguments)
    (model,) = models
    tests = [row for _, row in model.seen if row >= 70]
    assert tests == list(range(70, 100))
    assert model.seen[-30:] == [("score", row) for row in range(70, 100)]
    assert {row for kind, row in model.seen if kind == "train"} == set(range(50))
    assert run.test_rows == 30
    # So nobody trains or scores it again; another candidate's run would not count.
    assert read_final(tmp_path / "seed-0", {"reg": 1.0}) == run
    assert read_final(tmp_path / "seed-0", {"reg": 2.0}) is None
    assert read_final(tmp_path / "seed-1", {"reg": 1.0}) is None


def test_the_stand_in_has_no_row_twice():
    X, _ = stand_in()
    assert len(np.unique(X, axis=0)) == 1000  # so no validation row can be a training row


# a real candidate, diverging or interrupted -----------------------------------------------------


def easy(rows, shape=(20,)):
    """Make up an easy problem; with 1,000 training rows or more, runs leave checkpoints."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, rows)
    X = rng.standard_normal((rows, *shape)) + y.reshape(-1, *(1 for _ in shape))
    return dataset(X, y, rows - 100, 50)


def test_a_diverging_candidate_is_recorded_and_the_search_goes_on(tmp_path):
    experiment, data = SEARCHED["2.4"], easy(200)
    values = {"hidden_dim": [5], "reg": [0.1], "learning_rate": [1e200, 0.1]}
    budget = Budget(values, 2, 2, 1)
    search = Search.prepare(tmp_path / "j", "2.4", values)
    for _ in range(2):
        run_candidate(experiment, budget, data, search, tmp_path, 0, nothing)
    failed, fine = search.trials()
    assert failed.val_accuracy is None
    assert "the loss became" in failed.error
    assert fine.val_accuracy > 0.5
    assert search.best()["learning_rate"] == 0.1
    scaling, folder = (np.zeros(1), np.ones(1)), tmp_path / "f"
    retrained = run_final(experiment, budget, failed.params, data, scaling, 0, folder, nothing)
    assert isinstance(retrained, Diverged)
    assert retrained.error == failed.error
    assert read_final(tmp_path / "f", failed.params) is None


class Killed(BaseException):
    """Stands for kill -9: nothing may catch it."""


def killed_at(fraction):
    def report(done):
        if done >= fraction:
            raise Killed

    return report


@pytest.mark.parametrize("id", ["2.4", "5.4"])
def test_an_interrupted_run_goes_on_to_the_same_numbers(tmp_path, id):
    experiment = SEARCHED[id]
    # 5.4: batch norm's running state and dropout's generator must survive as well.
    data = easy(1102, (1, 6, 6) if id == "5.4" else (20,))
    params = experiment.budgets["smoke"].candidates[0]
    budget = Budget({name: [value] for name, value in params.items()}, 4, 4, 1)
    common = (experiment, budget, params, data, (np.zeros(1), np.ones(1)), 0)
    whole = run_final(*common, tmp_path / "whole", nothing)
    for fraction in (0.25, 0.75):
        with pytest.raises(Killed):
            run_final(*common, tmp_path / "cut", killed_at(fraction))
        assert (tmp_path / "cut/checkpoint.safetensors").exists()
        assert not (tmp_path / "cut/run.json").exists()
    cut = run_final(*common, tmp_path / "cut", nothing)
    assert dataclasses.replace(cut, seconds=0) == dataclasses.replace(whole, seconds=0)
    assert not (tmp_path / "cut/checkpoint.safetensors").exists()
    arrays = [checkpoint.read(tmp_path / f / "model.safetensors")[0] for f in ("whole", "cut")]
    assert arrays[0].keys() == arrays[1].keys()
    for name, array in arrays[0].items():
        np.testing.assert_array_equal(array, arrays[1][name], err_msg=name)
    # The search's candidate, too, from its own checkpoint.
    search = Search.prepare(tmp_path / "j", id, budget.space)
    with pytest.raises(Killed):
        run_candidate(experiment, budget, data, search, tmp_path, 0, killed_at(0.5))
    search = Search.prepare(tmp_path / "j", id, budget.space)
    reported = []
    run_candidate(experiment, budget, data, search, tmp_path, 0, reported.append)
    assert reported == [0.75, 1.0]  # the first half was not done again
    assert search.trials()[0].val_accuracy == whole.val_accuracy
