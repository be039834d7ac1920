"""Write a report in any format, and save it as each case ends."""

import json
from dataclasses import replace
from pathlib import Path

from handgrad.check.classroom.audience import View
from handgrad.check.classroom.rubric import Rubric, one_point_each
from handgrad.check.formats import gradescope, otter, prairielearn
from handgrad.check.formats.html import as_html
from handgrad.check.formats.junit import as_junit
from handgrad.check.formats.text import as_text
from handgrad.check.records import CaseResult, CheckReport
from handgrad.errors import OutputError
from handgrad.files import write_atomically

FORMATS = ("text", "json", "junit", "gradescope", "prairielearn", "otter", "html")


def render(
    style: str,
    report: CheckReport,
    rubric: Rubric | None,
    timing: bool = True,
    note: str = "",
    audience: str = "student",
) -> str:
    """Give a report in one of FORMATS.

    Parameters
    ----------
    style : one of FORMATS
    report : CheckReport
    rubric : Rubric, optional
        What the graders of platforms read needs points: without a rubric each function is worth
        one.
    timing : bool, default True
        Whether seconds are in it; without them equal runs give equal bytes.
    note : str, optional
        Why the report is not the whole one.
    audience : one of AUDIENCES, default 'student'
        A student sees nothing of the rubric's hidden items. Gradescope is told of them, with their
        visibility, and keeps them from the students itself.
    """
    view = View(rubric, "instructor" if style == "gradescope" else audience)
    text = _rendered(style, view.of(report), view.shown, timing, note)
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
    if style == "prairielearn":
        return prairielearn.as_prairielearn(report, points, note)
    if style == "otter":
        return otter.as_otter(report, points, note)
    return gradescope.as_gradescope(report, points, timing, note)


def refusal(style: str, reason: str, rubric: Rubric | None, audience: str = "student") -> str:
    """Give what a platform reads of a submission that cannot be judged; '' in other formats."""
    if style == "gradescope":
        return gradescope.refused(reason)
    if style == "prairielearn":
        return prairielearn.refused(reason)
    if style == "otter":
        shown = View(rubric, audience).shown or one_point_each(())
        return otter.refused(reason, shown.grade(()))
    return ""


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
    style, rubric, timing, audience : see render
    begun : CheckReport
        The report before its first case.
    """

    def __init__(
        self,
        path: Path,
        style: str,
        begun: CheckReport,
        rubric: Rubric | None = None,
        timing: bool = True,
        audience: str = "student",
    ) -> None:
        self._path, self._style, self._rubric, self._timing = path, style, rubric, timing
        self._audience = audience
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
        text = render(self._style, report, self._rubric, self._timing, note, self._audience)
        save(self._path, text)


UNFINISHED = "not finished: only the cases that had ended are here"


def save(path: Path, content: str) -> None:
    """Write a file as a whole, or say in one line why it cannot be."""
    try:
        write_atomically(path, content)
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror})") from error
