"""Ctrl-C keeps the best so far; the same command goes on; one that is done says so."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from children import started
from own_data_runs import flowers, run, write_csv

from handgrad import report
from handgrad.models import load
from handgrad.own_data import fitting, run as running
from handgrad.training_record import TrainingRecord


@pytest.fixture(autouse=True)
def _in_a_folder_without_reports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "write_own", lambda record, path: None)


def test_ctrl_c_and_the_same_command_again(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 20))
    y = (np.sin(3 * X[:, 0]) + X[:, 1] * X[:, 2] > 0).astype(int)
    np.savez(tmp_path / "a.npz", X=X.astype(np.float32), y=y)
    words = ["train", "a.npz", "--out", "m", "--time", "300"]
    command = [sys.executable, "-m", "handgrad", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with started(command, cwd=tmp_path, **pipes) as process:
        waiting = time.monotonic() + 60
        while not (tmp_path / "m/checkpoint.safetensors").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < waiting
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Ctrl-C: kept the best so far (epoch " in err
    assert "the same command goes on" in err
    for name in ("majority", "linear", "net"):
        assert f" {name} " in out
    assert "test" not in out  # those rows have not been looked at
    names = {path.name for path in (tmp_path / "m").iterdir()}
    assert {"model.safetensors", "checkpoint.safetensors"} <= names
    assert "record.json" not in names
    kept = load(tmp_path / "m")
    assert "test" not in kept.metrics
    done = json.loads((tmp_path / "m/manifest.json").read_text())["seconds"]
    assert done > 0

    # With less time than it has used, the same command ends with what there is.
    code, out, err = run(monkeypatch, capsys, *words[:-1], "0.01")
    assert code == 0, err
    record = TrainingRecord.read(tmp_path / "m/record.json")
    assert record.interrupted
    assert record.seconds > done
    assert record.net.best_epoch == kept.about["epoch"]
    np.testing.assert_array_equal(
        load(tmp_path / "m").network.params["W1"], kept.network.params["W1"]
    )
    assert not list((tmp_path / "m").glob("*checkpoint*"))
    assert not list((tmp_path / "m").glob("best*"))


def test_a_run_that_goes_on_ends_as_one_that_was_never_interrupted(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())
    monkeypatch.setattr(running, "_CHECKPOINT_FROM_NUMBERS", 0)
    monkeypatch.setattr(fitting, "MOST_EPOCHS", 20)  # which end it, and not the clock
    words = ["train", "a.csv", "--target", "kind", "--time", "60"]
    assert run(monkeypatch, capsys, *words, "--out", "whole")[0] == 0
    told = fitting.best_epoch
    calls = []

    def interrupting(history):
        calls.append(len(history))
        if len(history) == 9:
            raise KeyboardInterrupt
        return told(history)

    monkeypatch.setattr(fitting, "best_epoch", interrupting)
    # The linear model is trained without a checkpoint, before the net: let it pass.
    linear = running.baselines.linear

    def undisturbed(*args):
        monkeypatch.setattr(fitting, "best_epoch", told)
        try:
            return linear(*args)
        finally:
            monkeypatch.setattr(fitting, "best_epoch", interrupting)

    monkeypatch.setattr(running.baselines, "linear", undisturbed)
    code, _, err = run(monkeypatch, capsys, *words, "--out", "parts")
    assert code == 130, err
    assert max(calls) == 9
    monkeypatch.setattr(fitting, "best_epoch", told)
    monkeypatch.setattr(running.baselines, "linear", linear)
    assert run(monkeypatch, capsys, *words, "--out", "parts")[0] == 0
    whole, parts = (TrainingRecord.read(tmp_path / n / "record.json") for n in ("whole", "parts"))
    assert parts.interrupted
    assert not whole.interrupted
    assert [e.val_loss for e in parts.net.history] == [e.val_loss for e in whole.net.history]
    assert parts.net.test == whole.net.test


def test_ctrl_c_before_there_is_anything_to_keep(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "fit", interrupt)
    words = ["train", "a.csv", "--target", "kind", "--out", "m"]
    code, out, err = run(monkeypatch, capsys, *words)
    assert (code, out) == (130, "")
    assert "kept" not in err
    assert not (tmp_path / "m/model.safetensors").exists()


def test_a_training_that_is_done_is_shown_again(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())
    words = ["train", "a.csv", "--target", "kind", "--out", "m", "--time", "1"]
    first = run(monkeypatch, capsys, *words)
    before = (tmp_path / "m/record.json").read_bytes()
    monkeypatch.setattr(running, "fit", None)
    code, out, err = run(monkeypatch, capsys, *words)
    assert code == 0
    assert out == first[1]
    assert "m holds this training, done" in err
    assert (tmp_path / "m/record.json").read_bytes() == before


def test_the_time_ends_an_epoch_in_its_middle():
    from own_data_problems import a_problem

    problem = a_problem(rows=3000)
    net = fitting.fit(problem, running.default_settings(3000, (4,)), fitting.Limits(0.0), 0)
    assert len(net.history) == 1
    assert net.stopped == "the time was up after one epoch or a part of it"
    assert not net.interrupted
