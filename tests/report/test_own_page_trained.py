"""The page of real trainings, from the command to the browser's view of what it wrote."""

import json
from pathlib import Path

import pytest
from own_data_runs import flowers, pictures, prices, run, write_csv

for library in ("html5lib", "jinja2", "matplotlib"):
    pytest.importorskip(library)

from report_pages import (  # noqa: E402
    check_alone,
    check_alternatives,
    check_ids,
    check_numbers,
    check_texts,
    other_digits,
    own_words,
    parse,
    section,
)


def trained(monkeypatch, capsys, *words):
    """Train for a second; check what every page must be; return the page as a tree."""
    code, _, err = run(monkeypatch, capsys, "train", *words, "--time", "1", "--out", "out")
    assert code == 0, err
    record = json.loads(Path("out/record.json").read_text(encoding="utf-8"))

    def at(place):
        value = record
        for step in place.removeprefix("record.json#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            value = value[int(key)] if isinstance(value, list) else value[key]
        return value

    tree = parse(Path("out/report.html").read_text(encoding="utf-8"))
    assert len(check_numbers(tree, at)) > 100
    assert len(check_texts(tree, at)) > 30
    assert other_digits(own_words(tree.find("body")), r"95 %") == []
    check_alone(tree)
    check_ids(tree)
    check_alternatives(tree)
    return tree


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_table_of_classes(tmp_path, monkeypatch, capsys):
    write_csv(tmp_path / "a.csv", {**flowers(), "copy": flowers()["kind"]})
    tree = trained(monkeypatch, capsys, "a.csv", "--target", "kind")
    assert "setosa" in section(tree, "tested")
    assert "copy" in section(tree, "data")
    assert "leaf" in section(tree, "importance")


def test_a_table_of_numbers_that_was_searched(tmp_path, monkeypatch, capsys):
    pytest.importorskip("optuna")
    write_csv(tmp_path / "a.csv", prices())
    tree = trained(monkeypatch, capsys, "a.csv", "--target", "price", "--search", "3")
    assert "The largest errors" in section(tree, "tested")
    assert "(chosen)" in section(tree, "search")


def test_a_folder_of_images(tmp_path, monkeypatch, capsys):
    pytest.importorskip("PIL")
    pictures(tmp_path / "shapes")
    tree = trained(monkeypatch, capsys, "shapes")
    assert "Confusion matrix" in section(tree, "tested")
