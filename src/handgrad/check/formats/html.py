"""One HTML file that needs nothing else: the report as a page."""

from functools import cache
from typing import TYPE_CHECKING

from handgrad.check.classroom.rubric import Grades
from handgrad.check.formats.findings import (
    CONTAINER,
    REMARKS,
    absent,
    by_function,
    containment,
    detail_lines,
    findings,
    held_to,
    names,
    notes,
    printable,
    problems,
    remark_lines,
    remarks,
    repeatable,
    totals,
)
from handgrad.check.records import CheckReport
from handgrad.errors import need

if TYPE_CHECKING:
    from jinja2 import Environment


def need_jinja2() -> None:
    """Raise MissingExtraError where a page cannot be made."""
    need("jinja2", "html", "a page of `handgrad check`")


@cache
def _pages() -> "Environment":
    need_jinja2()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Escapes every value: a submission decides what its error messages say.
    pages = Environment(
        loader=PackageLoader("handgrad.check.formats", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["printable"] = printable
    return pages


def rendered(template: str, **values: object) -> str:
    """Fill in one of the templates of this folder; every value is escaped."""
    return _pages().get_template(template).render(values)


def as_html(
    report: CheckReport, grades: Grades | None = None, timing: bool = True, note: str = ""
) -> str:
    """Give the report as one HTML page."""
    return rendered(
        "page.html.j2",
        report=report,
        grades=grades,
        note=note,
        seconds=sum(report.timings.values()) if timing else None,
        summaries=by_function(report.cases),
        counts=totals(report.cases),
        absent=absent(report.cases),
        problems=problems(report),
        notes=notes(report),
        findings=[
            {
                "case": finding.case,
                "detail": detail_lines(finding.case),
                "also": names(finding.also, finding.case.function),
                "follow": names(finding.follow, finding.case.function),
            }
            for finding in findings(report.cases)
        ],
        remarks=[remark_lines(remark) for remark in remarks(report.cases)],
        remarks_title=REMARKS,
        held_to=held_to(report),
        versions=repeatable(report),
        containment=containment(report),
        container=CONTAINER,
    )
