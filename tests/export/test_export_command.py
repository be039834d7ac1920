"""`handgrad export`: what train and reproduce leave, without handgrad; and every refusal."""

import json
import runpy
import subprocess
import sys

import numpy as np
import pytest
from bare_venv import bare_venv
from own_data_runs import flowers, refused, run, write_csv
from safetensors.numpy import save_file

from handgrad import checkpoint, engine
from handgrad.cnn import ConvNet
from handgrad.errors import ExportError, ModelError
from handgrad.experiments import EXPERIMENTS
from handgrad.export.calibration import network_inputs
from handgrad.export.source import source_of
from handgrad.images import ImagePreprocessor
from handgrad.models import Model
from handgrad.network import Conv, Dense, Flatten, MaxPool, Network, ReLU
from handgrad.tables import Columns, Preprocessor, TargetCoder, summarise


@pytest.fixture
def trained(tmp_path):
    """A model of a table, as a training leaves it."""
    table = Columns(flowers())
    summary = summarise(table, "kind")
    inputs, coder = Preprocessor.fit(table, summary), TargetCoder.fit(table, summary)
    rng = np.random.default_rng(0)
    layers = [Dense(6), ReLU(), Dense(3)]
    network = Network(layers, (len(inputs.feature_names),), rng=rng, dtype="float32")
    model = Model(network, inputs, coder)
    (tmp_path / "flowers").mkdir()
    model.save(tmp_path / "flowers" / "model.safetensors")
    return model


def a_run(folder, experiment, params, shape, scale):
    """A folder as `handgrad reproduce` leaves one."""
    folder.mkdir(parents=True)
    network = EXPERIMENTS[experiment].build(params, shape, np.random.default_rng(0))
    arrays = {**network.params, **network.state, "input_mean": scale[0], "input_std": scale[1]}
    header = {"experiment": experiment, "params": params}
    checkpoint.write(folder / "model.safetensors", arrays, header)
    return network


CHILD = """
import importlib.util, json, sys
import numpy as np, onnxruntime
assert importlib.util.find_spec("handgrad") is None
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
given = {name: np.load(path) for name, path in json.loads(sys.argv[2]).items()}
np.save(sys.argv[3], session.run(["label"], given)[0])
"""


def labels_elsewhere(tmp_path, model, **inputs):
    """What an environment of onnxruntime alone predicts."""
    for name, value in inputs.items():
        np.save(tmp_path / f"{name}.npy", value)
    paths = json.dumps({name: str(tmp_path / f"{name}.npy") for name in inputs})
    python = bare_venv(tmp_path / "venv", "onnxruntime", "numpy")
    words = [python, "-I", "-c", CHILD, str(model), paths, str(tmp_path / "labels.npy")]
    subprocess.run(words, check=True, timeout=120)
    return np.load(tmp_path / "labels.npy")


def test_a_net_of_the_assignment_without_handgrad(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    params = {"architecture": "2 blocks, norm after conv, dropout after fc", "keep": 0.55}
    scale = np.float64(0.13), np.float64(0.31)
    network = a_run(tmp_path / "seed-0", "5.4", params, (1, 28, 28), scale)
    out = tmp_path / "net.onnx"
    code, said, err = run(
        monkeypatch, capsys, "export", tmp_path / "seed-0", "--to", "onnx", "--out", out
    )
    assert (code, said) == (0, "")
    assert f"as onnx: {out}, {out.stat().st_size:,} bytes" in err
    X = np.random.default_rng(1).integers(0, 256, (10_000, 1, 28, 28), np.uint8)
    found = labels_elsewhere(tmp_path, out, images=X)
    parts = [((part / 255 - scale[0]) / scale[1]).astype(np.float32) for part in np.split(X, 10)]
    scores = np.concatenate([engine.scores(network, part) for part in parts])
    two = np.sort(scores, axis=1)
    clear = two[:, -1] - two[:, -2] > 1e-4  # nothing decides between classes that are as good
    assert clear.mean() > 0.95
    assert np.array_equal(found[clear], scores.argmax(axis=1)[clear])


def test_a_dense_net_of_the_assignment_takes_pictures_too(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from handgrad.export import export

    params = {"hidden_dim": 20, "reg": 1e-4, "learning_rate": 0.1}
    scale = np.float64(0.13), np.float64(0.31)
    network = a_run(tmp_path / "a", "4.4", params, (1, 28, 28), scale)
    path = export(tmp_path / "a", "onnx", tmp_path / "net.onnx", logits=True)
    X = np.random.default_rng(1).integers(0, 256, (50, 1, 28, 28), np.uint8)
    logits = runtime.InferenceSession(path).run(["logits"], {"images": X})[0]
    wanted = network.loss(((X / 255 - scale[0]) / scale[1]).reshape(50, -1))
    np.testing.assert_allclose(logits, wanted, rtol=1e-5, atol=1e-5)


def test_a_net_on_the_courses_rows(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from handgrad.export import export

    experiment = EXPERIMENTS["2.3"]
    params = experiment.budgets["smoke"].candidates[0]
    scale = np.linspace(-1, 1, 20), np.linspace(0.5, 2, 20)
    network = a_run(tmp_path / "a", "2.3", params, (20,), scale)
    path = export(tmp_path / "a", "onnx", tmp_path / "net.onnx", logits=True)
    X = np.random.default_rng(1).normal(size=(50, 20))
    label, logits = runtime.InferenceSession(path).run(["label", "logits"], {"X": X})
    wanted = network.loss((X - scale[0]) / scale[1])
    np.testing.assert_allclose(logits, wanted, rtol=1e-5, atol=1e-5)
    assert np.array_equal(label, network.predict((X - scale[0]) / scale[1]))


def test_the_default_name_is_the_models_and_a_file_is_kept(tmp_path, trained, monkeypatch, capsys):
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    words = "export", "flowers", "--to", "onnx"
    assert run(monkeypatch, capsys, *words)[0] == 0
    first = (tmp_path / "flowers.onnx").read_bytes()
    line = refused(monkeypatch, capsys, *words)
    assert line.startswith("flowers.onnx exists, and is kept; --force")
    assert run(monkeypatch, capsys, *words, "--force", "--logits")[0] == 0
    assert (tmp_path / "flowers.onnx").read_bytes() != first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "onnx", "--int8"), "--int8 is for --to c; got --to onnx"),
        (("--to", "torch", "--logits"), "--logits is for --to onnx; got --to torch"),
        (("--to", "c", "--check-finite"), "--check-finite is for --to onnx; got --to c"),
        (("--to", "c", "--int8"), "--int8 needs --calibrate DATA: rows to choose its scales by"),
        (("--to", "c", "--calibrate", "flowers"), "--calibrate is for --int8"),
        ((), "Missing option '--to'"),
    ],
)
def test_options_of_another_format(tmp_path, trained, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert refused(monkeypatch, capsys, "export", "flowers", *words).startswith(said)


def test_damaged_and_foreign_models(tmp_path, trained, monkeypatch, capsys):
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "flowers" / "model.safetensors"
    whole = path.read_bytes()
    for content in (whole[:-50], b"no model", b""):
        path.write_bytes(content)
        line = refused(monkeypatch, capsys, "export", "flowers", "--to", "onnx")
        assert "model.safetensors is damaged, or no model of handgrad" in line
    line = refused(monkeypatch, capsys, "export", "nowhere", "--to", "onnx")
    assert line.startswith("there is no model to read at nowhere")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["flowers"]


def test_a_run_of_an_unknown_experiment(tmp_path):
    header = {"experiment": "9.9", "params": {}}
    scale = {"input_mean": np.zeros(2), "input_std": np.ones(2)}
    checkpoint.write(tmp_path / "model.safetensors", scale, header)
    with pytest.raises(ExportError, match=r"is damaged, or of another version \('9\.9'\)"):
        source_of(tmp_path)
    with pytest.raises(ModelError, match="no model"):
        source_of(str(tmp_path / "none.safetensors"))


def test_a_net_of_question_6_that_is_not_described(tmp_path):
    """Its folder holds PyTorch's checkpoint beside weights of its own making."""
    save_file({"conv.weight": np.zeros((2, 3))}, tmp_path / "model.safetensors")
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(ExportError, match="an earlier handgrad trained"):
        source_of(tmp_path)


def test_an_extra_that_is_missing_is_named(tmp_path, trained, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    line = refused(monkeypatch, capsys, "export", "flowers", "--to", "onnx")
    assert line.startswith("an export to ONNX needs onnx, which is not installed; `pip install")


def test_the_command_for_pytorch(tmp_path, trained, monkeypatch, capsys):
    """Both files stand in this folder under the model's name, and load each other."""
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    code, said, err = run(monkeypatch, capsys, "export", "flowers", "--to", "torch")
    assert (code, said) == (0, "")
    assert err.startswith("flowers as torch: flowers_torch.py, ")
    module = runpy.run_path("flowers_torch.py")
    rows = trained.inputs(Columns(flowers(30)))
    found = module["load"]().layers(torch.from_numpy(rows)).detach().numpy()
    np.testing.assert_allclose(found, trained.network.loss(rows), atol=1e-6)
    line = refused(monkeypatch, capsys, "export", "flowers", "--to", "torch")
    assert "flowers_torch.py" in line
    assert "--force" in line


def test_rows_to_calibrate_by(tmp_path, trained):
    path = write_csv(tmp_path / "flowers.csv", flowers(40))
    found = network_inputs(source_of(trained), path)
    wanted = trained.inputs(Columns(flowers(40)))
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(ExportError, match=r"takes a table; .* holds something else"):
        network_inputs(source_of(trained), tmp_path)
    inputs = ImagePreprocessor((1, 4, 4), np.ones(1), np.ones(1))
    coder = TargetCoder("classify", ("class",), ("a", "b"), False, np.zeros(1), np.ones(1))
    layers = [Conv(2, size=1), MaxPool(2), Flatten(), Dense(2)]
    network = Network(layers, (1, 4, 4), rng=np.random.default_rng(0), dtype="float32")
    np.savez(tmp_path / "x.npz", X=np.full((7, 4, 4), 3, np.uint8), y=np.arange(7) % 2)
    found = network_inputs(source_of(Model(network, inputs, coder)), tmp_path / "x.npz")
    np.testing.assert_array_equal(found, np.full((7, 1, 4, 4), 2, np.float32))
    with pytest.raises(ExportError, match=r"takes images; .* holds something else"):
        network_inputs(source_of(Model(network, inputs, coder)), path)


def test_the_assignments_classes_are_networks():
    net = ConvNet(rng=np.random.default_rng(0))
    assert source_of(net).labels.tolist() == list(range(10))
