"""What `summarise` finds: kinds, leaks, classes; and what it refuses."""

import dataclasses
import json

import numpy as np
import pytest

from handgrad.errors import DataError
from handgrad.tables import Columns, TableSummary, TargetCoder, open_table, summarise
from handgrad.tables.kinds import is_constant
from handgrad.typed_json import from_json

N = 60
number = np.sqrt(np.arange(2.0, N + 2))
label = np.array(["a", "b", "c"], object)[np.arange(N) % 3]


def table(**columns):
    return Columns({"x": number, **columns, "y": label}, source="data.csv")


def note_of(column, target="y", **options):
    return summarise(table(c=column), target, **options).column("c")


def replaced(column, index, value):
    column = np.array(column, object if isinstance(value, str) else None)
    column[index] = value
    return column


@pytest.mark.parametrize(
    ("column", "kind", "used", "note"),
    [
        (number, "number", True, ""),
        (number > 4, "boolean", True, ""),
        ((number > 4).astype(int), "boolean", True, ""),
        (np.where(number > 4, "yes", "No"), "boolean", True, ""),
        (np.array(["u", "v"])[np.arange(N) % 2], "category", True, ""),
        ([f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(N)], "date", True, ""),
        ([f"{1 + i % 28}.{1 + i % 12}.2024 12:30" for i in range(N)], "date", True, ""),
        ([f"{i % 12 + 1}/{i % 9 + 1}/2024" for i in range(N)], "date", True, "could be day/month"),
        ([f"{i % 28 + 1}/{i % 9 + 1}/2024" for i in range(N)], "date", True, ""),
        (np.full(N, 3.0), "constant", False, "is the same in every row"),
        (np.full(N, "u"), "constant", False, "is the same in every row"),
        (np.full(N, np.nan), "constant", False, "has no values"),
        (np.array([None] * N), "constant", False, "has no values"),
        ([0.3, 0.1 + 0.2] * (N // 2), "constant", False, "the same in every row up to rounding"),
        (1e8 + 1e-3 * (np.arange(N) % 7), "number", True, ""),
        ([f"{i:08x}-key" for i in range(N)], "identifier", False, "differs in almost every row"),
        ([f"a note on row {i}" for i in range(N)], "text", False, "differs in almost every row"),
        (replaced(number, 7, np.inf), "number", True, "has infinite values (first in row 8)"),
        (replaced(number, 7, 1e300), "number", True, "has huge values (1e+300 in row 8)"),
        (replaced(number, 7, 9e9), "number", True, "has huge values (9e+09 in row 8)"),
        ([["8", "10", "S", "M"][i % 4] for i in range(N)], "category", True, ""),
    ],
)
def test_kinds(column, kind, used, note):
    found = note_of(column)
    assert (found.kind, found.used) == (kind, used)
    assert note in found.note
    assert bool(note) == bool(found.note)


@pytest.mark.parametrize("name", ["id", "user_id", "PassengerId", "Unnamed: 0", "index"])
def test_whole_numbers_that_name_rows(name):
    columns = table(**{name: 1000 + np.random.default_rng(0).permutation(N)})
    assert summarise(columns, "y").column(name).kind == "identifier"
    assert note_of(np.arange(N)).kind == "number"  # a name that says nothing


def test_a_category_of_many_values_is_said():
    rng = np.random.default_rng(0)
    columns = Columns({"c": [f"v{i}" for i in rng.integers(0, 80, 400)], "y": np.arange(400) % 2})
    found = summarise(columns, "y")
    assert found.column("c").kind == "category"
    assert "the 50 most frequent get a feature each" in found.warnings[0]


def test_a_column_may_be_called_a_category():
    assert note_of(np.arange(N) % 4, categories=["c"]).kind == "category"
    assert note_of([*["1"] * (N - 1), "x"], categories=["c"]).kind == "category"
    with pytest.raises(DataError, match="has no column 'd'"):
        note_of(number, categories=["d"])


def test_constant_up_to_rounding():
    assert is_constant(np.array([]))
    assert is_constant(np.array([0.0, -0.0]))
    assert is_constant(np.array([1e300, 1e300 * (1 + 1e-16)]))
    assert not is_constant(np.array([-1.7e308, 1.7e308]))
    assert not is_constant(np.array([1e8, 1e8 + 1e-3]))
    assert not is_constant(np.array([0.0, 5e-324]))


@pytest.mark.parametrize(
    ("column", "note"),
    [
        (label, "equals the target 'y'"),
        (np.array([3, 1, 2])[np.arange(N) % 3], "is the target under other names"),
        (np.array(["p", "q", "r"])[np.arange(N) % 3], "is the target under other names"),
    ],
)
def test_a_column_that_gives_the_class_away(column, note):
    found = summarise(table(c=column), "y")
    assert [(leak.name, leak.target) for leak in found.leaking] == [("c", "y")]
    assert not found.column("c").used
    assert any(note in line and "not used" in line for line in found.warnings)


def test_what_is_no_leak():
    noisy = label.copy()
    noisy[0] = "b"
    assert summarise(table(c=noisy), "y").leaking == ()
    assert summarise(table(c=np.arange(N) % 6), "y").leaking == ()  # finer than the target


def test_a_column_that_gives_an_amount_away():
    columns = Columns(
        {
            "same": number,
            "fahrenheit": np.round(number * 1.8 + 32, 12),
            "near": number + 1e-6 * np.sin(np.arange(N)),
            "ids": [f"k{i}" for i in range(N)],
            "y": number,
        }
    )
    found = summarise(columns, "y")
    assert found.target.task == "regress"
    assert [(leak.name, leak.how) for leak in found.leaking] == [
        ("same", "equal"),
        ("fahrenheit", "linear"),
    ]
    assert found.column("near").used


def test_duplicates_and_json():
    columns = table(c=number > 4)
    twice = columns.take([*range(N), 3, 3, 5])
    found = summarise(twice, "y")
    assert (found.duplicates, found.rows) == (3, N + 3)
    assert "3 of 63 rows equal an earlier one" in found.warnings[-1]
    assert summarise(columns, "y").duplicates == 0
    assert from_json(TableSummary, json.loads(json.dumps(dataclasses.asdict(found)))) == found


@pytest.mark.parametrize(
    ("target", "task", "classes"),
    [
        (label, "classify", ("a", "b", "c")),
        (np.arange(N) % 3 + 9, "classify", ("9", "10", "11")),
        (number > 4, "classify", ("False", "True")),
        (np.array([0.5, 1.5])[np.arange(N) % 2], "regress", ()),
        (np.arange(N), "regress", ()),
        ([str(i / 7) for i in range(N)], "regress", ()),
    ],
)
def test_the_task_is_found(target, task, classes):
    columns = Columns({"x": number, "y": target})
    found = summarise(columns, "y").target
    assert (found.task, found.classes) == (task, classes)
    if task == "classify":
        assert sum(found.counts) == N
        assert sum(found.shares) == pytest.approx(1)


def test_several_targets():
    columns = Columns({"x": number, "p": number > 3, "q": np.arange(N) % 2, "r": number**2})
    labels = summarise(columns, ["p", "q"])
    assert (labels.target.task, labels.target.classes) == ("multilabel", ("p", "q"))
    coder = TargetCoder.fit(columns, labels)
    assert coder.encode(columns).tolist()[:2] == [[0, 0], [0, 1]]
    amounts = summarise(columns, ["q", "r"])
    assert amounts.target.task == "regress"
    coder = TargetCoder.fit(columns, amounts)
    encoded = coder.encode(columns)
    assert encoded.shape == (N, 2)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(coder.decode(encoded)[:, 1], number**2, rtol=1e-5)


@pytest.mark.parametrize(
    ("target", "task", "message"),
    [
        (np.full(N, np.nan), None, "data.csv: target 'y' has no values: all are missing"),
        (np.array([None] * N), None, "target 'y' has no values"),
        (np.full(N, 3), None, "target 'y' has one class, '3': there is nothing to learn"),
        (np.full(N, 3.5), None, "target 'y' is 3.5 in every row"),
        (replaced(number, 4, np.nan), None, "row 5, column 'y': the target is missing, as in 1 of"),
        (replaced(number, 4, np.inf), None, "row 5, column 'y': the target is infinite"),
        (replaced(label, 4, None), None, "row 5, column 'y': the target is missing"),
        (label, "regress", "row 1, column 'y' holds 'a'; the target of a regression must be a"),
        (replaced(number, 4, "n/k"), None, "row 5, column 'y' holds 'n/k', and most values"),
        (number, "classify", "has 60 different values in 60 rows: no classes; the task is regress"),
        (label, "multilabel", "label 'y' must be 0 or 1"),
    ],
)
def test_targets_that_cannot_be_learnt(target, task, message):
    with pytest.raises(DataError) as caught:
        summarise(Columns({"x": number, "y": target}, source="data.csv"), "y", task)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_refused():
    with pytest.raises(DataError, match=r"data.csv has no column 'Y '; did you mean 'y'\?"):
        summarise(table(), "Y ")
    with pytest.raises(DataError, match=r"data.csv has 10 rows: too few .* at least 20"):
        summarise(table().take(range(10)), "y")
    with pytest.raises(DataError, match=r"row 8, column 'c' holds 'unknown', and 59 of 60 values"):
        note_of(replaced(number.astype(str), 7, "unknown"))
    with pytest.raises(DataError, match=r"has no column to learn y from: 'c' is the same"):
        summarise(table(c=np.full(N, 1)).select(["c", "y"]), "y")
    with pytest.raises(DataError, match="has no column to learn y from but the target"):
        summarise(table().select(["y"]), "y")
    with pytest.raises(DataError, match="to classify, name one"):
        summarise(table(), ["x", "y"], "classify")
    with pytest.raises(ValueError, match="task must be one of classify, regress, multilabel"):
        summarise(table(), "y", "cluster")


def test_a_text_in_a_file_is_found_by_the_editors_line(tmp_path):
    pytest.importorskip("pandas")
    path = tmp_path / "a.csv"
    lines = [f'{i},"{"ab"[i % 2]}"' for i in range(40)]
    lines[10] = 'n.k.,"two\nlines"'
    path.write_text("age,y\n" + "\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"a\.csv: row 12, column 'age' holds 'n\.k\.'"):
        summarise(open_table(path).read(), "y")


def test_labels_come_back():
    for target, dtype in ((label, object), (np.arange(N) % 3 + 5, np.int64), (number > 4, object)):
        columns = Columns({"x": number, "y": target})
        coder = TargetCoder.fit(columns, summarise(columns, "y"))
        again = TargetCoder.restore(json.loads(json.dumps(coder.to_header())), coder.arrays())
        codes = again.encode(columns)
        assert codes.dtype == np.int64
        assert again.decode(codes).dtype == dtype
        assert again.decode(codes).tolist() == columns["y"].tolist()
    with pytest.raises(DataError, match="row 1, column 'y' holds 'z', which is none of the 2"):
        coder.encode(Columns({"y": ["z"]}))


def test_amounts_come_back():
    huge = np.array([-1.0, 1.0, 0.5])[np.arange(N) % 3] * 1e300 * number
    columns = Columns({"x": np.sin(number), "y": huge})
    coder = TargetCoder.fit(columns, summarise(columns, "y"))
    encoded = coder.encode(columns)
    assert abs(encoded.mean()) < 1e-6
    assert encoded.std() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(coder.decode(encoded), huge, rtol=1e-5, atol=1e295)
