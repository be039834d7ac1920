"""What a rubric makes of a report; a batch's table and folder; what watching notices."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from check_reports import CASES, case, report

from handgrad.check.classroom.autograder import LIBRARIES
from handgrad.check.classroom.finding import submissions
from handgrad.check.classroom.rubric import RubricError, one_point_each, read_rubric
from handgrad.check.classroom.table import results_csv, row
from handgrad.check.classroom.watch import Files, changes
from handgrad.check.formats.output import render
from handgrad.check.records import Observation
from handgrad.errors import BatchError

# rubrics ----------------------------------------------------------------------------------------

KNOWN = {"fc": ["fc_forward", "fc_backward"], "conv": ["conv_backward"], "optim": ["adam"]}


def rubric_of(tmp_path, text):
    path = tmp_path / "rubric.toml"
    path.write_text(text)
    return read_rubric(path, KNOWN)


def test_a_rubric_decides_points_visibility_and_order(tmp_path):
    rubric = rubric_of(
        tmp_path,
        """
        visibility = "hidden"
        [[item]]
        group = "conv"
        points = 10
        credit = "share"
        visibility = "after_due_date"
        [[item]]
        name = "Dense"
        functions = ["fc_forward", "fc_backward"]
        points = 2.5
        [[item]]
        function = "adam"
        points = 1
        """,
    )
    record = json.loads(render("gradescope", report(), rubric))
    assert [(t["name"], t["score"], t["visibility"]) for t in record["tests"]] == [
        ("conv", 2, "after_due_date"),  # one of five cases
        ("Dense", 2.5, "hidden"),
        ("adam", 0, "hidden"),
    ]
    assert record["score"] == 4.5
    assert "Dense" in render("text", report(), rubric, audience="instructor")
    # What was not run was not shown: no points.
    assert rubric.grade([CASES[1]]).score == 10
    assert rubric.grade([]).score == 0


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_a_rubric_may_begin_with_a_byte_order_mark(tmp_path, ends):
    text = '\ufefftitle = "Übung 1"\n[[item]]\nname = "Größe"\ngroup = "fc"\npoints = 3\n'
    path = tmp_path / "rubric.toml"
    path.write_bytes(text.encode().replace(b"\n", ends))
    rubric = read_rubric(path, KNOWN)
    assert (rubric.title, rubric.items[0].name, rubric.items[0].points) == ("Übung 1", "Größe", 3)


def test_a_rubric_in_utf16_is_one_line(tmp_path):
    path = tmp_path / "rubric.toml"
    path.write_text('title = "x"\n', encoding="utf-16")
    with pytest.raises(RubricError, match="not UTF-8 text"):
        read_rubric(path, KNOWN)


def test_the_time_is_graded_by_itself(tmp_path):
    slow = case("conv_backward", "in time", "failed", "too-slow", group="time")
    cases = [case("conv_backward", "gradient of x"), slow]
    path = tmp_path / "rubric.toml"
    path.write_text(
        '[[item]]\nfunction = "conv_backward"\npoints = 5\n[[item]]\ngroup = "time"\npoints = 1\n'
    )
    rubric = read_rubric(path, {**KNOWN, "time": ["conv_backward"]})
    for each in (rubric, one_point_each(cases)):
        right, fast = each.grade(cases).items
        assert (right.score, fast.score) == (right.points, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "item: a rubric needs at least one [[item]] with points"),
        ("item = 3", "item: a rubric needs at least one [[item]] with points"),
        ("points = 3", "points: unknown key; choose from title, visibility, credit, counts"),
        ("[[item]]\npoints = 1", "item[1].function: name one of function, functions, group; got"),
        ('[[item]]\nfunction = "adam"', "item[1].points: must be a number; got nothing"),
        ('[[item]]\nfunction = "adam"\npoints = "9"', "item[1].points: must be a number; got '9'"),
        ('[[item]]\nfunction = "adam"\npoints = true', "item[1].points: must be a number; got Tr"),
        ('[[item]]\nfunction = "adam"\npoints = -1', "item[1].points: must be a finite number"),
        ('[[item]]\nfunction = "adam"\npoints = nan', "item[1].points: must be a finite number"),
        ('[[item]]\nfunction = "adm"\npoints = 1', "item[1].function: there is no function 'adm'"),
        ('[[item]]\ngroup = "dense"\npoints = 1', "item[1].group: there is no group 'dense'; choo"),
        ('[[item]]\nfunctions = "adam"\npoints = 1', "item[1].functions: must be a list of names"),
        (
            '[[item]]\ngroup = "fc"\npoints = 1\n[[item]]\nfunction = "fc_forward"\npoints = 1',
            "item[2]: fc_forward is already in item[1]",
        ),
        (
            '[[item]]\nfunction = "adam"\npoints = 1\nvisibility = "never"',
            "item[1].visibility: must be one of visible, hidden, after_due_date, after_published",
        ),
        ('[[item]]\nfunction = "adam"\npoints = 1\nname = ""', "item[1].name: must be text that"),
        ('credit = "half"', "item: a rubric needs"),
        ("[[item", "not valid TOML"),
    ],
    ids=str,
)
def test_a_bad_rubric_is_one_line_that_names_the_key(tmp_path, text, said):
    with pytest.raises(RubricError) as caught:
        rubric_of(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'rubric.toml'}: {said}")
    assert "\n" not in str(caught.value)


# a batch's table, its folder --------------------------------------------------------------------


def test_the_table_of_a_batch():
    rubric = one_point_each(CASES)
    good = row("=1+1", "ab", "", report(CASES[:2]), 2.0)
    bad = row("bob", "", "no layers.py in it", None, 0.0)
    lost = row("eve", "cd", "not judged: x", None, None)
    assert results_csv([good, bad, lost], rubric).splitlines() == [
        "name,sha256,passed,failed,missing,error,remarks,score,problem,fc_forward,conv_backward",
        "'=1+1,ab,2,0,0,0,0,2,,passed,passed",  # a name is no formula
        "bob,,,,,,,0,no layers.py in it,,",
        "eve,cd,,,,,,,not judged: x,,",  # the checker failed: no score is not zero points
    ]


def test_what_counts_as_a_submission(tmp_path):
    for name in ("alice/hw/layers.py", "bob/layers.py", "carl/a/layers.py", "carl/b/layers.py",
                 "dora/notes.txt", "eve.py", "fay/optim.py", ".git/layers.py", "x.zip",
                 "__MACOSX/bob/layers.py"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {s.name: (str(s.path.relative_to(tmp_path)), s.problem) for s in submissions(tmp_path)}
    assert found == {
        "alice": ("alice/hw", ""),
        "bob": ("bob", ""),
        "carl": ("carl", "several folders could be meant: a, b; name one"),
        "dora": ("dora", "holds no layers.py, no other module of the course, and no notebook"),
        "eve.py": ("eve.py", ""),
        "fay": ("fay", ""),
        "x.zip": ("x.zip", ""),
    }
    with pytest.raises(BatchError, match=r"bob is one submission \(it has a layers.py\)"):
        submissions(tmp_path / "bob")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BatchError, match="empty holds no submissions"):
        submissions(tmp_path / "empty")


# watching ---------------------------------------------------------------------------------------


def test_changes_between_two_reports():
    wrong = case("f", "d", "failed", None, "x")
    same = case("f", "e", "failed", None, "x")
    failed, absent = case("f", "a", "failed", None, "x"), case("f", "c", "missing")
    old = report([failed, case("f", "b"), absent, wrong, same])
    mended, broken = case("f", "a"), [case("f", "b", "error"), case("f", "c", "failed")]
    new = report([mended, *broken, replace(wrong, seen=Observation(said="y")), same])
    changed = changes(old, new)
    names = [[c.name for c in part] for part in (changed.mended, changed.broken, changed.other)]
    assert names == [["a"], ["b", "c"], ["d"]]
    assert not changes(old, old)


def test_a_file_has_changed_when_its_content_has(tmp_path):
    file = tmp_path / "layers.py"
    file.write_text("a = 1")
    watched = Files(tmp_path)
    assert not watched.changed()
    file.touch()  # saved without a change
    assert not watched.changed()
    file.write_text("a = 2")
    assert watched.changed()
    (tmp_path / "optim.py").write_text("")
    assert watched.changed()
    assert not watched.changed()
    # What is judged may lie below: cs231n/layers.py, or an archive.
    for name in ("homework/cs231n/layers.py", "homework.zip", "homework/a.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
        assert watched.changed(), name
    (tmp_path / ".layers.py.swp").touch()
    (tmp_path / "cifar").mkdir()
    (tmp_path / "cifar/data.bin").touch()
    assert not watched.changed()


# what goes into an autograder -------------------------------------------------------------------


def test_the_autograder_knows_all_of_our_dependencies():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    needed = [line.split(">=")[0] for line in project["project"]["dependencies"]]
    assert sorted(LIBRARIES) == sorted(needed)
