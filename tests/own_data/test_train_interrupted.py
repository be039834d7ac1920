"""Ctrl-C keeps the best so far; the same command goes on; one that is done says so."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

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


def interrupt_at(monkeypatch, epoch, *, of_the_net=True):
    """Raise KeyboardInterrupt when so many epochs of the net, or of the linear model, are over."""
    noted = fitting.epoch_record
    linear = running.baselines.linear

    def interrupting(record, task):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt
        return noted(record, task)

    def undisturbed(*args):
        with monkeypatch.context() as patched:
            patched.setattr(fitting, "epoch_record", noted)
            return linear(*args)

    monkeypatch.setattr(fitting, "epoch_record", interrupting)
    if of_the_net:
        monkeypatch.setattr(running.baselines, "linear", undisturbed)


def test_a_run_that_goes_on_ends_as_one_that_was_never_interrupted(tmp_path, monkeypatch, capsys):
    """However small the table is."""
    write_csv(tmp_path / "a.csv", flowers())
    monkeypatch.setattr(fitting, "MOST_EPOCHS", 20)  # which end it, and not the clock
    words = ["train", "a.csv", "--target", "kind", "--time", "60"]
    assert run(monkeypatch, capsys, *words, "--out", "whole")[0] == 0
    with monkeypatch.context() as patched:
        interrupt_at(patched, 9)
        code, _, err = run(patched, capsys, *words, "--out", "parts")
    assert code == 130, err
    epochs = []
    trained = running.fit

    def counted(problem, settings, limits, seed):
        told = limits.on_epoch
        watched = replace(limits, on_epoch=lambda e: (epochs.append(e.epoch), told(e))[1])
        return trained(problem, settings, watched, seed)

    monkeypatch.setattr(running, "fit", counted)
    assert run(monkeypatch, capsys, *words, "--out", "parts")[0] == 0
    assert epochs == list(range(9, 21))
    whole, parts = (TrainingRecord.read(tmp_path / n / "record.json") for n in ("whole", "parts"))
    assert parts.interrupted
    assert not whole.interrupted
    assert [e.val_loss for e in parts.net.history] == [e.val_loss for e in whole.net.history]
    assert parts.net.test == whole.net.test


def test_the_kept_best_is_not_replaced_by_a_worse_net(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())
    monkeypatch.setattr(fitting, "MOST_EPOCHS", 40)
    words = ["train", "a.csv", "--target", "kind", "--out", "m", "--time", "60"]
    with monkeypatch.context() as patched:
        interrupt_at(patched, 30)
        assert run(patched, capsys, *words)[0] == 130
    kept = load(tmp_path / "m")
    (tmp_path / "m/checkpoint.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr(fitting, "MOST_EPOCHS", 1)  # from the beginning, to a poor end
    code, _, err = run(monkeypatch, capsys, *words)
    assert code == 0, err
    assert "the checkpoint is not of this net, which is trained anew" in err
    record = TrainingRecord.read(tmp_path / "m/record.json")
    assert record.net.best_epoch == kept.about["epoch"]
    assert len(record.net.history) == 29
    assert record.net.validation == kept.metrics["validation"]["net"]
    np.testing.assert_array_equal(
        load(tmp_path / "m").network.params["W1"], kept.network.params["W1"]
    )


def test_ctrl_c_while_the_linear_baseline_trains(tmp_path, monkeypatch, capsys):
    """The net is not trained on against a baseline that was cut short."""
    write_csv(tmp_path / "a.csv", flowers())
    interrupt_at(monkeypatch, 3, of_the_net=False)
    monkeypatch.setattr(running, "fit", None)
    words = ["train", "a.csv", "--target", "kind", "--out", "m", "--time", "60"]
    code, out, _ = run(monkeypatch, capsys, *words)
    assert (code, out) == (130, "")
    assert not (tmp_path / "m/model.safetensors").exists()


def test_ctrl_c_after_training_keeps_the_net(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())
    words = ["train", "a.csv", "--target", "kind", "--out", "m", "--time", "1"]

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(running, "concluded", interrupt)
        assert run(patched, capsys, *words)[0] == 130
    kept = load(tmp_path / "m")
    assert run(monkeypatch, capsys, *words)[0] == 0
    np.testing.assert_array_equal(
        load(tmp_path / "m").network.params["W1"], kept.network.params["W1"]
    )


def test_a_page_that_is_missing_is_made_of_the_record(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())
    words = ["train", "a.csv", "--target", "kind", "--out", "m", "--time", "1"]

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(report, "write_own", interrupt)
        assert run(patched, capsys, *words)[0] == 130
    before = (tmp_path / "m/record.json").read_bytes()
    monkeypatch.setattr(report, "write_own", lambda record, path: path.write_text(record.command))
    code, out, err = run(monkeypatch, capsys, *words)
    assert code == 0, err
    assert "m/report.html" in out
    assert (tmp_path / "m/report.html").read_text().startswith("handgrad train a.csv")
    assert (tmp_path / "m/record.json").read_bytes() == before


@pytest.mark.parametrize("epoch", [1, 7])
def test_a_net_that_diverges_keeps_the_best_before(tmp_path, monkeypatch, capsys, epoch):
    write_csv(tmp_path / "a.csv", flowers())
    noted = fitting.Solver._note

    def diverging(solver, losses, rate):
        if solver.epoch + 1 == epoch:
            losses = [*losses[:-1], float("nan")]
        noted(solver, losses, rate)

    monkeypatch.setattr(fitting.Solver, "_note", diverging)
    words = ["train", "a.csv", "--target", "kind", "--out", "m", "--time", "60"]
    code, _, err = run(monkeypatch, capsys, *words)
    if epoch == 1:  # there is nothing to keep; but the linear model has not ended it
        assert code == 2
        assert "the loss became nan" in err
        assert "logistic regression diverged; in its place the most frequent class" in err
        return
    assert code == 0, err
    record = TrainingRecord.read(tmp_path / "m/record.json")
    assert len(record.net.history) == 6
    assert record.net.stopped.startswith("training diverged in epoch 7; epoch ")
    assert "note: the linear baseline: training diverged in epoch 7" in err


def test_the_kept_epoch_is_the_last_that_was_better():
    from own_data_problems import a_problem

    net = fitting.fit(a_problem(), running.default_settings(210, (4,)), fitting.Limits(60.0), 0)
    assert net.stopped.startswith(f"epoch {net.best.epoch} was the last that was better")


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
