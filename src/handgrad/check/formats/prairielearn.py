"""PrairieLearn's results.json: one test an item of the rubric, the score a part of one."""

import json
from typing import Any

from handgrad.check.classroom.rubric import Grade, Grades
from handgrad.check.formats.findings import printable, problems
from handgrad.check.formats.gradescope import about, tally, told
from handgrad.check.records import CheckReport


def as_prairielearn(report: CheckReport, grades: Grades, note: str = "") -> str:
    """Give the report as an external grader's results; a student sees all that is in it."""
    if note:
        return refused(f"This report is {note}.")
    reasons = problems(report)
    record: dict[str, Any] = {
        "gradable": True,
        "score": round(grades.score / grades.points, 6) if grades.points else 0.0,
        "message": f"{grades.score:g} of {grades.points:g} points",
        "output": "\n".join([*reasons, about(report)]),
        "tests": [_test(grade, reasons) for grade in grades.items],
    }
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def refused(reason: str) -> str:
    """Give results for what could not be judged: no attempt is lost by it."""
    record = {"gradable": False, "format_errors": [printable(reason)]}
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def _test(grade: Grade, reasons: list[str]) -> dict[str, Any]:
    return {
        "name": printable(grade.name),
        "points": grade.score,
        "max_points": grade.points,
        "message": tally(grade),
        "output": told(grade, reasons),
    }
