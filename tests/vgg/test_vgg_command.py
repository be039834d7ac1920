"""The command line: what it prints, where it writes, how it stops."""

import json
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner
from vgg_generated import generated, tiny

import handgrad.datasets
from handgrad.errors import DataError
from handgrad.vgg import RECIPES, command


@pytest.fixture
def invoke(monkeypatch, tmp_path):
    """Run the command on generated images, with every recipe made tiny."""
    for name in RECIPES:
        monkeypatch.setitem(RECIPES, name, tiny(name=name))
    asked = {}

    def load_cifar10(data_dir=None, *, offline=False, progress=None):
        asked.update(data_dir=data_dir, offline=offline)
        return generated()

    monkeypatch.setattr(handgrad.datasets, "load_cifar10", load_cifar10, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        result = CliRunner().invoke(command.command, ["--device", "cpu", *arguments])
        result.asked = asked
        return result

    return run


def test_help_explains_itself():
    run = subprocess.run(
        [sys.executable, "-m", "handgrad.vgg", "--help"], capture_output=True, text=True, check=True
    )
    for recipe in RECIPES.values():
        assert f"{recipe.name:14} {recipe.summary}" in run.stdout
    assert "torchrun --nproc-per-node 2 -m handgrad.vgg" in run.stdout
    assert "goes on from its last finished" in run.stdout


def test_a_run_prints_epochs_and_summary_and_writes_its_folder(invoke, tmp_path):
    result = invoke("--recipe", "as-given", "--seed", "3", "--offline", "--epochs", "1", "--test")
    assert result.exit_code == 0, result.output
    first, *rest = result.output.splitlines()
    assert first.startswith("epoch   1/1  loss 2.")
    assert rest[0].startswith("as-given, seed 3: ")
    assert rest[1].startswith("validation ")
    assert rest[2].startswith("test ")
    assert rest[3].endswith("written to runs/vgg/as-given-3")
    assert result.asked == {"data_dir": None, "offline": True}
    record = json.loads((tmp_path / "runs/vgg/as-given-3/result.json").read_text())
    assert record["test_accuracy"] is not None


def test_without_test_the_test_rows_stay_unseen(invoke, tmp_path):
    result = invoke("--out", "here")
    assert result.exit_code == 0, result.output
    assert "\ntest " not in result.output
    assert json.loads((tmp_path / "here/result.json").read_text())["test_accuracy"] is None


def test_ctrl_c_says_how_to_go_on(invoke, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_recipe", interrupted)
    result = invoke("--out", "here")
    assert result.exit_code == 130
    assert "Finished epochs are in here; the same command goes on from there." in result.stderr


def test_an_error_is_one_line(invoke, monkeypatch):
    def missing(*_, **__):
        raise DataError("CIFAR-10 was not found")

    monkeypatch.setattr(handgrad.datasets, "load_cifar10", missing)
    result = invoke()
    assert result.exit_code == 2
    assert result.stderr == "Error: CIFAR-10 was not found\n"
