"""The table of a batch: results.csv, a row a submission."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from handgrad.check.classroom.rubric import Rubric
from handgrad.check.formats.findings import by_function, printable, remarks
from handgrad.check.records import CheckReport

NUMBERS = ("passed", "failed", "missing", "error")


def row(
    name: str, sha256: str, problem: str, report: CheckReport | None, score: float | None
) -> dict[str, Any]:
    """Give the row of one submission; ``score`` None leaves the cell open."""
    found: dict[str, Any] = {"name": name, "sha256": sha256, "problem": problem}
    if report is not None:
        found |= {status: report.count(status) for status in NUMBERS}  # type: ignore[arg-type]
        found["remarks"] = len(remarks(report.cases))
        found |= {summary.title: summary.status for summary in by_function(report.cases)}
    if score is not None:
        found["score"] = f"{score:g}"
    return found


def results_csv(rows: Sequence[Mapping[str, Any]], rubric: Rubric | None) -> str:
    """Give the table: cases that count, remarks, score, and a column a function with its status."""
    first = ["name", "sha256", *NUMBERS, "remarks", *(["score"] if rubric else []), "problem"]
    functions = dict.fromkeys(key for row in rows for key in row if key not in first)
    return as_csv([*first, *functions], rows)


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Give rows as CSV, with a line of the columns' names."""
    held = io.StringIO()
    table = csv.DictWriter(held, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows({key: cell(value) for key, value in row.items()} for row in rows)
    return held.getvalue()


def cell(value: object) -> str:
    """Give a cell that a spreadsheet shows and does not compute: a name may begin with '='."""
    text = printable(str(value))
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
