"""A course of one's own: what is wrong in its folder is one line with the file and the key."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from check_runs import ran

from handgrad.check.case import Setting
from handgrad.check.cases import all_cases
from handgrad.check.conventions import parse
from handgrad.check.courses import load
from handgrad.errors import CourseError

FILES = {
    "course.toml": 'title = "Twice"\nunits = { twice = [] }\n',
    "reference/twice.py": (
        "def double(x):\n    out = 2 * x\n    return out\n\n\n"
        "def double_backward(dout):\n    dx = 2 * dout\n    return dx\n"
    ),
    "topics/doubling.toml": (
        'read = "page 1"\nsizes = [{ N = 3 }, { N = 1 }]\n'
        '[inputs]\nx = "normal(N)"\ndout = "normal(N)"\n'
        '[function.double]\nsteps = "out = double(x)"\ncompare = "out"\n'
        '[function.double_backward]\nsteps = ["out = double( x )", "dx = double_backward(dout)"]\n'
        'gradients = { of = "out", upstream = "dout", by = { dx = "x" } }\n'
    ),
    "mistakes/doubling.toml": (
        '[twice.once]\nwhat = "x itself"\ncauses = ["once"]\nold = "out = 2 * x"\nnew = "out = x"\n'
    ),
    "causes.toml": 'once = "it is not doubled"\n',
}


def write(folder: Path, **changes: str) -> Path:
    """Write the course; a change is a file's key in FILES to (old, new)."""
    for name, text in FILES.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return folder


def damaged(folder: Path, file: str, old: str, new: str) -> str:
    """What is said of the course when a text of a file is another one."""
    write(folder)
    text = (folder / file).read_text()
    assert text.count(old) == 1
    (folder / file).write_text(text.replace(old, new))
    with pytest.raises(CourseError) as caught:
        all_cases(Setting(parse("", str(folder)), 0))
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"{folder}/"), said
    return said.removeprefix(f"{folder}/")


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("course.toml", 'title = "Twice"\n', "", "course.toml: title: is missing"),
        ("course.toml", '"Twice"', "2", "course.toml: title: must be text; got 2"),
        ("course.toml", "title", "titel", "course.toml: titel: unknown key; choose from title"),
        ("course.toml", "units = { twice = [] }", "", "course.toml: units: is missing"),
        ("course.toml", "twice = []", "twice = [3]", "course.toml: units.twice: must be text, or"),
        ("course.toml", "twice = []", "other = []", "reference/other.py: is missing; course.toml"),
        ("course.toml", "units", "]", "course.toml: not valid TOML"),
        ("course.toml", "units", 'base = "mine"\nunits', "course.toml: base: must be a course"),
        ("course.toml", "units", "switch.a = {}\nunits", "course.toml: switch.a: must set flags"),
        ("course.toml", "units", 'builders = "conv"\nunits', "course.toml: builders: are those of"),
        ("reference/twice.py", "2 * x\n", "2 *\n", "reference/twice.py: line 2: invalid syntax"),
        ("reference/twice.py", "def double(x)", "def dbl(x)",
         "topics/doubling.toml: function.double.steps: 'out = double(x)': there is no function "
         "double; choose from dbl, double_backward"),
        ("reference/twice.py", "    return out", "    return y",
         "topics/doubling.toml: function.double.steps: the reference gives no out in the case "
         "'value': double raised NameError: name 'y' is not defined"),
        ("reference/twice.py", "dx = 2 * dout", "dx = 3 * dout",
         "topics/doubling.toml: function.double_backward.gradients: of the reference itself, dx"),
        ("topics/doubling.toml", "N = 3", "N = -3", "topics/doubling.toml: sizes[1].N: must be a"),
        ("topics/doubling.toml", 'x = "normal(N)"', 'x = "normal(M)"',
         "topics/doubling.toml: function.double.inputs.x: there is no size M; sizes here: N"),
        ("topics/doubling.toml", 'x = "normal(N)"', 'x = "gauss(N)"',
         "topics/doubling.toml: function.double.inputs.x: 'gauss(N)': there is no gauss; choose"),
        ("topics/doubling.toml", 'x = "normal(N)"', 'x = "normal(N, spread=2)"',
         "topics/doubling.toml: function.double.inputs.x: 'normal(N, spread=2)': takes no spread"),
        ("topics/doubling.toml", 'x = "normal(N)"', 'x = [[1, 2], [3]]',
         "topics/doubling.toml: function.double.inputs.x: the rows differ in length"),
        ("topics/doubling.toml", '"out = double(x)"', '"out = double(z)"',
         "topics/doubling.toml: function.double.steps: 'out = double(z)': z is no input, size or"),
        ("topics/doubling.toml", '"out = double(x)"', '"out = triple(x)"',
         "topics/doubling.toml: function.double.steps: 'out = triple(x)': there is no function"),
        ("topics/doubling.toml", '"out = double(x)"', '"out = 2 *"',
         "topics/doubling.toml: function.double.steps: 'out = 2 *': is not one statement of Py"),
        ("topics/doubling.toml", '"out = double(x)"', '"import os"',
         "topics/doubling.toml: function.double.steps: 'import os': is neither a call nor an"),
        ("topics/doubling.toml", '"out = double(x)"', '"out = double(x + 1)"',
         "topics/doubling.toml: function.double.steps: 'out = double(x + 1)': an argument must"),
        ("topics/doubling.toml", 'compare = "out"\n', "",
         "topics/doubling.toml: function.double.compare: is missing"),
        ("topics/doubling.toml", 'steps = "out = double(x)"\n', "",
         "topics/doubling.toml: function.double.steps: is missing"),
        ("topics/doubling.toml", 'of = "out"', 'of = "z"',
         "topics/doubling.toml: function.double_backward.gradients.of: no step gives z"),
        ("topics/doubling.toml", 'by = { dx = "x" }', 'by = { dx = "w" }',
         "topics/doubling.toml: function.double_backward.gradients.by.dx: w is no input"),
        ("mistakes/doubling.toml", "out = 2 * x", "out = 4 * x",
         "mistakes/doubling.toml: twice.once.old: in reference/twice.py the text occurs 0 times"),
        ("mistakes/doubling.toml", '"out = x"', '"out = = x"',
         "mistakes/doubling.toml: twice.once.new: line 2: invalid syntax"),
        ("mistakes/doubling.toml", '["once"]', '["never"]',
         "mistakes/doubling.toml: twice.once.causes: there is no cause 'never'"),
        ("mistakes/doubling.toml", 'causes = ["once"]\n', "",
         "mistakes/doubling.toml: twice.once.causes: is missing"),
        ("causes.toml", "once", "factor-n", "causes.toml: factor-n: is the name of a cause that"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_folder_is_said(
    file: str, old: str, new: str, said: str, tmp_path: Path
) -> None:
    assert damaged(tmp_path / "twice", file, old, new).startswith(said)


def test_a_file_that_is_not_text_and_one_that_is_not_there(tmp_path: Path) -> None:
    folder = write(tmp_path / "binary")
    (folder / "topics/doubling.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CourseError, match=r"topics/doubling\.toml: not UTF-8 text"):
        load(str(folder))
    folder = write(tmp_path / "no topics")
    shutil.rmtree(folder / "topics")
    with pytest.raises(CourseError, match="topics: is missing; a course asks something"):
        load(str(folder))


SEVERE = '[[severity]]\nof = ["double"]\ncases = ["value"]\nlevel = "LEVEL"\nbecause = "a text"\n'


def test_severities_are_the_course_s_own_the_usual_ones_or_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "twice")
    file = folder / "severities.toml"

    def levels() -> dict[str, str]:
        held = parse("", str(folder))
        cases = [c for c in all_cases(Setting(held, 0)) if c.function == "double"]
        return {case.name: held.course.severity_of(case).level for case in cases}

    usual = {
        "value": "wrong", "float32 stays float32": "beyond", "modifies no argument": "fragile",
        "two calls in turn": "wrong",
    }  # fmt: skip
    assert levels() == usual
    file.write_text(SEVERE.replace("LEVEL", "fragile"))
    assert levels() == {**usual, "value": "fragile"}
    file.write_text(SEVERE.replace("LEVEL", "grave"))
    with pytest.raises(
        CourseError, match=r"severities\.toml: severity\[1\]\.level: must be one of"
    ):
        levels()
    file.write_text(2 * SEVERE.replace("LEVEL", "wrong"))
    with pytest.raises(CourseError, match="2 entries for double: value, not one"):
        levels()


def test_the_command_says_it_in_one_line_and_exits_with_2(tmp_path: Path) -> None:
    folder = write(tmp_path / "twice")
    (folder / "course.toml").write_text('titel = "x"\n')
    (tmp_path / "hw.py").write_text("")
    said = ran(tmp_path, "hw.py", "--course", "twice", code=2)
    assert said.startswith("twice/course.toml: titel: unknown key")


def test_a_mistake_that_passes_every_case_fails_the_proof(tmp_path: Path) -> None:
    folder = write(tmp_path / "twice")
    (folder / "mistakes/doubling.toml").write_text(
        FILES["mistakes/doubling.toml"].replace("out = x", "out = x + x")
    )
    said = ran(tmp_path, "--course", "twice", "--prove", code=1)
    assert "not named: once (x itself): it passes every case" in said
    assert "0 of 1 planted mistakes are named, 0 rejected" in said


WRONG = "def double(x):\n    return x\n\n\ndef double_backward(dout):\n    return 2 * dout\n"


def test_a_cause_of_the_course_s_own_is_said_in_every_report(tmp_path: Path) -> None:
    write(tmp_path / "twice")
    (tmp_path / "hw.py").write_text(WRONG)
    said = ran(tmp_path, "hw.py", "--course", "twice", code=1)
    assert "Likely cause: it is not doubled." in said
    record = json.loads(
        ran(tmp_path, "hw.py", "--course", "twice", "--format", "json", "--no-timing", code=1)
    )
    assert record["course"] == record["convention"] == "twice"
    case = next(c for c in record["cases"] if c["status"] == "failed")
    assert (case["diagnosis"], case["cause"]) == ("once", "it is not doubled")
    assert case["repeat"].endswith("--course twice")


def test_an_autograder_holds_the_course(tmp_path: Path) -> None:
    write(tmp_path / "twice")
    ran(tmp_path, "--autograder", "a.zip", "--course", "twice", "--seed", "3")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = set(archive.namelist())
        assert {f"courses/twice/{name}" for name in FILES} <= names
        script = archive.read("run_autograder").decode()
    assert '--course "$source/courses/twice"' in script
    assert "--course twice" not in script


def test_a_batch_judges_by_the_course_and_again_when_it_changes(tmp_path: Path) -> None:
    write(tmp_path / "twice")
    (tmp_path / "class").mkdir()
    (tmp_path / "class/ann.py").write_text(WRONG)
    (tmp_path / "class/bob.py").write_text(FILES["reference/twice.py"])
    words = ("class", "--batch", "out", "--course", "twice")
    said = ran(tmp_path, *words, code=1)
    assert "2 submissions: 1 pass everything" in said
    table = (tmp_path / "out/results.csv").read_text()
    assert "double,double_backward" in table.splitlines()[0]
    before = (tmp_path / "out/records/ann.py.json").read_text()
    with (tmp_path / "twice/topics/doubling.toml").open("a") as file:
        file.write("tolerance = 1e-6\n")
    ran(tmp_path, *words, code=1)
    assert (tmp_path / "out/records/ann.py.json").read_text() != before
