"""`handgrad check` for instructors: folders of submissions, and the Gradescope autograder."""

import csv
import json
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import children
import pytest
from check_runs import FAST, GOOD, PLANTED, called, environment, spoilt, wait_for, words

import handgrad


def rows_of(out):
    return rows(out) if (out / "results.csv").exists() else {}


def rows(out):
    with (out / "results.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_a_batch_goes_on_where_it_was(tmp_path):
    folder, out = tmp_path / "subs", tmp_path / "out"
    for name, text in {
        "alice/homework/layers.py": GOOD,
        "bob/layers.py": "oh no",
        "carol.py": spoilt(PLANTED[1]),
        "click.py": "raise SystemExit(0)  # no library of the checker's",
        "dave/readme.txt": "",
        "thief.py": "from carol import *  # not there: each is judged alone",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    rubric = tmp_path / "rubric.toml"
    rubric.write_text('[[item]]\ngroup = "fc"\npoints = 3\n[[item]]\ngroup = "relu"\npoints = 1\n')
    run = (folder, *FAST, "--batch", out, "--jobs", "2", "--rubric", rubric)
    first = called(tmp_path, *run, code=1)
    assert first.stdout.startswith("6 submissions: 1 pass everything, 4 cannot be judged\n")
    assert "judged before" not in first.stderr
    table = rows(out)
    assert list(table) == ["alice", "bob", "carol.py", "click.py", "dave", "thief.py"]
    alice, carol = table["alice"], table["carol.py"]
    assert (alice["failed"], alice["score"], alice["fc_backward"]) == ("0", "4", "passed")
    assert (carol["score"], carol["fc_backward"], carol["relu_backward"]) == (
        "1",
        "failed",
        "passed",
    )
    assert "SyntaxError" in table["bob"]["problem"]
    # Alone in its folder: another's file is not there to be imported.
    assert "needs the package carol, which is neither" in table["thief.py"]["problem"]
    assert "SystemExit" in table["click.py"]["problem"]
    assert (table["dave"]["problem"], table["dave"]["score"]) == (
        "holds no layers.py, no other module of the course, and no notebook",
        "0",
    )
    pages = {path.name for path in (out / "pages").iterdir()}
    assert pages == {"alice.html", "carol.py.html"}
    page = (out / "pages/carol.py.html").read_text()
    assert "wrong sign" in page
    assert "Score: 1 of 4" in page
    assert str(tmp_path) not in page
    # Again: only what changed is judged.
    for name in ("bob/layers.py", "click.py", "thief.py"):
        (folder / name).unlink()
    (folder / "alice/homework/layers.py").write_text(spoilt(PLANTED[2]))
    second = called(tmp_path, *run, code=1)
    said = dict(line.split(": ", 1) for line in second.stderr.splitlines())
    assert "judged before" in said["carol.py"]
    assert "judged before" not in said["alice"]
    assert rows(out)["alice"]["score"] == "3"
    assert rows(out)["carol.py"] == carol
    # Another seed or version would be another judgement.
    record = json.loads((out / "records/carol.py.json").read_text())
    assert record["settings"]["options"][:2] == ["--seed", "0"]
    assert record["settings"]["versions"]["handgrad"] == handgrad.__version__


def test_an_interrupted_batch_keeps_what_has_ended_and_leaves_no_process(tmp_path):
    folder, out = tmp_path / "subs", tmp_path / "out"
    for name, text in {
        "a.py": GOOD,
        "b.py": GOOD + "\ndef relu_forward(x):\n    while True: pass\n",
        "c.py": GOOD,
    }.items():
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    with children.started(
        words(folder, *FAST, "--batch", out, "--timeout", "120"),
        env=environment(TMPDIR=str(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        wait_for(lambda: list(out.glob(".work/*/handgrad-check-*")) and "a.py" in rows_of(out))
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said[1].endswith("interrupted; the same command goes on where it was\n")
    assert list(rows(out)) == ["a.py"]
    wait_for(lambda: not [place for place in tmp_path.iterdir() if place not in (folder, out)])
    of_ours = [
        place for place in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in _read(place)
    ]
    assert of_ours == []


def _read(file):
    try:
        return file.read_text(errors="replace")
    except OSError:  # the process has ended
        return ""


@pytest.fixture(scope="module")
def autograder(tmp_path_factory):
    """An autograder, unzipped, and how it is called."""
    place = tmp_path_factory.mktemp("autograder")
    (place / "r.toml").write_text(
        '[[item]]\ngroup = "fc"\npoints = 10\ncredit = "share"\n'
        '[[item]]\nfunction = "relu_backward"\npoints = 5\nvisibility = "after_due_date"\n'
    )
    called(place, "--autograder", "a.zip", "--rubric", "r.toml", *FAST, "--seed", "3")
    with zipfile.ZipFile(place / "a.zip") as archive:
        assert archive.testzip() is None
        for name in ("setup.sh", "run_autograder"):
            assert archive.getinfo(name).external_attr >> 16 & 0o111
        archive.extractall(place / "source")

    def run(text):
        (place / "submission").mkdir(exist_ok=True)
        (place / "submission/layers.py").write_text(text)
        variables = {
            "AUTOGRADER": str(place),
            "AUTOGRADER_PYTHON": sys.executable,
            "PYTHONPATH": "/nowhere",  # its own handgrad is used
        }
        return subprocess.run(
            ["bash", str(place / "source/run_autograder")], env=environment(**variables),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return place, run


def test_the_autograder_grades(autograder):
    place, run = autograder
    result = run(spoilt(PLANTED[2]))
    assert result.returncode == 0, result.stderr
    results = json.loads((place / "results/results.json").read_text())
    assert results["score"] == 10
    fc, relu = results["tests"]
    assert (fc["score"], fc["max_score"], fc["status"]) == (10, 10, "passed")
    assert (relu["score"], relu["visibility"]) == (0, "after_due_date")
    assert "kink" in relu["output"]
    assert "handgrad check . --only relu_backward" in relu["output"]
    assert "Seed 3" in results["output"]
    assert run("oh no").returncode == 0
    results = json.loads((place / "results/results.json").read_text())
    assert results["score"] == 0
    assert "SyntaxError" in results["output"]


def test_the_autograder_holds_this_very_handgrad(autograder):
    place, run = autograder
    ours = Path(handgrad.__file__).parent
    for file in sorted(ours.rglob("*.py")):
        assert (place / "source/source/handgrad" / file.relative_to(ours)).read_bytes() == (
            file.read_bytes()
        )
    pins = (place / "source/requirements.txt").read_text().splitlines()
    assert handgrad.__version__ in pins[0]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", pin) for pin in pins[1:])
    for name in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", place / "source" / name], check=True)
    # A checker that fails gives no results: Gradescope then blames the autograder.
    broken = place / "source/source/handgrad/check/session.py"
    whole = broken.read_bytes()
    try:
        broken.write_text("raise RuntimeError\n")
        assert run(GOOD).returncode not in (0, 2)
        assert not (place / "results/results.json").exists()
    finally:
        broken.write_bytes(whole)
