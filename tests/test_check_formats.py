"""What a report looks like in each format, and what a rubric makes of it."""

import io
import json
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from handgrad.check.autograder import LIBRARIES
from handgrad.check.batch import BatchError, Outcome, Submission, as_csv, submissions
from handgrad.check.formats.findings import CONTAINER, by_function, findings, printable, totals
from handgrad.check.formats.output import FORMATS, Saved, render
from handgrad.check.formats.text import TextPrinter, as_text
from handgrad.check.records import CaseResult, CheckReport
from handgrad.check.rubric import RubricError, one_point_each, read_rubric
from handgrad.check.watch import Files, changes


def case(function, name, status="passed", diagnosis=None, detail="", group=None):
    group = group or function.split("_")[0]
    repeat = "" if status == "passed" else f'handgrad check layers.py --case "{name}"'
    return CaseResult(group, function, name, status, diagnosis, detail, "derivations", repeat)


CASES = (
    case("fc_forward", "values"),
    case("conv_backward", "gradient of x"),
    case(
        "conv_backward",
        "gradient of w",
        "failed",
        "factor-n",
        "dw is wrong at 9 of 9 entries. Likely cause: it is N times too large.",
    ),
    case("conv_backward", "even filter", "failed", "factor-n", "dw is wrong."),
    case("conv_backward", "random upstream", "failed", None, "dw is wrong."),
    case("conv_backward", "own forward", "failed", "backward-of-another-forward", "dw is wrong."),
    case("pool_forward", "big stride", "error", "raises", "IndexError: <b>&\x1b[31m\udc80\nline 2"),
    case("adam", "first step", "missing", "not-written", "not written yet", group="optim"),
    case("ConvNet", "gradient of W1", "failed", None, "W1 is wrong.", group="models"),
    case("SVM", "regularisation", "failed", "reg-missing", "loss is wrong.", group="models"),
)


def report(cases=CASES):
    return CheckReport(
        "layers.py",
        "ab" * 32,
        7,
        "handgrad",
        {"dropout": "inverted, p keeps"},
        {"handgrad": "0.1.0", "python": "3.11"},
        tuple(cases),
        {"fc_forward: values": 0.25},
    )


# folding ----------------------------------------------------------------------------------------


def folded(cases):
    return [
        (f.case.name, [also.name for also in f.also], [follow.name for follow in f.follow])
        for f in findings(cases)
    ]


def test_each_mistake_is_shown_once_with_what_it_breaks():
    assert folded(CASES) == [
        # The model without a cause of its own joins the first layer that fails.
        ("gradient of w", ["even filter"], ["random upstream", "own forward", "gradient of W1"]),
        ("big stride", [], []),
        ("regularisation", [], []),
    ]


def test_a_models_cause_may_be_its_layers():
    def of(function, diagnosis, group):
        return case(function, f"{function} {diagnosis}", "failed", diagnosis, "wrong", group)

    layer = of("softmax_loss", "factor-n", "losses")
    model = of("ConvNet", "factor-n", "models")
    other = of("ConvNet", "reg-missing", "models")
    timed = of("conv_forward", None, "time")
    assert folded([layer, timed, model, other]) == [
        (layer.name, [model.name], []),
        (timed.name, [], []),
        (other.name, [], []),
    ]
    conv = of("conv_forward", "sign", "conv")
    assert folded([conv, timed]) == [(conv.name, [], [timed.name])]
    slow = replace(timed, diagnosis="too-slow")
    assert len(findings([conv, slow])) == 2


def test_different_mistakes_stay_apart():
    def of(function, diagnosis, group):
        return case(function, f"{function} {diagnosis}", "failed", diagnosis, "wrong", group)

    # The losses share no code; forward and backward of one layer do.
    losses = [of("svm_loss", "factor-n", "losses"), of("softmax_loss", "factor-n", "losses")]
    assert len(findings(losses)) == 2
    layer = [of("conv_forward", "kernel-flipped", "conv"), of("conv_backward", "sign", "conv")]
    assert len(findings(layer)) == 2
    # Without any cause nothing is hidden.
    unknown = [replace(c, diagnosis=None) for c in layer]
    assert len(findings([*unknown, replace(unknown[0], name="another")])) == 3


def test_a_failing_model_alone_is_its_own_mistake():
    models = [c for c in CASES if c.group == "models"]
    assert folded(models) == [("gradient of W1", [], []), ("regularisation", [], [])]


def test_missing_outweighs_passed_and_failed_outweighs_both():
    cases = [case("conv_forward", "a"), case("conv_forward", "b", "missing")]
    assert [s.status for s in by_function(cases[:1])] == ["passed"]
    assert [s.status for s in by_function(cases)] == ["missing"]
    cases.append(case("conv_forward", "c", "error"))
    assert [s.status for s in by_function(cases)] == ["failed"]
    # The time has a row of its own and is no function of its own.
    timed = [*cases, case("conv_forward", "forward and backward", "missing", group="time")]
    assert [s.title for s in by_function(timed)] == ["conv_forward", "conv_forward (time)"]
    assert totals(timed) == {"passed": 0, "failed": 1, "missing": 0}


# text -------------------------------------------------------------------------------------------


def test_text_says_all_that_a_learner_needs():
    text = as_text(report())
    lines = text.splitlines()
    # The summary first: a line a function.
    assert [line.split()[:2] for line in lines[2:9]] == [
        ["fc_forward", "passed"],
        ["conv_backward", "failed"],
        ["pool_forward", "failed"],
        ["adam", "missing"],
        ["ConvNet", "failed"],
        ["SVM", "failed"],
        [],
    ]
    assert lines[9:16] == [
        "1. conv_backward: gradient of w",
        "   dw is wrong at 9 of 9 entries.",
        "   Likely cause: it is N times too large.",
        "   read: derivations",
        '   repeat: handgrad check layers.py --case "gradient of w"',
        "   also fails, for the same cause: even filter",
        "   also fails, perhaps because of this: random upstream; own forward; ConvNet "
        "(gradient of W1)",
    ]
    assert "Not written yet, or not there (1): adam" in lines
    for words in ("layers.py, SHA-256 " + "ab" * 32, "seed 7", "convention handgrad", "0.1.0"):
        assert words in text
    assert "Conventions recognised in it: dropout: inverted, p keeps" in text
    assert "containment, not a security boundary" in text
    docs = (Path(__file__).parents[1] / "docs/check.md").read_text()
    assert f"   {CONTAINER}" in lines
    assert CONTAINER.replace("PATH", "layers.py") in docs.splitlines()
    assert lines[-1] == (
        "6 functions: 1 passed, 4 failed, 1 missing. 3 mistakes to mend; start with 1."
    )


def test_a_submission_cannot_paint_the_terminal():
    for text in (render(style, report(), None) for style in FORMATS):
        assert "\x1b" not in text
        text.encode()  # no lone surrogates: it can be written


def test_a_terminal_gets_colours_and_the_same_words():
    held = io.StringIO()
    printer = TextPrinter(Console(file=held, force_terminal=True, width=100))
    printer.begin("layers.py")
    for each in CASES:
        printer.case(each)
    printer.end(report())
    assert "\x1b[" in held.getvalue()
    plain = as_text(report())
    assert len(held.getvalue().splitlines()) == len(plain.splitlines())


def test_text_streams_a_function_as_soon_as_the_next_begins():
    held = io.StringIO()
    printer = TextPrinter(Console(file=held, width=100))
    printer.case(CASES[0])
    assert "fc_forward" not in held.getvalue()
    printer.case(CASES[1])
    assert "fc_forward" in held.getvalue()
    assert "conv_backward" not in held.getvalue()


def test_printable_keeps_letters_and_shows_what_cannot_be_seen():
    assert printable("Größe ≤ 3\n\tσ") == "Größe ≤ 3\n\tσ"
    assert printable("a\rb\x00\u202e\u0085") == "a\\rb\\x00\\u202e\\x85"


# JSON, JUnit, Gradescope, HTML ------------------------------------------------------------------


def test_json_leaves_timings_out_when_asked():
    with_timing = json.loads(render("json", report(), None))
    without = json.loads(render("json", report(), None, timing=False))
    assert with_timing["timings"] == {"fc_forward: values": 0.25}
    assert {**without, "timings": with_timing["timings"]} == with_timing
    assert set(without) == {
        "file", "sha256", "seed", "convention", "recognised", "environment", "cases",
    }  # fmt: skip
    assert without["cases"][0] == asdict(CASES[0])


def test_junit_follows_the_common_schema():
    root = ET.fromstring(render("junit", report(), None))
    assert root.tag == "testsuites"
    assert [suite.get("name") for suite in root] == [
        "fc_forward", "conv_backward", "pool_forward", "adam", "ConvNet", "SVM",
    ]  # fmt: skip
    for suite in root:
        # The schema's order: properties, then cases, then what was printed.
        tags = [child.tag for child in suite]
        cases = suite.findall("testcase")
        assert tags == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
        assert int(suite.get("tests")) == len(cases)
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("errors")) == len(suite.findall("testcase/error"))
        assert {"name", "timestamp", "hostname", "time", "id", "package"} <= set(suite.keys())
        for each in cases:
            assert {"name", "classname", "time"} == set(each.keys())
            for wrong in each:
                assert {"type", "message"} == set(wrong.keys())
    assert float(root[0].get("time")) == 0.25
    failure = root[3].find("testcase/failure")  # missing is not passed
    assert (failure.get("type"), failure.get("message")) == ("not-written", "not written yet")
    error = root[2].find("testcase/error")
    assert error.get("message") == "IndexError: <b>&\\x1b[31m\\udc80"


def test_gradescope_results():
    rubric = one_point_each(CASES)
    record = json.loads(render("gradescope", report(), rubric))
    assert record["score"] == 1
    assert record["execution_time"] == 0
    assert [(t["name"], t["score"], t["max_score"], t["status"]) for t in record["tests"]] == [
        ("fc_forward", 1, 1, "passed"),
        ("conv_backward", 0, 1, "failed"),
        ("pool_forward", 0, 1, "failed"),
        ("adam", 0, 1, "failed"),
        ("ConvNet", 0, 1, "failed"),
        ("SVM", 0, 1, "failed"),
    ]
    assert {test["visibility"] for test in record["tests"]} == {"visible"}
    conv = record["tests"][1]["output"]
    assert conv.startswith("1 of 5 cases passed.\n\nconv_backward: gradient of w\n")
    assert "also fails, for the same cause: even filter" in conv
    assert "SHA-256 " + "ab" * 32 in record["output"]


class Page(HTMLParser):
    """Collects tags and text, and notices elements that do not close in order."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self._open = [], [], []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html_is_one_file_with_everything_escaped():
    hostile = replace(report(), file='"><script>alert(1)</script>')
    page = Page(render("html", hostile, one_point_each(CASES)))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "b"}
    assert not [a for _, attributes in page.tags for a in attributes if a in ("src", "href")]
    text = " ".join("".join(page.text).split())
    assert "IndexError: <b>&" in text
    assert "Score: 1 of 6" in text
    assert "1. conv_backward : gradient of w" in text.replace("conv_backward:", "conv_backward :")
    assert 'handgrad check layers.py --case "gradient of w"' in text
    assert "width=device-width" in str(page.tags)
    assert "prefers-color-scheme: dark" in text


@pytest.mark.parametrize("style", FORMATS)
def test_a_file_holds_what_has_ended_at_any_moment(tmp_path, style):
    out = tmp_path / "report"
    saved = Saved(out, style, None, True, report(()))
    assert "not finished" in out.read_text()
    saved.case(CASES[0])
    assert "fc_forward" in out.read_text()
    assert "not finished" in out.read_text()
    assert "conv_backward" not in out.read_text()
    saved.end(report())
    assert "not finished" not in out.read_text()
    assert "conv_backward" in out.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


# rubrics ----------------------------------------------------------------------------------------

KNOWN = {"fc": ["fc_forward", "fc_backward"], "conv": ["conv_backward"], "optim": ["adam"]}


def rubric_of(tmp_path, text):
    path = tmp_path / "rubric.toml"
    path.write_text(text)
    return read_rubric(path, KNOWN)


def test_a_rubric_decides_points_visibility_and_order(tmp_path):
    rubric = rubric_of(
        tmp_path,
        """
        visibility = "hidden"
        [[item]]
        group = "conv"
        points = 10
        credit = "share"
        visibility = "after_due_date"
        [[item]]
        name = "Dense"
        functions = ["fc_forward", "fc_backward"]
        points = 2.5
        [[item]]
        function = "adam"
        points = 1
        """,
    )
    record = json.loads(render("gradescope", report(), rubric))
    assert [(t["name"], t["score"], t["visibility"]) for t in record["tests"]] == [
        ("conv", 2, "after_due_date"),  # one of five cases
        ("Dense", 2.5, "hidden"),
        ("adam", 0, "hidden"),
    ]
    assert record["score"] == 4.5
    assert "Dense" in render("text", report(), rubric)
    # What was not run was not shown: no points.
    assert rubric.grade([CASES[1]]).score == 10
    assert rubric.grade([]).score == 0


def test_the_time_is_graded_by_itself(tmp_path):
    slow = case("conv_backward", "in time", "failed", "too-slow", group="time")
    cases = [case("conv_backward", "gradient of x"), slow]
    path = tmp_path / "rubric.toml"
    path.write_text(
        '[[item]]\nfunction = "conv_backward"\npoints = 5\n[[item]]\ngroup = "time"\npoints = 1\n'
    )
    rubric = read_rubric(path, {**KNOWN, "time": ["conv_backward"]})
    for each in (rubric, one_point_each(cases)):
        right, fast = each.grade(cases).items
        assert (right.score, fast.score) == (right.points, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "item: a rubric needs at least one [[item]] with points"),
        ("item = 3", "item: a rubric needs at least one [[item]] with points"),
        ("points = 3", "points: unknown key; choose from title, visibility, credit, item"),
        ("[[item]]\npoints = 1", "item[1].function: name one of function, functions, group; got"),
        ('[[item]]\nfunction = "adam"', "item[1].points: must be a number; got nothing"),
        ('[[item]]\nfunction = "adam"\npoints = "9"', "item[1].points: must be a number; got '9'"),
        ('[[item]]\nfunction = "adam"\npoints = true', "item[1].points: must be a number; got Tr"),
        ('[[item]]\nfunction = "adam"\npoints = -1', "item[1].points: must be a finite number"),
        ('[[item]]\nfunction = "adam"\npoints = nan', "item[1].points: must be a finite number"),
        ('[[item]]\nfunction = "adm"\npoints = 1', "item[1].function: there is no function 'adm'"),
        ('[[item]]\ngroup = "dense"\npoints = 1', "item[1].group: there is no group 'dense'; choo"),
        ('[[item]]\nfunctions = "adam"\npoints = 1', "item[1].functions: must be a list of names"),
        (
            '[[item]]\ngroup = "fc"\npoints = 1\n[[item]]\nfunction = "fc_forward"\npoints = 1',
            "item[2]: fc_forward is already paid by item[1]",
        ),
        (
            '[[item]]\nfunction = "adam"\npoints = 1\nvisibility = "never"',
            "item[1].visibility: must be one of visible, hidden, after_due_date, after_published",
        ),
        ('[[item]]\nfunction = "adam"\npoints = 1\nname = ""', "item[1].name: must be text that"),
        ('credit = "half"', "item: a rubric needs"),
        ("[[item", "not valid TOML"),
    ],
    ids=str,
)
def test_a_bad_rubric_is_one_line_that_names_the_key(tmp_path, text, said):
    with pytest.raises(RubricError) as caught:
        rubric_of(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'rubric.toml'}: {said}")
    assert "\n" not in str(caught.value)


# a batch's table, its folder --------------------------------------------------------------------


def test_the_table_of_a_batch():
    good = Outcome(Submission("=1+1", Path("a")), report(CASES[:2]), "ab")
    bad = Outcome(Submission("bob", Path("b")), None, "", "no layers.py in it")
    lost = Outcome(Submission("eve", Path("e")), None, "cd", "not judged: x", fault=True)
    assert as_csv([good, bad, lost], one_point_each(CASES)).splitlines() == [
        "name,sha256,passed,failed,missing,error,score,problem,fc_forward,conv_backward",
        "'=1+1,ab,2,0,0,0,2,,passed,passed",  # a name is no formula
        "bob,,,,,,0,no layers.py in it,,",
        "eve,cd,,,,,,not judged: x,,",  # the checker failed: no score is not zero points
    ]


def test_what_counts_as_a_submission(tmp_path):
    for name in ("alice/hw/layers.py", "bob/layers.py", "carl/a/layers.py", "carl/b/layers.py",
                 "dora/notes.txt", "eve.py", "fay/optim.py", ".git/layers.py", "x.zip",
                 "__MACOSX/bob/layers.py"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {s.name: (str(s.path.relative_to(tmp_path)), s.problem) for s in submissions(tmp_path)}
    assert found == {
        "alice": ("alice/hw", ""),
        "bob": ("bob", ""),
        "carl": ("carl", "several folders could be meant: a, b"),
        "dora": ("dora", "no layers.py in it"),
        "eve.py": ("eve.py", ""),
        "fay": ("fay", ""),
        "x.zip": ("x.zip", "an archive: unpack it first"),
    }
    with pytest.raises(BatchError, match=r"bob is one submission \(it has a layers.py\)"):
        submissions(tmp_path / "bob")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BatchError, match="empty holds no submissions"):
        submissions(tmp_path / "empty")


# watching ---------------------------------------------------------------------------------------


def test_changes_between_two_reports():
    wrong = case("f", "d", "failed", None, "x")
    same = case("f", "e", "failed", None, "x")
    failed, absent = case("f", "a", "failed", None, "x"), case("f", "c", "missing")
    old = report([failed, case("f", "b"), absent, wrong, same])
    mended, broken = case("f", "a"), [case("f", "b", "error"), case("f", "c", "failed")]
    new = report([mended, *broken, replace(wrong, detail="y"), same])
    changed = changes(old, new)
    names = [[c.name for c in part] for part in (changed.mended, changed.broken, changed.other)]
    assert names == [["a"], ["b", "c"], ["d"]]
    assert not changes(old, old)


def test_a_file_has_changed_when_its_content_has(tmp_path):
    file = tmp_path / "layers.py"
    file.write_text("a = 1")
    watched = Files(tmp_path)
    assert not watched.changed()
    file.touch()  # saved without a change
    assert not watched.changed()
    file.write_text("a = 2")
    assert watched.changed()
    (tmp_path / "optim.py").write_text("")
    assert watched.changed()
    assert not watched.changed()


# what goes into an autograder -------------------------------------------------------------------


def test_the_autograder_knows_all_of_our_dependencies():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    needed = [line.split(">=")[0] for line in project["project"]["dependencies"]]
    assert sorted(LIBRARIES) == sorted(needed)
