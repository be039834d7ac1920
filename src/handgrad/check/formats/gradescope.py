"""Gradescope's results.json: one test an item of the rubric."""

import json
from collections.abc import Sequence
from typing import Any

from handgrad.check.classroom.rubric import Grade, Grades
from handgrad.check.formats.findings import (
    CONTAINER,
    Finding,
    containment,
    findings,
    names,
    notes,
    printable,
    problems,
    repeatable,
)
from handgrad.check.formats.junit import explained
from handgrad.check.records import CheckReport


def as_gradescope(report: CheckReport, grades: Grades, timing: bool = True, note: str = "") -> str:
    """Give the report as results.json."""
    reasons = problems(report)
    tests = [_test(grade, reasons) for grade in grades.items]
    record: dict[str, Any] = {
        "score": grades.score,
        "output": "\n".join(
            [*([f"This report is {note}."] if note else []), *reasons, _about(report)]
        ),
        "visibility": "visible",
        "tests": tests,
    }
    if timing:
        record["execution_time"] = round(sum(report.timings.values()))
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
        "output": _output(grade, reasons),
        "visibility": grade.item.visibility,
    }


def _output(grade: Grade, reasons: Sequence[str]) -> str:
    if not grade.cases:
        return "\n".join(["No case of this item was run.", *reasons])
    passed = sum(case.status == "passed" for case in grade.cases)
    parts = [f"{passed} of {len(grade.cases)} cases passed."]
    absent = {case.function: None for case in grade.cases if case.status == "missing"}
    if absent:
        parts.append(f"Not written yet, or not there: {', '.join(absent)}")
    if any(case.status == "not judged" for case in grade.cases):
        parts += reasons
    if grade.nothing_right:
        parts.append(f"Nothing earned, for no value is right: {', '.join(grade.nothing_right)}")
    parts += ["\n".join(_lines(finding)) for finding in findings(grade.cases)]
    return printable("\n\n".join(parts))


def _lines(finding: Finding) -> list[str]:
    case = finding.case
    lines = [f"{case.function}: {case.name}", *explained(case)]
    if finding.also:
        lines.append(f"also fails, for the same cause: {names(finding.also, case.function)}")
    if finding.follow:
        lines.append(f"also fails, perhaps because of this: {names(finding.follow, case.function)}")
    return lines


def _about(report: CheckReport) -> str:
    lines = [
        f"Judged by handgrad check: {report.file}, SHA-256 {report.sha256}",
        f"Seed {report.seed}, convention {report.convention}, {repeatable(report)}",
    ]
    if report.recognised:
        seen = "; ".join(f"{name}: {how}" for name, how in report.recognised.items())
        lines.append(f"Conventions recognised in it: {seen}")
    lines += notes(report)
    return printable("\n".join([*lines, f"Safety: {containment()}\n{CONTAINER}"]))
