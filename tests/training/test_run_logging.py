"""A Solver's epochs in TensorBoard, wandb and trackio."""

import sys
import types

import numpy as np
import pytest

from handgrad.errors import MissingExtraError
from handgrad.network import Dense, Network
from handgrad.run_logging import RunLog, TensorBoard, numbers
from handgrad.solver import Solver


class Crash(Exception):
    """What ends a training in the middle."""


class CrashAfter:
    """A callback that ends the training after some epochs, before the checkpoint of the last."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, solver, record):
        if record["epoch"] == self.epochs:
            raise Crash


def train(callbacks, epochs=3, **options):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = (X[:, 0] > 0).astype(int)
    data = {"X_train": X[:30], "y_train": y[:30], "X_val": X[30:], "y_val": y[30:]}
    network = Network([Dense(2)], (3,), rng=rng)
    solver = Solver(
        network, data, "sgd", {"learning_rate": 0.1}, num_epochs=epochs, verbose=False, rng=rng,
        callbacks=callbacks, **options,
    )  # fmt: skip
    try:
        solver.train()
    except Crash:
        return solver
    return solver


def fake(parameters):
    """Give a module with init, log and finish that keep what they are given."""
    module = types.ModuleType("fake")
    module.calls = []
    exec(f"def init({parameters}):\n    calls.append(('init', dict(locals())))", vars(module))
    module.log = lambda values, step=None: module.calls.append(("log", step, values))
    module.finish = lambda: module.calls.append(("finish",))
    return module


WANDB = "project=None, name=None, id=None, resume=None, config=None, mode=None"
TRACKIO = "project, name=None, config=None, resume='never'"


@pytest.mark.parametrize(("library", "parameters"), [("wandb", WANDB), ("trackio", TRACKIO)])
def test_a_run(monkeypatch, library, parameters):
    module = fake(parameters)
    callback = RunLog(library, "digits", run="first")
    monkeypatch.setitem(sys.modules, library, module)
    solver = train([callback])
    (_, given), *logged, last = module.calls
    assert last == ("finish",)
    assert (given["project"], given["name"], given["resume"]) == ("digits", "first", "allow")
    assert given.get("id") == ("first" if library == "wandb" else None)
    assert given["config"]["learning_rate"] == 0.1
    assert given["config"]["update_rule"] == "sgd"
    assert given["config"]["layers"] == ["Dense(units=2)"]
    assert [step for _, step, _ in logged] == [1, 2, 3]
    assert [values["val_accuracy"] for *_, values in logged] == solver.val_acc_history
    assert all("epoch" not in values for *_, values in logged)


def test_options_and_an_object_in_place_of_a_name():
    module = fake(WANDB)
    train([RunLog(module, "digits", mode="offline")], epochs=1)
    given = module.calls[0][1]
    assert (given["mode"], given["name"], given["resume"]) == ("offline", None, None)


def test_a_resumed_training_goes_on_in_the_same_run(tmp_path):
    module = fake(WANDB)
    log = RunLog(module, "digits", run="first")
    train([log, CrashAfter(3)], epochs=4, checkpoint=tmp_path / "c.safetensors")
    train([log], epochs=4, checkpoint=tmp_path / "c.safetensors")
    assert [call[0] for call in module.calls] == [
        "init", "log", "log", "log", "finish", "init", "log", "log", "finish",
    ]  # fmt: skip
    logs = [call for call in module.calls if call[0] == "log"]
    assert [step for _, step, _ in logs] == [1, 2, 3, 3, 4]
    again, once = logs[3][2], logs[2][2]
    assert again.pop("seconds") != once.pop("seconds")
    assert again == once  # the same to the last bit
    ids = {call[1]["id"] for call in module.calls if call[0] == "init"}
    assert ids == {"first"}


def test_only_finite_numbers_are_logged():
    record = {"epoch": 1, "loss": 2, "val_loss": float("nan"), "learning_rate": None, "x": np.inf}
    assert numbers(record) == {"loss": 2.0}


def test_nothing_is_imported_until_training(monkeypatch):
    for name in ("wandb", "trackio", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)
    for callback, extra in [
        (RunLog("wandb", "digits"), "wandb"),
        (RunLog("trackio", "digits"), "trackio"),
        (TensorBoard("unused"), "tensorboard"),
    ]:
        with pytest.raises(MissingExtraError, match=rf"handgrad\[{extra}\]"):
            train([callback])


def events(folder):
    """Read the scalars of a folder's event files, and what each session hid, by file."""
    from tensorboardX import proto
    from tensorboardX.record_writer import masked_crc32c

    found = []
    for path in sorted(folder.iterdir()):
        data, place = path.read_bytes(), 0
        while place < len(data):
            length = int.from_bytes(data[place : place + 8], "little")
            content = data[place + 12 : place + 12 + length]
            crc = int.from_bytes(data[place + 12 + length : place + 16 + length], "little")
            assert crc == masked_crc32c(content)
            event = proto.event_pb2.Event.FromString(content)
            if event.HasField("session_log"):
                found.append(("hide from", event.step))
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.append((value.tag, event.step, value.simple_value))
            place += 16 + length
    return found


def test_event_files(tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX writes the event files")
    from tensorboardX import proto  # noqa: F401

    log = TensorBoard(tmp_path / "runs" / "first")
    options = {"epochs": 4, "checkpoint": tmp_path / "c.safetensors"}
    train([log, CrashAfter(3)], **options)
    solver = train([log], **options)
    found = events(tmp_path / "runs" / "first")
    losses = [each[1:] for each in found if each[0] == "loss"]
    assert [step for step, _ in losses] == [1, 2, 3, 3, 4]
    # Event files hold float32.
    np.testing.assert_allclose(losses[-1][1], solver.history[-1]["loss"], rtol=1e-7)
    hidden = [each[1] for each in found if each[0] == "hide from"]
    assert hidden == [1, 3]
    assert {each[0] for each in found} >= {"val_accuracy", "val_loss", "learning_rate"}
