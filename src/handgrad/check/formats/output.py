"""Write a report in any format, and save it as each case ends."""

import json
from dataclasses import replace
from pathlib import Path

from handgrad.check.classroom.rubric import Rubric, one_point_each
from handgrad.check.formats.gradescope import as_gradescope
from handgrad.check.formats.html import as_html
from handgrad.check.formats.junit import as_junit
from handgrad.check.formats.text import as_text
from handgrad.check.records import CaseResult, CheckReport
from handgrad.errors import OutputError
from handgrad.files import write_atomically

FORMATS = ("text", "json", "junit", "gradescope", "html")


def render(
    style: str, report: CheckReport, rubric: Rubric | None, timing: bool = True, note: str = ""
) -> str:
    """Give a report in one of FORMATS.

    Parameters
    ----------
    style : one of FORMATS
    report : CheckReport
    rubric : Rubric, optional
        Gradescope needs points: without a rubric each function is worth one.
    timing : bool, default True
        Whether seconds are in it; without them equal runs give equal bytes.
    note : str, optional
        Why the report is not the whole one.
    """
    text = _rendered(style, report, rubric, timing, note)
    # What UTF-8 cannot hold (a lone surrogate in an error message) is spelt out; in JSON, too, that
    # spelling means the same.
    return text.encode("utf-8", "backslashreplace").decode()


def _rendered(
    style: str, report: CheckReport, rubric: Rubric | None, timing: bool, note: str
) -> str:
    grades = rubric.grade(report.cases) if rubric is not None else None
    if style == "text":
        return as_text(report, grades, note)
    if style == "json":
        return _json(report, timing, note)
    if style == "junit":
        return as_junit(report, timing, note)
    if style == "html":
        return as_html(report, grades, timing, note)
    points = grades or one_point_each(report.cases).grade(report.cases)
    return as_gradescope(report, points, timing, note)


def _json(report: CheckReport, timing: bool, note: str) -> str:
    if not note:
        return report.to_json(timing)
    record = {"note": note, **json.loads(report.to_json(timing))}
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


class Saved:
    """The file of a report; at any moment it holds all cases that have ended.

    Parameters
    ----------
    path : Path
    style, rubric, timing : see render
    begun : CheckReport
        The report before its first case.
    """

    def __init__(
        self, path: Path, style: str, rubric: Rubric | None, timing: bool, begun: CheckReport
    ) -> None:
        self._path, self._style, self._rubric, self._timing = path, style, rubric, timing
        self._so_far = begun
        self._save(begun, UNFINISHED)

    def case(self, case: CaseResult) -> None:
        """Take a case that has ended."""
        self._so_far = replace(self._so_far, cases=(*self._so_far.cases, case))
        self._save(self._so_far, UNFINISHED)

    def end(self, report: CheckReport) -> None:
        """Take the whole report."""
        self._save(report, "")

    def _save(self, report: CheckReport, note: str) -> None:
        save(self._path, render(self._style, report, self._rubric, self._timing, note))


UNFINISHED = "not finished: only the cases that had ended are here"


def save(path: Path, content: str) -> None:
    """Write a file as a whole, or say in one line why it cannot be."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror})") from error
