"""What importing a submission does, and what it cannot import, is no function's mistake."""

import csv
import json
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from check_runs import GOOD, called, ran

from handgrad.check import SubmissionError, check_submission
from handgrad.check.sandbox.runner import Runner
from handgrad.check.sandbox.submission import find_submission

DROPOUT = """
import numpy as np

def dropout_forward(x, dropout_param):
    p = dropout_param["p"]
    if dropout_param["mode"] == "test":
        return (x * p).astype(x.dtype), x.dtype.type(p)
    if "seed" in dropout_param:
        draw = np.random.RandomState(dropout_param["seed"]).rand(*x.shape)
    else:
        draw = np.random.rand(*x.shape)
    mask = (draw < p).astype(x.dtype)
    return x * mask, mask

def dropout_backward(dout, cache):
    return dout * cache
"""
SGD = """
import numpy as np

def sgd(w, dw, config=None):
    config = dict(config or {})
    config.setdefault("learning_rate", 1e-2)
    return w - config["learning_rate"] * dw, config
"""
ABSENT = "which is neither installed here nor a file of the submission"


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def statuses(report):
    return {case.function: case.status for case in report.cases}


# what an import does -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "top",
    [
        "np.random.seed(0)",
        "_ = np.random.rand(3)",
        "import random; random.seed(1)",
        "np.random.set_state(np.random.RandomState(5).get_state())",
        "np.seterr(all='raise'); print('loaded'); import sys; sys.stderr.write('loaded')",
        "import helper",
    ],
)
def test_a_right_file_may_do_this_at_its_top(tmp_path, top):
    write(tmp_path, layers=DROPOUT.replace("import numpy as np", f"import numpy as np\n{top}"))
    write(tmp_path, helper="import numpy as np\nnp.random.seed(3)\nnp.random.rand(2)\n")
    report = check_submission(tmp_path / "layers.py", only=["dropout"])
    assert [case for case in report.cases if case.status != "passed"] == []


@pytest.mark.parametrize("unit", ["layers", "optim", "solver"])
def test_any_module_is_imported_before_the_first_step(tmp_path, unit):
    """Also where its first use stands within another step."""
    top = "import numpy as np\nnp.random.seed(0)\nnp.random.rand(7)\n"
    submission = find_submission(write(tmp_path, **{unit: f"{top}\ndef f():\n    return 1.0\n"}))
    inner = {"op": "call", "unit": unit, "name": "f", "args": [], "save": "one"}
    steps = [
        {"op": "seed", "value": 3},
        {"op": "global_state", "save": "before"},
        {"op": "timed", "steps": [inner], "save": "seconds"},
        {"op": "global_state", "save": "after"},
    ]
    request = {
        "modules": dict(submission.modules),
        "aliases": {},
        "sources": {k: np.frombuffer(v, np.uint8) for k, v in submission.sources.items()},
        "path": [list(entry) for entry in submission.path],
        "trusted": False,
        "variants": [{"inputs": {}, "steps": steps, "returns": ["one", "before", "after"]}],
    }
    with Runner() as runner:
        (found,) = runner.run(request, 10).reply["variants"]
    assert found["error"] is None
    assert found["values"]["one"] == 1.0
    assert found["values"]["before"] == found["values"]["after"]


def test_a_slow_import_is_not_the_cases_time(tmp_path):
    """The limit of a case begins when its modules are imported."""
    slow = "import time\ntime.sleep(1.5)\n"
    write(tmp_path, layers=slow + GOOD)
    report = check_submission(
        tmp_path / "layers.py", only=["fc_forward"], case="value", timeout=0.75
    )  # fmt: skip
    assert statuses(report) == {"fc_forward": "passed"}
    write(tmp_path, layers=GOOD.replace("    return np.max", "    import slow\n    return np.max"))
    write(tmp_path, slow=slow)
    report = check_submission(
        tmp_path / "layers.py", only=["relu_forward"], case="value", timeout=0.75
    )  # fmt: skip
    assert [case.diagnosis for case in report.cases] == ["timeout"]
    assert "0.75 seconds" in report.cases[0].detail


def test_an_import_that_does_not_end_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("handgrad.check.sandbox.runner.IMPORT_SECONDS", 0.5)
    monkeypatch.setattr("handgrad.check.session.IMPORT_SECONDS", 0.5)
    monkeypatch.setattr("handgrad.check.case_results.IMPORT_SECONDS", 0.5)
    write(tmp_path, layers="while True: pass\n")
    with pytest.raises(SubmissionError, match=r"could not be imported within 0\.5 seconds"):
        check_submission(tmp_path / "layers.py", timeout=0.5)


def test_a_byte_order_mark_hides_no_relative_import(tmp_path):
    source = b"\xef\xbb\xbffrom .helper import np\n" + GOOD.encode()
    for ends in (b"\n", b"\r\n", b"\r"):
        folder = write(tmp_path / "mine", helper="import numpy as np\n")
        (folder / "layers.py").write_bytes(source.replace(b"\n", ends))
        report = check_submission(folder, only=["fc_forward", "relu_forward"])
        assert statuses(report) == {"fc_forward": "passed", "relu_forward": "passed"}


def test_names_that_are_no_utf8_have_a_hash(tmp_path):
    folder = write(tmp_path / "mine", layers=GOOD, **{"caf\udce9": "import numpy\n"})
    assert len(find_submission(folder).sha256) == 64


# packages that are not there ---------------------------------------------------------------------


def test_a_file_that_needs_a_package_is_one_line(tmp_path):
    write(tmp_path, layers=f"import no_such_package.io\n{GOOD}")
    said = called(tmp_path, "layers.py", code=2).stderr
    assert said == (
        "handgrad: error: layers.py: not judged: layers.py needs the package no_such_package, "
        f"{ABSENT}\n"
    )


def test_the_rest_of_a_folder_is_judged(tmp_path):
    write(tmp_path, layers=f"import no_such_package\n{GOOD}", optim=SGD)
    result = called(tmp_path, ".", "--only", "fc,sgd", code=2)
    problem = f"not judged: layers.py needs the package no_such_package, {ABSENT}"
    assert result.stderr == f"handgrad: error: .: {problem}\n"
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["fc_forward", "not"], ["fc_backward", "not"], ["sgd", "passed"],
    ]  # fmt: skip
    assert lines[-1] == "3 functions: 1 passed, 2 not judged."
    assert "mistake" not in result.stdout


def test_what_was_not_asked_for_is_no_problem(tmp_path):
    write(tmp_path, layers=f"import no_such_package\n{GOOD}", optim=SGD)
    assert check_submission(tmp_path, only=["sgd"]).passed
    with pytest.raises(SubmissionError, match="needs the package no_such_package"):
        check_submission(tmp_path, only=["fc"])


def test_every_module_that_needs_it_is_named_once(tmp_path):
    write(tmp_path, layers="import no_such_package\n", svm="from layers import *\n", optim=SGD)
    report = check_submission(tmp_path, only=["SVM", "fc_forward", "sgd"])
    assert report.problems == (
        f"not judged: layers.py, svm.py need the package no_such_package, {ABSENT}",
    )
    assert statuses(report) == {"SVM": "not judged", "fc_forward": "not judged", "sgd": "passed"}
    assert not report.passed


def test_a_package_that_only_a_function_needs(tmp_path):
    """Also where the case asks for a refusal: a package's absence is none."""
    source = GOOD.replace("    return np.max", "    import no_such_package\n    return np.max")
    write(tmp_path, layers=source)
    report = check_submission(tmp_path / "layers.py", only=["fc_forward", "relu"])
    assert {case.status for case in report.cases if case.group == "relu"} == {"not judged"}
    assert {case.status for case in report.cases if case.group == "fc"} == {"passed"}
    assert report.problems == (
        "not judged: relu_forward in layers.py, relu_backward in layers.py need the package "
        f"no_such_package, {ABSENT}",
    )


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ("from numpy import no_such_name", "numpy, which cannot be imported here as it asks: "
         "cannot import name 'no_such_name' from 'numpy'"),
        ("from numpy.no_such_module import f", f"numpy.no_such_module, {ABSENT}"),
        ("try:\n    import first_choice\nexcept ImportError:\n    raise ImportError('get it')",
         "first_choice, which cannot be imported here as it asks: get it"),
    ],
)  # fmt: skip
def test_other_ways_to_miss_a_package(tmp_path, top, said):
    write(tmp_path, layers=f"{top}\n{GOOD}")
    with pytest.raises(SubmissionError) as error:
        check_submission(tmp_path / "layers.py")
    assert str(error.value).endswith(f"not judged: layers.py needs the package {said}")


def test_a_module_of_its_own_that_is_not_there_is_its_mistake(tmp_path):
    """Of a folder, svm.py alone is broken, which is one mistake."""
    write(tmp_path, svm="from layers import *\n", softmax="from solver import *\n", optim=SGD)
    report = check_submission(tmp_path, only=["SVM", "sgd"])
    assert statuses(report) == {"SVM": "error", "sgd": "passed"}
    assert report.problems == ()
    assert "svm.py cannot be imported: ModuleNotFoundError" in report.cases[-1].detail


def test_a_file_that_does_not_load_is_one_mistake(tmp_path):
    write(tmp_path, layers="def f(:\n", optim=SGD)
    text = ran(tmp_path, ".", "--only", "fc,relu,losses,sgd", code=1)
    assert text.splitlines()[-1].endswith("1 mistake to fix; start with 1.")


@pytest.fixture
def partly(tmp_path):
    write(tmp_path, layers=f"import no_such_package\n{GOOD}", optim=SGD)
    return tmp_path


@pytest.fixture
def problem():
    return f"not judged: layers.py needs the package no_such_package, {ABSENT}"


ONLY = ("--only", "fc_forward,sgd", "--no-timing")


def test_json_says_what_was_not_judged(partly, problem):
    report = json.loads(ran(partly, ".", *ONLY, "--format", "json", code=2))
    assert report["problems"] == [problem]
    found = {case["function"]: case for case in report["cases"]}
    assert found["fc_forward"]["status"] == "not judged"
    assert found["fc_forward"]["diagnosis"] is None
    assert found["fc_forward"]["detail"] == f"{problem.removeprefix('not judged: ')}."


def test_junit_says_what_was_not_judged(partly):
    root = ET.fromstring(ran(partly, ".", *ONLY, "--format", "junit", code=2))
    suites = {suite.get("name"): suite for suite in root}
    layers = suites["fc_forward"]
    assert (layers.get("errors"), layers.get("failures")) == (layers.get("tests"), "0")
    assert layers.find("testcase/error").get("type") == "not judged"
    assert (suites["sgd"].get("errors"), suites["sgd"].get("failures")) == ("0", "0")


def test_gradescope_says_what_was_not_judged_and_pays_nothing_for_it(partly, problem):
    record = json.loads(ran(partly, ".", *ONLY, "--format", "gradescope", code=2))
    said = f"{problem[0].upper()}{problem[1:]}."
    assert record["output"].startswith(f"{said}\n")
    scores = {test["name"]: (test["score"], test["status"]) for test in record["tests"]}
    assert scores == {"fc_forward": (0, "failed"), "sgd": (1, "passed")}
    assert said in record["tests"][0]["output"]
    assert said not in record["tests"][1]["output"]


def test_html_says_what_was_not_judged(partly):
    page = ran(partly, ".", *ONLY, "--format", "html", code=2)
    assert '<strong class="not-judged">1 not judged</strong>' in page
    assert '<p class="not-judged">Not judged: layers.py needs the package no_such_pack' in page
    assert '<td class="not-judged">not judged</td>' in page


def test_a_batch_says_it_in_its_column_and_judges_again(tmp_path, problem):
    write(tmp_path / "class" / "ann", layers=f"import no_such_package\n{GOOD}", optim=SGD)
    write(tmp_path / "class" / "bob", layers=f"import no_such_package\n{GOOD}")
    write(tmp_path / "class" / "cy", layers=GOOD, optim=SGD)
    (tmp_path / "rubric.toml").write_text(
        '[[item]]\nfunctions = ["fc_forward", "sgd"]\npoints = 4\ncredit = "share"\n'
    )
    words = ("class", "--batch", "out", "--rubric", "rubric.toml", *ONLY)
    first = called(tmp_path, *words, code=1)
    assert first.stdout.startswith(
        "3 submissions: 1 pass everything, 1 cannot be judged, 1 not in full\n"
    )
    with (tmp_path / "out" / "results.csv").open() as file:
        table = {row["name"]: row for row in csv.DictReader(file)}
    assert {name: row["problem"] for name, row in table.items()} == {
        "ann": problem, "bob": problem, "cy": "",
    }  # fmt: skip
    ann = table["ann"]
    assert (ann["fc_forward"], ann["sgd"], ann["failed"]) == ("not judged", "passed", "0")
    assert 0 < float(ann["score"]) < 4 == float(table["cy"]["score"])
    assert "no_such_package" in (tmp_path / "out" / "pages" / "ann.html").read_text()
    again = called(tmp_path, *words, code=1)  # the packages installed are still the same
    before = [line[:3] for line in again.stderr.splitlines() if "judged before" in line]
    assert sorted(before) == ["ann", "cy:"]
    kept = tmp_path / "out" / "records" / "ann.json"
    kept.write_text(re.sub(r'"packages": "\w+"', '"packages": "others"', kept.read_text()))
    again = called(tmp_path, *words, code=1)
    (of_ann,) = (line for line in again.stderr.splitlines() if line.startswith("ann"))
    assert "judged before" not in of_ann
