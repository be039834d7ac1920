"""Bad input to `handgrad train` and `predict`: one line that says what to do, exit code 2."""

import errno
import os

import numpy as np
import pytest
from own_data_runs import flowers, pictures, prices, refused, run, write_csv

from handgrad import checkpoint, report
from handgrad.own_data import folder


@pytest.fixture(autouse=True)
def _in_a_folder_without_reports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "write_own", lambda record, path: None)


def changed(**columns):
    """Flowers with other columns; a value of None takes one away, a function changes it."""
    found = flowers()
    for name, value in columns.items():
        name = name.replace("_", " ")
        if value is None:
            del found[name]
        else:
            found[name] = value(found[name]) if callable(value) else value
    return found


def with_cell(row, value):
    return lambda column: [*column[:row], value, *column[row + 1 :]]


TABLES = {
    "no such column": (flowers(), ["--target", "kinds"], "did you mean 'kind'?"),
    "no target": (flowers(), [], "name the column to predict with --target; a.csv has the columns"),
    "all missing": (changed(kind=[""] * 150), ["--target", "kind"], "target 'kind' has no values"),
    "one class": (changed(kind=["a"] * 150), ["--target", "kind"], "'kind' has one class, 'a'"),
    "text among numbers": (
        changed(leaf_2=with_cell(6, "tall")),
        ["--target", "kind"],
        "a.csv: row 8, column 'leaf 2' holds 'tall'",
    ),
    "10 rows": (flowers(10), ["--target", "kind"], "has 10 rows: too few to train on"),
    "NaN target": (
        prices() | {"price": with_cell(4, "NaN")(prices()["price"])},
        ["--target", "price"],
        "row 6, column 'price': the target is missing",
    ),
    "infinite target": (
        prices() | {"price": with_cell(4, "inf")(prices()["price"])},
        ["--target", "price"],
        "row 6, column 'price': the target is infinite",
    ),
    "text target of a regression": (
        flowers(),
        ["--target", "kind", "--task", "regress"],
        "holds 'setosa'; the target of a regression must be a number",
    ),
    "no such group": (flowers(), ["--target", "kind", "--group", "bed"], "no column 'bed'"),
    "group and time": (
        flowers(),
        ["--target", "kind", "--group", "colour", "--time-column", "leaf 0"],
        "cannot both steer the split",
    ),
    "the target as group": (
        flowers(),
        ["--target", "kind", "--group", "kind"],
        "'kind' cannot be the target and steer the split",
    ),
    "resize": (flowers(), ["--target", "kind", "--resize", "8x8"], "are for images"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_bad_table(tmp_path, monkeypatch, capsys, name):
    columns, words, said = TABLES[name]
    write_csv(tmp_path / "a.csv", columns)
    assert said in refused(monkeypatch, capsys, "train", "a.csv", *words)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"a,b\n", "has a header but no rows"),
        (b"a,a,b\n" + b"1,2,3\n" * 30, "are both named 'a'"),
        (b"a,b\n" + b"1,2\n" * 30 + b"1,2,3\n", "a.csv"),
    ],
)
def test_a_bad_file(tmp_path, monkeypatch, capsys, content, said):
    (tmp_path / "a.csv").write_bytes(content)
    line = refused(monkeypatch, capsys, "train", "a.csv", "--target", "b")
    assert said in line
    assert "a.csv" in line
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.csv", "--target", "a"], "Path 'nowhere.csv' does not exist"),
        (["a.csv", "--target", "kind", "--time", "0"], "--time"),
        (["a.csv", "--target", "kind", "--time", "soon"], "'soon' is not a valid float"),
        (["a.csv", "--target", "kind", "--resize", "8"], "'8' is no height and width"),
        (["a.csv", "--target", "kind", "--task", "guess"], "'guess' is not one of"),
        (["a.csv", "--target", "kind", "--out", "a.csv"], "'a.csv' is a file"),
        (["a.csv", "--target", "kind", "--search", "-1"], "--search"),
        (["a.csv", "--target", "kind", "--storage", "x:/"], "--storage is for --search"),
    ],
    ids=str,
)
def test_a_bad_option(tmp_path, monkeypatch, capsys, words, said):
    write_csv(tmp_path / "a.csv", flowers())
    assert said in refused(monkeypatch, capsys, "train", *words)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


# images -----------------------------------------------------------------------------------------


@pytest.fixture
def bars(tmp_path):
    pytest.importorskip("PIL")
    return pictures(tmp_path / "bars", each=20, size=8)


def test_an_image_that_does_not_decode(tmp_path, monkeypatch, capsys, bars):
    (bars / "lying/bad.png").write_bytes(b"no picture")
    line = refused(monkeypatch, capsys, "train", "bars")
    assert "bad.png" in line
    assert "--skip-bad" in line
    code, _, err = run(monkeypatch, capsys, "train", "bars", "--skip-bad", "--time", "2")
    assert code == 0
    assert "bad.png" in err
    line = refused(monkeypatch, capsys, "predict", "bars-model", "bars")
    assert "bad.png" in line
    code, out, err = run(monkeypatch, capsys, "predict", "bars-model", "bars", "--skip-bad")
    assert (code, len(out.splitlines())) == (0, 41)
    assert "bad.png" in err


def test_a_folder_with_one_class(monkeypatch, capsys, bars):
    for path in (bars / "lying").iterdir():
        path.unlink()
    (bars / "lying").rmdir()
    assert "one class" in refused(monkeypatch, capsys, "train", "bars")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "regress"], "--task regress is for tables"),
        (["--group", "x"], "--group is for tables"),
        (["--target", "x"], "--target is for tables"),
    ],
)
def test_options_of_tables_with_images(monkeypatch, capsys, bars, words, said):
    assert said in refused(monkeypatch, capsys, "train", "bars", *words)


def test_an_image_of_another_size(tmp_path, monkeypatch, capsys, bars):
    assert run(monkeypatch, capsys, "train", "bars", "--time", "2")[0] == 0
    pictures(tmp_path / "others", each=2, size=9)
    line = refused(monkeypatch, capsys, "predict", "bars-model", "others")
    assert "8 x 8" in line
    assert "9 x 9" in line


# models and what they are given ------------------------------------------------------------------


@pytest.fixture
def model(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())
    words = ["train", "a.csv", "--target", "kind", "--out", "m", "--time", "1"]
    assert run(monkeypatch, capsys, *words)[0] == 0
    return tmp_path / "m"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (changed(leaf_1=None), "has no column 'leaf 1', which the model needs"),
        ({**changed(leaf_1=None), "Leaf 1": [1.0] * 150}, "did you mean 'Leaf 1'?"),
        (changed(leaf_1=with_cell(5, "tall")), "b.csv: row 7, column 'leaf 1' holds 'tall'"),
    ],
)
@pytest.mark.parametrize("out", [[], ["--out", "p.csv"]])
def test_a_table_that_is_not_the_models(tmp_path, monkeypatch, capsys, model, columns, said, out):
    write_csv(tmp_path / "b.csv", columns)
    (tmp_path / "p.csv").write_text("mine")
    assert said in refused(monkeypatch, capsys, "predict", "m", "b.csv", *out)
    assert (tmp_path / "p.csv").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "b.csv", "p.csv", "m"}


def test_images_for_a_tables_model_and_the_other_way_round(tmp_path, monkeypatch, capsys, model):
    pytest.importorskip("PIL")
    pictures(tmp_path / "bars", each=20, size=8)
    line = refused(monkeypatch, capsys, "predict", "m", "bars")
    assert line.startswith("the model takes a table; bars")
    assert run(monkeypatch, capsys, "train", "bars", "--time", "1")[0] == 0
    line = refused(monkeypatch, capsys, "predict", "bars-model", "a.csv")
    assert line.startswith("the model takes images; a.csv")


def test_probabilities_of_numbers(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", prices())
    words = ["train", "a.csv", "--target", "price", "--out", "r", "--time", "1"]
    assert run(monkeypatch, capsys, *words)[0] == 0
    line = refused(monkeypatch, capsys, "predict", "r", "a.csv", "--proba")
    assert "--proba is for classes; this model predicts numbers" in line


def test_no_such_model(monkeypatch, capsys, model):
    line = refused(monkeypatch, capsys, "predict", "nowhere", "a.csv")
    assert line == "there is no model to read at nowhere (No such file or directory)"


# the folder -------------------------------------------------------------------------------------


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("module", [folder, checkpoint], ids=["at the start", "at the end"])
def test_a_full_disk(tmp_path, monkeypatch, capsys, module):
    write_csv(tmp_path / "a.csv", flowers())
    monkeypatch.setattr(module, "write_atomically", full)
    words = ["train", "a.csv", "--target", "kind", "--out", "m", "--time", "1"]
    code, out, err = run(monkeypatch, capsys, *words)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        "handgrad: error: cannot write to m (No space left on device); free space there or name "
        "another folder with --out"
    )
    assert not (tmp_path / "m/model.safetensors").exists()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "write_own", lambda record, path: None)
    assert run(monkeypatch, capsys, *words)[0] == 0  # the same command goes on


def test_a_full_disk_while_predictions_are_written(tmp_path, monkeypatch, capsys, model):
    (tmp_path / "p.csv").write_text("mine")
    monkeypatch.setattr(os, "fsync", full)
    line = refused(monkeypatch, capsys, "predict", "m", "a.csv", "--out", "p.csv")
    assert line == "cannot write p.csv (No space left on device); name another file with --out"
    assert (tmp_path / "p.csv").read_text() == "mine"


def test_a_folder_with_something_else_in_it(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())
    (tmp_path / "m").mkdir()
    (tmp_path / "m/thesis.tex").write_text("mine")
    line = refused(monkeypatch, capsys, "train", "a.csv", "--target", "kind", "--out", "m")
    assert line == (
        "m is no folder of handgrad train (it holds thesis.tex); name an empty or a new folder "
        "with --out"
    )
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["thesis.tex"]


def test_a_folder_of_another_training(tmp_path, monkeypatch, capsys, model):
    before = (model / "model.safetensors").read_bytes()
    line = refused(monkeypatch, capsys, "train", "a.csv", "--target", "colour", "--out", "m")
    assert line == (
        "m holds another training (its target differs); name another folder with --out, or delete "
        "that one"
    )
    assert (model / "model.safetensors").read_bytes() == before


def test_a_folder_that_another_process_holds(tmp_path, monkeypatch, capsys):
    import fcntl

    write_csv(tmp_path / "a.csv", flowers())
    (tmp_path / "m").mkdir()
    with (tmp_path / "m/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        words = ["train", "a.csv", "--target", "kind", "--out", "m", "--time", "1"]
        line = refused(monkeypatch, capsys, *words)
    assert line.startswith("another handgrad train is at work in m; wait for it")


def test_a_damaged_manifest(monkeypatch, capsys, model):
    (model / "manifest.json").write_text("{")
    line = refused(monkeypatch, capsys, "train", "a.csv", "--target", "kind", "--out", "m")
    assert "m/manifest.json is damaged" in line


def test_rows_stream(tmp_path, monkeypatch, capsys, model):
    """A wrong cell is met only when the rows before it have been predicted."""
    from handgrad.errors import DataError
    from handgrad.models import load
    from handgrad.own_data.predicting import predictions

    columns = flowers(50_000)
    columns["leaf 0"][-1] = "tall"
    write_csv(tmp_path / "b.csv", columns)
    sizes = []

    def predict_all():
        for piece in predictions(load(model), tmp_path / "b.csv"):
            sizes.append(len(piece.answers))

    with pytest.raises(DataError, match="row 50001, column 'leaf 0' holds 'tall'"):
        predict_all()
    assert len(sizes) >= 2
    assert max(sizes) <= 2**14
    assert np.sum(sizes) < 50_000
