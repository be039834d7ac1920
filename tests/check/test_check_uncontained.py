"""Where the platform cannot contain a submission, it is judged all the same; the report says so.

Played on any system: no `resource` module in the child, no namespaces, no fork.
"""

import os
from pathlib import Path

import pytest
from check_runs import GOOD, PLANTED, called, spoilt

from handgrad.check import check_submission
from handgrad.check.formats.output import render
from handgrad.check.sandbox import containment, runner

FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="how it is without fork, as it is here")


@pytest.fixture
def bare(monkeypatch, tmp_path_factory):
    """A child without resource limits, namespaces and system call filter; perhaps without fork."""

    def made(fork=True):
        child = Path(runner.__file__).parent / "child.py"
        script = tmp_path_factory.mktemp("bare") / "child_of_elsewhere.py"
        script.write_text(
            "import platform, runpy, sys\n"
            "sys.modules['resource'] = None\n"
            "sys.platform = 'elsewhere'\n"
            f"runpy.run_path({str(child)!r}, run_name='__main__')\n"
        )
        monkeypatch.setattr(runner.Runner, "script", script)
        if not fork:
            monkeypatch.delattr(os, "fork")

    return made


def write(folder, text):
    path = folder / "layers.py"
    path.write_text(text)
    return path


def outcome(report):
    return [(case.function, case.name, case.status, case.diagnosis) for case in report.cases]


@pytest.mark.parametrize("fork", [pytest.param(True, marks=FORK), False])
def test_it_judges_as_elsewhere_and_says_what_is_not_contained(tmp_path, bare, fork):
    path = write(tmp_path, spoilt(*PLANTED))
    usual = check_submission(path, only=["fc", "relu"])
    bare(fork)
    report = check_submission(path, only=["fc", "relu"])
    assert outcome(report) == outcome(usual)
    lacking = report.environment["not contained"].split(", ")
    assert {"memory", "processor time", "file size", "network", "other processes"} <= set(lacking)
    assert ("one case from the next" in lacking) is not fork
    assert report.environment["containment"] == "a limit of time"
    for style in ("text", "json", "junit", "gradescope", "html"):
        content = render(style, report, None)
        said = " ".join(content.split())
        assert "ot contained" in said
        assert "network" in said


def test_nothing_is_said_where_all_is_contained(tmp_path):
    report = check_submission(write(tmp_path, GOOD), only=["relu"])
    lacking = report.environment.get("not contained", "")
    assert "memory" not in lacking
    assert "one case" not in lacking


@pytest.mark.parametrize("fork", [pytest.param(True, marks=FORK), False])
@pytest.mark.parametrize(
    ("body", "cause", "said"),
    [
        ("while True: pass", "timeout", "within 0.5 seconds"),
        ("import os; os._exit(3)", "crashed", "exit code 3"),
        ("raise SystemExit(0)", "crashed", "SystemExit"),
        ("raise MemoryError", "memory", "MemoryError"),
    ],
)
def test_what_does_not_end_well_costs_its_own_cases_only(tmp_path, bare, fork, body, cause, said):
    bare(fork)
    text = GOOD + f"\ndef relu_backward(dout, cache):\n    {body}\n"
    report = check_submission(write(tmp_path, text), only=["relu"], timeout=0.5)
    bad = [case for case in report.cases if case.status != "passed"]
    assert {case.function for case in bad} == {"relu_backward"}
    assert {case.diagnosis for case in bad} == {cause}
    assert said in bad[0].detail


def test_an_endless_import_is_ended_without_fork(tmp_path, bare, monkeypatch):
    bare(fork=False)
    monkeypatch.setattr("handgrad.check.session.IMPORT_SECONDS", 0.5)
    monkeypatch.setattr("handgrad.check.case_results.IMPORT_SECONDS", 0.5)
    monkeypatch.setattr(runner, "IMPORT_SECONDS", 0.5)
    path = write(tmp_path, GOOD + "\nwhile True: pass\n")
    with pytest.raises(Exception, match=r"could not be imported within 0\.5 seconds"):
        check_submission(path, only=["relu"], timeout=0.5)


def test_without_fork_modules_are_fresh_in_every_case(tmp_path, bare):
    """A count of calls in the module would make the second case fail, were it kept."""
    bare(fork=False)
    text = GOOD.replace(
        "def relu_forward(x):\n", "calls = []\n\ndef relu_forward(x):\n    calls.append(1)\n"
        "    assert len(calls) < 100\n",
    )  # fmt: skip
    report = check_submission(write(tmp_path, text), only=["relu"])
    assert report.passed
    assert list(tmp_path.iterdir()) == [tmp_path / "layers.py"]


def test_a_channel_of_nonsense_is_the_submission_s_mistake(tmp_path, bare):
    bare(fork=False)
    body = (
        "import os\n    for fd in range(3, 9):\n        try: os.write(fd, bytes(range(256)) * 9)\n"
    )
    text = GOOD + f"\ndef relu_backward(dout, cache):\n    {body}        except OSError: pass\n"
    report = check_submission(write(tmp_path, text), only=["relu"], timeout=2)
    assert {c.function for c in report.cases if c.status != "passed"} == {"relu_backward"}


def test_limits_name_what_took(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "resource", None)
    assert containment.limit(1, 2**20) == []


def test_the_command_says_it_in_one_line(tmp_path):
    write(tmp_path, GOOD)
    text = called(tmp_path, "layers.py", "--only", "relu", "--format", "text").stdout
    lines = [line for line in text.splitlines() if "Safety" in line]
    assert len(lines) == 1
