"""Otter's results: one test file an item of the rubric, one test case a case.

The fields are those of ``otter.test_files.GradingResults.to_dict()``.
"""

import json
from collections.abc import Sequence
from typing import Any

from handgrad.check.classroom.rubric import Grade, Grades, Item, Rubric
from handgrad.check.formats.findings import printable
from handgrad.check.formats.junit import explained
from handgrad.check.records import CaseResult, CheckReport, counting


def as_otter(report: CheckReport, grades: Grades, note: str = "") -> str:
    """Give the report as Otter's results, by the name of each item.

    They have no place for a note: a report that is not the whole one earns nothing.
    """
    if note:
        return refused(f"This report is {note}.", grades)
    return _written(grades, report.file, [_results(grade) for grade in grades.items])


def refused(reason: str, grades: Grades) -> str:
    """Give results for what could not be judged: each item has one case, which failed."""
    items = tuple(grade.item for grade in grades.items)
    grades = Rubric("", items or (Item("handgrad check", "", (), 1.0),)).grade(())
    results = []
    for grade in grades.items:
        case = _case("the submission can be judged", grade.points, _hidden(grade))
        results.append([{"test_case": case, "message": printable(reason), "passed": False}])
    return _written(grades, "", results)


def _written(grades: Grades, path: str, results: Sequence[list[dict[str, Any]]]) -> str:
    record: dict[str, Any] = {}
    for grade, own in zip(grades.items, results, strict=True):
        name = printable(grade.name)
        name = name if name not in record else f"{name} ({len(record) + 1})"
        record[name] = _record(grade, name, path, own)
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def _results(grade: Grade) -> list[dict[str, Any]]:
    """A result a case; what does not count is worth nothing, and no failure."""
    counted = {id(case) for case in counting(grade.cases)}
    worth = grade.points / len(counted) if counted else 0.0
    return [
        _result(case, worth if id(case) in counted else 0.0, id(case) in counted, _hidden(grade))
        for case in grade.cases
    ]


def _record(grade: Grade, name: str, path: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "score": grade.score,
        "possible": grade.points,
        "name": name,
        "path": printable(path),
        "test_cases": [result["test_case"] for result in results],
        "all_or_nothing": grade.item.credit == "all",
        "test_case_results": results,
    }


def _result(case: CaseResult, worth: float, counts: bool, hidden: bool) -> dict[str, Any]:
    passed = case.status == "passed"
    return {
        "test_case": _case(f"{case.function}: {case.name}", worth, hidden),
        "message": None if passed else printable("\n".join(explained(case))),
        "passed": passed or not counts,
    }


def _case(name: str, worth: float, hidden: bool) -> dict[str, Any]:
    return {
        "name": printable(name),
        "body": "",
        "hidden": hidden,
        "points": round(worth, 6),
        "success_message": None,
        "failure_message": None,
    }


def _hidden(grade: Grade) -> bool:
    return grade.item.visibility != "visible"
