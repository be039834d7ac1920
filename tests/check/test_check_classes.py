"""A class: made, killed and gone on with, scored anew; what it gets wrong, for a lecture."""

import csv
import json
import random
import re
import subprocess
import time
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import children
import pytest
from check_corpus.classes import SHARES, make_class, manifest
from check_reports import case, report
from check_runs import FAST, GOOD, PLANTED, called, environment, ran, spoilt, wait_for, words

from handgrad.check.classroom import batch as batches, kept, misconceptions
from handgrad.check.classroom.finding import submissions
from handgrad.check.classroom.lecture import page
from handgrad.check.classroom.processes import Processes
from handgrad.check.classroom.rubric import Item, Rubric, one_point_each
from handgrad.check.records import Observation
from handgrad.check.session import check_submission

# a class ----------------------------------------------------------------------------------------


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_class_has_its_shares_and_is_the_same_each_time(tmp_path):
    students = make_class(tmp_path / "a", 100, 3)
    kinds = Counter(student.kind for student in students)
    assert {kind: kinds[kind] for kind in SHARES} == {
        kind: round(100 * share) for kind, share in SHARES.items()
    }
    assert make_class(tmp_path / "b", 100, 3) == students
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    make_class(tmp_path / "c", 100, 4)
    assert files_of(tmp_path / "a") != files_of(tmp_path / "c")
    assert len(list((tmp_path / "a").iterdir())) == 100
    suffixes = Counter(path.suffix for path in (tmp_path / "a").iterdir())
    assert all(suffixes[suffix] for suffix in (".zip", ".py", ".ipynb", ""))
    table = list(csv.DictReader(manifest(students).splitlines()))
    assert [row["name"] for row in table] == [student.name for student in students]
    planted = {word for student in students for word in student.planted}
    assert len(planted) > 60
    names = {re.sub(r"[^a-z]", "", student.name.lower()) for student in students}
    assert len(names) == 100


# killed, and gone on with -----------------------------------------------------------------------

SMALL = {
    "ada_LATE_1_layers-2.py": GOOD,
    "ben/homework/layers.py": spoilt(PLANTED[1]),
    "cem.py": GOOD + "\ndef relu_forward(x):\n    while True: pass\n",
    "dora.py": "oh no",
    "eva.py": spoilt(PLANTED[0], PLANTED[2]),
    "finn.py": "import no_such_package\n" + GOOD,
}
RUBRIC = (
    '[[item]]\ngroup = "fc"\npoints = 3\ncredit = "share"\n[[item]]\ngroup = "relu"\npoints = 1\n'
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small class, the command that judges it, and the files that it gives undisturbed."""
    place = tmp_path_factory.mktemp("small")
    for name, text in SMALL.items():
        (place / "subs" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "subs" / name).write_text(text)
    (place / "r.toml").write_text(RUBRIC)
    run = ("subs", *FAST, "--timeout", "1", "--jobs", "2", "--rubric", "r.toml", "--batch")
    called(place, *run, "out", code=1)
    return place, run, files_of(place / "out")


def test_killed_at_any_time_it_ends_with_the_same_bytes(small):
    place, run, whole = small
    draw = random.Random(20)
    kills = 0
    for wait in (0.8, *(draw.uniform(0.5, 2.5) for _ in range(3))):
        with children.started(
            words(*run, "again"), cwd=place, env=environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            time.sleep(wait)
            kills += process.poll() is None
            process.kill()  # itself alone: the checkers must notice
            process.wait()
        mark = str(place / "again")
        wait_for(lambda mark=mark: not any(mark in children.command(pid) for pid in running()))
        out = place / "again"
        assert files_of(out).items() <= whole.items() | partial(out).items()
    assert kills >= 2
    called(place, *run, "again", code=1)
    assert files_of(place / "again") == whole
    assert not (place / "again/.work").exists()


def running():
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def partial(out):
    """What a batch that was killed may leave beside whole files: its table so far, its work."""
    files = files_of(out)
    return {name: files[name] for name in files if name == "results.csv" or "/." in f"/{name}"}


def test_another_rubric_is_applied_and_nothing_is_run(small, monkeypatch):
    place, run, whole = small

    def refused(self, words, where, env):
        raise AssertionError(f"this was run: {words}")

    monkeypatch.setattr(Processes, "call", refused)
    said = ran(place, *run, "out", code=1)
    assert said.startswith("6 submissions: 1 pass everything, 2 cannot be judged")
    assert files_of(place / "out") == whole
    (place / "other.toml").write_text('[[item]]\ngroup = "relu"\npoints = 8\n')
    ran(place, *run[:-3], "--rubric", "other.toml", "--batch", "out", code=1)
    with (place / "out/results.csv").open(newline="") as file:
        scores = {row["name"]: row["score"] for row in csv.DictReader(file)}
    assert scores == {
        "ada_LATE_1_layers-2.py": "8", "ben": "8", "cem.py": "0", "dora.py": "0", "eva.py": "0",
        "finn.py": "0",
    }  # fmt: skip
    assert "Score: 8 of 8" in (place / "out/pages/ben.html").read_text()
    # What could not be judged for want of a package is tried again where others are installed.
    monkeypatch.setattr(kept, "packages", lambda: "others")
    with pytest.raises(AssertionError, match=r"dora.py|finn.py"):
        batch_of(place)


def batch_of(place):
    """Go on with the batch in this process, where its refusal to run anything is seen."""
    record = json.loads((place / "out/records/ben.json").read_text())["settings"]
    settings = {key: value for key, value in record.items() if key != "content"}
    found = submissions(place / "subs")
    batches.run(
        batches.Batch(place / "subs", found, place / "out", settings["options"], settings),
        lambda outcome: None,
    )


def test_two_batches_do_not_share_a_folder(small):
    place, run, _ = small
    import fcntl

    with (place / "out/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = called(place, *run, "out", code=2).stderr
    assert said == (
        f"handgrad: error: another handgrad check --batch is at work in {place / 'out'}; wait for "
        "it, or name another folder with --batch\n"
    )


# what a class gets wrong ------------------------------------------------------------------------


def test_points_lost_are_all_accounted_for():
    cases = [
        case("fc_forward", "values"),
        case("fc_backward", "gradient of w", "failed", "factor-n", "dw", "fc"),
        case("fc_backward", "gradient of b", "failed", "factor-n", "db", "fc"),
        case("relu_backward", "kink", "failed", None, "dx", "relu"),
        case("adam", "first step", "missing", "not-written", "not written yet", group="optim"),
    ]
    rubric = Rubric("", (
        Item("fc", "fc", (), 9.0), Item("relu", "relu", (), 2.0), Item("optim", "optim", (), 4.0),
        Item("nothing", "", ("sgd",), 1.0),
    ))  # fmt: skip
    reports = [(report(cases), ""), (report(cases[:1]), ""), (None, "SyntaxError")]
    found = misconceptions.of_class(reports, rubric)
    lost = sum(rubric.points - rubric.grade(r.cases if r else ()).score for r, _ in reports)
    assert sum(item.points for item in found) == pytest.approx(lost)
    assert (
        [(f.cause, f.students, f.count, f.points) for f in found]
        == [
            ("no-value-right", 0, 0, 8.0),  # of the second: what was not run; of both: sgd
            ("factor-n", 1, 1, 9.0),
        ][1:]
        or found
    )
    rows = {f.cause: (f.students, f.count, f.points) for f in found}
    assert rows["factor-n"] == (1, 1, 9)  # two cases of one mistake
    assert rows["unknown"] == (1, 1, 2)
    assert rows["not-written"] == (1, 1, 4)
    assert rows["not-judged"] == (1, 1, 16)
    assert rows["no-value-right"] == (0, 0, 1 + 2 + 4 + 1)
    text = misconceptions.as_csv(found)
    assert text.splitlines()[0] == "cause,title,students,count,points lost"
    assert 'factor-n,"it is N times too large (N examples)' in text
    # Without a rubric a function is worth a point.
    plain = {f.cause: f.points for f in misconceptions.of_class(reports[:1], None)}
    points = one_point_each(cases).grade(cases)
    assert sum(plain.values()) == points.points - points.score == 3


def test_what_most_students_have_comes_first():
    one = [case("fc_backward", "b", "failed", "sign", "x", "fc")]
    both = [*one, case("conv_backward", "c", "failed", "factor-n", "x", "conv")]
    found = misconceptions.of_class(
        [(report(both), ""), (report(both), ""), (report(one), "")], None
    )
    assert [(f.cause, f.students) for f in found] == [("sign", 3), ("factor-n", 2)]
    assert [f.case.name for f in found[0].findings] == ["b", "b", "b"]


class Page(HTMLParser):
    """The words of a page, and whatever it could load or run."""

    def __init__(self, text):
        super().__init__()
        self.words, self.loads = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.loads += [tag] * (tag in ("script", "link", "img", "iframe", "object"))
        self.loads += [name for name, _ in attrs if name in ("src", "href", "onclick", "onload")]

    def handle_data(self, data):
        self.words.append(data)


def named(diagnosis, **seen):
    """A failure in which a student has left a name wherever a submission can speak."""
    said = case("fc_backward", "gradient of w", "failed", diagnosis, "Mallory Quist", "fc")
    return replace(
        said, seen=replace(Observation(said="Mallory Quist"), **seen), remark="Mallory Quist",
        repeat="handgrad check mallory_quist.py", read="handgrad/theory/fully_connected.md",
    )  # fmt: skip


def test_the_page_for_the_lecture_names_nobody_and_loads_nothing():
    numbers = {
        "output": "dw", "received": 1.25, "expected": 3.75, "index": (2, 0), "off": 20,
        "entries": 20, "input": "x 3x4, w 4x5, float64",
    }  # fmt: skip
    raised = named("raises", error="MalloryQuistError")
    first = replace(
        report([named("factor-one-over-n", **numbers), replace(raised, group="conv")]),
        file="mallory_quist.py",
    )
    alone = replace(report([named("sign")]), file="mallory.py")
    found = misconceptions.of_class(
        [(first, ""), (first, ""), (alone, ""), (None, "Mallory")], None
    )
    text = page(found, 4, "Assignment 1")
    assert "mallory" not in text.lower()
    assert "quist" not in text.lower()
    shown = Page(text)
    assert shown.loads == []
    assert "default-src 'none'" in text
    said = " ".join(" ".join(shown.words).split())
    assert "Assignment 1: what the class got wrong" in said
    assert "1. It is N times too small" in said
    assert "2 of 4 students, 2 times" in said
    assert "20 of 20 entries are wrong (most at index (2, 0)): received 1.25, expected 3.75" in said
    assert "it raises an exception" in said
    assert "handgrad/theory/fully_connected.md" in said
    # What one student alone got wrong is in the table and not among the examples.
    assert "wrong sign" not in said.partition("All causes")[0]
    assert "wrong sign" in said.partition("All causes")[2]


def test_a_batch_writes_them_without_hidden_items_on_the_page(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"subs/{name}").mkdir(parents=True)
        (tmp_path / f"subs/{name}/layers.py").write_text(spoilt(PLANTED[1], PLANTED[2]))
    (tmp_path / "r.toml").write_text(
        '[[item]]\ngroup = "fc"\npoints = 3\n'
        '[[item]]\ngroup = "relu"\npoints = 1\nvisibility = "after_due_date"\n'
    )
    run = ("subs", *FAST, "--rubric", "r.toml", "--batch", "out", "--jobs", "2")
    called(tmp_path, *run, code=1)
    out = tmp_path / "out"
    with (out / "misconceptions.csv").open(newline="") as file:
        rows = {row["cause"]: row for row in csv.DictReader(file)}
    assert {cause: row["students"] for cause, row in rows.items()} == {
        "sign": "2", "kink-wrong": "2",
    }  # fmt: skip
    assert float(rows["sign"]["points lost"]) == 6
    assert float(rows["kink-wrong"]["points lost"]) == 2
    texts = [(out / name).read_text() for name in ("lecture.html", "pages/a.html")]
    for text in texts:
        assert "fc_backward" in text
        assert "relu" not in text
        assert "kink" not in text
    assert "Score: 0 of 3" in texts[1]
    with (out / "results.csv").open(newline="") as file:
        assert {row["relu_backward"] for row in csv.DictReader(file)} == {"failed"}
    ran(tmp_path, *run, "--for", "instructor", code=1)
    assert "relu_backward" in (out / "lecture.html").read_text()
    assert "relu_backward" in (out / "pages/a.html").read_text()


# loops and slow convolutions --------------------------------------------------------------------


def counted(monkeypatch):
    """Count the cases that a sandbox runs, and the seconds that it is given for them."""
    from handgrad.check.sandbox.runner import Runner

    asked, run = [], Runner.run

    def counting(self, request, timeout):
        outcome = run(self, request, timeout)
        asked.append((outcome.ending, timeout))
        return outcome

    monkeypatch.setattr(Runner, "run", counting)
    return asked


def test_an_endless_loop_costs_its_function_and_hardly_what_calls_it(tmp_path, monkeypatch):
    from check_corpus.mutants import write_plain

    write_plain(tmp_path / "s")
    layers = tmp_path / "s/layers.py"
    layers.write_text(
        layers.read_text() + "\n\ndef relu_forward(x):\n    while True:\n        pass\n"
    )
    asked = counted(monkeypatch)
    found = check_submission(tmp_path / "s", timeout=1.0, only=["relu", "models", "fc"])
    spent = [seconds for ending, seconds in asked if ending == "timeout"]
    assert spent.count(1.0) == 2
    assert set(spent) == {1.0, 0.2}
    assert sum(spent) <= 2 + 4 * 0.2 + 0.01  # the four models call it
    wrong = {c.function for c in found.cases if c.status == "error"}
    assert wrong == {
        "relu_forward", "relu_backward", "LogisticClassifier", "SVM", "SoftmaxClassifier",
        "ConvNet",
    }  # fmt: skip
    said = [c.detail for c in found.cases if c.function == "SVM" and c.status == "error"]
    assert "it calls relu_forward, which did not end in time" in said[0]
    assert all("not tried again" in text for text in said[1:])
    assert all(c.status == "passed" for c in found.cases if c.group == "fc")


def test_a_module_that_never_ends_its_import_is_waited_for_once(tmp_path, monkeypatch):
    from check_corpus.mutants import write_plain

    from handgrad.check import session
    from handgrad.check.sandbox import runner

    monkeypatch.setattr(session, "IMPORT_SECONDS", 1.0)
    monkeypatch.setattr(runner, "IMPORT_SECONDS", 1.0)
    write_plain(tmp_path / "s")
    layers = tmp_path / "s/layers.py"
    layers.write_text("while True:\n    pass\n" + layers.read_text())
    asked = counted(monkeypatch)
    found = check_submission(tmp_path / "s", timeout=1.0, only=["optim", "models", "relu"])
    assert [ending for ending, _ in asked].count("timeout") == 1
    assert {c.status for c in found.cases if c.group == "optim"} == {"passed"}
    assert {c.status for c in found.cases if c.group != "optim"} == {"error"}
    assert "it needs layers.py, which could not be imported in time" in found.cases[-1].detail


def test_what_runs_out_of_memory_again_and_again_is_not_tried_for_ever(tmp_path, monkeypatch):
    path = tmp_path / "layers.py"
    path.write_text(GOOD + "\ndef relu_forward(x):\n    return np.ones((2**20, 2**20)), x\n")
    asked = counted(monkeypatch)
    found = check_submission(path, only=["relu"])
    assert {c.status for c in found.cases} == {"error"}
    assert len(asked) == 3  # the import, and two cases of the function


SLOW = """
import time
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def conv_forward(x, w):
    end = time.process_time() + {each} * len(x) + {once}
    while time.process_time() < end:
        pass
    windows = sliding_window_view(x, w.shape[2:], axis=(2, 3))
    return np.einsum("nchwij,fcij->nfhw", windows, w), (x, w)


def conv_backward(dout, cache):
    x, w = cache
    windows = sliding_window_view(x, w.shape[2:], axis=(2, 3))
    dw = np.einsum("nchwij,nfhw->fcij", windows, dout)
    dx = np.zeros_like(x)
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            part = np.einsum("nfhw,fc->nchw", dout, w[:, :, i, j])
            dx[:, :, i : i + dout.shape[2], j : j + dout.shape[3]] += part
    return dx, dw
"""


@pytest.mark.parametrize(
    ("each", "once", "status"),
    [
        (0.0, 0.2, "passed"),  # a call is slow, an image is not: all are run
        (0.15, 0.0, "failed"),  # 15 seconds, of which 12 are allowed
        (0.05, 0.1, "passed"),  # 5 seconds, estimated
    ],
)
def test_a_slow_convolution_costs_a_few_images(tmp_path, each, once, status):
    path = tmp_path / "layers.py"
    path.write_text(SLOW.format(each=each, once=once))
    found = check_submission(path, only=["time"], timeout=2.0)
    (timed,) = found.cases
    assert timed.status == status, timed.detail
    labels = [label for label in found.timings if label.endswith("seconds")]
    if status == "failed":
        assert timed.diagnosis == "too-slow"
        assert timed.detail == "It would not end within 12 seconds, to judge by a part of it."
    else:
        assert ("estimated" in labels[0]) == (each > 0)
        expected = each * 100 + once
        assert expected * 0.9 < found.timings[labels[0]] < expected * 1.5 + 1
