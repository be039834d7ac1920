"""What counts and what is only remarked on: the table of severities, and what follows from it."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from check_corpus.verdicts import every_case
from check_reports import case, report
from check_runs import GOOD, ran

from handgrad.check import check_submission
from handgrad.check.classroom.misconceptions import as_csv, of_class
from handgrad.check.classroom.rubric import Item, Rubric, RubricError, one_point_each, read_rubric
from handgrad.check.classroom.table import results_csv, row
from handgrad.check.courses import load
from handgrad.check.formats.findings import by_function, findings, remarks, totals
from handgrad.check.formats.output import FORMATS, render
from handgrad.check.formats.text import as_text
from handgrad.check.records import CheckReport, counting
from handgrad.check.severity import LEVELS, Severities

# the table --------------------------------------------------------------------------------------


def test_every_case_has_one_severity_and_a_reason():
    levels = {load().severities.of(each).level for each in every_case()}
    assert levels == set(LEVELS)
    assert all(len(load().severities.of(each).because) > 20 for each in every_case())


def test_every_entry_speaks_of_a_case():
    for entry in load().severities.entries:
        assert any(map(entry.holds, every_case())), entry
        for words, of in ((entry.of, True), (entry.cases, False)):
            for word in words:  # no name in it is there for nothing
                own = replace(entry, of=(word,)) if of else replace(entry, cases=(word,))
                assert any(map(own.holds, every_case())), (word, entry)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("float32 stays float32", "beyond"),
        ("the global generator is left alone", "beyond"),
        ("gradient of x, after a test-mode forward", "beyond"),
        ("after a test-mode forward", "beyond"),
        ("labels in either coding", "beyond"),
        ("labels of any dtype", "beyond"),
        ("extreme scores", "fragile"),
        ("the same cache twice", "fragile"),
        ("a tie gives one pixel the gradient, the first", "fragile"),
        ("value", "wrong"),
        ("loss and gradient", "wrong"),
        ("gradient of x, training", "wrong"),
    ],
)
def test_what_the_text_decides(name, level):
    found = {load().severities.of(each).level for each in every_case() if each.name == name}
    assert found == {level}


GIVEN = {"of": ["fc"], "cases": ["value"], "level": "wrong", "because": "The formula."}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({}, r"severity: at least one \[\[severity\]\] is needed"),
        ({"severity": [{**GIVEN, "why": "x"}]}, r"severity\[1\]: needs the keys because, cases, "),
        ({"severity": [GIVEN, {**GIVEN, "level": "bad"}]}, r"severity\[2\].level: must be one of"),
        ({"severity": [{**GIVEN, "because": " "}]}, r"severity\[1\].because: must be a sentence"),
        ({"severity": [{**GIVEN, "of": "fc"}]}, r"severity\[1\].of: must be a list of names"),
        ({"severity": [{**GIVEN, "cases": []}]}, r"severity\[1\].cases: must be a list of names"),
    ],
)
def test_a_damaged_table_is_one_line_that_names_the_key(record, said):
    with pytest.raises(ValueError, match=said):
        Severities.from_record(record)


def test_a_case_of_no_entry_or_of_two_is_no_case_of_the_table():
    table = Severities.from_record({"severity": [GIVEN, {**GIVEN, "of": ["fc_*"]}]})
    with pytest.raises(LookupError, match="2 entries for fc_forward: value, not one"):
        table.of(case("fc_forward", "value"))
    with pytest.raises(LookupError, match="no entry for fc_forward: other, not one"):
        table.of(case("fc_forward", "other"))


# folding ----------------------------------------------------------------------------------------


def beyond(function, name, status="failed", diagnosis="dtype-not-kept", because="Not asked."):
    made = case(function, name, status, diagnosis, "out is float64")
    return replace(made, severity="beyond", because=because, counts=False)


RIGHT = case("fc_forward", "value")
FRAGILE = replace(case("fc_forward", "odd", "failed"), severity="fragile")
REMARK = beyond("fc_forward", "float32")


def test_what_does_not_count_is_no_mistake():
    assert findings([RIGHT, REMARK]) == []
    also = beyond("fc_backward", "float32")
    (remark,) = remarks([RIGHT, REMARK, case("fc_backward", "gradient of x"), also])
    assert (remark.name, remark.because, remark.cases) == ("float32", "Not asked.", (REMARK, also))
    other = beyond("fc_backward", "test mode, float32")
    assert [remark.name for remark in remarks([REMARK, RIGHT, other])] == [
        "float32; test mode, float32"
    ]
    assert report([RIGHT, REMARK]).passed
    assert totals([RIGHT, REMARK])["passed"] == 1
    strict = replace(REMARK, counts=True)
    assert len(findings([RIGHT, strict])) == 1
    assert remarks([RIGHT, strict]) == []
    assert not report([RIGHT, strict]).passed


def test_a_mistake_is_never_folded_into_a_remark():
    """A failure without a cause would join one with a cause, were that a mistake."""
    unknown = case("fc_forward", "value", "failed", None, "out is wrong")
    (mistake,) = findings([REMARK, unknown])
    assert (mistake.case, mistake.follow) == (unknown, [])
    assert [remark.cases for remark in remarks([REMARK, unknown])] == [(REMARK,)]


def test_what_a_mistake_explains_is_no_remark():
    wrong = case("fc_forward", "value", "failed", "factor-n", "out is wrong")
    same = beyond("fc_forward", "float32", diagnosis="factor-n")
    unknown = beyond("fc_backward", "float32", diagnosis=None)
    (mistake,) = findings([same, wrong, unknown])
    assert (mistake.case, mistake.also, mistake.follow) == (wrong, [same], [unknown])
    assert remarks([same, wrong, unknown]) == []
    model = replace(unknown, group="models", function="ConvNet")
    assert findings([wrong, model])[0].follow == [model]


def test_a_function_that_is_not_there_is_missing_whatever_is_asked():
    absent = [replace(REMARK, status="missing"), replace(RIGHT, status="missing")]
    assert counting(absent) == absent
    assert not report(absent[:1]).passed
    # Unwritten in test mode alone, where nobody asks for it: a remark.
    partly = [RIGHT, replace(REMARK, status="missing")]
    assert report(partly).passed
    assert [s.status for s in by_function(partly)] == ["passed"]
    assert len(remarks(partly)) == 1


# a learner who is right by the text -------------------------------------------------------------

DOUBLE = GOOD.replace("np.maximum(x, 0), x", "np.maximum(x.astype(float), 0), x")
ONLY = ("layers.py", "--only", "fc,relu", "--no-timing")


@pytest.fixture
def place(tmp_path):
    (tmp_path / "layers.py").write_text(DOUBLE)
    return tmp_path


def test_text_remarks_and_exits_0(place):
    text = ran(place, *ONLY)
    lines = text.splitlines()
    assert "mistake" not in text
    assert "  relu_forward                    passed   2 of 2 cases" in lines
    start = lines.index(
        "Remarks: good practice beyond what is asked, which does not count (--strict counts it):"
    )
    assert lines[start + 1] == " - float32 stays float32: relu_forward"
    assert "The text names no dtype" in lines[start + 2]
    assert "relu_forward: out is float64, expected float32" in text
    assert lines[-1] == "4 functions: 4 passed. 1 remark."


def test_strict_counts_it(place):
    text = ran(place, *ONLY, "--strict", code=1)
    assert "1. relu_forward: float32 stays float32" in text
    assert "Remarks" not in text
    assert text.splitlines()[-1].endswith("1 mistake to fix; start with 1.")
    (repeat,) = (line for line in text.splitlines() if "repeat: " in line)
    assert repeat.endswith("--seed 0 --strict")


def test_json_has_the_severity_and_the_reason(place):
    for strict in ((), ("--strict",)):
        record = json.loads(ran(place, *ONLY, "--format", "json", *strict, code=len(strict)))
        assert (record["schema"], record["strict"]) == (3, bool(strict))
        (wrong,) = (each for each in record["cases"] if each["status"] != "passed")
        assert (wrong["severity"], wrong["counts"]) == ("beyond", bool(strict))
        assert wrong["because"].startswith("The text names no dtype")
        counts = {(each["severity"], each["counts"]) for each in record["cases"]}
        assert counts >= {("wrong", True), ("fragile", True), ("beyond", bool(strict))}
        assert CheckReport.from_record(record).passed is not bool(strict)


def test_junit_skips_it(place):
    root = ET.fromstring(ran(place, *ONLY, "--format", "junit"))
    suite = root.find("testsuite[@name='relu_forward']")
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("0", "0", "1")
    skipped = suite.find("testcase/skipped")
    assert skipped.get("message").startswith("does not count: out is float64")
    assert "It does not count: The text names no dtype" in skipped.text
    strict = ET.fromstring(ran(place, *ONLY, "--format", "junit", "--strict", code=1))
    suite = strict.find("testsuite[@name='relu_forward']")
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "0")


def test_gradescope_pays_and_remarks(place):
    record = json.loads(ran(place, *ONLY, "--format", "gradescope"))
    relu = next(test for test in record["tests"] if test["name"] == "relu_forward")
    assert (relu["score"], relu["status"]) == (1, "passed")
    assert relu["output"].startswith("2 of 2 cases passed.\n\nRemarks: good practice beyond")
    strict = json.loads(ran(place, *ONLY, "--format", "gradescope", "--strict", code=1))
    relu = next(test for test in strict["tests"] if test["name"] == "relu_forward")
    assert (relu["score"], relu["status"]) == (0, "failed")


def test_html_lists_remarks_apart(place):
    page = ran(place, *ONLY, "--format", "html")
    assert "<h2>What to fix</h2>" not in page
    assert "<h2>Remarks: good practice beyond what is asked, which does not count</h2>" in page
    assert "<li>float32 stays float32: relu_forward<br>" in page
    assert "1 remark, which does not count." in page


def test_otter_fails_nothing_that_does_not_count(place):
    (place / "rubric.toml").write_text('[[item]]\ngroup = "relu"\npoints = 4\n')
    given = (*ONLY, "--format", "otter", "--rubric", "rubric.toml")
    for strict in ((), ("--strict",)):
        record = json.loads(ran(place, *given, *strict, code=len(strict)))["relu"]
        assert record["score"] == (0 if strict else 4)
        results = {r["test_case"]["name"]: r for r in record["test_case_results"]}
        result = results["relu_forward: float32 stays float32"]
        assert result["passed"] is not bool(strict)
        assert (result["test_case"]["points"] == 0) is not bool(strict)
        assert "out is float64" in result["message"]


def test_the_table_of_a_batch_counts_what_counts():
    found = row("a", "ab", "", report([RIGHT, REMARK]), 1.0)
    assert results_csv([found], one_point_each([RIGHT])).splitlines() == [
        "name,sha256,passed,failed,missing,error,remarks,score,problem,fc_forward",
        "a,ab,1,0,0,0,1,1,,passed",
    ]


def test_points_are_lost_by_what_counts():
    """By the item's own word, too: there the fragile case costs nothing."""
    made = report([RIGHT, FRAGILE, REMARK])
    for severities_, lost in ((("wrong",), {}), (("wrong", "beyond"), {"dtype-not-kept": "5"})):
        item = Item("fc", "fc", (), 10.0, credit="share", severities=severities_)
        lines = as_csv(of_class([(made, "")], Rubric("", (item,)))).splitlines()[1:]
        points = {line.split(",")[0]: line.rsplit(",", 1)[1] for line in lines}
        assert {cause: value for cause, value in points.items() if value != "0"} == lost


def test_one_case_alone_that_does_not_count(place):
    text = ran(place, *ONLY[:-1], "--case", "float32 stays float32")
    assert text.splitlines()[-1] == "4 functions: 4 passed. 1 remark."
    assert "no case that counts" in text


# right by the text in each of the ways that nobody asks to go beyond ----------------------------

LOSSES = """
import numpy as np

def svm_loss(x, y):
    slack = 1 - y.reshape(x.shape) * x
    return np.maximum(0, slack).mean(), -y.reshape(x.shape) * (slack > 0) / len(x)
"""
SPOILT = (
    ("slack > 0", "slack >= 0", "gradient 0 at the kink"),
    ("    return", "    x += 1\n    return", "modifies no argument"),
    (".mean()", ".sum()", "loss and gradient"),
)


def test_one_coding_of_the_labels_is_enough(tmp_path):
    """Labels -1 and 1 alone; every other case then asks in that coding."""
    (tmp_path / "layers.py").write_text(LOSSES)
    found = check_submission(tmp_path / "layers.py", only=["svm_loss"])
    assert found.passed
    names = {each.name for each in found.cases if each.status != "passed"}
    # int8 divided by a number is float16.
    assert names == {"labels in either coding", "labels of any dtype", "float32 stays float32"}
    assert found.recognised["labels of svm_loss"] == "-1 and 1"


@pytest.mark.parametrize(("right", "wrong", "name"), SPOILT)
def test_in_its_own_coding_a_mistake_counts(tmp_path, right, wrong, name):
    assert right in LOSSES
    (tmp_path / "layers.py").write_text(LOSSES.replace(right, wrong))
    found = check_submission(tmp_path / "layers.py", only=["svm_loss"])
    assert not found.passed
    failed = {each.name for each in found.cases if each.status != "passed" and each.counts}
    assert name in failed


def test_labels_changed_in_place_count_in_either_coding(tmp_path):
    """Understood in both codings, and one of the two spoils the labels."""
    text = LOSSES.replace("    slack", "    y[y == 0] = -1\n    slack", 1)
    (tmp_path / "layers.py").write_text(text)
    found = check_submission(tmp_path / "layers.py", only=["svm_loss"])
    failed = {each.name for each in found.cases if each.status != "passed" and each.counts}
    assert failed == {"modifies no argument"}
    assert not found.passed


TRAINED = """
import numpy as np

def dropout_forward(x, dropout_param):
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    if dropout_param["mode"] == "test":
        return x * dropout_param["p"], None
    mask = np.random.rand(*x.shape) < dropout_param["p"]
    return x * mask, mask

def dropout_backward(dout, cache):
    SPOT
    return dout * cache
"""


@pytest.mark.parametrize(
    "spot", ["pass", "if cache is None: raise NotImplementedError('training alone')"]
)
def test_dropout_as_courses_have_it(tmp_path, spot):
    """A global seed, and no gradient after a test-mode forward: an error, or not written."""
    (tmp_path / "layers.py").write_text(TRAINED.replace("SPOT", spot))
    found = check_submission(tmp_path / "layers.py", only=["dropout"])
    assert found.passed, [each.detail for each in found.cases if each.counts]
    names = {each.name for each in found.cases if each.status != "passed"}
    assert names == {
        "the global generator is left alone", "gradient of x, after a test-mode forward",
        "two layers in turn, some in test mode", "the same cache twice, after a test-mode forward",
    }  # fmt: skip
    assert {s.status for s in by_function(found.cases)} == {"passed"}


def test_another_layer_s_test_pass_is_told_apart(tmp_path):
    """Backward by the mode of the last forward: fragile, and found without a test-mode backward."""
    text = TRAINED.replace('    if "seed', "    K.append(dropout_param['mode'])\n    if \"seed")
    text = text.replace("SPOT", "if K[-1] == 'test': return dout") + "\nK = []\n"
    (tmp_path / "layers.py").write_text(text)
    found = check_submission(tmp_path / "layers.py", only=["dropout_backward"])
    failed = [each for each in found.cases if each.status != "passed" and each.counts]
    assert [(each.name, each.diagnosis, each.severity) for each in failed] == [
        ("two layers in turn, the other in test mode", "last-forward-not-cache", "fragile")
    ]


# rubrics ----------------------------------------------------------------------------------------

KNOWN = {"fc": ["fc_forward"]}


@pytest.mark.parametrize(
    ("severities_", "score"),
    [((), 5), (("wrong",), 10), (("wrong", "fragile"), 5), (LEVELS, 3.33), (("beyond",), 0)],
)
def test_a_rubric_says_what_counts(severities_, score):
    item = Item("fc", "fc", (), 10.0, credit="share", severities=severities_)
    cases = (RIGHT, FRAGILE, REMARK)
    grade = Rubric("", (item,)).grade(cases).items[0]
    assert grade.score == score
    assert grade.passed == (severities_ == ("wrong",))


def test_strict_is_what_a_silent_rubric_goes_by():
    strict = (RIGHT, replace(REMARK, counts=True))
    share = Rubric("", (Item("fc", "fc", (), 10.0, credit="share"),))
    assert share.grade(strict).score == 5
    says = Rubric("", (Item("fc", "fc", (), 10.0, severities=("wrong", "fragile")),))
    assert says.grade(strict).score == 10


def test_what_an_item_does_not_count_is_a_remark_of_its_output():
    item = Item("fc", "fc", (), 10.0, severities=("wrong",))
    record = json.loads(render("gradescope", report([RIGHT, FRAGILE]), Rubric("", (item,))))
    (test,) = record["tests"]
    assert (test["score"], test["status"]) == (10, "passed")
    assert test["output"].startswith("1 of 1 cases passed.\n\nRemarks: ")
    assert "odd: fc_forward" in test["output"]


def test_counts_is_read_of_the_rubric_and_of_its_items(tmp_path):
    path = tmp_path / "rubric.toml"
    path.write_text(
        'counts = ["wrong"]\n[[item]]\ngroup = "fc"\npoints = 1\n'
        '[[item]]\ngroup = "conv"\npoints = 1\ncounts = ["beyond", "wrong"]\n'
    )
    first, second = read_rubric(path).items
    assert (first.severities, second.severities) == (("wrong",), ("wrong", "beyond"))
    for value in ('"wrong"', "[]", '["wrong", "bad"]'):
        path.write_text(f'[[item]]\ngroup = "fc"\npoints = 1\ncounts = {value}\n')
        with pytest.raises(RubricError, match=r"item\[1\].counts: must be a list of some of wrong"):
            read_rubric(path, KNOWN)


# not written yet --------------------------------------------------------------------------------


@pytest.mark.parametrize("style", FORMATS)
def test_in_no_format_is_what_is_not_written_a_mistake(style):
    unwritten = case("fc_backward", "gradient", "missing", "not-written", "not written yet: None")
    made = replace(report([RIGHT, unwritten]), timings={})
    assert not made.passed
    said = render(style, made, None, timing=False)
    assert "ot written yet" in said
    assert "mistake" not in said
    assert "mistake" not in as_text(made)
