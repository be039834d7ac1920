"""Question 6 inside reproduce: stages of recipes, on generated images, in this process."""

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from vgg_generated import generated, tiny

from handgrad.analysis import Analysis
from handgrad.datasets import Dataset
from handgrad.experiments import EXPERIMENTS, Ablation, RecipeBudget
from handgrad.reproduce import Job, recipe_stage, reproduce
from handgrad.reproduce.folder import opened
from handgrad.reproduce.recipe_stage import MISSING_TORCH, RecipeStage, recipe_of
from handgrad.reproduce.tasks import DataRequest
from handgrad.vgg import CHANGES, RECIPES

REQUEST = DataRequest("cifar10", None, ())


@pytest.fixture
def images(monkeypatch):
    """Generated images in place of the real ones, and recipes that train in a moment."""
    data = generated(train=60, val=20, test=20)
    images = Dataset(
        "cifar10", **vars(data), source="made up", sha256={}, stand_in=False, notice=None
    )
    monkeypatch.setattr(recipe_stage, "load", lambda request: images)
    monkeypatch.setitem(RECIPES, "improved", tiny(name="improved", epochs=1))
    return images


def experiment(**budget):
    return replace(EXPERIMENTS["6.3"], budgets={"smoke": RecipeBudget("improved", 2, **budget)})


def stage_of(experiment, folder, images, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "6.3", experiment)
    return RecipeStage(experiment, "smoke", 5, folder, REQUEST, images)


def work(stage, tasks):
    for task in tasks:
        stage.waiting.remove(task)
        assert stage.record is None
        stage.received(task, task(lambda done: None))


def test_a_recipe_is_trained_with_each_seed_and_recorded(images, tmp_path, monkeypatch):
    with opened(tmp_path / "out", profile="smoke", seed=5) as folder:
        stage = stage_of(experiment(), folder, images, monkeypatch)
        assert (stage.candidates_left, stage.finals_left) == (0, 2)
        assert stage.seconds_left == pytest.approx(sum(t.expected_seconds for t in stage.waiting))
        assert stage.seconds_left > 0
        work(stage, list(stage.waiting))
        record = stage.record
        assert record.chosen == {"recipe": "improved", "epochs": 1}
        assert (record.seeds, record.trials, record.epochs) == ((5, 6), (), 1)
        assert record.test_interval.rows == 20
        for seed, test, mirrored, model in zip(
            record.seeds,
            record.test_accuracy.values,
            record.test_accuracy_mirrored.values,
            record.models,
            strict=True,
        ):
            result = json.loads((folder.runs("6.3") / f"seed-{seed}/result.json").read_text())
            assert (result["test_accuracy"], result["test_accuracy_tta"]) == (test, mirrored)
            assert (folder.path / model).exists()
        for name, test in zip(record.analyses, record.test_accuracy.values, strict=True):
            assert Analysis.read(folder.path / name).accuracy == test
        assert all((folder.path / name).exists() for name in record.histories)


def test_what_is_done_is_not_done_again(images, tmp_path, monkeypatch):
    with opened(tmp_path / "out", profile="smoke", seed=5) as folder:
        first = stage_of(experiment(), folder, images, monkeypatch)
        work(first, first.waiting[:1])
        second = stage_of(experiment(), folder, images, monkeypatch)
        assert [task.seed for task in second.waiting] == [6]
        work(second, list(second.waiting))
        third = stage_of(experiment(), folder, images, monkeypatch)
        assert not third.waiting
        assert third.seconds_left == 0
        assert third.record == second.record
        (folder.final("6.3", 6) / "analysis.json").unlink()
        fourth = stage_of(experiment(), folder, images, monkeypatch)
        assert [task.seed for task in fourth.waiting] == [6]


def test_the_ablation_is_judged_on_validation_rows_alone(images, tmp_path, monkeypatch):
    names = ("improved", "relu", "no-flip")
    some = tuple(c for c in CHANGES if c.name in names)
    table = Ablation(epochs=2, changes=names, train_rows=40)
    with opened(tmp_path / "out", profile="smoke", seed=5) as folder:
        stage = stage_of(experiment(ablation=table), folder, images, monkeypatch)
        assert stage.candidates_left == 3
        work(stage, list(stage.waiting))
        assert [trial.params["change"] for trial in stage.record.trials] == [c.name for c in some]
        for trial in stage.record.trials:
            result = folder.runs("6.3") / "ablation" / trial.params["change"] / "result.json"
            assert json.loads(result.read_text())["test_accuracy"] is None
        relu, rows = recipe_of(next(t for t in _tasks(stage) if t.change == "relu"))
        assert (relu.activation, relu.epochs, rows) == ("relu", 2, 40)
        setup = stage.record.setup
        assert (setup.train_rows, setup.search_rows, setup.search_epochs) == (60, 40, 2)


def test_until_validation_stops_rising_the_record_says_how_long(images, tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "improved", tiny(name="improved", epochs=30, patience=1))
    with opened(tmp_path / "out", profile="smoke", seed=5) as folder:
        stage = stage_of(experiment(), folder, images, monkeypatch)
        work(stage, list(stage.waiting))
        record = stage.record
        results = [
            json.loads((folder.runs("6.3") / f"seed-{seed}/result.json").read_text())
            for seed in record.seeds
        ]
        longest = max(len(result["history"]) for result in results)
        assert record.epochs == record.chosen["epochs"] == longest < 30
        for result, accuracy in zip(results, record.val_accuracy.values, strict=True):
            assert accuracy == max(line["val_accuracy"] for line in result["history"])
        assert record.setup.validation_accuracy.startswith("the best epoch's")


def _tasks(stage):
    return [
        recipe_stage.RecipeTask("6.3", "smoke", REQUEST, None, 5, 0.0, name)
        for name in stage._changes
    ]


def test_smoke_uses_the_first_rows_only(images):
    few = recipe_stage._rows(images, 7)
    assert [len(x) for x in (few.X_train, few.y_train, few.X_val, few.X_test)] == [7, 7, 7, 7]
    assert recipe_stage._rows(images, None) is images


def test_without_torch_question_6_is_skipped_with_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr("handgrad.reproduce.job.torch_is_installed", lambda: False)
    heard = []
    watcher = SimpleNamespace(
        notice=heard.append,
        planning=lambda: None,
        planned=lambda stages, seconds: None,
        measuring=lambda study: None,
    )
    job = Job([6], "smoke", tmp_path / "out", "a test", offline=True, report=False)
    results = reproduce(job, watcher)
    assert [missing.reason for missing in results.not_run] == [MISSING_TORCH] * 2
    assert heard == [f"6.2, 6.3 will not run: {MISSING_TORCH}"]
    assert results.experiments == ()


def test_the_numpy_half_imports_no_heavy_library():
    code = (
        "import sys, handgrad.cli, handgrad.cnn, handgrad.solver; "
        "print(sorted({'torch', 'numba', 'matplotlib', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
