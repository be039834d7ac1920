"""Gradescope's results.json: one test an item of the rubric."""

import json
from collections.abc import Sequence
from typing import Any

from handgrad.check.classroom.audience import View
from handgrad.check.classroom.rubric import Grade, Grades, Rubric
from handgrad.check.formats.findings import (
    CONTAINER,
    REMARKS,
    Finding,
    containment,
    findings,
    held_to,
    names,
    notes,
    printable,
    problems,
    remark_lines,
    remarks,
    repeatable,
)
from handgrad.check.formats.junit import explained
from handgrad.check.records import CheckReport, counting


def as_gradescope(report: CheckReport, grades: Grades, timing: bool = True, note: str = "") -> str:
    """Give the report as results.json; Gradescope itself keeps hidden tests from the students."""
    # What stands above the tests is shown to everybody.
    seen = View(Rubric("", tuple(grade.item for grade in grades.items))).of(report)
    reasons = problems(seen)
    tests = [
        _test(grade, reasons if grade.item.visibility == "visible" else problems(report))
        for grade in grades.items
    ]
    record: dict[str, Any] = {
        "score": grades.score,
        "output": "\n".join(
            [*([f"This report is {note}."] if note else []), *reasons, about(seen)]
        ),
        "visibility": "visible",
        "tests": tests,
    }
    if timing:
        record["execution_time"] = round(sum(seen.timings.values()))
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def refused(reason: str) -> str:
    """Give a results.json for a submission that could not be loaded: nothing earned, and why."""
    record = {
        "score": 0,
        "output": printable(f"The submission could not be judged.\n{reason}"),
        "visibility": "visible",
        "tests": [],
    }
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def _test(grade: Grade, reasons: Sequence[str]) -> dict[str, Any]:
    return {
        "name": printable(grade.name),
        "score": grade.score,
        "max_score": grade.points,
        "status": "passed" if grade.passed else "failed",
        "output": told(grade, reasons),
        "visibility": grade.item.visibility,
    }


def tally(grade: Grade) -> str:
    """Say how many cases of an item passed."""
    if not grade.cases:
        return "No case of this item was run."
    counted = counting(grade.cases)
    if not counted:
        return "No case of this item counts."
    passed = sum(case.status == "passed" for case in counted)
    return f"{passed} of {len(counted)} cases passed."


def told(grade: Grade, reasons: Sequence[str]) -> str:
    """Tell what became of an item: its mistakes, and what was not judged, for these reasons."""
    if not grade.cases:
        return "\n".join([tally(grade), *reasons])
    parts = [tally(grade)]
    counted = counting(grade.cases)
    absent = {case.function: None for case in counted if case.status == "missing"}
    if absent:
        parts.append(f"Not written yet, or not there: {', '.join(absent)}")
    if any(case.status == "not judged" for case in grade.cases):
        parts += reasons
    if grade.nothing_right:
        parts.append(f"Nothing earned, for no value is right: {', '.join(grade.nothing_right)}")
    parts += ["\n".join(_lines(finding)) for finding in findings(grade.cases)]
    beyond = remarks(grade.cases)
    if beyond:
        parts.append(REMARKS)
    parts += ["\n".join(remark_lines(remark)) for remark in beyond]
    return printable("\n\n".join(parts))


def _lines(finding: Finding) -> list[str]:
    case = finding.case
    lines = [f"{case.function}: {case.name}", *explained(case)]
    if finding.also:
        lines.append(f"also fails, for the same cause: {names(finding.also, case.function)}")
    if finding.follow:
        lines.append(f"also fails, perhaps because of this: {names(finding.follow, case.function)}")
    return lines


def about(report: CheckReport) -> str:
    """Say what was judged, and how."""
    lines = [
        f"Judged by handgrad check: {report.file}, SHA-256 {report.sha256}",
        f"Seed {report.seed}, {held_to(report)}, {repeatable(report)}",
    ]
    if report.recognised:
        seen = "; ".join(f"{name}: {how}" for name, how in report.recognised.items())
        lines.append(f"Conventions recognised in it: {seen}")
    lines += notes(report)
    return printable("\n".join([*lines, f"Safety: {containment(report)}\n{CONTAINER}"]))
