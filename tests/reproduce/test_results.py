"""The record of a run: JSON round trip, refusals, spread and Wilson's interval by hand."""

import dataclasses
import json

import pytest

from handgrad.errors import ResultsError
from handgrad.results import (
    SCHEMA,
    DataRecord,
    Difference,
    Edge,
    ExperimentRecord,
    Interval,
    LayerRecord,
    Results,
    Setup,
    Spread,
    Trial,
    settings_text,
)
from handgrad.typed_json import from_json


def setup():
    return Setup(
        input_shape=(20,),
        layers=(
            LayerRecord("Dense", "units 5", (5,), 105),
            LayerRecord("Dense", "units 1", (1,), 6),
        ),
        train_rows=500,
        val_rows=250,
        test_rows=250,
        preprocessing="standardised",
        initialisation="normal",
        loss="logistic",
        optimizer="nesterov",
        schedule="cosine",
        batch_size=20,
        fixed={"momentum": 0.9},
        validation_accuracy="the best epoch's",
        training_accuracy="of at most 1,000 rows",
        searched={"hidden_dim": (5, 9), "reg": (0.0,)},
        control={"keep": 1.0},
        search_epochs=5,
        search_rows=500,
        search_seeds=3,
        finalists=2,
        finalist_seeds=3,
        reference="2.3",
        differences=(Difference("widths", [1, 2], [3]),),
    )


def example():
    trials = (
        Trial({"hidden_dim": 5, "reg": 0.0}, 0.75, 1.5),
        Trial({"hidden_dim": 9, "reg": 0.0}, None, 0.5, "the loss became nan"),
    )
    experiment = ExperimentRecord(
        id="2.4",
        title="Logistic loss, one hidden layer",
        data="course",
        chosen={"hidden_dim": 5, "reg": 0.0},
        trials=trials,
        seeds=(0, 1),
        val_accuracy=Spread.of([0.75, 0.5]),
        test_accuracy=Spread.of([0.5, 0.25]),
        test_interval=Interval.wilson(0.375, 250),
        parameters=111,
        epochs=5,
        train_seconds=0.5,
        search_seconds=2.0,
        models=("runs/2.4/seed-0/model.safetensors", "runs/2.4/seed-1/model.safetensors"),
        setup=setup(),
        conclusions=("They lie within 0.30 points.",),
        edges=(Edge("hidden_dim", "flat", "It has flattened."),),
    )
    return Results(
        profile="smoke",
        seed=0,
        command="handgrad reproduce --out 'é ü'",
        environment={"numpy": "2.0", "processors": 2},
        data={"course": DataRecord("stand-in", {"stand-in": "ab" * 32}, True)},
        experiments=(experiment,),
    )


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "results.json"
    example().write(path)
    assert Results.read(path) == example()
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]  # no temporary left


def test_the_file_is_plain_json_with_the_schema_first(tmp_path):
    path = tmp_path / "results.json"
    example().write(path)
    record = json.loads(path.read_text(encoding="utf-8"))
    assert next(iter(record)) == "schema"
    assert record["schema"] == SCHEMA
    assert "é ü" in path.read_text(encoding="utf-8")  # readable, not escaped
    (experiment,) = record["experiments"]
    assert experiment["test_accuracy"] == {
        "mean": 0.375,
        "std": pytest.approx(0.1767767),
        "values": [0.5, 0.25],
    }
    assert experiment["trials"][1]["val_accuracy"] is None
    assert experiment["trials"][1]["error"] == "the loss became nan"


def test_writing_replaces_the_old_file_whole(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("x" * 100_000)
    example().write(path)
    assert Results.read(path) == example()


@pytest.mark.parametrize("schema", [0, SCHEMA + 1, "1", None])
def test_another_schema_is_refused_with_both_numbers(tmp_path, schema):
    path = tmp_path / "results.json"
    example().write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema}))
    with pytest.raises(ResultsError, match=rf"has schema {schema}, .* writes {SCHEMA}; name") as e:
        Results.read(path)
    assert str(path) in str(e.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"5", b"null", b'"schema"', b"{}", b"\xff\xfe\x00", b"\0" * 64]
)
def test_what_is_no_results_file_is_refused(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=r"is not a results file of handgrad; delete it or name"):
        Results.read(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "results.json"
    example().write(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ResultsError, match="is not a results file of handgrad"):
        Results.read(path)


@pytest.mark.parametrize(
    "damage",
    [
        {"data": []},
        {"data": {"course": 5}},
        {"data": {"course": {"source": "x"}}},
        {"experiments": [{}]},
        {"experiments": [5]},
        {"experiments": None},
        {"experiments": [{**dataclasses.asdict(example().experiments[0]), "setup": {}}]},
        {"experiments": [{**dataclasses.asdict(example().experiments[0]), "edges": [{}]}]},
    ],
    ids=["data", "one set", "a field", "experiment", "number", "none", "setup", "edge"],
)
def test_a_damaged_part_is_refused(tmp_path, damage):
    path = tmp_path / "results.json"
    example().write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(ResultsError, match=r"is damaged \(.*\); delete it and run again"):
        Results.read(path)


@pytest.mark.parametrize("name", ["profile", "seed", "environment", "data", "experiments"])
def test_a_missing_part_is_refused_by_name(tmp_path, name):
    path = tmp_path / "results.json"
    example().write(path)
    record = json.loads(path.read_text())
    del record[name]
    path.write_text(json.dumps(record))
    with pytest.raises(ResultsError, match=rf"is damaged \('{name}'\)"):
        Results.read(path)


@pytest.mark.parametrize(
    "name", [f.name for f in dataclasses.fields(ExperimentRecord) if f.name != "models"]
)
def test_a_missing_part_of_an_experiment_is_refused(tmp_path, name):
    path = tmp_path / "results.json"
    example().write(path)
    record = json.loads(path.read_text())
    del record["experiments"][0][name]
    path.write_text(json.dumps(record))
    with pytest.raises(ResultsError, match=rf"is damaged .*{name}"):
        Results.read(path)


# settings in words ----------------------------------------------------------------------------


def test_a_share_kept_is_said_with_the_share_dropped():
    assert settings_text({"architecture": "1 block", "keep": 0.55, "reg": 0.0}) == (
        "architecture 1 block, keep 0.55 (drop 0.45), reg 0.0"
    )
    assert settings_text({"keep": 1.0}) == "keep 1.0 (drop 0)"


def test_a_control_is_a_candidate_with_all_the_values_of_one():
    assert setup().is_control({"keep": 1.0, "hidden_dim": 5})
    assert not setup().is_control({"keep": 0.7, "hidden_dim": 5})
    assert not setup().is_control({"hidden_dim": 5})
    assert not dataclasses.replace(setup(), control={}).is_control({"keep": 1.0})


# spread ---------------------------------------------------------------------------------------


def test_spread_by_hand():
    # Mean (2 + 4 + 9) / 3 = 5; deviations -3, -1, 4; squares 9 + 1 + 16 = 26; 26 / 2 = 13.
    spread = Spread.of([2.0, 4.0, 9.0])
    assert spread.mean == 5.0
    assert spread.std == pytest.approx(13**0.5, rel=1e-15)
    assert spread.values == (2.0, 4.0, 9.0)


def test_spread_of_one_value_is_zero():
    assert Spread.of([0.9]) == Spread(0.9, 0.0, (0.9,))


def test_spread_of_equal_values_is_zero():
    assert Spread.of([0.948, 0.948, 0.948]) == Spread(0.948, 0.0, (0.948, 0.948, 0.948))


# Wilson's interval ------------------------------------------------------------------------------
# z = 1.959964 and z² = 3.841459; centre = (p + z²/2n) / (1 + z²/n),
# half = z / (1 + z²/n) * sqrt(p(1 - p)/n + z²/4n²).


def test_wilson_at_one_half():
    # n = 100: 1 + z²/n = 1.03841459. centre = (0.5 + 0.01920730) / 1.03841459 = 0.5.
    # sqrt(0.0025 + 0.0000960365) = 0.05095131; half = 1.959964 / 1.03841459 * it = 0.09616845.
    interval = Interval.wilson(0.5, 100)
    assert interval.low == pytest.approx(0.40383155, abs=1e-7)
    assert interval.high == pytest.approx(0.59616845, abs=1e-7)
    assert interval.rows == 100


def test_wilson_near_one():
    # p = 0.9, n = 100: centre = 0.91920730 / 1.03841459 = 0.88520286.
    # sqrt(0.0009 + 0.0000960365) = 0.03156004; half = 1.88745805 * it = 0.05956825.
    interval = Interval.wilson(0.9, 100)
    assert interval.low == pytest.approx(0.82563461, abs=1e-6)
    assert interval.high == pytest.approx(0.94477111, abs=1e-6)


@pytest.mark.parametrize("rows", [1, 3, 250, 500, 10_000])
def test_wilson_at_zero_and_one(rows):
    # p = 0: centre = half = z²/2n / (1 + z²/n), so the ends are 0 and z² / (n + z²). Never of
    # zero width: 250 right rows of 250 say "at least 98.5 %", not "100 %".
    wide = 3.841458821 / (rows + 3.841458821)
    low, high = Interval.wilson(0.0, rows), Interval.wilson(1.0, rows)
    assert low.low == pytest.approx(0.0, abs=1e-15)
    assert low.high == pytest.approx(wide, rel=1e-9)
    assert high.low == pytest.approx(1.0 - wide, rel=1e-9)
    assert high.high == pytest.approx(1.0, abs=1e-15)
    for interval in (low, high):
        assert 0.0 <= interval.low < interval.high <= 1.0


def test_wilson_holds_its_accuracy_and_narrows_with_rows():
    for accuracy in (0.01, 0.37, 0.936, 0.999):
        few, many = Interval.wilson(accuracy, 250), Interval.wilson(accuracy, 10_000)
        assert few.low < many.low < accuracy < many.high < few.high


# typed_json -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"mean": 0.5, "std": 0.1}, (KeyError, "values")),
        ({"mean": 0.5, "std": 0.1, "values": None}, (TypeError, "not iterable")),
        (
            {"mean": 0.5, "std": 0.1, "values": [], "median": 0.5},
            (TypeError, "Spread has no median"),
        ),
        ([0.5, 0.1, []], (TypeError, "in place of named fields")),
    ],
)
def test_what_is_not_the_record_is_refused(entry, error):
    with pytest.raises(error[0], match=error[1]):
        from_json(Spread, entry)


def test_a_record_goes_through_json_and_back_whole():
    whole = example()
    assert from_json(Results, json.loads(json.dumps(dataclasses.asdict(whole)))) == whole
