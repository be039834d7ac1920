"""What README and docs say is so: numbers, times, commands, names, held to what they name."""

import re
from pathlib import Path

import pytest

from handgrad.bench.workloads import WORKLOADS
from handgrad.cli import COMMANDS
from handgrad.experiments import EXPERIMENTS, Experiment
from handgrad.reproduce import summary
from handgrad.results import Results

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# The half of the library that is there to be read.
CORE = [
    "layers/*.py",
    "descriptions*.py",
    "network_losses.py",
    "network.py",
    "optim.py",
    "solver.py",
    "gradcheck/passes.py",
    "gradcheck/models.py",
    "gradcheck/judging.py",
    "classifiers.py",
    "logistic.py",
    "svm.py",
    "softmax.py",
    "cnn.py",
]


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


def test_what_is_said_of_question_6_is_the_records(results):
    """README's sentence and the tables of docs/vgg.md."""
    page = (ROOT / "docs" / "vgg.md").read_text(encoding="utf-8")
    records = {r.chosen["recipe"]: r for r in results.experiments if r.id[0] == "6"}
    votes = []
    for recipe, record in records.items():
        numbers = (record.val_accuracy, record.test_accuracy, record.test_accuracy_mirrored)
        shown = " | ".join(map(summary.percent, numbers))
        line = f"| `{recipe}` | {record.epochs} | {shown} | {record.train_seconds:.0f} |"
        assert line in page
        votes.append(f"{record.id} reaches {summary.percent(numbers[2])} %")
    mirrored = " ".join(README.split()).replace(" and 6.3 ", " and 6.3 reaches ")
    assert all(vote in mirrored for vote in votes)
    some, every = (summary.training_minutes(results, *which) for which in ((6,), ()))
    assert f"question 6 is {some:.0f} of its {every:.0f} minutes of training" in page
    table = EXPERIMENTS["6.3"].budgets["standard"].ablation
    assert f"{table.epochs} epochs of {table.train_rows:,} training rows" in " ".join(page.split())


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


def test_the_guide_says_how_often_candidates_are_tried():
    text = " ".join((ROOT / "docs" / "guide.md").read_text(encoding="utf-8").split())
    budgets = {
        id: experiment.budgets["standard"]
        for id, experiment in EXPERIMENTS.items()
        if isinstance(experiment, Experiment)
    }
    thrice = [id for id, budget in budgets.items() if budget.repeats == 3]
    assert f"In {' and '.join(thrice)} every candidate is tried with three seeds" in text
    assert {budget.repeats for id, budget in budgets.items() if id not in thrice} == {1}
    again = [(id, b.finalists, b.finalist_seeds) for id, b in budgets.items() if b.finalists]
    assert again == [("4.4", 3, 3), ("5.3", 3, 3), ("5.4", 3, 3)]
    assert "in 4.4, 5.3 and 5.4 the best three are then tried with two more" in text


def commands(path):
    text = path.read_text(encoding="utf-8")
    code = re.findall(r"```(?:sh)?\n(.*?)```", text, flags=re.S) + re.findall(r"`([^`\n]+)`", text)
    return "\n".join(code)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_that_is_named_exists(path):
    named = set(re.findall(r"(?<![\w.])handgrad ([a-z]+)", commands(path)))
    assert named <= set(COMMANDS)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"(?<![\w.])make ([a-z]+)", commands(path))) <= targets


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_file_that_is_linked_exists(path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    missing = [name for name in links if not (path.parent / name).exists()]
    # The site's own pages are made when it is built.
    assert [name for name in missing if not name.startswith(("theory/", "api/"))] == []
