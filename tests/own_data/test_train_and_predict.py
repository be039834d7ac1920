"""Whole commands on small data: train, predict, info, for tables and images."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from own_data_runs import flowers, pictures, prices, read_csv, refused, run, write_csv

from handgrad import report, show
from handgrad.cli.train import _stem
from handgrad.models import load
from handgrad.training_record import TrainingRecord


@pytest.fixture(autouse=True)
def _in_a_folder_without_reports(tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    if request.function.__name__ != "test_iris":  # its plots take longer than the training
        monkeypatch.setattr(report, "write_own", lambda record, path: None)


def trained(monkeypatch, capsys, *words):
    """Train for two seconds at most; return the record, standard output and error."""
    words = words if "--time" in words else (*words, "--time", "2")
    code, out, err = run(monkeypatch, capsys, "train", *words)
    assert code == 0, err
    return TrainingRecord.read(Path(out.split()[-1])), out, err


def test_iris(tmp_path, monkeypatch, capsys):
    datasets = pytest.importorskip("sklearn.datasets")
    iris = datasets.load_iris()
    columns = {name: iris.data[:, j].tolist() for j, name in enumerate(iris.feature_names)}
    columns["species"] = iris.target_names[iris.target].tolist()
    write_csv(tmp_path / "iris.csv", columns)
    code, out, err = run(monkeypatch, capsys, "train", "iris.csv", "--target", "species")
    assert code == 0, err
    record = TrainingRecord.read(tmp_path / "iris-model/record.json")
    # A linear model is right on about 97 % of iris; of 22 test rows two may be wrong.
    assert record.net.test["accuracy"] >= 20 / 22
    assert record.net.test["accuracy"] > record.baselines[0].test["accuracy"]
    assert "target species: 3 classes: setosa 50 (33.3%)" in err
    assert "petal width (cm)" in err
    assert "split: 105 rows to train" in err
    for name in ("majority", "linear", "net"):
        assert f" {name} " in out
    names = {path.name for path in (tmp_path / "iris-model").iterdir()}
    pages = {"report.html", "show.html"}
    assert names == {".lock", "manifest.json", "model.safetensors", "record.json", *pages}
    assert '<a href="show.html">' in (tmp_path / "iris-model/report.html").read_text()

    code, text, _ = run(monkeypatch, capsys, "predict", "iris-model", "iris.csv", "--proba")
    rows = read_csv(text)
    assert code == 0
    assert [row["row"] for row in rows] == [str(n) for n in range(2, 152)]
    right = np.mean(
        [row["species"] == truth for row, truth in zip(rows, columns["species"], strict=True)]
    )
    assert right > 0.93
    for row in rows:
        shares = {c: float(row[f"p({c})"]) for c in ("setosa", "versicolor", "virginica")}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert max(shares, key=shares.get) == row["species"]


def test_the_nets_page_says_where_its_rows_are_from(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(show, "MOST_BYTES", 1000)
    write_csv(tmp_path / "flowers.csv", flowers())
    words = ("train", "flowers.csv", "--target", "kind", "--time", "1", "--out", "net")
    code, _, err = run(monkeypatch, capsys, *words)
    assert code == 0, err
    assert "bytes, more than 1,000: it may open slowly" in err
    page = (tmp_path / "net/show.html").read_text(encoding="utf-8")
    (content,) = re.findall(r'id="handgrad-content">(.*?)</script>', page, re.DOTALL)
    content = json.loads(content)
    assert content["rows"]["source"] == "the test rows of flowers.csv"
    assert content["training"]["source"] == "the training and validation rows of flowers.csv"
    # Nothing links to a page that is not there.
    (tmp_path / "net/show.html").unlink()
    assert run(monkeypatch, capsys, "report", "net")[0] == 0
    assert "show.html" not in (tmp_path / "net/report.html").read_text(encoding="utf-8")


def test_columns_are_found_by_name_in_any_order(tmp_path, monkeypatch, capsys):
    columns = flowers()
    write_csv(tmp_path / "a.csv", columns)
    turned = {"more": ["x"] * 150, **dict(reversed(columns.items()))}
    write_csv(tmp_path / "b.csv", turned)
    del turned["kind"]
    write_csv(tmp_path / "c.csv", turned)
    trained(monkeypatch, capsys, "a.csv", "--target", "kind", "--out", "m")
    given = [
        run(monkeypatch, capsys, "predict", "m", name)[1] for name in ("a.csv", "b.csv", "c.csv")
    ]
    assert given[0] == given[1] == given[2]
    assert given[0].startswith("row,kind\n2,setosa\n")


def test_a_category_that_training_did_not_see_is_predicted_all_the_same(
    tmp_path, monkeypatch, capsys
):
    columns = flowers()
    write_csv(tmp_path / "a.csv", columns)
    trained(monkeypatch, capsys, "a.csv", "--target", "kind", "--out", "m")
    columns["colour"][3] = "violet"
    write_csv(tmp_path / "b.csv", columns)
    code, out, _ = run(monkeypatch, capsys, "predict", "m", "b.csv")
    assert code == 0
    assert len(out.splitlines()) == 151


def test_a_regression_in_its_own_units(tmp_path, monkeypatch, capsys):
    columns = prices()
    write_csv(tmp_path / "houses.tsv", columns)
    words = ["houses.tsv", "--target", "price", "--time", "20"]
    record, out, _ = trained(monkeypatch, capsys, *words)
    assert record.task == "regress"
    assert [each.name for each in record.baselines] == ["mean", "linear"]
    assert record.net.test["r2"] > 0.8  # the noise takes 2 % of the variance
    assert 10_000 < record.net.test["rmse"] < 80_000  # of prices from 0 to 600,000
    assert record.importances[0].column == "size"
    assert "R²" in out
    code, text, _ = run(monkeypatch, capsys, "predict", "houses-model", "houses.tsv")
    predicted = np.array([float(row["price"]) for row in read_csv(text)])
    truth = np.array(columns["price"])
    assert code == 0
    assert 1 - np.square(predicted - truth).sum() / np.square(truth - truth.mean()).sum() > 0.8


def test_numbers_may_be_classes_and_classes_numbers(tmp_path, monkeypatch, capsys):
    columns = flowers()
    columns["kind"] = [{"setosa": 5, "versicolor": 7, "virginica": 11}[k] for k in columns["kind"]]
    write_csv(tmp_path / "a.csv", columns)
    record, _, _ = trained(monkeypatch, capsys, "a.csv", "--target", "kind", "--out", "c")
    assert record.task == "classify"
    assert run(monkeypatch, capsys, "predict", "c", "a.csv")[1].startswith("row,kind\n2,5\n")
    record, _, _ = trained(
        monkeypatch, capsys, "a.csv", "--target", "kind", "--task", "regress", "--out", "r"
    )
    assert record.task == "regress"


@pytest.mark.parametrize("task", ["multilabel", "regress"])
def test_several_targets(tmp_path, monkeypatch, capsys, task):
    columns = flowers()
    x = np.array(columns["leaf 0"])
    first, second = x > np.median(x), np.array(columns["leaf 1"]) > 0
    if task == "multilabel":
        columns |= {"wet": first.astype(int).tolist(), "cold": second.astype(int).tolist()}
    else:
        columns |= {"wet": (2 * x + 1).tolist(), "cold": (x**2).tolist()}
        del columns["leaf 0"]
    write_csv(tmp_path / "a.csv", columns)
    words = ["a.csv", "--target", "wet", "--target", "cold", "--out", "m", "--time", "5"]
    record, _, _ = trained(monkeypatch, capsys, *words)
    assert record.task == task
    assert [each.target for each in record.analyses] == ["wet", "cold"]
    code, text, _ = run(monkeypatch, capsys, "predict", "m", "a.csv")
    rows = read_csv(text)
    assert code == 0
    assert set(rows[0]) == {"row", "wet", "cold"}
    if task == "multilabel":
        assert record.net.test["label_accuracy"] > 0.8
        assert {row["wet"] for row in rows} == {"0", "1"}
        text = run(monkeypatch, capsys, "predict", "m", "a.csv", "--proba")[1]
        assert set(read_csv(text)[0]) == {"row", "wet", "cold", "p(wet)", "p(cold)"}


def test_a_folder_of_two_hundred_pictures(tmp_path, monkeypatch, capsys):
    pytest.importorskip("PIL")
    pictures(tmp_path / "bars")
    record, _, err = trained(monkeypatch, capsys, "bars", "--time", "20")
    assert record.data.kind == "images"
    assert record.data.image_shape == (1, 12, 12)
    # Far more than a linear model reaches, as a bar may be anywhere.
    assert record.net.test["accuracy"] > 0.9
    assert "200 pictures" in err
    code, text, _ = run(monkeypatch, capsys, "predict", "bars-model", "bars", "--proba")
    rows = read_csv(text)
    assert code == 0
    assert len(rows) == 200
    right = [row["file"].startswith(row["class"]) for row in rows]
    assert np.mean(right) > 0.9
    code, text, _ = run(monkeypatch, capsys, "info", "bars-model")
    assert code == 0
    assert "takes: grey images of 12 x 12 pixels" in text
    assert "2 classes: lying, upright" in text


def test_pictures_in_an_npz_with_their_mistakes_shown(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (80, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", X=X, y=np.arange(80) % 2)
    record, _, _ = trained(monkeypatch, capsys, "noise.npz", "--time", "1")
    (analysis,) = record.analyses
    mistakes = analysis.classification.mistakes
    assert mistakes  # of labels that mean nothing
    assert len(analysis.names) == len(mistakes)
    assert all(each.png for each in mistakes)
    assert all(analysis.names[i] == f"row {each.row}" for i, each in enumerate(mistakes))


def test_a_table_in_an_npz(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    np.savez(tmp_path / "t.npz", X=X, y=(X[:, 0] > 0).astype(int))
    record, _, _ = trained(monkeypatch, capsys, "t.npz", "--time", "20")
    assert record.data.kind == "table"
    assert record.net.test["accuracy"] > 0.85


def test_info_says_what_the_file_holds(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())
    record, _, _ = trained(monkeypatch, capsys, "a.csv", "--target", "kind", "--out", "m")
    code, text, _ = run(monkeypatch, capsys, "info", "m/model.safetensors")
    assert code == 0
    assert "a classification of kind, 3 classes: setosa, versicolor, virginica" in text
    assert "takes: a table with the columns leaf 0, leaf 1, leaf 2, leaf 3, colour" in text
    assert f"{record.net.test['accuracy']:.4f}" in text
    assert "majority" in text


def test_groups_stay_together_and_times_in_order(tmp_path, monkeypatch, capsys):
    columns = flowers()
    columns["bed"] = [f"bed {i // 5}" for i in range(150)]
    columns["day"] = [f"2024-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(150)]
    write_csv(tmp_path / "a.csv", columns)
    words = ["a.csv", "--target", "kind", "--group", "bed", "--out", "g"]
    record, _, _ = trained(monkeypatch, capsys, *words)
    uses = {each.name: each.use for each in record.data.columns}
    assert uses["bed"] == "group"
    assert "bed" in record.split.how
    words = ["a.csv", "--target", "kind", "--time-column", "day", "--out", "t"]
    record, _, _ = trained(monkeypatch, capsys, *words)
    rows = [mistake.row for mistake in record.analyses[0].classification.mistakes]
    # The last 15 % of 150 rows; a row's number is its line in the file, below the header.
    assert all(row > 1 + 127 for row in rows)
    assert "bed" in load(tmp_path / "t").preprocessor.names
    assert "day" not in load(tmp_path / "t").preprocessor.names


def test_a_leaking_column_is_named_and_left_out(tmp_path, monkeypatch, capsys):
    columns = flowers()
    columns["copy"] = [kind.upper() for kind in columns["kind"]]
    write_csv(tmp_path / "a.csv", columns)
    record, _, err = trained(monkeypatch, capsys, "a.csv", "--target", "kind", "--out", "m")
    assert record.data.leaking == ("copy",)
    assert "'copy'" in err
    assert "copy" not in load(tmp_path / "m").preprocessor.names


def test_the_same_seed_gives_the_same_model(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())
    for out in ("one", "two"):
        trained(monkeypatch, capsys, "a.csv", "--target", "kind", "--out", out, "--time", "60")
    first, second = (load(tmp_path / out).network.params for out in ("one", "two"))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_the_record_is_json_without_folders(tmp_path, monkeypatch, capsys):
    (tmp_path / "deep").mkdir()
    write_csv(tmp_path / "deep/a.csv", flowers())
    trained(monkeypatch, capsys, tmp_path / "deep/a.csv", "--target", "kind", "--out", "m")
    text = (tmp_path / "m/record.json").read_text()
    json.loads(text)
    assert str(tmp_path) not in text
    assert '"handgrad train a.csv --target kind --out m --time 2"' in text


def test_the_command_is_recorded_as_it_was_given(tmp_path, monkeypatch, capsys):
    """Only the data's and the folder's path are shortened; a column may have a slash."""
    (tmp_path / "deep").mkdir()
    columns = prices()
    columns["price/m2"] = columns.pop("price")
    write_csv(tmp_path / "deep/a.csv", columns)
    words = [tmp_path / "deep/a.csv", "--target=price/m2", f"--out={tmp_path / 'deep/m'}"]
    assert run(monkeypatch, capsys, "train", *words, "--time", "1")[0] == 0
    record = TrainingRecord.read(tmp_path / "deep/m/record.json")
    assert record.command == "handgrad train a.csv --target price/m2 --out m --time 1"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("train.2023.csv", "train.2023-model"),
        ("train.2024.csv.gz", "train.2024-model"),
        ("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte-model"),
        ("a.tsv", "a-model"),
    ],
)
def test_the_default_folder_drops_only_what_says_the_format(tmp_path, name, folder):
    assert f"{_stem(tmp_path / name)}-model" == folder


def test_a_row_has_one_number_in_predictions_messages_and_record(tmp_path, monkeypatch, capsys):
    def written(name):
        """Write the columns with a blank line below the header."""
        path = write_csv(tmp_path / name, columns)
        lines = path.read_text().splitlines()
        path.write_text("\n".join([lines[0], "", *lines[1:], ""]))

    columns = {"day": list(range(120)), **prices()}
    columns["price"][115] = 9e6  # far off
    written("a.csv")
    words = ["a.csv", "--target", "price", "--time-column", "day", "--out", "m"]
    record, _, _ = trained(monkeypatch, capsys, *words)
    line = 3 + 115
    assert (tmp_path / "a.csv").read_text().splitlines()[line - 1].endswith("9000000.0")
    worst = record.analyses[0].regression.worst[0]
    assert worst.row == line
    assert worst.error == worst.prediction - worst.truth
    rows = read_csv(run(monkeypatch, capsys, "predict", "m", "a.csv")[1])
    assert [rows[0]["row"], rows[115]["row"]] == ["3", str(line)]
    columns["size"][115] = "wide"
    written("b.csv")
    line_of_error = refused(monkeypatch, capsys, "predict", "m", "b.csv")
    assert line_of_error.startswith(f"b.csv: row {line}, column 'size' holds 'wide'")


def test_pictures_in_one_file_count_from_one(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (80, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", X=X, y=np.arange(80) % 2)
    assert run(monkeypatch, capsys, "train", "noise.npz", "--time", "1")[0] == 0
    text = run(monkeypatch, capsys, "predict", "noise-model", "noise.npz")[1]
    assert [row["file"] for row in read_csv(text)] == [f"row {n}" for n in range(1, 81)]


def test_truths_keep_every_digit(tmp_path, monkeypatch, capsys):
    columns = prices()
    columns["price"] = [value + 0.123456789 for value in columns["price"]]
    write_csv(tmp_path / "a.csv", columns)
    record, _, _ = trained(monkeypatch, capsys, "a.csv", "--target", "price", "--out", "m")
    regression = record.analyses[0].regression
    assert all(columns["price"][point.row - 2] == point.truth for point in regression.points)
    (target,) = (each for each in record.data.columns if each.use == "target")
    assert (target.low, target.high) == (min(columns["price"]), max(columns["price"]))
    assert target.mean == pytest.approx(np.mean(columns["price"]))


def test_a_class_without_training_rows_is_named(tmp_path, monkeypatch, capsys):
    columns = flowers()
    columns["day"] = list(range(150))
    columns["kind"][140:] = ["late"] * 10
    write_csv(tmp_path / "a.csv", columns)
    words = ["a.csv", "--target", "kind", "--time-column", "day", "--out", "m"]
    record, _, err = trained(monkeypatch, capsys, *words)
    said = "1 of 4 classes have no training rows, and are never predicted: 'late'"
    assert said in err
    assert said in record.data.warnings
    columns["kind"] = ["a"] * 120 + ["b"] * 30
    write_csv(tmp_path / "b.csv", columns)
    words = ["train", "b.csv", "--target", "kind", "--time-column", "day"]
    line = refused(monkeypatch, capsys, *words)
    assert "the split leaves one class in the training rows, none of 'b'" in line


def test_a_leak_can_be_overruled(tmp_path, monkeypatch, capsys):
    columns = flowers()
    columns["copy"] = [kind.upper() for kind in columns["kind"]]
    write_csv(tmp_path / "a.csv", columns)
    words = ["a.csv", "--target", "kind", "--keep", "copy", "--out", "m"]
    record, _, err = trained(monkeypatch, capsys, *words)
    assert "copy" in load(tmp_path / "m").preprocessor.names
    assert record.importances[0].column == "copy"
    assert (
        "'copy' is the target under other names: one value for each of 'kind', and is kept" in err
    )
    only = {name: columns[name] for name in ("copy", "kind")}
    write_csv(tmp_path / "b.csv", only)
    line = refused(monkeypatch, capsys, "train", "b.csv", "--target", "kind")
    assert line.endswith("to learn from one all the same, name it with --keep (keep=)")
    words = ["train", "a.csv", "--target", "kind", "--keep", "kind"]
    assert "'kind' is the target" in refused(monkeypatch, capsys, *words)


def test_info_is_for_people(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", flowers())
    trained(monkeypatch, capsys, "a.csv", "--target", "kind", "--out", "m")
    text = run(monkeypatch, capsys, "info", "m")[1]
    assert "rows: 105 to train, 23 to validate, 22 to test" in text
    assert "settings: hidden 128, 64;" in text
    assert not set("{}'") & set(text)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("words", [["predict", "m", "a.csv"], ["info", "m"]], ids=str)
def test_standard_output_that_takes_nothing_more(tmp_path, monkeypatch, capsys, words):
    write_csv(tmp_path / "a.csv", flowers())
    trained(monkeypatch, capsys, "a.csv", "--target", "kind", "--out", "m", "--time", "1")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "handgrad", *words], stdout=full, stderr=subprocess.PIPE,
            text=True, cwd=tmp_path, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "handgrad: error: cannot write to standard output (No space left on device); send it "
        "somewhere else\n"
    )
