"""Runs that are stopped and go on, and checkpoints that are refused."""

import json
import os
import signal
import subprocess
import sys

import children
import pytest

torch = pytest.importorskip("torch")

from vgg_generated import generated, run, tiny, weights

from handgrad.errors import CheckpointError
from handgrad.vgg import training
from handgrad.vgg.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def data():
    return generated()


KILLED_AFTER_ONE_EPOCH = """
import os, signal, sys
from pathlib import Path
from test_vgg_resuming import RESUMED, generated, run
kill = lambda line: os.kill(os.getpid(), signal.SIGKILL)
run(generated(), Path(sys.argv[1]), RESUMED, progress=kill)
"""
RESUMED = tiny(epochs=3, ema_decay=0.9, optimizer="muon", flip="alternating", cutout=4)


def test_a_killed_run_goes_on_to_the_same_bits(data, tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER_ONE_EPOCH, str(tmp_path / "killed")],
        env=children.importing(__file__),
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert load_checkpoint(tmp_path / "killed" / "checkpoint.pt")["epoch"] == 1
    resumed = run(data, tmp_path / "killed", RESUMED)
    whole = run(data, tmp_path / "whole", RESUMED)
    a, b = weights(tmp_path / "killed"), weights(tmp_path / "whole")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert resumed.val_accuracy == whole.val_accuracy
    losses = [[line["train_loss"] for line in each.history] for each in (resumed, whole)]
    assert losses[0] == losses[1]


def test_ctrl_c_keeps_the_finished_epochs(data, tmp_path):
    def interrupt(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, progress=interrupt)
    assert load_checkpoint(tmp_path / "checkpoint.pt")["epoch"] == 1
    assert [line["epoch"] for line in run(data, tmp_path).history] == [1, 2]


def test_ctrl_c_in_the_first_epoch_leaves_a_checkpoint_too(data, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "training_batches", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "stopped")
    assert load_checkpoint(tmp_path / "stopped" / "checkpoint.pt")["epoch"] == 0
    run(data, tmp_path / "stopped")
    run(data, tmp_path / "whole")
    a, b = weights(tmp_path / "stopped"), weights(tmp_path / "whole")
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_result_without_its_checkpoint_is_not_believed(data, tmp_path):
    (tmp_path / "result.json").write_text(json.dumps({"recipe": "tiny"}))
    assert len(run(data, tmp_path).history) == 2


def test_a_checkpoint_of_another_architecture_is_refused(data, tmp_path):
    run(data, tmp_path)
    text = (
        r"checkpoint.pt: the checkpoint is of another architecture: "
        r"activation is 'relu' there and 'silu' here; head is \[8\] there and \[\] here"
    )
    with pytest.raises(CheckpointError, match=text):
        run(data, tmp_path, tiny(head=(), activation="silu"))


def test_a_checkpoint_of_another_run_is_refused(data, tmp_path):
    run(data, tmp_path)
    text = r"another run's checkpoint \(epochs is 2 there and 3 here; seed is 0 there and 7 here\)"
    with pytest.raises(CheckpointError, match=text):
        run(data, tmp_path, tiny(epochs=3), seed=7)


def test_a_damaged_checkpoint_is_refused(data, tmp_path):
    run(data, tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"not a readable checkpoint .* delete it"):
        run(data, tmp_path)


def test_a_pickle_with_code_is_refused_and_not_run(data, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"format": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        run(data, tmp_path)
    assert not (tmp_path / "owned").exists()


def test_anothers_file_is_refused(data, tmp_path):
    torch.save({"epoch": 3}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of this program"):
        run(data, tmp_path)


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"epoch": 1})

    def full(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(path, {"epoch": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert load_checkpoint(path)["epoch"] == 1
