"""What README and docs say is so: numbers, times, commands, names, held to what they name."""

import re
from pathlib import Path

import pytest

from handgrad.bench.workloads import WORKLOADS
from handgrad.cli import cli
from handgrad.reproduce import summary
from handgrad.results import Results

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# The half of the library that is there to be read.
CORE = ("layers/*.py", "descriptions.py", "network.py", "optim.py", "solver.py", "gradcheck.py",
        "logistic.py", "svm.py", "softmax.py", "cnn.py")  # fmt: skip


@pytest.fixture(scope="module")
def results():
    return Results.read(ROOT / "docs" / "results.json")


def test_the_table_is_that_of_the_record(results):
    assert (results.profile, results.seed, results.not_run) == ("standard", 0, ())
    lines = README.split("\n")
    expected = ["| " + " | ".join(row) + " |" for row in summary.rows(results)]
    assert [line for line in lines if re.match(r"\| [2-6]\.\d ", line)] == expected


def test_the_page_of_results_is_the_records_summary(results):
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert page == summary.markdown(results)


def test_times_are_those_of_the_record(results):
    (some,) = re.findall(r"trainings of questions 2 to 5 took ([\d.]+) minutes", README)
    (every,) = re.findall(r"all trainings ([\d.]+) minutes", README)
    assert some == f"{summary.training_minutes(results, 2, 3, 4, 5):.1f}"
    assert every == f"{summary.training_minutes(results):.1f}"


def test_the_core_has_as_many_lines_as_is_said():
    (said,) = re.findall(r"is (\d),(\d00) lines of NumPy", README)
    package = ROOT / "src" / "handgrad"
    files = [path for pattern in CORE for path in package.glob(pattern)]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
    assert abs(lines - int("".join(said))) <= 50


def test_as_many_networks_are_timed_as_is_said():
    numbers = {"ten": 10}
    (said,) = re.findall(r"`make bench` trains (\w+) networks", README)
    assert numbers[said] == len(WORKLOADS)
    table = README[README.index("| workload |") :]
    assert len(re.findall(r"\n\| (?!-|workload)", table[: table.index("\n\n")])) == len(WORKLOADS)


def commands(path):
    text = path.read_text(encoding="utf-8")
    code = re.findall(r"```(?:sh)?\n(.*?)```", text, flags=re.S) + re.findall(r"`([^`\n]+)`", text)
    return "\n".join(code)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_that_is_named_exists(path):
    named = set(re.findall(r"(?<![\w.])handgrad ([a-z]+)", commands(path)))
    assert named <= set(cli.commands)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"(?<![\w.])make ([a-z]+)", commands(path))) <= targets


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_file_that_is_linked_exists(path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    missing = [name for name in links if not (path.parent / name).exists()]
    # The site's own pages are made when it is built.
    assert [name for name in missing if not name.startswith(("theory/", "api/"))] == []
