"""JUnit XML, which every continuous-integration service reads: one suite a function."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from handgrad.check.formats.findings import (
    CONTAINER,
    FunctionSummary,
    by_function,
    containment,
    detail_lines,
    printable,
)
from handgrad.check.records import CaseResult, CheckReport

_TAGS = {"failed": "failure", "missing": "failure", "error": "error", "not judged": "error"}


def as_junit(report: CheckReport, timing: bool = True, note: str = "") -> str:
    """Give the report as JUnit XML.

    A missing function is a failure of type 'not-written'; what does not count and did not pass is
    skipped, and says why.
    """
    root = ET.Element("testsuites")
    for number, summary in enumerate(by_function(report.cases)):
        _suite(root, number, summary, report, timing, note)
    if not report.cases:  # so that there is a place for the note
        _suite(root, 0, FunctionSummary("", "handgrad check", ()), report, timing, note)
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _suite(
    root: ET.Element,
    number: int,
    summary: FunctionSummary,
    report: CheckReport,
    timing: bool,
    note: str,
) -> None:
    seconds = [_seconds(report, case) if timing else 0.0 for case in summary.cases]
    not_passed = sum(case.status != "passed" for case in summary.counting)
    suite = ET.SubElement(
        root,
        "testsuite",
        name=summary.title,
        tests=str(len(summary.cases)),
        failures=str(summary.count("failed") + summary.count("missing")),
        errors=str(summary.count("error") + summary.count("not judged")),
        skipped=str(sum(case.status != "passed" for case in summary.cases) - not_passed),
        time=f"{sum(seconds):.3f}",
        # The schema asks for these; a moment or a host would make equal runs differ.
        timestamp="1970-01-01T00:00:00",
        hostname="localhost",
        id=str(number),
        package="handgrad.check",
    )
    _properties(suite, report)
    _cases(suite, summary, seconds)
    ET.SubElement(suite, "system-out").text = f"{note}\n{containment(report)}\n{CONTAINER}".strip()
    ET.SubElement(suite, "system-err")


def _properties(suite: ET.Element, report: CheckReport) -> None:
    properties = ET.SubElement(suite, "properties")
    values = {
        "file": report.file,
        "sha256": report.sha256,
        "seed": str(report.seed),
        "course": report.course,
        "convention": report.convention,
        **{f"note.{number}": note for number, note in enumerate(report.notes, 1)},
        **{f"recognised.{name}": how for name, how in report.recognised.items()},
        **report.environment,
    }
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=printable(value))


def _cases(suite: ET.Element, summary: FunctionSummary, seconds: Sequence[float]) -> None:
    counted = {id(case) for case in summary.counting}
    for case, taken in zip(summary.cases, seconds, strict=True):
        element = ET.SubElement(
            suite,
            "testcase",
            name=printable(case.name),
            classname=f"{case.group}.{case.function}",
            time=f"{taken:.3f}",
        )
        if case.status == "passed":
            continue
        message = printable(case.detail.partition("\n")[0])
        if id(case) in counted:
            wrong = ET.SubElement(
                element, _TAGS[case.status], type=case.diagnosis or case.status, message=message
            )
        else:
            wrong = ET.SubElement(element, "skipped", message=f"does not count: {message}")
        wrong.text = printable("\n".join(explained(case)))


def explained(case: CaseResult) -> list[str]:
    """The lines that explain a case that did not pass."""
    lines = detail_lines(case)
    if case.because and not case.counts:
        lines.append(f"It does not count: {case.because}")
    if case.read:
        lines.append(f"read: {case.read}")
    if case.repeat:
        lines.append(f"repeat: {case.repeat}")
    return lines


def _seconds(report: CheckReport, case: CaseResult) -> float:
    return report.timings.get(f"{case.function}: {case.name}", 0.0)
