"""`handgrad check` as a user runs it: its output, its files, its exit codes."""

import ast
import json
import re
import shlex
import signal
import subprocess
import xml.etree.ElementTree as ET

import children
import pytest
from check_runs import FAST, GOOD, PLANTED, called, environment, ran, spoilt, wait_for, words
from click.testing import CliRunner

import handgrad
from handgrad.cli import check_run, cli


@pytest.fixture
def place(tmp_path):
    (tmp_path / "layers.py").write_text(GOOD)
    return tmp_path


# text -------------------------------------------------------------------------------------------


def test_three_mistakes_can_be_mended_from_the_output_alone(place):
    (place / "layers.py").write_text(spoilt(*PLANTED))
    text = called(place, "layers.py", *FAST, code=1).stdout
    summary, *mistakes = re.split(r"(?m)^\d\. ", text)
    assert re.search(r"(?m)^  fc_forward +passed", summary)
    assert re.search(r"(?m)^  fc_backward +failed", summary)
    assert re.search(r"(?m)^  relu_backward +failed", summary)
    assert len(mistakes) == 3
    for mistake, (head, cause) in zip(
        mistakes,
        [
            ("fc_backward: gradient of w", "N times too small"),
            ("fc_backward: gradient of b", "wrong sign"),
            ("relu_backward: gradient at exactly 0 is 0", "kink"),
        ],
        strict=True,
    ):
        said = " ".join(mistake.split())
        assert said.startswith(head)
        assert re.search(r"received \S+, expected \S+", said)
        assert cause in said[said.index("Likely cause:") :]
        assert "read: handgrad/theory/" in said
    # Each repeat command repeats its failure, and passes once its line is mended.
    repeats = re.findall(r"(?m)^ +repeat: handgrad check (.*)$", text)
    for repeat, mistake in zip(repeats, PLANTED, strict=True):
        (place / "layers.py").write_text(spoilt(mistake))
        again = ran(place, *shlex.split(repeat), code=1)
        assert "1 function: 1 failed. 1 mistake to fix" in again
        (place / "layers.py").write_text(spoilt(*(m for m in PLANTED if m != mistake)))
        assert "1 function: 1 passed." in ran(place, *shlex.split(repeat))


def test_nothing_wrong(place):
    text = called(place, "layers.py", *FAST).stdout
    assert text.splitlines()[-1] == "4 functions: 4 passed."
    assert "layers.py, SHA-256 " in text
    assert "seed 0, course assignment, handgrad " + handgrad.__version__ in text
    assert "containment, not a security boundary" in text


def test_missing_is_not_passed(place):
    (place / "layers.py").write_text("def fc_forward(x, w, b):\n    raise NotImplementedError\n")
    text = ran(place, "layers.py", *FAST, code=1)
    assert "Not written yet, or not there (4): fc_forward, fc_backward" in text
    assert text.splitlines()[-1] == "4 functions: 4 missing."


# other formats ----------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(place):
    (place / "layers.py").write_text(spoilt(*PLANTED))
    run = ("layers.py", "--only", "fc", "--format", "json", "--no-timing")
    first = called(place, *run, code=1).stdout
    ran(place, *run, "--output", "report.json", code=1)
    assert (place / "report.json").read_text() == first
    record = json.loads(first)
    assert record["file"] == "layers.py"
    assert {case["status"] for case in record["cases"]} == {"passed", "failed"}
    assert "timings" not in record
    other = json.loads(ran(place, *run, "--seed", "1", code=1))
    assert other["seed"] == 1
    assert [c["detail"] for c in other["cases"]] != [c["detail"] for c in record["cases"]]


def test_files_of_every_format(place):
    (place / "rubric.toml").write_text('[[item]]\ngroup = "relu"\npoints = 4\n')
    for style in ("text", "junit", "html", "gradescope"):
        out = place / f"report.{style}"
        said = ran(place, "layers.py", "--only", "relu", "--rubric", "rubric.toml",
                   "--format", style, "--output", out)  # fmt: skip
        assert said == f"2 functions: 2 passed. The report is in {out}\n"
    assert "Score" in (place / "report.text").read_text()
    assert len(ET.fromstring((place / "report.junit").read_text())) == 2
    assert "Score: 4 of 4" in (place / "report.html").read_text()
    results = json.loads((place / "report.gradescope").read_text())
    assert results["score"] == results["tests"][0]["max_score"] == 4


def test_an_interrupted_run_leaves_what_was_found(place):
    (place / "layers.py").write_text(GOOD + "\ndef relu_forward(x):\n    while True: pass\n")
    out = place / "report.json"
    with children.started(
        words("layers.py", *FAST, "--timeout", "60", "--format", "json", "--output", out),
        cwd=place, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        wait_for(lambda: out.exists() and '"fc_backward"' in out.read_text())
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said[1].split("\n")[-2:] == ["handgrad: interrupted; the report is not finished", ""]
    record = json.loads(out.read_text())
    assert record["note"] == "not finished: only the cases that had ended are here"
    assert {case["function"] for case in record["cases"]} == {"fc_forward", "fc_backward"}
    assert [path.name for path in place.iterdir() if path.name.startswith(".")] == []


# exit codes 2 and 3 -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name what to judge: a layers.py, a notebook, a folder, an archive or a module"),
        (["nowhere.py"], "nowhere.py: no such file, folder or module"),
        (["layers.py", "--only", "dense"], "there is no group or function 'dense'"),
        (["layers.py", "--format", "pdf"], "'pdf' is not one of"),
        (["layers.py", "--convention", "torch"], "there is no convention 'torch'"),
        (["layers.py", "--rubric", "none.toml"], "'none.toml' does not exist"),
        (["layers.py", "--rubric", "bad.toml"], "bad.toml: item[1].points: must be a number"),
        (["layers.py", "--format", "json", "--output", "no/where"], "cannot write no/where (No s"),
        (["layers.py", "--watch", "--batch", "o"], "--batch and --watch do not go together"),
        (["layers.py", "--batch", "o"], "--batch needs a folder of submissions; layers.py is no"),
        (["layers.py", "--watch", "--format", "json"], "--watch shows text on the screen"),
        (["layers.py", "--starter", "new"], "--starter judges nothing; leave PATH out"),
        (["layers.py", "--autograder", "a.zip"], "--autograder judges nothing; leave PATH out"),
        (["--autograder", "no/a.zip"], "cannot write no/a.zip (No such file or directory)"),
        (["handgrad", "--watch"], "--watch needs a file or a folder; handgrad is neither"),
    ],
    ids=str,
)
def test_what_cannot_be_run_is_one_line(place, arguments, said):
    (place / "bad.toml").write_text('[[item]]\nfunction = "fc_forward"\n')
    assert said in ran(place, *arguments, code=2)
    assert sorted(path.name for path in place.iterdir()) == ["bad.toml", "layers.py"]


def test_a_submission_that_cannot_be_loaded(place):
    (place / "layers.py").write_text("import numpy as np\ndef fc_forward(x, w, b:\n")
    result = called(place, "layers.py", code=2)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("handgrad: error: layers.py: layers.py cannot be imported: SyntaxError")
    for style in ("gradescope", "json"):
        ran(place, "layers.py", "--format", style, "--output", f"{style}.json", code=2)
    results = json.loads((place / "gradescope.json").read_text())
    assert results["score"] == 0
    assert "SyntaxError" in results["output"]
    report = json.loads((place / "json.json").read_text())
    assert report["note"].startswith("empty: layers.py: layers.py cannot be imported: SyntaxError")
    assert report["cases"] == []


def test_a_fault_of_the_checker_is_never_the_submissions(place, monkeypatch):
    def faulty(path, **options):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(check_run, "check_submission", faulty)
    monkeypatch.chdir(place)
    result = CliRunner().invoke(cli, ["check", "layers.py"], standalone_mode=False)
    assert result.return_value == 3
    (line,) = result.stderr.splitlines()
    assert line.startswith("handgrad: the checker itself failed, which is nobody's mistake: ")
    assert "ZeroDivisionError: division by zero (test_check_command.py, line" in line


# for learners -----------------------------------------------------------------------------------


def test_the_starter_is_the_assignment_with_nothing_written(tmp_path):
    said = called(tmp_path, "--starter", "work").stdout
    assert "handgrad check work --watch" in said
    names = {path.name for path in (tmp_path / "work").iterdir()}
    units = {"layers", "optim", "logistic", "svm", "softmax", "cnn", "solver"}
    assert names == {"README.md", *(f"{unit}.py" for unit in units)}
    for unit in units:  # nothing but docstrings and "not written yet"
        tree = ast.parse((tmp_path / "work" / f"{unit}.py").read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        assert functions
        for function in functions:
            *docstring, last = function.body
            assert ast.unparse(last) == "raise NotImplementedError('not written yet')"
            assert len(docstring) == (function.name != "__init__")
            assert ast.get_docstring(function) or function.name == "__init__"
    line = ran(tmp_path, "--starter", "work", code=2)
    assert line.startswith("work already has README.md, cnn.py, layers.py")
    report = ran(tmp_path, "work", "--format", "json", code=1)
    cases = json.loads(report)["cases"]
    assert {case["status"] for case in cases} == {"missing"}
    judged = {case["function"] for case in cases}
    assert {"fc_forward", "max_pool_backward"} <= judged


def test_the_starter_overwrites_nothing(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work/svm.py").write_text("mine")
    assert "work already has svm.py; nothing was written" in ran(
        tmp_path, "--starter", "work", code=2
    )
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["svm.py"]


def test_watching_shows_only_what_changed(place):
    file = place / "layers.py"
    file.write_text(spoilt(PLANTED[0], PLANTED[2]))
    with children.started(
        words("layers.py", *FAST, "--watch"),
        cwd=place, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip

        def until_it_waits():
            lines = []
            while not lines or "Watching" not in lines[-1]:
                lines.append(process.stdout.readline())
                assert lines[-1], process.stderr.read()
            return "".join(lines)

        assert "relu_backward: gradient at exactly 0 is 0" in until_it_waits()
        file.write_text(spoilt(PLANTED[0]))
        mended = until_it_waits()
        assert "passes now: relu_backward (gradient at exactly 0 is 0)" in mended
        assert "fc_backward" not in mended
        assert "4 functions: 3 passed, 1 failed." in mended
        file.write_text("half a li")
        assert "cannot be judged: layers.py: layers.py cannot be imported" in until_it_waits()
        file.write_text(spoilt(PLANTED[0], PLANTED[1]))
        broken = until_it_waits()
        assert "broken now:\nfc_backward: gradient of b\n" in broken
        assert "relu" not in broken
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130


# help -------------------------------------------------------------------------------------------


def test_help_groups_the_options():
    text = CliRunner().invoke(cli, ["check", "--help"]).output
    headings = re.findall(r"(?m)^(\S.*):$", text)
    assert headings == ["What is judged", "The report", "For learners", "For instructors", "Other"]
    assert text.index("--only") < text.index("--format") < text.index("--watch")
