"""Checkpoint files: what is in them, and which ones a Solver refuses, naming the reason."""

import itertools
import json
import pickle
import struct

import numpy as np
import pytest
from safetensors.numpy import save

from handgrad import checkpoint as checkpoints
from handgrad.cnn import ConvNet
from handgrad.errors import CheckpointError, HandgradError
from handgrad.logistic import LogisticClassifier
from handgrad.network import BatchNorm, Dense, Dropout, Network, ReLU
from handgrad.optim import cosine
from handgrad.solver import Solver
from handgrad.svm import SVM


def data(N=20):
    draw = np.random.default_rng(0)
    X, y = draw.standard_normal((30, 4)), draw.integers(0, 2, 30)
    return {"X_train": X[:N], "y_train": y[:N], "X_val": X[20:], "y_val": y[20:]}


def net(units=5, keep=0.5, momentum=0.9, **options):
    layers = [Dense(units), BatchNorm(momentum), ReLU(), Dropout(keep), Dense(2)]
    return Network(layers, (4,), rng=np.random.default_rng(1), **options)


def solver_of(path, model=None, rows=None, update_rule="adam", **options):
    options = {
        "optim_config": {"learning_rate": 0.01},
        "batch_size": 8,
        "num_epochs": 2,
        "rng": np.random.default_rng(2),
        **options,
    }
    return Solver(model or net(), rows or data(), update_rule, checkpoint=path, **options)


@pytest.fixture
def path(tmp_path):
    """Return a checkpoint of a finished run."""
    solver_of(tmp_path / "run.safetensors").train()
    return tmp_path / "run.safetensors"


# what is in the file --------------------------------------------------------------------------


def test_the_file_is_safetensors_and_json_and_nothing_else(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    ours = json.loads(header.pop("__metadata__")["handgrad"])
    assert {"settings", "epoch", "loss_history", "history", "best_val_acc"} <= set(ours)
    # The tensors, each of plain numbers, are all of the rest of the file.
    spans = sorted(tensor["data_offsets"] for tensor in header.values())
    assert all(tensor["dtype"] in ("F32", "F64") for tensor in header.values())
    assert spans[0][0] == 0
    assert all(one[1] == two[0] for one, two in itertools.pairwise(spans))
    assert 8 + length + spans[-1][1] == len(content)
    names = set(header)
    for name in ("W1", "b1", "gamma1", "beta1", "W2", "b2"):
        assert {f"params/{name}", f"best_params/{name}"} <= names
        assert {f"optim/{name}/m", f"optim/{name}/v"} <= names
    for name in ("running_mean1", "running_var1"):
        assert {f"state/{name}", f"best_state/{name}"} <= names


def test_nothing_is_pickled(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("pickle was called")

    for name in ("dump", "dumps", "load", "loads"):
        monkeypatch.setattr(pickle, name, refuse)
    solver_of(tmp_path / "run").train()
    solver_of(tmp_path / "run").train()


# damaged and foreign files --------------------------------------------------------------------


def refused(path, **options):
    """Return the error's text: one line that names the file; the file is left alone."""
    content = path.read_bytes() if path.is_file() else None
    solver = solver_of(path, **options)
    before = {name: array.copy() for name, array in solver.model.params.items()}
    with pytest.raises(CheckpointError) as raised:
        solver.train()
    text = str(raised.value)
    assert isinstance(raised.value, HandgradError)
    assert "\n" not in text
    assert str(path) in text
    if content is not None:
        assert path.read_bytes() == content
    for name, array in before.items():
        np.testing.assert_array_equal(solver.model.params[name], array)
    return text


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, 0.3, 0.9, -1])
def test_a_truncated_file_is_refused(path, kept):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept) if isinstance(kept, float) else kept])
    assert "cannot be read as a checkpoint" in refused(path)
    assert "delete it to start afresh" in refused(path)


@pytest.mark.parametrize(
    "content",
    [b"hello", b"{}", b"\x00" * 500, pickle.dumps({"W1": np.ones(3)}), b"x" * 100_000],
    ids=["text", "json", "zeros", "pickle", "long"],
)
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert "cannot be read as a checkpoint" in refused(tmp_path / "file")


def test_a_folder_is_refused(tmp_path):
    assert "cannot be read as a checkpoint" in refused(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_somebody_elses_safetensors_are_refused(tmp_path, metadata):
    (tmp_path / "file").write_bytes(save({"params/W1": np.ones(3)}, metadata))
    assert "was not written by handgrad" in refused(tmp_path / "file")


def test_somebody_elses_dtypes_are_refused(tmp_path):
    # NumPy has no bfloat16; weights are often kept in it.
    tensor = {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}
    header = json.dumps({"params/W1": tensor}).encode()
    (tmp_path / "file").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    assert "was not written by handgrad" in refused(tmp_path / "file")


def test_a_models_weights_are_no_checkpoint(tmp_path):
    # handgrad reproduce keeps a model's weights in the same kind of file, with another header.
    checkpoints.write(tmp_path / "model.safetensors", net().params, {"kind": "weights"})
    refused(tmp_path / "model.safetensors")


@pytest.mark.parametrize("ours", ["", "no json", "[]", "3"])
def test_a_header_that_is_none_is_refused(tmp_path, ours):
    (tmp_path / "file").write_bytes(save({"params/W1": np.ones(3)}, {"handgrad": ours}))
    refused(tmp_path / "file")


# checkpoints of other runs --------------------------------------------------------------------


def shifted(name, index):
    rows = data()
    rows[name] = rows[name].copy()
    rows[name][index] = 1 - rows[name][index]
    return rows


@pytest.mark.parametrize(
    ("options", "different"),
    [
        ({"update_rule": "sgd"}, "rule"),
        ({"optim_config": {"learning_rate": 0.02}}, "optim_config"),
        ({"optim_config": {"learning_rate": 0.01, "beta1": 0.8}}, "optim_config"),
        ({"lr_decay": 0.9, "num_epochs": 2}, "schedule"),
        ({"schedule": cosine()}, "schedule"),
        ({"batch_size": 4}, "batch_size"),
        ({"num_epochs": 3}, "num_epochs"),
        ({"num_train_samples": 5}, "num_train_samples"),
        ({"augment": lambda X, rng: X + rng.random(X.shape)}, "augment"),
        ({"rows": shifted("X_train", (3, 2))}, "data"),
        ({"rows": shifted("y_train", 19)}, "data"),
        ({"rows": shifted("X_val", (0, 0))}, "data"),
        ({"rows": shifted("y_val", 0)}, "data"),
        ({"rows": data(19)}, "data"),
        ({"rows": data() | {"X_train": data()["X_train"].view(np.int64)}}, "data"),
        ({"rows": data() | {"y_train": data()["y_train"].astype(float)}}, "data"),
        ({"model": net(reg=0.1)}, "reg"),
        ({"model": net(units=6)}, "params|model"),
        ({"model": net(dtype=np.float32)}, "params|model"),
        ({"model": ConvNet((1, 2, 2), 2, 1, 3, 2)}, "params|model"),
        ({"model": net(keep=0.9)}, "layers|model|network"),
        ({"model": net(momentum=0.5)}, "layers|model|network"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_another_runs_checkpoint_is_refused_and_the_difference_named(path, options, different):
    text = refused(path, **options)
    assert "is the checkpoint of another run" in text
    named = text.split("its ")[1].split(" differ")[0].split(", ")
    assert any(name in different.split("|") for name in named)
    assert {"data", "batch_size"} & set(named) == {different} & {"data", "batch_size"}


def test_another_loss_is_another_model(tmp_path):
    path = tmp_path / "run"
    solver_of(path, LogisticClassifier(4, rng=np.random.default_rng(0))).train()
    refused(path, model=SVM(4, rng=np.random.default_rng(0)))


def test_several_differences_are_all_named(path):
    text = refused(path, batch_size=4, num_epochs=3, update_rule="sgd")
    for name in ("batch_size", "num_epochs", "rule"):
        assert name in text
