"""ONNX files: the checker takes them, onnx's evaluator and onnxruntime give what Network gives."""

import json

import numpy as np
import pytest

from handgrad import engine
from handgrad.errors import ExportError
from handgrad.estimators import HandgradClassifier, HandgradImageClassifier, HandgradRegressor
from handgrad.export import export
from handgrad.images import ImagePreprocessor
from handgrad.models import Model, load
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
from handgrad.tables import Columns, Preprocessor, TargetCoder, summarise

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
reference = pytest.importorskip("onnx.reference")

RTOL = ATOL = 1e-5  # the files compute in float32

NETWORKS = {
    "convolutions": (
        [
            Conv(3, size=3, stride=2, padding=1), BatchNorm(), LeakyReLU(0.2), Dropout(0.6),
            MaxPool(2, stride=1), LayerNorm(), Conv(4, size=2, bias=True), GELU(), Flatten(),
            Dropout(0.8), Dense(3),
        ],
        (2, 7, 6),
    ),
    "pools": (
        [Conv(4, size=1), SiLU(), AvgPool(2), Dropout(0.5), GELU(approximate=True), MaxPool(2),
         GlobalAvgPool(), LayerNorm(), Dense(3)],
        (1, 6, 5),
    ),
    "dense": (
        [Dense(6), BatchNorm(), Tanh(), Dropout(0.5), Dense(5), Sigmoid(), Dense(4), ReLU(),
         LayerNorm(), Dense(3), Dropout(0.9)],
        (7,),
    ),
    "rows of images": ([Dense(4), ReLU(), Dense(3)], (2, 3, 3)),
}  # fmt: skip


def a_network(layers, shape, seed=0, **options):
    """A network whose statistics and parameters have no special value."""
    rng = np.random.default_rng(seed)
    network = Network(layers, shape, rng=rng, **options)
    for group in (network.params, network.state):
        for name, array in group.items():
            if "var" in name or "gamma" in name:
                group[name] = rng.uniform(0.5, 1.5, array.shape).astype(array.dtype)
            elif name[0] != "W":
                group[name] = rng.normal(size=array.shape).astype(array.dtype)
    return network


def both(model, path, inputs, **options):
    """What onnxruntime and onnx's evaluator make of the file; each a dict by output."""
    export(model, "onnx", path, **options)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    by_runtime = session.run(None, inputs)
    by_reference = reference.ReferenceEvaluator(onnx.load(path)).run(None, inputs)
    return [dict(zip(names, outputs, strict=True)) for outputs in (by_runtime, by_reference)]


def test_every_layer_is_among_the_networks():
    used = {type(layer) for layers, _ in NETWORKS.values() for layer in layers}
    assert used == set(KINDS.values())


@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(tmp_path, name, dtype, rows):
    network = a_network(*NETWORKS[name], dtype=dtype)
    X = np.random.default_rng(1).normal(size=(rows, *network.input_shape)).astype(np.float32)
    halves = [network.loss(X), engine.scores(network, X)]
    for found in both(network, tmp_path / "net.onnx", {"X": X}, logits=True):
        for scores in halves:
            np.testing.assert_allclose(found["logits"], scores, rtol=RTOL, atol=ATOL)
        powers = np.exp(halves[0] - halves[0].max(axis=1, keepdims=True))
        wanted = powers / powers.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found["probabilities"], wanted, rtol=RTOL, atol=ATOL)
        best = np.sort(halves[0], axis=1)
        clear = best[:, -1] - best[:, -2] > 1e-4
        assert found["label"].dtype == np.int64
        assert np.array_equal(found["label"][clear], network.predict(X)[clear])


@pytest.mark.parametrize(
    ("loss", "outputs", "names"),
    [
        ("logistic", 1, ["label", "probabilities", "logits"]),
        ("svm", 1, ["label", "logits"]),
        ("multilabel", 3, ["labels", "probabilities", "logits"]),
        ("mse", 1, ["prediction"]),
        ("huber", 2, ["prediction"]),
    ],
)
def test_losses(tmp_path, loss, outputs, names):
    network = a_network([Dense(5), Tanh(), Dense(outputs)], (4,), loss=loss)
    X = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    scores, predicted = network.loss(X), network.predict(X)
    for found in both(network, tmp_path / "n.onnx", {"X": X}, logits="logits" in names):
        assert list(found) == names
        if "logits" in names:
            np.testing.assert_allclose(found["logits"], scores, rtol=RTOL, atol=ATOL)
        if loss == "logistic":
            second = 1 / (1 + np.exp(-scores))
            wanted = np.stack([1 - second, second], axis=1)
            np.testing.assert_allclose(found["probabilities"], wanted, rtol=RTOL, atol=ATOL)
        if loss == "multilabel":
            wanted = 1 / (1 + np.exp(-scores))
            np.testing.assert_allclose(found["probabilities"], wanted, rtol=RTOL, atol=ATOL)
        if network.task == "regress":
            np.testing.assert_allclose(found["prediction"], predicted, rtol=RTOL, atol=ATOL)
        else:
            assert np.array_equal(found[names[0]], predicted)


# models of tables and images ------------------------------------------------------------------


def a_table(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    days = (np.datetime64("2023-01-01T06:00") + rng.integers(0, 9000, rows) * 60 * 3).astype(str)
    columns = {
        "city": rng.choice(["Köln", "Bonn", "Aachen"], rows, p=[0.6, 0.3, 0.1]).astype(object),
        "far": 1e8 + rng.normal(size=rows) * 1e-3,
        "x": rng.normal(size=rows),
        "member": rng.choice(["Yes", "no"], rows).astype(object),
        "x (missing)": rng.exponential(size=rows),
        "day": days.astype(object),
        "code": rng.choice([f"c{i}" for i in range(70)], rows).astype(object),
        "y": rng.choice(["red", "green", "blue"], rows).astype(object),
    }
    columns["city"][::11] = None
    columns["member"][5:6] = None
    columns["x"][::7] = np.nan
    return columns


def a_model(columns, target="y"):
    table = Columns(columns)
    summary = summarise(table, target)
    inputs, coder = Preprocessor.fit(table, summary), TargetCoder.fit(table, summary)
    loss = {"classify": "softmax", "regress": "mse", "multilabel": "multilabel"}[coder.task]
    outputs = len(coder.names if coder.task == "regress" else coder.classes)
    width = len(inputs.feature_names)
    network = a_network([Dense(8), Tanh(), Dense(outputs)], (width,), loss=loss, dtype="float32")
    return Model(network, inputs, coder)


def fed(path, columns):
    """The inputs of a file, by the names of its columns that it says."""
    properties = {each.key: each.value for each in onnx.load(path).metadata_props}

    def of(name):
        value = columns[name]
        if name == "day":
            epoch = np.array(value, "datetime64[s]").astype(np.float64)
            return np.where(np.isnat(np.array(value, "datetime64[s]")), np.nan, epoch / 86400)
        if value.dtype == object:
            return np.array(["" if each is None else each for each in value], object)
        return value

    inputs = {}
    for key, value in properties.items():
        if key.startswith("columns of "):
            inputs[key.removeprefix("columns of ")] = np.stack(
                [of(name) for name in json.loads(value)], axis=1
            )
    return inputs


@pytest.mark.parametrize("rows", [1, 300])
def test_a_model_of_a_table_takes_raw_rows(tmp_path, rows):
    model = a_model(a_table())
    model.save(tmp_path / "model.safetensors")
    columns = {name: value[:rows] for name, value in a_table(seed=1).items()}
    if rows > 1:
        columns["x"][1], columns["far"][2], columns["city"][3] = np.inf, np.nan, "Trier"
        columns["code"][4], columns["day"][5], columns["far"][6] = "new", None, -1e300
        columns["member"][7] = "NO"
    path = export(tmp_path, "onnx", tmp_path / "model.onnx")
    inputs = fed(path, columns)
    wanted = model.outputs(Columns(columns))
    for found in both(load(tmp_path), path, inputs, force=True):
        np.testing.assert_allclose(found["probabilities"], wanted, rtol=RTOL, atol=ATOL)
        assert found["label"].tolist() == model.answers(wanted).tolist()


def test_words_for_missing_are_missing_and_words_that_are_no_truth_too(tmp_path):
    model, columns = a_model(a_table()), a_table(rows=4)
    columns["city"][:] = ["", "NA", "Bonn", "Bonn"]
    columns["member"][:] = ["perhaps", "", "1", "YES"]
    path = export(model, "onnx", tmp_path / "m.onnx")
    inputs = fed(path, columns)
    same = {**columns, "city": np.array([None, None, "Bonn", "Bonn"], object)}
    same["member"] = np.array([None, None, "yes", "yes"], object)
    wanted = model.outputs(Columns(same))
    for found in both(model, path, inputs, force=True):
        np.testing.assert_allclose(found["probabilities"], wanted, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("kept", [("x", "far"), ("city", "member"), ("day",)])
def test_tables_of_one_kind_of_column(tmp_path, kept):
    columns = {name: value for name, value in a_table().items() if name in (*kept, "y")}
    model = a_model(columns)
    path = export(model, "onnx", tmp_path / "m.onnx")
    wanted = model.outputs(Columns(columns))
    for found in both(model, path, fed(path, columns), force=True):
        np.testing.assert_allclose(found["probabilities"], wanted, rtol=RTOL, atol=ATOL)


def test_regressions_predict_in_the_targets_units(tmp_path):
    columns = {**a_table(), "y": 1e6 + np.random.default_rng(2).normal(size=300)}
    model = a_model(columns)
    path = export(model, "onnx", tmp_path / "m.onnx")
    wanted = model.predict(Columns(columns))
    for found in both(model, path, fed(path, columns), force=True):
        assert found["prediction"].shape == (300,)
        np.testing.assert_allclose(found["prediction"] - 1e6, wanted - 1e6, rtol=RTOL, atol=ATOL)


def test_labels_that_are_numbers_stay_numbers(tmp_path):
    for classes, dtype in ([3, 7], np.int64), ([0.5, 1.5], np.float64):
        y = np.random.default_rng(0).choice(np.array(classes, np.float64), 300)
        table = Columns({"x": a_table()["x"], "y": y})
        summary = summarise(table, "y", task="classify")
        inputs, coder = Preprocessor.fit(table, summary), TargetCoder.fit(table, summary)
        model = Model(a_network([Dense(2)], (len(inputs.feature_names),)), inputs, coder)
        given = {"numbers": np.asarray(table["x"])[:, None]}
        for found in both(model, tmp_path / "m.onnx", given, force=True):
            assert found["label"].dtype == dtype
            assert np.array_equal(found["label"], model.predict(table))


def test_a_model_of_images_takes_bytes(tmp_path):
    rng = np.random.default_rng(0)
    inputs = ImagePreprocessor((3, 6, 5), rng.uniform(50, 200, 3), rng.uniform(20, 90, 3))
    coder = TargetCoder("classify", ("class",), ("cat", "dog"), False, np.zeros(1), np.ones(1))
    layers = [Conv(4, size=3), ReLU(), MaxPool(2), Dropout(0.5), Dense(2)]
    model = Model(a_network(layers, (3, 6, 5), dtype="float32"), inputs, coder)
    X = rng.integers(0, 256, (40, 3, 6, 5), np.uint8)
    wanted = model.outputs(X)
    for found in both(model, tmp_path / "m.onnx", {"images": X}):
        np.testing.assert_allclose(found["probabilities"], wanted, rtol=RTOL, atol=ATOL)
        assert found["label"].tolist() == model.predict(X).tolist()


def test_estimators(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)) * [1, 1e-3, 5] + [0, 1e8, 2]
    kind = np.where(X[:, 0] > 0, "up", "down")
    options = {"hidden_layer_sizes": (6,), "max_iter": 2, "random_state": 0}
    for y in (kind, rng.integers(0, 3, 80), rng.integers(0, 2, (80, 2))):
        model = HandgradClassifier(dropout=0.3, batch_norm=True, **options).fit(X, y)
        for found in both(model, tmp_path / "c.onnx", {"X": X}, force=True):
            wanted = model.predict_proba(X)
            np.testing.assert_allclose(found["probabilities"], wanted, rtol=RTOL, atol=ATOL)
            assert np.array_equal(next(iter(found.values())), model.predict(X))
    for y in (X[:, 0] * 50 + 1000, X[:, :2]):
        model = HandgradRegressor(**options).fit(X, y)
        for found in both(model, tmp_path / "r.onnx", {"X": X}, force=True):
            wanted = model.predict(X)
            assert found["prediction"].shape == wanted.shape
            np.testing.assert_allclose(found["prediction"], wanted, rtol=RTOL, atol=ATOL)
    plain = HandgradClassifier(standardize=False, **options).fit(X - [0, 1e8, 2], kind)
    for found in both(plain, tmp_path / "c.onnx", {"X": X - [0, 1e8, 2]}, force=True):
        wanted = plain.predict_proba(X - [0, 1e8, 2])
        np.testing.assert_allclose(found["probabilities"], wanted, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("shape", [(6, 6), (2, 6, 6), (6, 7, 3)])
def test_estimators_of_images_take_them_as_they_did(tmp_path, shape):
    rng = np.random.default_rng(0)
    X, y = rng.uniform(0, 255, (30, *shape)), rng.integers(0, 3, 30)
    model = HandgradImageClassifier((2,), max_iter=1, random_state=0).fit(X, y)
    for found in both(model, tmp_path / "m.onnx", {"X": X}):
        wanted = model.predict_proba(X)
        np.testing.assert_allclose(found["probabilities"], wanted, rtol=RTOL, atol=ATOL)
        assert np.array_equal(found["label"], model.predict(X))


# what is in a file ----------------------------------------------------------------------------


def test_what_a_file_says_of_itself(tmp_path):
    model = a_model(a_table())
    made = onnx.load(export(model, "onnx", tmp_path / "m.onnx"))
    assert made.ir_version == 8
    domains = {each.domain: each.version for each in made.opset_import}
    assert domains == {"": 17, "ai.onnx.ml": 3}
    assert made.producer_name == "handgrad"
    properties = {each.key: each.value for each in made.metadata_props}
    assert json.loads(properties["classes"]) == ["blue", "green", "red"]
    assert json.loads(properties["targets"]) == ["y"]
    assert json.loads(properties["columns of texts"]) == ["city", "member", "code"]
    assert json.loads(properties["columns of numbers"]) == ["far", "x", "x (missing)", "day"]
    assert properties["task"] == "classify"
    assert not any(node.op_type == "ZipMap" for node in made.graph.node)
    inferred = {each.name for each in (*made.graph.value_info, *made.graph.output)}
    assert inferred == {name for node in made.graph.node for name in node.output}
    for each in (*made.graph.value_info, *made.graph.input, *made.graph.output):
        dims = each.type.tensor_type.shape.dim
        assert len(dims) > 0, each.name
        assert all(dim.dim_value > 0 for dim in dims[1:]), each.name
    for each in (*made.graph.input, *made.graph.output):
        assert each.type.tensor_type.shape.dim[0].dim_param == "N"


def test_a_network_needs_no_second_domain(tmp_path):
    path = export(a_network([Dense(2)], (3,)), "onnx", tmp_path / "n.onnx")
    assert [each.domain for each in onnx.load(path).opset_import] == [""]


def test_check_finite_keeps_what_a_max_pool_may_lose(tmp_path):
    network = a_network([Conv(2, size=1), MaxPool(2), Flatten(), Dense(2)], (1, 4, 4))
    X = np.random.default_rng(0).normal(size=(6, 1, 4, 4)).astype(np.float32)
    clean = network.loss(X)
    for row, place in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        X[row, 0][place] = np.nan
    with np.errstate(invalid="ignore"):
        assert np.isnan(network.loss(X)[:4]).all()  # handgrad's pool keeps it
    for found in both(network, tmp_path / "n.onnx", {"X": X}, logits=True, check_finite=True):
        assert np.isnan(found["logits"][:4]).all()
        assert np.isnan(found["probabilities"][:4]).all()
        np.testing.assert_allclose(found["logits"][4:], clean[4:], rtol=RTOL, atol=ATOL)


def test_layer_norm_far_from_zero(tmp_path):
    """Its variance is that of what is centred, not a difference of two squares."""
    network = a_network([LayerNorm(), Dense(2)], (64,))
    X = 1000 + np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    for found in both(network, tmp_path / "n.onnx", {"X": X}, logits=True):
        # The mean of float32 numbers near 1000 is known to 1e-5 or so.
        np.testing.assert_allclose(found["logits"], network.loss(X), rtol=1e-3, atol=2e-4)


# refusals -------------------------------------------------------------------------------------


def test_what_cannot_be_written(tmp_path):
    class Own(ReLU):
        pass

    out = tmp_path / "n.onnx"
    with pytest.raises(ExportError, match=r"^cannot write Own \(layer 1\) as ONNX, which can take"):
        export(a_network([Dense(3), Own(), Dense(2)], (4,)), "onnx", out)
    network = a_network([Dense(2)], (4,))
    network.params["W1"] *= 1e60
    with pytest.raises(ExportError, match="cannot write W1 as ONNX: float32 does not hold"):
        export(network, "onnx", out)
    with pytest.raises(ExportError, match="a regression has no logits"):
        export(a_network([Dense(2)], (4,), loss="mse"), "onnx", out, logits=True)
    with pytest.raises(ExportError, match="exported to onnx, torch, c; got 'tflite'"):
        export(network, "tflite", out)
    with pytest.raises(ExportError, match="can be exported; got dict"):
        export({}, "onnx", out)
    assert not list(tmp_path.iterdir())


def test_a_file_that_exists_is_kept(tmp_path):
    network, out = a_network([Dense(2)], (4,)), tmp_path / "n.onnx"
    out.write_text("mine")
    with pytest.raises(ExportError, match=r"n\.onnx exists, and is kept; --force"):
        export(network, "onnx", out)
    assert out.read_text() == "mine"
    export(network, "onnx", out, force=True)
    assert onnx.load(out).ir_version == 8
