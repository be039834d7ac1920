"""Solver checkpoints: killed at any moment and started again, a run ends as if nothing happened."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import children
import numpy as np
import pytest

from handgrad import checkpoint as checkpoints
from handgrad.network import BatchNorm, Dense, Dropout, Network, ReLU
from handgrad.optim import one_cycle
from handgrad.solver import Solver

EPOCHS, BATCHES = 5, 4


def data():
    draw = np.random.default_rng(0)
    X, y = draw.standard_normal((50, 6)), draw.integers(0, 3, 50)
    return {"X_train": X[:30], "y_train": y[:30], "X_val": X[30:], "y_val": y[30:]}


def jitter(X, rng):
    return X + 0.1 * rng.standard_normal(X.shape)


class Net(Network):
    """Batch norm and dropout; calls before_step before each training step."""

    def __init__(self, seed=1, rng=None):
        rng = np.random.default_rng(seed) if rng is None else rng
        net = [Dense(12), BatchNorm(), ReLU(), Dropout(0.6), Dense(3)]
        super().__init__(net, (6,), reg=0.01, dtype=np.float32, rng=rng)
        self.steps, self.before_step = 0, lambda step: None

    def loss(self, X, y=None):
        if y is not None:
            self.steps += 1
            self.before_step(self.steps)
        return super().loss(X, y)


def solver_of(path, model=None, rule="adam", **options):
    """Return the run that all tests here interrupt."""
    options = {
        "optim_config": {"learning_rate": 0.1},
        "batch_size": 8,
        "num_epochs": EPOCHS,
        "schedule": one_cycle(),
        "augment": jitter,
        "rng": np.random.default_rng(2),
        **options,
    }
    return Solver(model or Net(), data(), rule, checkpoint=path, **options)


def outcome(solver):
    """Everything a run leaves, as bytes and numbers; seconds excepted."""
    groups = (solver.model.params, solver.model.state, solver.best_params, solver.best_state)
    return {
        "arrays": [{k: (a.dtype.str, a.tobytes()) for k, a in sorted(g.items())} for g in groups],
        "loss_history": solver.loss_history,
        "history": [{k: v for k, v in r.items() if k != "seconds"} for r in solver.history],
        "train_acc": solver.train_acc_history,
        "val_acc": solver.val_acc_history,
        "best": solver.best_val_acc,
        "rngs": [repr(solver.rng.bit_generator.state), repr(solver.model.rng.bit_generator.state)],
    }


def uninterrupted(**options):
    solver = solver_of(None, **options)
    solver.train()
    return outcome(solver)


def resumed(path, **options):
    solver = solver_of(path, **options)
    solver.train()
    return outcome(solver)


def interrupt_at(step):
    def before_step(now):
        if now == step:
            raise KeyboardInterrupt

    model = Net()
    model.before_step = before_step
    return model


# killed processes -----------------------------------------------------------------------------


def child(path, rule, moment, count):
    """Train in a process of its own that kills itself, or waits to be killed."""
    count = int(count)

    def die(*args, **options):
        os.kill(os.getpid(), signal.SIGKILL)

    model, on_epoch = Net(), None
    if moment == "step":
        model.before_step = lambda step: die() if step == count else None
    elif moment == "epoch":
        on_epoch = lambda record: die() if record["epoch"] == count else None  # noqa: E731
    elif moment in ("replace", "fsync"):
        function, calls = getattr(os, moment), []

        def die_at_call(*args, **options):
            calls.append(1)
            return die() if len(calls) == count else function(*args, **options)

        setattr(os, moment, die_at_call)
    elif moment == "slow":

        def announce(step):
            print(step, flush=True)
            time.sleep(0.01)

        model.before_step = announce
    solver_of(Path(path), model, rule, on_epoch=on_epoch).train()


def start_child(path, rule, moment, count):
    code = "import sys, test_solver_checkpoint as t; t.child(*sys.argv[1:])"
    return children.started(
        [sys.executable, "-c", code, path, rule, moment, count],
        env=children.importing(__file__),
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("rule", ["adam", "nesterov"])
def test_killed_again_and_again_it_ends_the_same(tmp_path, rule):
    path = tmp_path / "run.safetensors"
    # In the first epoch, when there is no checkpoint yet; after the first epoch; in the middle of
    # writing the second epoch's; in the middle of the third epoch (counts are each process's own).
    for moment, count, epoch in (
        ("step", 3, 0),
        ("epoch", 1, 1),
        ("replace", 2, 2),
        ("step", 6, 3),
    ):
        with start_child(path, rule, moment, count) as process:
            process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        written = checkpoints.read(path)[1]["epoch"] if path.exists() else 0
        assert written == epoch
    assert resumed(path, rule=rule) == uninterrupted(rule=rule)


def test_killed_at_random_moments_it_ends_the_same(tmp_path):
    path, draw = tmp_path / "run.safetensors", random.Random(0)
    for _ in range(3):
        with start_child(path, "adam", "slow", 0) as process:
            for _ in range(draw.randrange(1, 9)):
                process.stdout.readline()
            time.sleep(draw.random() * 0.02)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
    assert resumed(path) == uninterrupted()


# interrupted in this process ------------------------------------------------------------------


def test_interrupted_before_any_step_it_ends_the_same(tmp_path):
    expected = uninterrupted()
    best = expected["val_acc"].index(expected["best"])
    assert best < EPOCHS - 1  # or the best snapshot would prove nothing
    for step in range(1, EPOCHS * BATCHES + 1):
        path = tmp_path / f"{step}.safetensors"
        with pytest.raises(KeyboardInterrupt):
            solver_of(path, interrupt_at(step)).train()
        assert path.exists() == (step > BATCHES)
        model = Net(seed=99)  # its own weights are of no account once there is a checkpoint
        solver = solver_of(path, model if path.exists() else Net())
        solver.train()
        assert outcome(solver) == expected, f"interrupted before step {step}"
        # Only what was lost is done again.
        assert solver.model.steps == (EPOCHS - (step - 1) // BATCHES) * BATCHES


@pytest.mark.parametrize(
    "options",
    [
        {"augment": None},
        {"schedule": None, "lr_decay": 0.7},
        {"rule": "sgd"},
        {"rule": "rmsprop"},
        {"rule": "adamw", "optim_config": {"learning_rate": 0.05, "weight_decay": 0.3}},
        {"num_train_samples": 7},
        {"batch_size": 30},
    ],
    ids=str,
)
def test_other_settings_end_the_same_too(tmp_path, options):
    path = tmp_path / "run.safetensors"

    def stop(record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solver_of(path, on_epoch=stop, **options).train()
    assert resumed(path, **options) == uninterrupted(**options)


@pytest.mark.parametrize("kind", ["PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_any_of_numpys_generators_goes_on(tmp_path, kind):
    path = tmp_path / "run.safetensors"

    def options():
        make = getattr(np.random, kind)
        return {"model": Net(rng=np.random.Generator(make(3)))} | {
            "rng": np.random.Generator(make(4))
        }

    def stop(record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solver_of(path, on_epoch=stop, **options()).train()
    assert resumed(path, **options()) == uninterrupted(**options())


def test_one_generator_for_everything_goes_on(tmp_path):
    path = tmp_path / "run.safetensors"

    def options():
        one = np.random.default_rng(5)
        return {"model": Net(rng=one), "rng": one}

    def stop(record):
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solver_of(path, on_epoch=stop, **options()).train()
    assert resumed(path, **options()) == uninterrupted(**options())


def test_a_rule_that_works_in_place_goes_on(tmp_path):
    def course_momentum(w, dw, config=None):
        config = config or {}
        config.setdefault("learning_rate", 0.1)
        velocity = config.setdefault("velocity", np.zeros_like(w))
        velocity *= 0.9
        velocity -= np.asarray(config["learning_rate"] * dw, dtype=w.dtype)
        w += velocity
        return w, config

    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        solver_of(path, interrupt_at(11), rule=course_momentum).train()
    assert resumed(path, rule=course_momentum) == uninterrupted(rule=course_momentum)


def test_the_same_solver_may_go_on_after_an_interruption(tmp_path):
    solver = solver_of(tmp_path / "run.safetensors", interrupt_at(10))
    with pytest.raises(KeyboardInterrupt):
        solver.train()
    solver.train()  # as a notebook's user does
    assert outcome(solver) == uninterrupted()


def test_a_finished_run_trains_no_more(tmp_path):
    path = str(tmp_path / "run.safetensors")  # a str is a path too
    expected = resumed(path)
    assert expected == uninterrupted()
    solver = solver_of(path, Net(seed=99))
    solver.train()
    assert solver.model.steps == 0
    assert outcome(solver) == expected


def test_seconds_go_on_from_where_they_were(tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        solver_of(path, interrupt_at(2 * BATCHES + 1)).train()
    arrays, header = checkpoints.read(path)
    header["history"][-1]["seconds"] = 1000.0
    checkpoints.write(path, arrays, header)
    solver = solver_of(path)
    solver.train()
    seconds = [record["seconds"] for record in solver.history]
    assert seconds[1] == 1000.0
    assert 1000 < seconds[2] < seconds[3] < seconds[4] < 1060


# writing fails --------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_last_checkpoint_and_nothing_else(tmp_path, monkeypatch):
    path, fsync, calls = tmp_path / "run.safetensors", os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        solver_of(path).train()
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]
    assert checkpoints.read(path)[1]["epoch"] == 2
    assert resumed(path) == uninterrupted()


def test_every_epoch_is_written_before_it_is_told(tmp_path):
    path, written = tmp_path / "run.safetensors", []
    solver_of(path, on_epoch=lambda _: written.append(checkpoints.read(path)[1]["epoch"])).train()
    assert written == [1, 2, 3, 4, 5]
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]
