"""A class: made, killed and gone on with, scored anew; what it gets wrong, for a lecture."""

import csv
import json
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import children
import pytest
from check_corpus.classes import SHARES, make_class, manifest
from check_reports import CASES, case, report
from check_runs import FAST, GOOD, PLANTED, called, environment, ran, spoilt, wait_for, words

from handgrad.check.classroom import batch as batches, kept, misconceptions
from handgrad.check.classroom.finding import submissions
from handgrad.check.classroom.lecture import page
from handgrad.check.classroom.processes import Processes
from handgrad.check.classroom.rubric import Item, Rubric, one_point_each
from handgrad.check.records import Observation

# a class ----------------------------------------------------------------------------------------


def files_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_class_has_its_shares_and_is_the_same_each_time(tmp_path):
    students = make_class(tmp_path / "a", 50, 3)
    kinds = Counter(student.kind for student in students)
    assert {kind: kinds[kind] for kind in SHARES} == {
        kind: round(50 * share) for kind, share in SHARES.items()
    }
    assert make_class(tmp_path / "b", 50, 3) == students
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert make_class(tmp_path / "c", 10, 4) != make_class(tmp_path / "d", 10, 5)
    assert len(list((tmp_path / "a").iterdir())) == 50
    suffixes = Counter(path.suffix for path in (tmp_path / "a").iterdir())
    assert all(suffixes[suffix] for suffix in (".zip", ".py", ".ipynb", ""))
    table = list(csv.DictReader(manifest(students).splitlines()))
    assert [row["name"] for row in table] == [student.name for student in students]
    planted = {word for student in students for word in student.planted}
    assert len(planted) > 40
    names = {re.sub(r"[^a-z]", "", student.name.lower()) for student in students}
    assert len(names) == 50


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
    called(place, *run, "out", code=1, seconds=240)
    return place, run, files_of(place / "out")


def test_killed_at_any_time_it_ends_with_the_same_bytes(small):
    place, run, whole = small
    draw = random.Random(20)
    kills = 0
    for number, wait in enumerate((0.8, *(draw.uniform(0.5, 2.5) for _ in range(3)))):
        with children.started(
            words(*run, "again"), cwd=place, env=environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            time.sleep(wait)
            kills += process.poll() is None
            if number % 2:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()  # itself alone: the checkers must notice
            process.wait()
            wait_for(lambda: not at_work_in(place / "again"))
        out = place / "again"
        assert files_of(out).items() <= whole.items() | partial(out).items()
    assert kills >= 2
    called(place, *run, "again", code=1, seconds=240)
    assert files_of(place / "again") == whole
    assert not (place / "again/.work").exists()


def at_work_in(out):
    """The processes that have the folder of results in their words."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if str(out) in children.command(pid)]


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


def test_scoring_anew_costs_a_thirtieth_of_a_second_each(tmp_path):
    count = 60
    found = report([*(replace(CASES[0], name=f"values {n}") for n in range(170)), *CASES])
    for number in range(count):
        (tmp_path / f"subs/{number:03d}").mkdir(parents=True)
        (tmp_path / f"subs/{number:03d}/layers.py").write_text(GOOD)
    held = submissions(tmp_path / "subs")
    batch = batches.Batch(tmp_path / "subs", held, tmp_path / "out", ())
    (tmp_path / "out/records").mkdir(parents=True)
    for each in held:
        content = kept.content_of([tmp_path / "subs" / each.name])
        batch.records.save(each.name, content, kept.Found(found), json.loads(found.to_json()))
    started = time.process_time()
    done = batches.run(replace(batch, rubric=one_point_each(CASES)), lambda outcome: None)
    assert time.process_time() - started < count * 10 / 300
    assert all(outcome.reused for outcome in done)


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
    assert [f.cause for f in found] == [
        "no-value-right", "not-judged", "factor-n", "not-written", "unknown",
    ]  # fmt: skip
    rows = {f.cause: (f.students, f.count, f.points) for f in found}
    assert rows["factor-n"] == (1, 1, 9)  # two cases of one mistake
    assert rows["unknown"] == (1, 1, 2)
    assert rows["not-written"] == (1, 1, 4)
    assert rows["not-judged"] == (1, 1, 16)
    assert rows["no-value-right"] == (2, 2, 1 + 2 + 4 + 1)
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
