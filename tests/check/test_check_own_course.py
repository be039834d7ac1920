"""The page that makes a course from nothing, followed: its files are written, its commands run."""

import re
import shlex
from pathlib import Path

import pytest
from check_runs import ran

PAGE = Path(__file__).parents[2] / "docs" / "own_course.md"
FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What each command ends with, in the page's order.
CODES = [0, 1, 0]


def commands(text: str) -> list[tuple[list[str], str]]:
    """Each command of the page, and what it is shown to say."""
    found = []
    for block in CONSOLE.findall(text):
        for part in block.split("$ handgrad check ")[1:]:
            line, _, said = part.partition("\n")
            found.append((shlex.split(line), said))
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file of the page."""
    folder = tmp_path_factory.mktemp("page")
    for name, text in FILE.findall(PAGE.read_text()):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return folder


def test_the_page_holds_the_files_that_its_list_names(place: Path) -> None:
    names = {str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()}
    assert {"warmup/course.toml", "warmup/reference/warmup.py", "homework.py"} <= names
    assert len(names) == 10
    assert len(commands(PAGE.read_text())) == len(CODES)


@pytest.mark.parametrize("number", range(len(CODES)))
def test_a_command_of_the_page_says_what_the_page_shows(number: int, place: Path) -> None:
    words, shown = commands(PAGE.read_text())[number]
    said = ran(place, *words, code=CODES[number])
    rest = said
    for part in filter(None, re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)):
        before, found, rest = rest.partition(part)
        assert found == part, f"{part!r} is not in {said}"
        assert part is not shown or not before


def test_the_reference_is_a_right_submission_of_the_course(place: Path) -> None:
    said = ran(place, "warmup/reference", "--course", "warmup")
    assert "3 functions" in said or "passed" in said
