"""A model as a PyTorch module: its layers, its inputs, its text; run without handgrad."""

import importlib.util
import json
import subprocess
import sys

import children
import numpy as np
import pytest
from bare_venv import bare_venv
from safetensors import safe_open

from handgrad.errors import ExportError
from handgrad.estimators import HandgradClassifier, HandgradImageClassifier, HandgradRegressor
from handgrad.export import export, from_torch
from handgrad.export.torch_module import module_and_weights, source_of, to_torch
from handgrad.images import ImagePreprocessor
from handgrad.models import Model
from handgrad.network import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    Network,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)
from handgrad.network_spec import KINDS
from handgrad.solver import Solver
from handgrad.tables import Columns, Preprocessor, TargetCoder, summarise

NEEDS_TORCH = "PyTorch runs the modules that are exported"
IMAGES = [
    [Flatten(), Dense(3)],
    [Conv(4, size=3, stride=2, padding=1), ReLU(), Flatten(), Dense(3)],
    [Conv(4, size=3, bias=True), LeakyReLU(0.2), MaxPool(2), Flatten(), Dense(3)],
    [
        Conv(4, size=2),
        BatchNorm(eps=1e-3, momentum=0.8),
        SiLU(),
        AvgPool(3, 2),
        Flatten(),
        Dense(3),
    ],
    [Conv(4, size=2), GELU(), MaxPool(3, 1), Dropout(0.7), GlobalAvgPool(), Dense(3)],
    [LayerNorm(eps=1e-2), Conv(4, size=2), GELU(approximate=True), GlobalAvgPool(), Dense(3)],
]
ROWS = [
    [Dense(6), BatchNorm(), Sigmoid(), Dropout(0.5), Dense(3)],
    [Dropout(0.8), BatchNorm(eps=0.1), Tanh(), Dense(3), LayerNorm()],
    [Dense(6), Dropout(0.5), ReLU(), Dropout(0.9), LeakyReLU(), Dense(3)],
    [Dense(6), Dropout(0.5), Tanh(), Dense(3), Dropout(0.25)],
]
CASES = [*((layers, (2, 7, 6)) for layers in IMAGES), *((layers, (5,)) for layers in ROWS)]


def drawn(layers, shape, dtype=np.float64, **options):
    """Give a network whose every parameter and statistic is drawn."""
    rng = np.random.default_rng(0)
    network = Network(layers, shape, rng=rng, dtype=dtype, **options)
    for own in (network.params, network.state):
        for name, array in own.items():
            low = 0.2 if "var" in name else -1.0
            own[name] = rng.uniform(low, 1.5, array.shape).astype(dtype)
    return network


def loaded(path):
    """Import an exported module and load its weights."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, module.load()


def scores_of(path, X):
    """Give an exported module's output of rows, as NumPy has it."""
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    _, model = loaded(path)
    with torch.no_grad():
        return model(torch.from_numpy(np.ascontiguousarray(X))).numpy()


def test_the_cases_have_every_layer():
    assert {type(layer).__name__ for layers, _ in CASES for layer in layers} == set(KINDS)


@pytest.mark.parametrize(("layers", "shape"), CASES, ids=lambda case: None)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scores_are_equal(tmp_path, layers, shape, dtype):
    network = drawn(layers, shape, dtype)
    out = to_torch(network, tmp_path / "net.py")
    X = np.random.default_rng(1).normal(size=(9, *shape)).astype(dtype)
    # A few rounding errors: of scores up to 20 in size, some of them 2e-6 in float32.
    expected, scale = drawn(layers, shape).loss(X), 1e-12 if dtype == np.float64 else 1e-6
    found = scores_of(out, X)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=0, atol=scale * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(("layers", "shape"), CASES, ids=lambda case: None)
def test_an_exported_file_comes_back(tmp_path, layers, shape):
    network = drawn(layers, shape)
    out = to_torch(network, tmp_path / "net.safetensors")
    back = Network(layers, shape, rng=np.random.default_rng(5))
    from_torch(out, back)
    for own, expected in ((back.params, network.params), (back.state, network.state)):
        for name, array in expected.items():
            np.testing.assert_allclose(own[name], array, rtol=1e-14, err_msg=name)


@pytest.mark.parametrize(
    ("loss", "outputs", "shape"),
    [("logistic", 1, (4,)), ("svm", 1, (4,)), ("mse", 1, (4,)), ("mse", 2, (4, 2)),
     ("multilabel", 3, (4, 3))],
)  # fmt: skip
def test_each_loss_gives_scores_of_its_shape(tmp_path, loss, outputs, shape):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    network = drawn([Dense(outputs)], (3,), loss=loss)
    X = np.random.default_rng(0).normal(size=(4, 3))
    out = to_torch(network, tmp_path / "net.py")
    _, model = loaded(out)
    np.testing.assert_allclose(scores_of(out, X), network.loss(X), rtol=1e-12)
    assert model(torch.from_numpy(X)).shape == shape
    if network.task != "regress":
        np.testing.assert_array_equal(model.predict(torch.from_numpy(X)), network.predict(X))
    assert hasattr(model, "probabilities") == (loss in ("logistic", "multilabel"))


def test_dropout_trains_as_ours(tmp_path):
    """Ours gives x * mask; nn.Dropout x * mask / keep, and the weights behind it keep * W."""
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    network = drawn([Dropout(0.5), Dense(1)], (1,), loss="mse")
    network.params.update(W1=np.array([[3.0]]), b1=np.array([1.0]))
    _, model = loaded(to_torch(network, tmp_path / "net.py"))
    torch.manual_seed(0)
    found = set(model.train()(torch.ones(64, 1, dtype=torch.float64)).tolist())
    assert found == {1.0, 4.0}  # b, and W + b
    assert model.eval()(torch.ones(1, 1)).item() == 2.5  # W / 2 + b


def test_text_is_formatted_and_imports_torch_alone(tmp_path):
    network = drawn(IMAGES[3], (2, 7, 6))
    path = to_torch(network, tmp_path / "net.py")
    text = path.read_text()
    assert "import handgrad" not in text
    assert "from handgrad" not in text
    # 1 - 0.8, not 0.19999999999999996.
    assert "nn.BatchNorm2d(4, eps=0.001, momentum=0.2)" in text
    assert "PyTorch's momentum is 1 minus handgrad's" in text
    ruff = [sys.executable, "-m", "ruff"]
    if subprocess.run([*ruff, "version"], capture_output=True, check=False).returncode:
        pytest.skip("ruff says whether the module is formatted")
    for words in (
        ["format", "--check"],
        ["check", "--select", "E,F,I,B,UP,D1", "--ignore", "D102,D107"],
    ):
        done = subprocess.run(
            [*ruff, *words, "--isolated", "--no-cache", "--line-length", "88", str(path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not done.returncode, done.stdout + done.stderr


def test_metadata_say_what_differs():
    _, weights = module_and_weights(source_of(drawn(ROWS[0], (5,))))
    length = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + length])
    metadata = header["__metadata__"]
    assert metadata["format"] == "pt"
    assert "unbiased variance" in metadata["batch_norm"]
    assert json.loads(metadata["classes"]) == [0, 1, 2]
    assert header["layers.0.weight"]["shape"] == [6, 5]
    tracked = header["layers.1.num_batches_tracked"]
    assert (tracked["dtype"], tracked["shape"]) == ("I64", [])


class Twice(ReLU):
    """A layer of somebody's own."""


def test_refusals(tmp_path):
    network = drawn([Dense(3)], (5,))
    with pytest.raises(ExportError, match=r"NAME.py and NAME.safetensors; got .*net\.pt$"):
        to_torch(network, tmp_path / "net.pt")
    (tmp_path / "net.safetensors").write_text("kept")
    with pytest.raises(ExportError, match=r"net\.safetensors exists"):
        export(network, "torch", tmp_path / "net.py")
    assert not (tmp_path / "net.py").exists()
    export(network, "torch", tmp_path / "net.py", force=True)
    with pytest.raises(ExportError, match=r"Twice \(layer 1\)"):
        to_torch(
            Network([Dense(3), Twice()], (5,), rng=np.random.default_rng(0)), tmp_path / "b.py"
        )


def table(rows=120):
    rng = np.random.default_rng(3)
    height, width = rng.normal(1e6, 1, rows), rng.normal(size=rows)
    width[::7] = np.nan
    kind = np.where(height > 1e6, "tall", "small").astype(object)
    return {"height": height, "width": width, "kind": kind}


def trained(parts, task_columns):
    made = Columns(parts)
    summary = summarise(made, [task_columns])
    preprocessor, coder = Preprocessor.fit(made, summary), TargetCoder.fit(made, summary)
    outputs = len(coder.classes) or 1
    shape, loss = (len(preprocessor.feature_names),), "softmax" if coder.classes else "mse"
    network = drawn([Dense(4), ReLU(), Dense(outputs)], shape, np.float32, loss=loss)
    return Model(network, preprocessor, coder), made


def test_a_table_of_numbers_goes_in_raw(tmp_path):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    parts = table()
    model, made = trained(parts, "kind")
    module, net = loaded(to_torch(model, tmp_path / "kinds.py"))
    assert (module.FEATURES, module.CLASSES) == (("height", "width"), ("small", "tall"))
    raw = torch.from_numpy(np.stack([parts["height"], parts["width"]], axis=1))
    np.testing.assert_allclose(net.probabilities(raw).detach(), model.outputs(made), atol=1e-6)
    found = np.array(module.CLASSES)[net.predict(raw)]
    np.testing.assert_array_equal(found, model.predict(made))


def test_a_table_with_texts_takes_features_and_says_so(tmp_path):
    parts = table()
    model, made = trained(
        {"kind": parts["kind"], "width": parts["width"], "height": parts["height"]}, "height"
    )
    out = to_torch(model, tmp_path / "heights.py")
    assert "the features (N, 4) that handgrad's preprocessing makes" in " ".join(
        out.read_text().split()
    )
    # In the target's units: 1e6 and a few.
    np.testing.assert_allclose(scores_of(out, model.inputs(made)), model.predict(made), rtol=1e-9)


def test_images_go_in_as_bytes(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (5, 3, 6, 7), np.uint8)
    preprocessor = ImagePreprocessor((3, 6, 7), np.array([100.0, 90, 80]), np.array([50.0, 60, 70]))
    network = drawn([Conv(4, size=3), ReLU(), Flatten(), Dense(2)], (3, 6, 7), np.float32)
    coder = TargetCoder("classify", ("class",), ("cat", "dog"), False, np.zeros(1), np.ones(1))
    model = Model(network, preprocessor, coder)
    expected = network.loss(preprocessor.transform(X))
    found = scores_of(to_torch(model, tmp_path / "pets.py"), X)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_estimators(tmp_path):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    pytest.importorskip("sklearn", reason="the estimators check arrays with scikit-learn's")
    rng = np.random.default_rng(0)
    X = rng.normal(50, 3, (60, 4))
    words = np.where(X[:, 0] > 50, "a", "b")
    options = {"hidden_layer_sizes": 5, "max_iter": 2, "random_state": 0}
    classifier = HandgradClassifier(batch_norm=True, dropout=0.2, **options).fit(X, words)
    module, net = loaded(to_torch(classifier, tmp_path / "words.py"))
    answers = net.predict(torch.from_numpy(X)).numpy()
    np.testing.assert_array_equal(np.array(module.CLASSES)[answers], classifier.predict(X))
    regressor = HandgradRegressor(**options).fit(X, 7 * X[:, :2])
    found = scores_of(to_torch(regressor, tmp_path / "sums.py"), X)
    np.testing.assert_allclose(found, regressor.predict(X), rtol=1e-6)
    pictures = rng.uniform(size=(40, 8, 9, 3))
    images = HandgradImageClassifier((2,), hidden_layer_sizes=4, max_iter=1, random_state=0)
    images.fit(pictures, np.arange(40) % 2)
    _, net = loaded(to_torch(images, tmp_path / "pictures.py"))
    found = net.predict(torch.from_numpy(pictures)).numpy()
    np.testing.assert_array_equal(found, images.predict(pictures))


CHILD = """
import importlib.util, numpy, torch
assert importlib.util.find_spec("handgrad") is None
torch.set_num_threads(1)
spec = importlib.util.spec_from_file_location("net", "net.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
X = torch.from_numpy(numpy.load("X.npy"))
numpy.save("answers.npy", module.load().predict(X).numpy())
"""


def test_round_trip_without_handgrad(tmp_path):
    """Train, export, run with torch and safetensors alone: the same classes of 10,000 rows."""
    pytest.importorskip("torch", reason=NEEDS_TORCH)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(10_000, 1, 6, 6)).astype(np.float32)
    y = X[:, 0, :2].sum(axis=(1, 2)).round().clip(-2, 2).astype(int) + 2
    layers = [Conv(6, size=3), BatchNorm(), ReLU(), MaxPool(2), Flatten(), Dropout(0.9), Dense(5)]
    network = Network(layers, (1, 6, 6), dtype=np.float32, rng=rng)
    data = {"X_train": X[:1000], "y_train": y[:1000], "X_val": X[1000:1100], "y_val": y[1000:1100]}
    Solver(
        network, data, "adam", {"learning_rate": 1e-2}, num_epochs=3, verbose=False, rng=rng
    ).train()
    to_torch(network, tmp_path / "net.py")
    np.save(tmp_path / "X.npy", X)
    words = [bare_venv(tmp_path / "venv", "torch", "numpy", "safetensors"), "-I", "-c", CHILD]
    with children.started(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as child:
        _, said = child.communicate(timeout=120)
        assert not child.returncode, said
    answers = np.load(tmp_path / "answers.npy")
    assert len(np.unique(answers)) == 5
    np.testing.assert_array_equal(answers, network.predict(X))


def test_file_is_whole_for_other_readers(tmp_path):
    """Its tensors lie in C order, as a transposed one would not."""
    network = drawn([Dense(3)], (5,))
    path = to_torch(network, tmp_path / "net.safetensors")
    with safe_open(path, framework="numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("layers.0.weight"), network.params["W1"].T)
