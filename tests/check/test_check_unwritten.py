"""A skeleton that nobody has filled is "not written yet", whatever its form; it is not wrong."""

import ast
import json
import xml.etree.ElementTree as ET

import pytest
from check_runs import GOOD, ran

from handgrad.check import check_submission
from handgrad.check.classroom.starter import starter_files

GRADIENTS = {"relu_backward": 1, "dropout_backward": 1, "max_pool_backward": 1, "conv_backward": 2}


def _nones(name: str) -> str:
    """The body of a skeleton of the kind that has variables to be filled."""
    if name.endswith("_forward"):
        return "out, cache = None, (1, 2)\nreturn out, cache"
    if name.endswith("_backward"):
        return f"return {', '.join(['None'] * GRADIENTS.get(name, 3))}"
    if name.endswith("_loss"):
        return "loss, dx = 0.0, None\nreturn loss, dx"
    if name in ("sgd", "sgd_momentum", "rmsprop", "adam"):
        return "next_w = None\nreturn next_w, config"
    if name == "__init__":
        return "self.params = {}"
    if name == "loss":
        return "scores = None\nif y is None:\n    return scores\nreturn 0, {}"
    return "return None"


FORMS = {
    "pass": lambda name: "pass",
    "ellipsis": lambda name: "...",
    "a docstring": lambda name: '"""Fill this in."""',
    "return None": lambda name: "return None",
    "variables that are None": _nones,
    "NotImplementedError": lambda name: "raise NotImplementedError",
    "constructors alone": lambda name: "self.params = {}" if name == "__init__" else "pass",
}


class Fill(ast.NodeTransformer):
    """Gives every function of the skeleton this body."""

    def __init__(self, form):
        self.form = form

    def visit_FunctionDef(self, node):
        node.body = ast.parse(self.form(node.name)).body
        return node


def skeleton(folder, form):
    for name, text in starter_files().items():
        if name.endswith(".py"):
            (folder / name).write_text(ast.unparse(Fill(form).visit(ast.parse(text))))
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_an_unfilled_skeleton_is_missing_and_nothing_else(tmp_path, form):
    report = check_submission(skeleton(tmp_path, FORMS[form]))
    assert {(case.status, case.diagnosis) for case in report.cases} == {("missing", "not-written")}
    assert all(case.detail.startswith("not written yet") for case in report.cases)
    assert len({case.function for case in report.cases}) > 20


def test_empty_classes_are_missing(tmp_path):
    for module, name in (("svm", "SVM"), ("solver", "Solver"), ("cnn", "ConvNet")):
        (tmp_path / f"{module}.py").write_text(f"class {name}:\n    pass\n")
    report = check_submission(tmp_path, only=["SVM", "Solver", "ConvNet"])
    assert {case.status for case in report.cases} == {"missing"}


SAID = "not written yet: relu_forward returns None"


@pytest.fixture
def half(tmp_path):
    """A file whose relu_forward lacks its return: its backward cannot be asked either."""
    source = GOOD.replace("    return np.maximum(x, 0), x", "    out = np.maximum(x, 0)")
    (tmp_path / "layers.py").write_text(source)
    return tmp_path


ONLY = ("layers.py", "--only", "fc,relu", "--no-timing")


def test_text_lists_it_and_counts_no_mistake(half):
    lines = ran(half, *ONLY, code=1).splitlines()
    assert lines[4].split(maxsplit=2) == ["relu_forward", "missing", SAID]
    assert "Not written yet, or not there (2): relu_forward, relu_backward" in lines
    assert lines[-1] == "4 functions: 2 passed, 2 missing."


def test_json_says_missing(half):
    cases = json.loads(ran(half, *ONLY, "--format", "json", code=1))["cases"]
    relu = {(c["status"], c["diagnosis"], c["detail"]) for c in cases if c["group"] == "relu"}
    assert relu == {("missing", "not-written", SAID)}


def test_junit_says_not_written(half):
    root = ET.fromstring(ran(half, *ONLY, "--format", "junit", code=1))
    failures = root.findall("testsuite[@name='relu_forward']/testcase/failure")
    assert failures
    assert {(f.get("type"), f.get("message")) for f in failures} == {("not-written", SAID)}


def test_gradescope_pays_nothing_and_says_why(half):
    record = json.loads(ran(half, *ONLY, "--format", "gradescope", code=1))
    tests = {test["name"]: test for test in record["tests"]}
    assert (tests["fc_forward"]["score"], tests["relu_forward"]["score"]) == (1, 0)
    assert "Not written yet, or not there: relu_forward" in tests["relu_forward"]["output"]


def test_html_lists_it(half):
    page = ran(half, *ONLY, "--format", "html", code=1)
    assert "<p>relu_forward, relu_backward</p>" in page
    assert "<h2>What to fix</h2>" not in page


@pytest.mark.parametrize(
    ("right", "wrong", "function"),
    [
        ("return dx, dw, db", "return None, dw, db", "fc_backward"),
        ("return dx, dw, db", "return dx, None, None", "fc_backward"),
        ("return np.maximum(x, 0), x", "return np.zeros(x.shape), x", "relu_forward"),
        ("return np.maximum(x, 0), x", "return 0 * x, None", "relu_forward"),
    ],
)
def test_what_is_written_in_part_is_wrong(tmp_path, right, wrong, function):
    (tmp_path / "layers.py").write_text(GOOD.replace(right, wrong))
    report = check_submission(tmp_path / "layers.py", only=[function])
    statuses = {case.status for case in report.cases}
    assert statuses & {"failed", "error"}
    assert "missing" not in statuses
