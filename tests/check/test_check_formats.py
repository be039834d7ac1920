"""What a report looks like in each format, and what a rubric makes of it."""

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from check_reports import CASES, case, report
from rich.console import Console

from handgrad.check.classroom.rubric import one_point_each
from handgrad.check.formats.findings import CONTAINER, by_function, findings, printable, totals
from handgrad.check.formats.output import FORMATS, Saved, render
from handgrad.check.formats.text import TextPrinter, as_text
from handgrad.check.records import SCHEMA, CheckReport, Observation

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
    # Without any cause nothing of a function is hidden.
    unknown = replace(layer[0], diagnosis=None)
    assert len(findings([unknown, replace(unknown, name="another")])) == 2


def test_what_may_follow_from_the_forward_pass_is_folded_into_it():
    def of(function, diagnosis, group="batchnorm"):
        return case(function, f"{function} {diagnosis}", "failed", diagnosis, "wrong", group)

    forward = of("batchnorm_forward", "unbiased-variance")
    following = [
        of("batchnorm_backward", None),
        of("batchnorm_backward", "backward-of-another-forward"),
        of("spatial_batchnorm_forward", None),
        of("spatial_batchnorm_backward", None),
        of("Solver", "does-not-learn", "solver"),
    ]
    assert folded([forward, *following]) == [(forward.name, [], [c.name for c in following])]
    # A mistake with a cause of its own is its own; a backward alone, too.
    own = of("batchnorm_backward", "gamma-ignored")
    assert folded([forward, own]) == [(forward.name, [], []), (own.name, [], [])]
    assert folded(following[:2]) == [(following[0].name, [], [following[1].name])]
    # An error beside a cause follows from it; a model's, only from what breaks shapes.
    stride = of("max_pool_backward", "stride-ignored", "pool")
    error = case("max_pool_backward", "ties", "error", "raises", "IndexError", "pool")
    model = case("ConvNet", "scores", "error", "raises", "ValueError", "models")
    assert folded([stride, error]) == [(stride.name, [], ["ties"])]
    assert len(findings([stride, model])) == 2
    transposed = of("fc_backward", "transposed", "fc")
    assert folded([transposed, model]) == [(transposed.name, [], ["scores"])]
    # The Solver is judged with plain sgd.
    sgd, history = of("sgd", "sign", "optim"), of("Solver", "history-wrong", "solver")
    assert folded([sgd, history]) == [(sgd.name, [], [history.name])]
    assert len(findings([of("adam", "sign", "optim"), history])) == 2
    # A rule that is wrong may be why nothing is learnt.
    rule = of("adam", "bias-correction", "optim")
    assert folded([rule, following[-1]]) == [(rule.name, [], [following[-1].name])]


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
    assert totals(timed) == {"passed": 0, "failed": 1, "missing": 0, "not judged": 0}


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
    assert lines[9:17] == [
        "1. conv_backward: gradient of w",
        "   dw is wrong at 9 of 9 entries.",
        "   Likely cause: it is N times too large (N examples): multiplied by N, or summed where a "
        "loss takes",
        "   the mean.",
        "   read: derivations",
        '   repeat: handgrad check layers.py --case "gradient of w"',
        "   also fails, for the same cause: even filter",
        "   also fails, perhaps because of this: random upstream; own forward; ConvNet "
        "(gradient of W1)",
    ]
    assert "Not written yet, or not there (1): adam" in lines
    for words in ("layers.py, SHA-256 " + "ab" * 32, "seed 7", "course assignment", "0.1.0"):
        assert words in text
    assert "Conventions recognised in it: dropout: inverted, p keeps" in text
    assert "containment, not a security boundary" in text
    docs = (Path(__file__).parents[2] / "docs/check.md").read_text()
    assert f"   {CONTAINER}" in lines
    assert CONTAINER.replace("PATH", "layers.py") in docs.splitlines()
    assert lines[-1] == (
        "6 functions: 1 passed, 4 failed, 1 missing. 3 mistakes to fix; start with 1."
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
        "schema", "file", "sha256", "seed", "convention", "recognised", "environment", "cases",
        "problems", "notes", "strict", "course",
    }  # fmt: skip
    assert without["schema"] == SCHEMA
    facts = json.loads(json.dumps(asdict(CASES[1])))
    assert without["cases"][1] == {**facts, "detail": CASES[1].detail}


def test_a_report_comes_back_from_json():
    seen = Observation("x (3,)", "dx", 1.5, -0.25, (0, 2), 1, 9, right=("dw",), inputs=4)
    wrong = replace(CASES[2], remark="N = 3 here", seen=seen, convention="cs231n")
    made = report([*CASES, wrong])
    back = CheckReport.from_record(json.loads(made.to_json()))
    assert back == made
    assert back.cases[-1].detail == wrong.detail
    assert "N = 3 here" in wrong.detail
    with pytest.raises(ValueError, match="schema 1, not 3"):
        CheckReport.from_record({**json.loads(made.to_json()), "schema": 1})


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
    saved = Saved(out, style, report(()))
    assert "not finished" in out.read_text()
    saved.case(CASES[0])
    # PrairieLearn has no place for a part of a report: it is told that there is none yet.
    assert ("fc_forward" in out.read_text()) == (style != "prairielearn")
    assert "not finished" in out.read_text()
    assert "conv_backward" not in out.read_text()
    saved.end(report())
    assert "not finished" not in out.read_text()
    assert "conv_backward" in out.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
