"""A model's file: it comes back as it was, today's loads tomorrow, others are refused by name."""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from handgrad import checkpoint, models
from handgrad.errors import CheckpointError, ModelError
from handgrad.images import ImagePreprocessor
from handgrad.models import Model, load
from handgrad.network import Conv, Dense, Flatten, Network, ReLU
from handgrad.tables import Columns, Preprocessor, TargetCoder, summarise

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
GOLDEN = sorted(FIXTURES.glob("model-*.safetensors"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_file_of_an_earlier_day_gives_what_it_gave_then(path):
    then = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    model = load(path)
    columns = Columns(then["rows"])
    assert model.predict(columns).tolist() == then["classes"]
    # float32 products are summed in another order by another processor's loops.
    np.testing.assert_allclose(model.outputs(columns), then["probabilities"], rtol=1e-4, atol=1e-6)
    assert model.about["data"] == "people.csv"
    assert model.metrics["validation"]["net"]["accuracy"] == 0.5


def test_there_is_a_golden_file_of_this_layout():
    assert FIXTURES / f"model-{models.VERSION}.safetensors" in GOLDEN


def of_a_table(task="classify"):
    rng = np.random.default_rng(0)
    x = rng.normal(size=90)
    columns = Columns(
        {
            "number": x,
            "tuple": rng.normal(size=90),  # a name that means something to a header
            "kind": np.array(["a", "b,c", 'd"'], object)[np.arange(90) % 3],
            "y": np.where(x > 0, "yes", "no").astype(object) if task == "classify" else 5 * x + 100,
        }
    )
    if task == "regress":
        columns = Columns({**columns, "y": 5 * x**2 + 100})
    summary = summarise(columns, "y", task)
    coder = TargetCoder.fit(columns, summary)
    preprocessor = Preprocessor.fit(columns, summary)
    shape = (len(preprocessor.feature_names),)
    loss = "softmax" if task == "classify" else "mse"
    layers = [Dense(4), ReLU(), Dense(2 if task == "classify" else 1)]
    rng = np.random.default_rng(1)
    network = Network(layers, shape, loss=loss, dtype=np.float32, rng=rng)
    return Model(network, preprocessor, coder, {}, {"data": "t"}), columns


def of_images():
    coder = TargetCoder("classify", ("class",), ("cat", "dog"), False, np.zeros(1), np.ones(1))
    preprocessor = ImagePreprocessor((1, 6, 6), np.array([99.0]), np.array([50.0]))
    layers = [Conv(2, 3), ReLU(), Flatten(), Dense(2)]
    network = Network(layers, (1, 6, 6), dtype=np.float32, rng=np.random.default_rng(0))
    X = np.random.default_rng(2).integers(0, 256, (5, 1, 6, 6), dtype=np.uint8)
    return Model(network, preprocessor, coder), X


MAKERS = [of_a_table, lambda: of_a_table("regress"), of_images]


@pytest.mark.parametrize("maker", MAKERS, ids=["classify", "regress", "images"])
def test_it_comes_back_to_the_bit(tmp_path, maker):
    model, data = maker()
    model.save(tmp_path / "m.safetensors")
    back = load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(back.outputs(data), model.outputs(data))
    assert back.predict(data).tolist() == model.predict(data).tolist()
    assert back.of_images == model.of_images
    assert load(tmp_path / "m.safetensors").coder.classes == model.coder.classes


def test_a_regression_answers_in_the_targets_units():
    model, columns = of_a_table("regress")
    standard = models.outputs(model.network, model.inputs(columns), "regress")
    np.testing.assert_allclose(
        model.predict(columns), standard * model.coder.scale[0] + model.coder.mean[0], rtol=1e-6
    )
    assert model.predict(columns).shape == (90,)


def test_no_rows_give_no_answers():
    model, _ = of_images()
    assert model.predict(np.zeros((0, 1, 6, 6), np.uint8)).shape == (0,)


def test_a_table_for_images_and_images_for_a_table():
    table, columns = of_a_table()
    images, X = of_images()
    with pytest.raises(ModelError, match="the model takes a table; got images"):
        table.predict(X)
    with pytest.raises(ModelError, match="the model takes images; got a table"):
        images.predict(columns)


@pytest.mark.parametrize(("first", "length"), [(b"\x80", 0x1080), (b"PK", 0x4B50)])
def test_a_file_that_begins_as_a_pickle_or_a_zip_does_is_read_all_the_same(tmp_path, first, length):
    """A safetensors file begins with the length of its header, here in two bytes that are not 0."""
    model, X = of_images()
    path = tmp_path / "m.safetensors"

    def saved(padding):
        about = {"data": "x" * padding}
        Model(model.network, model.preprocessor, model.coder, {}, about).save(path)
        return int.from_bytes(path.read_bytes()[:8], "little")

    assert saved(length - saved(0)) == length
    assert path.read_bytes().startswith(first)
    assert load(path).predict(X).shape == (5,)


# what is no model of ours -------------------------------------------------------------------------


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.mkdir, (self.path,)


def a_file(path):
    of_a_table()[0].save(path)
    return path


def cut(path):
    content = a_file(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def pickled(path):
    path.write_bytes(pickle.dumps(Malicious(path.with_name("made"))))


def zipped(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"x")


def changed(**header):
    def write(path):
        arrays, found = checkpoint.read(a_file(path))
        checkpoint.write(path, arrays, {**found, **header})

    return write


def changed_inside(change):
    def write(path):
        arrays, found = checkpoint.read(a_file(path))
        inside = json.loads(found["model"])
        change(inside, arrays)
        checkpoint.write(path, arrays, {**found, "model": json.dumps(inside)})

    return write


REFUSED = {
    "missing": (lambda path: None, "there is no model to read at"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged, or no model of handgrad"),
    "text": (lambda path: path.write_text("a,b\n" * 99), "is damaged, or no model of handgrad"),
    "cut": (cut, "is damaged, or no model of handgrad"),
    "pickle": (pickled, "is a pickle; handgrad reads models in safetensors files, and never a"),
    "zip": (zipped, "is a zip file, as PyTorch's or Keras' are"),
    "foreign": (
        lambda path: save_file({"w": np.zeros(3)}, path),
        "is a safetensors file, but no model of handgrad",
    ),
    "a checkpoint": (
        lambda path: checkpoint.write(path, {"w": np.zeros(3)}, {"epoch": 3}),
        "not a model of handgrad train",
    ),
    "newer": (changed(version=99), "is a model of layout 99; this handgrad"),
    "header": (changed(model="{"), "is damaged (JSONDecodeError"),
    "a newer layer": (
        changed_inside(lambda model, arrays: model["network"]["layers"][0].update(kind="Mamba")),
        "this version of handgrad has no layer Mamba",
    ),
    "a part is missing": (
        changed_inside(lambda model, arrays: model.pop("coder")),
        "is damaged (KeyError: 'coder')",
    ),
    "no weights": (
        changed_inside(lambda model, arrays: arrays.pop("network/W1")),
        "W1 must be float32 (5, 4); got none",
    ),
    "another shape": (
        changed_inside(lambda model, arrays: arrays.update({"network/b2": np.zeros(7, "f4")})),
        "b2 must be float32 (2,); got float32 (7,)",
    ),
    "not finite": (
        changed_inside(lambda model, arrays: arrays["network/W1"].fill(np.nan)),
        "W1 has a value that is not finite",
    ),
    "too many": (
        changed_inside(lambda model, arrays: arrays.update({"network/W9": np.zeros(7, "f4")})),
        "it has arrays of no layer: W9",
    ),
    "no preprocessing": (
        changed_inside(lambda model, arrays: arrays.pop("preprocessor/scales")),
        "is damaged (KeyError: 'scales')",
    ),
    "fewer classes": (
        changed_inside(lambda model, arrays: model["coder"].update(classes=["yes"])),
        "its network has 2 outputs for 1 classes",
    ),
    "fewer inputs": (
        changed_inside(lambda model, arrays: model["preprocessor"]["encoders"].pop()),
        "is damaged",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_model_is_refused_by_name(tmp_path, name):
    write, said = REFUSED[name]
    path = tmp_path / "m.safetensors"
    write(path)
    with pytest.raises(ModelError) as error:
        load(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "made").exists()


def test_a_header_holds_json_alone(tmp_path):
    model, _ = of_a_table()
    broken = Model(model.network, model.preprocessor, model.coder, {}, {"when": object()})
    with pytest.raises(CheckpointError, match="a model's header holds JSON values; got object"):
        broken.save(tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())
