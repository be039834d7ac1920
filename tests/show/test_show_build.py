"""`handgrad show`: what a page holds, how large it is, and every refusal in one line."""

import base64
import csv
import hashlib
import json
import re
import zlib

import numpy as np
import pytest
import shown_models
from node import in_node, version
from own_data_runs import flowers, pictures, prices, refused, run, write_csv

from handgrad import show
from handgrad.errors import ExportError
from handgrad.estimators import HandgradClassifier
from handgrad.export.source import source_of
from handgrad.images import ImagePreprocessor
from handgrad.models import Model, load
from handgrad.network import Dense, Flatten, Network, ReLU
from handgrad.show import model_file
from handgrad.show.bundle import PAGE, modules
from handgrad.show.examples import inputs_of, of_file, of_reproduction, scores_of
from handgrad.tables import Columns, TargetCoder


def content_of(page):
    """The description in a page, with its arrays."""
    found = dict(re.findall(r'id="handgrad-(content|arrays)">(.*?)</script>', page, re.DOTALL))
    content, flat = json.loads(found["content"]), zlib.decompress(base64.b64decode(found["arrays"]))
    arrays = {}
    for name, entry in content["arrays"].items():
        dtype = np.dtype(entry["dtype"]).newbyteorder("<")
        count = int(np.prod(entry["shape"]))
        part = flat[entry["offset"] : entry["offset"] + count * dtype.itemsize]
        planes = np.frombuffer(part, np.uint8).reshape(dtype.itemsize, count)
        arrays[name] = np.ascontiguousarray(planes.T).view(dtype).reshape(entry["shape"])
    return content, arrays


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A trained table's page, its model, and the data."""
    path, data, model = shown_models.table_model(tmp_path_factory.mktemp("table"))
    return path, data, model


def test_a_page_of_a_table(table):
    path, data, model = table
    content, arrays = content_of(show.build(path, data))
    assert content["title"] == "kind of flowers.csv"
    assert (content["task"], content["outputs"]) == ("classify", sorted(set(flowers()["kind"])))
    assert content["target"]["names"] == ["kind"]
    for name, array in (model.network.params | model.network.state).items():
        np.testing.assert_array_equal(arrays[name], array)
    rows, training = content["rows"], content["training"]
    assert rows["count"] == len(rows["values"]) == len(arrays["rows/y"]) == 150
    with data.open() as file:
        by_line = {f"row {line}": row for line, row in enumerate(csv.DictReader(file), 2)}
    for place, name in enumerate(rows["names"]):
        row = by_line[name]
        expected = [float(row[f"leaf {j}"]) for j in range(4)] + [row["colour"]]
        assert rows["values"][place] == expected
        assert content["outputs"][arrays["rows/y"][place]] == row["kind"]
    assert training["train"] == 120
    assert training["count"] == len(arrays["training/y"]) == 150
    assert len({json.dumps(row) for row in training["values"]}) > 140  # none twice


def test_the_mistakes_come_first(table):
    path, data, model = table
    content, arrays = content_of(show.build(path, data))
    wrong = content["rows"]["mistakes"]
    source = source_of(model)
    examples = of_file(source, data).shown
    order = [examples.names.index(name) for name in content["rows"]["names"]]
    scores = scores_of(source.network, inputs_of(source, examples.take(np.array(order)).raw))
    missed = scores.argmax(axis=1) != arrays["rows/y"]
    assert 0 < wrong == missed.sum()
    assert missed[:wrong].all()
    margins = scores.max(axis=1) - scores[np.arange(150), arrays["rows/y"]]
    assert (np.diff(margins[:wrong]) <= 0).all()  # the surest mistake first


def test_the_same_call_gives_the_same_page(table):
    path, data, _ = table
    assert show.build(path, data) == show.build(path, data)


def test_without_data_and_without_labels(table, tmp_path):
    path, _, _ = table
    content, arrays = content_of(show.build(path))
    assert content["rows"] is content["training"] is None
    assert not [name for name in arrays if name.startswith(("rows", "training"))]
    unlabelled = {name: column for name, column in flowers().items() if name != "kind"}
    content, arrays = content_of(show.build(path, write_csv(tmp_path / "new.csv", unlabelled)))
    assert (content["rows"]["count"], content["rows"]["mistakes"]) == (150, 0)
    assert content["training"] is None
    assert "rows/y" not in arrays


def test_a_regression_with_missing_values(tmp_path):
    path, data, model = shown_models.table_model(tmp_path, prices(), "price")
    content, arrays = content_of(show.build(path, data))
    assert content["target"]["mean"] == model.coder.mean.tolist()
    assert [None in row for row in content["rows"]["values"]].count(True) == 8  # 120 / 17
    assert arrays["rows/y"].dtype == np.float32
    assert content["rows"]["mistakes"] == 24  # the fifth with the largest errors
    units = arrays["rows/y"] * content["target"]["scale"][0] + content["target"]["mean"][0]
    np.testing.assert_allclose(np.sort(units), np.sort(prices()["price"]), rtol=1e-5)


@pytest.mark.parametrize("experiment", ["2.4", "3.4", "5.4"])
def test_a_net_of_the_assignment(experiment, tmp_path):
    path, network = shown_models.reproduction(tmp_path, experiment)
    page = show.build(path)
    assert len(page.encode()) < show.MOST_BYTES
    content, arrays = content_of(page)
    assert content["title"].startswith(f"{experiment} ")
    assert content["rounding"]["bits"] == 0
    assert content["rounding"]["scores"] < 1e-6  # of float64 weights as float32
    for name, array in network.params.items():
        np.testing.assert_array_equal(arrays[name], array.astype(np.float32))
    assert content["training"]["train"] == 400
    assert content["rows"]["count"] == 250
    if experiment == "5.4":
        assert content["inputs"]["drawn"]
        assert arrays["rows/raw"].shape == (250, 1, 28, 28)


def test_a_net_of_half_a_million_weights_is_rounded_as_far_as_it_must(tmp_path):
    path, network = shown_models.reproduction(tmp_path, "4.4")
    page = show.build(path)
    assert len(page.encode()) < show.MOST_BYTES
    content, arrays = content_of(page)
    bits, change = content["rounding"]["bits"], content["rounding"]["scores"]
    assert 0 < bits <= 8
    assert 0 < change < 5e-5
    assert (np.abs(arrays["W1"] - network.params["W1"]) > 0).any()
    source = source_of(path)
    X = inputs_of(source, arrays["rows/raw"])
    right = network.loss(X)
    network.params.update({name: arrays[name] for name in network.params})
    assert np.abs(network.loss(X) - right).max() == pytest.approx(change, rel=0.5)


def test_pictures_of_ones_own(tmp_path):
    pytest.importorskip("PIL")
    pictures(tmp_path / "bars", each=30)
    inputs = ImagePreprocessor((1, 12, 12), np.array([90.0]), np.array([60.0]))
    coder = TargetCoder(
        "classify", ("class",), ("lying", "upright"), False, np.zeros(1), np.ones(1)
    )
    rng = np.random.default_rng(0)
    network = Network([Flatten(), Dense(2)], (1, 12, 12), rng=rng, dtype="float32")
    Model(network, inputs, coder).save(tmp_path / "model.safetensors")
    content, arrays = content_of(show.build(tmp_path, tmp_path / "bars"))
    assert content["rows"]["count"] == 60
    assert not content["inputs"]["drawn"]
    assert arrays["rows/raw"].shape == (60, 1, 12, 12)
    for name, label in zip(content["rows"]["names"], arrays["rows/y"], strict=True):
        assert name.startswith(["lying", "upright"][label])
    other = ImagePreprocessor((1, 9, 9), np.array([90.0]), np.array([60.0]))
    small = Network([Flatten(), Dense(2)], (1, 9, 9), rng=rng, dtype="float32")
    with pytest.raises(ValueError, match=r"bars has pictures of 12 x 12; the model takes 9 x 9"):
        show.build(Model(small, other, coder), tmp_path / "bars")


def test_rows_that_take_much_room_are_fewer(tmp_path):
    rng = np.random.default_rng(0)
    columns = {f"x{j}": rng.normal(size=700).tolist() for j in range(100)}
    columns["kind"] = rng.choice(["a", "b"], 700).tolist()
    path, data, _ = shown_models.table_model(tmp_path, columns, epochs=1)
    page = show.build(path, data)
    content, _ = content_of(page)
    assert 50 < content["training"]["count"] < 500
    assert len(json.dumps(content["rows"]) + json.dumps(content["training"])) < 800_000


def test_an_estimator_and_a_network():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    fitted = HandgradClassifier(max_iter=2, random_state=0).fit(X, y)
    content, _ = content_of(show.build(fitted))
    assert content["inputs"]["kind"] == "numbers"
    assert content["inputs"]["far"] == 4.0
    assert content["file"] is None  # its bounded inputs are no model file's
    network = Network([Dense(4), ReLU(), Dense(2)], (3,), loss="mse", rng=rng)
    content, arrays = content_of(show.build(network, name="a net"))
    assert (content["title"], content["outputs"]) == ("a net", ["output 1", "output 2"])
    target = {"names": ["target 1", "target 2"], "mean": [0.0, 0.0], "scale": [1.0, 1.0]}
    assert content["target"] == target
    assert arrays["W1"].dtype == np.float32


def test_the_model_file_is_read_again_and_predicts_the_same(table, tmp_path):
    path, data, model = table
    again = model_file.as_model(source_of(path))
    again.save(tmp_path / "again.safetensors")
    columns = of_file(source_of(path), data).shown.raw
    np.testing.assert_array_equal(
        load(tmp_path / "again.safetensors").predict(columns), model.predict(columns)
    )
    for experiment in ("2.4", "3.4"):  # one score for two classes
        path, network = shown_models.reproduction(tmp_path / experiment, experiment)
        source = source_of(path)
        examples = of_reproduction(source).shown
        model_file.as_model(source).save(tmp_path / f"{experiment}.safetensors")
        read = load(tmp_path / f"{experiment}.safetensors")
        rows = write_csv(
            tmp_path / f"{experiment}.csv",
            {f"column {j}": column.tolist() for j, column in enumerate(examples.raw.T, 1)},
        )
        got = read.predict(of_file(source_of(read), rows).shown.raw)
        expected = network.predict(inputs_of(source, examples.raw))
        np.testing.assert_array_equal(got, expected)


DOWNLOADS = """
import { bytesOf, inflate, original, unpack } from "handgrad-page/content";
import { modelFile } from "handgrad-page/model_file";
import { Network } from "handgrad-page/network";
"""


@pytest.mark.skipif(version() < 18, reason="Node 18 is not installed")
@pytest.mark.parametrize("name", ["table", "2.4", "5.4"])
def test_what_the_page_downloads_predicts_as_its_model(name, table, tmp_path):
    if name == "table":
        path, data, model = table
        network, examples = model.network, of_file(source_of(path), data).shown
    else:
        path, network = shown_models.reproduction(tmp_path, name)
        data, examples = None, of_reproduction(source_of(path)).shown
        examples = examples.take(np.arange(60))
    found = re.findall(r'id="handgrad-(?:content|arrays)">(.*?)</script>', show.build(path, data))
    body = (
        "const content = JSON.parse(given[0]);"
        "const arrays = unpack(content.arrays, await inflate(bytesOf(given[1])));"
        "const network = new Network(content.network, arrays);"
        "return Buffer.from(modelFile(network, original(content, arrays))).toString('base64');"
    )
    (tmp_path / "download.safetensors").write_bytes(
        base64.b64decode(in_node(DOWNLOADS, body, found))
    )
    again = load(tmp_path / "download.safetensors")
    raw = examples.raw
    if name == "2.4":
        raw = Columns({f"column {j}": column for j, column in enumerate(raw.T, 1)})
    right = network.predict(inputs_of(source_of(path), examples.raw))
    got = again.predict(raw)
    expected = np.array(again.coder.classes)[right] if name == "table" else right
    np.testing.assert_array_equal(got, expected)


# -- the file -----------------------------------------------------------------------------------


def test_the_policy_allows_what_stands_in_the_page_and_no_request(table):
    page = show.build(table[0])
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    scripts = re.findall(r'<script type="(?:importmap|module)">(.*?)</script>', page, re.DOTALL)
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in scripts
    ]
    assert rules["script-src"].split() == [*hashes, "data:", "'wasm-unsafe-eval'"]
    outside = re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', page)
    assert outside == []


def test_modules_are_imported_by_name_alone():
    named = modules()
    for file in PAGE.rglob("*.mjs"):
        for imported in re.findall(r'from "([^"]+)"', file.read_text(encoding="utf-8")):
            assert imported in named, f"{file.name} imports {imported}"


def test_a_name_cannot_end_the_script(tmp_path):
    columns = flowers()
    columns["kind"] = [f"</script><b>{kind}" for kind in columns["kind"]]
    path, data, _ = shown_models.table_model(tmp_path, columns, epochs=1)
    page = show.build(path, data)
    assert "</script><b>" not in page
    content, _ = content_of(page)
    assert content["outputs"][0] == "</script><b>setosa"


# -- the command --------------------------------------------------------------------------------


def test_the_command(table, tmp_path, monkeypatch, capsys):
    path, data, _ = table
    monkeypatch.chdir(tmp_path)
    code, said, err = run(monkeypatch, capsys, "show", path, "--data", data)
    out = tmp_path / f"{path.parent.name}.html"
    assert (code, said) == (0, "")
    assert f"{path} as a page: {out.name}, {out.stat().st_size:,} bytes" in err
    line = refused(monkeypatch, capsys, "show", path)
    assert line.startswith(f"{out.name} exists, and is kept; --force")
    before = out.read_bytes()
    assert run(monkeypatch, capsys, "show", path, "--force")[0] == 0
    assert out.read_bytes() != before


def test_a_page_too_large_is_said_to_be(table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(show, "MOST_BYTES", 1000)
    out = tmp_path / "page.html"
    code, _, err = run(monkeypatch, capsys, "show", table[0], "--out", out)
    assert code == 0
    size = f"{out.stat().st_size:,}"
    assert f"note: {out} has {size} bytes, more than 1,000: it may open slowly" in err


def test_without_the_libraries_for_formulas(table, tmp_path, monkeypatch, capsys):
    lacking = ("not_installed_at_all",)
    monkeypatch.setattr("handgrad.show.theory.NEEDED", lacking)
    monkeypatch.setattr(show, "FORMULAS_NEED", lacking)
    out = tmp_path / "page.html"
    code, _, err = run(monkeypatch, capsys, "show", table[0], "--out", out)
    assert code == 0
    assert "note: the page has no formulas of the derivations: not_installed_at_all not" in err
    assert content_of(out.read_text(encoding="utf-8"))[0]["theory"] == []


def test_what_is_wrong_is_said_in_one_line(table, tmp_path, monkeypatch, capsys):
    path, data, _ = table
    out = tmp_path / "page.html"

    def said(model, *words):
        return refused(monkeypatch, capsys, "show", model, "--out", out, *words)

    assert "there is no model to read at" in said(tmp_path / "none.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(path.read_bytes()[:-40])
    assert "damaged" in said(damaged)
    assert said(data).startswith(f"{data} is damaged, or no model of handgrad")
    assert said(path, "--data", tmp_path / "no.csv").endswith("no.csv: no such file or folder")
    assert said(path, "--data", tmp_path).startswith("the model takes a table;")
    lacking = write_csv(tmp_path / "lacking.csv", {"leaf 0": [1.0], "leaf 1": [1.0]})
    assert "has no column 'leaf 2', which the model needs" in said(path, "--data", lacking)
    strange = flowers()
    strange["kind"][4] = "tulip"
    strange = write_csv(tmp_path / "strange.csv", strange)
    assert "holds 'tulip', which is none of the 3 classes" in said(path, "--data", strange)
    line = said(path, "--out", tmp_path / "no" / "page.html")
    assert line.startswith(f"cannot write {tmp_path / 'no' / 'page.html'} (No such file")
    assert not out.exists()


def test_a_network_that_no_page_holds(monkeypatch):
    monkeypatch.setattr(show, "_MOST_PARAMETERS", 2000)
    network = Network([Dense(21)], (100,), rng=np.random.default_rng(0))
    with pytest.raises(ExportError, match="up to 2,000 parameters; this one has 2,121"):
        show.build(network)
