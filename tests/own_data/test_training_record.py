"""The record of `handgrad train`: it comes back from JSON as it was, or is refused by name."""

import dataclasses
import json

import pytest
from training_records import a_record

from handgrad.errors import ResultsError
from handgrad.training_record import METRICS, TrainingRecord

KINDS = [
    {"task": "classify"},
    {"task": "classify", "images": True, "interrupted": True},
    {"task": "multilabel", "search": True},
    {"task": "regress"},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_comes_back_as_it_was(tmp_path, kind):
    record, path = a_record(**kind), tmp_path / "record.json"
    record.write(path)
    back = TrainingRecord.read(path)
    # Settings and the environment are plain JSON, where a tuple is a list.
    assert back == record
    assert set(back.net.validation) == set(METRICS[back.task])


def test_what_json_cannot_say_is_not_written(tmp_path):
    record = a_record("regress")
    net = dataclasses.replace(record.net, test={"r2": float("nan"), "rmse": 1.0, "mae": 1.0})
    with pytest.raises(ValueError, match="Out of range float"):
        dataclasses.replace(record, net=net).write(tmp_path / "record.json")
    assert not list(tmp_path.iterdir())


def damaged(change):
    def write(path):
        a_record().write(path)
        record = json.loads(path.read_text())
        path.write_text(json.dumps(change(record)))

    return write


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: path.write_text("{"), "is not a record of handgrad train"),
        (lambda path: None, "is not a record of handgrad train"),
        (damaged(lambda r: {**r, "schema": 99}), "has schema 99, this version of handgrad reads 1"),
        (damaged(lambda r: {k: v for k, v in r.items() if k != "net"}), "is damaged ('net')"),
        (damaged(lambda r: {**r, "split": [1, 2, 3]}), "in place of named fields"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, write, said):
    path = tmp_path / "record.json"
    write(path)
    with pytest.raises(ResultsError) as error:
        TrainingRecord.read(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
