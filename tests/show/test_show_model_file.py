"""The file that the page's Download gives: `handgrad predict`'s, trained further."""

import base64
import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from page_arithmetic import answer, described, needs_node

from handgrad import checkpoint, models
from handgrad.cli import cli
from handgrad.network_spec import to_spec

FIXTURES = Path(__file__).parents[1] / "fixtures"
DTYPES = {"float64": "F64", "float32": "F32", "int64": "I64", "bool": "BOOL", "uint8": "U8"}

pytestmark = needs_node


def original(path):
    """Take a model's file apart, as the page is given it."""
    place = answer("constants")["NETWORK_HERE"]
    arrays, header = checkpoint.read(path)
    spec = json.loads(header["model"])["network"]
    text = json.dumps(header)
    written = json.dumps(json.dumps(spec))[1:-1]
    assert text.count(written) == 1
    others = {
        name: {"dtype": DTYPES[array.dtype.name], "shape": array.shape,
               "data": base64.b64encode(array.tobytes()).decode()}
        for name, array in arrays.items() if not name.startswith("network/")
    }  # fmt: skip
    return {"header": text.replace(written, json.dumps(place)[1:-1]), "others": others}


def test_it_is_the_original_but_for_the_network(tmp_path):
    """Preprocessing, classes and metrics to the last bit; the network is the page's."""
    path = FIXTURES / "model-1.safetensors"
    model = models.load(path)
    for name in model.network.params:
        model.network.params[name] = model.network.params[name] * np.float32(1.5)
    given = described(model.network)
    given["description"]["layers"][2] = {"kind": "Tanh"}
    file = tmp_path / "model.safetensors"
    file.write_bytes(base64.b64decode(answer("file", **given, **original(path))))
    again = models.load(file)
    assert to_spec(again.network)["layers"][2] == {"kind": "Tanh"}
    for name, array in {**model.network.params, **model.network.state}.items():
        found = {**again.network.params, **again.network.state}[name]
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype
    assert again.preprocessor.to_header() == model.preprocessor.to_header()
    for name, array in model.preprocessor.arrays().items():
        np.testing.assert_array_equal(again.preprocessor.arrays()[name], array)
    assert (again.metrics, again.about) == (model.metrics, model.about)


def test_predict_reads_it(tmp_path):
    """And predicted as before where nothing was trained."""
    path = FIXTURES / "model-1.safetensors"
    file = tmp_path / "model.safetensors"
    given = described(models.load(path).network)
    file.write_bytes(base64.b64decode(answer("file", **given, **original(path))))
    rows = json.loads((FIXTURES / "model-1.json").read_text())["rows"]
    table = tmp_path / "rows.csv"
    lines = [",".join(rows)] + [
        ",".join(map(str, line)) for line in zip(*rows.values(), strict=True)
    ]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    predicted = []
    for which in (path, file):
        out = tmp_path / f"{len(predicted)}.csv"
        run = CliRunner().invoke(cli, ["predict", str(which), str(table), "--out", str(out)])
        assert run.exit_code == 0, run.output
        predicted.append(out.read_text(encoding="utf-8"))
    assert predicted[0] == predicted[1]
    assert len(predicted[0].splitlines()) == len(lines)


def test_a_header_without_a_place_is_refused():
    """The network's description must go somewhere."""
    path = FIXTURES / "model-1.safetensors"
    given = described(models.load(path).network)
    said = answer("file", **given, **{**original(path), "header": "{}"})["error"]
    assert said == "the header has no place for the network"
