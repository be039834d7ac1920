"""Checkpoints hold patience, averages, metrics, weights: interrupted runs end to the same bits."""

import numpy as np
import pytest
from engines import each_engine as each_engine
from test_solver_checkpoint import outcome

from handgrad import checkpoint as checkpoints
from handgrad.errors import CheckpointError
from handgrad.network import BatchNorm, Dense, Dropout, Network, ReLU
from handgrad.solver import Solver


def data(regression=False):
    draw = np.random.default_rng(0)
    X, y = draw.standard_normal((50, 6)), draw.integers(0, 3, 50)
    if regression:
        y = X[:, :2] + draw.standard_normal((50, 2))
    return {"X_train": X[:30], "y_train": y[:30], "X_val": X[30:], "y_val": y[30:]}


def spread(y, scores):
    return np.std(scores)


WEIGHTS = np.arange(30) % 4
ALONE = {name: data()[name] for name in ("X_train", "y_train")}
OPTIONS = {
    "patience": {"n_iter_no_change": 2, "tol": 0.05},
    "averages": {"averaging": 0.7},
    "clipping": {"max_norm": 0.3},
    "weights": {"sample_weight": WEIGHTS, "class_weight": "balanced"},
    "metrics": {"metrics": {"spread": spread}},
    "no validation": {"rows": ALONE, "n_iter_no_change": 3},
    "regression": {"rows": data(regression=True), "loss": "huber"},
    "all": {
        "n_iter_no_change": 4, "averaging": 0.5, "max_norm": 1.0, "sample_weight": WEIGHTS,
        "class_weight": {0: 2.0}, "metrics": {"spread": spread},
        "rows": data() | {"sample_weight_val": np.arange(20.0)},
    },
}  # fmt: skip


def solver_of(path, rows=None, loss="softmax", **options):
    outputs = 2 if loss == "huber" else 3
    layers = [Dense(12), BatchNorm(), ReLU(), Dropout(0.6), Dense(outputs)]
    model = Network(layers, (6,), loss=loss, reg=0.01, rng=np.random.default_rng(1))
    options = {
        "batch_size": 8, "num_epochs": 8, "lr_decay": 0.9, "rng": np.random.default_rng(2),
        **options,
    }  # fmt: skip
    return Solver(model, rows or data(), "adam", {"learning_rate": 0.1}, checkpoint=path, **options)


def everything(solver):
    averages = {} if solver.average is None else solver.average.params | solver.average.state
    return outcome(solver) | {
        "stopped": (solver.stopped_early, solver.epoch, solver.patience.waited),
        "averages": {name: array.tobytes() for name, array in averages.items()},
    }


@pytest.mark.parametrize("name", OPTIONS)
def test_an_interrupted_run_ends_the_same(each_engine, tmp_path, name):
    options = OPTIONS[name]
    whole = solver_of(None, **options)
    whole.train()
    expected = everything(whole)
    assert len(whole.history) > 2
    if name == "patience":
        assert whole.stopped_early  # or nothing would be proved
    for last in (1, 2, len(whole.history)):
        path = tmp_path / f"{last}.safetensors"

        def stop(record, last=last):
            if record["epoch"] == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            solver_of(path, on_epoch=stop, **options).train()
        solver = solver_of(path, **options)
        solver.train()
        assert everything(solver) == expected, f"interrupted after epoch {last}"
        again = solver_of(path, **options)
        again.train()  # it is done: nothing happens
        assert everything(again) == expected


def test_a_callbacks_end_is_kept(tmp_path):
    class Stops:
        def on_epoch_end(self, solver, record):
            return record["epoch"] == 3

    solver_of(tmp_path / "run", callbacks=[Stops()]).train()
    solver = solver_of(tmp_path / "run")
    solver.train()
    assert (solver.epoch, solver.stopped_early) == (3, True)


def test_callbacks_find_the_history_when_a_run_goes_on(tmp_path):
    found = []

    class Looks:
        def on_train_begin(self, solver):
            found.append(len(solver.history))

        def on_epoch_end(self, solver, record):
            if len(found) == 1 and record["epoch"] == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solver_of(tmp_path / "run", callbacks=[Looks()]).train()
    solver_of(tmp_path / "run", callbacks=[Looks()]).train()
    # Callbacks are asked before the checkpoint is written: the third epoch is done again.
    assert found == [0, 2]


def test_a_checkpoint_from_before_these_options_goes_on(tmp_path):
    path = tmp_path / "run"

    def stop(record):
        if record["epoch"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solver_of(path, on_epoch=stop).train()
    arrays, header = checkpoints.read(path)
    del header["stopped_early"]
    assert set(header["settings"]) == {
        "rule", "optim_config", "schedule", "batch_size", "num_epochs", "num_train_samples",
        "augment", "model", "layers", "reg", "params", "data",
    }  # fmt: skip
    for record in header["history"]:
        del record["val_loss"]
    checkpoints.write(path, arrays, header)
    solver, whole = solver_of(path), solver_of(None)
    solver.train()
    whole.train()
    assert solver.loss_history == whole.loss_history
    assert solver.val_acc_history == whole.val_acc_history
    assert ["val_loss" in record for record in solver.history] == [False] * 4 + [True] * 4


@pytest.mark.parametrize(
    ("options", "different"),
    [
        ({"n_iter_no_change": 5, "tol": 0.1}, "n_iter_no_change, tol"),
        ({"averaging": 0.5}, "averaging"),
        ({"max_norm": 2.0}, "max_norm"),
        ({"sample_weight": WEIGHTS}, "sample_weight, class_weight"),
        ({"class_weight": "balanced"}, "class_weight"),
        ({"metrics": {"spread": spread}}, "metrics"),
        ({"rows": ALONE}, "data"),
    ],
)
def test_other_options_are_another_run(tmp_path, options, different):
    solver_of(tmp_path / "with", **options).train()
    solver_of(tmp_path / "without").train()
    for path, then in ((tmp_path / "with", {}), (tmp_path / "without", options)):
        with pytest.raises(CheckpointError, match=f"another run: its {different} differ"):
            solver_of(path, **then).train()


def test_other_loss_options_are_another_run(tmp_path):
    def solver(smoothing):
        options = {"label_smoothing": smoothing}
        model = Network([Dense(3)], (6,), loss_options=options, rng=np.random.default_rng(0))
        return Solver(model, data(), num_epochs=1, checkpoint=tmp_path / "run")

    solver(0.1).train()
    solver(0.1).train()
    with pytest.raises(CheckpointError, match="its loss_options differ"):
        solver(0.2).train()
    with pytest.raises(CheckpointError, match="its loss_options differ"):
        solver(0.0).train()
