"""What a rubric makes of a report: what counts, and that a student sees nothing hidden."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from handgrad.check.classroom.rubric import Rubric
from handgrad.check.courses import known
from handgrad.check.records import CaseResult, CheckReport
from handgrad.check.words import not_judged

AUDIENCES = ("student", "instructor")


@dataclass(frozen=True)
class View:
    """A rubric and for whom: what is shown of a report.

    Parameters
    ----------
    rubric : Rubric, optional
        Without one nothing is hidden.
    audience : one of AUDIENCES
        For an instructor nothing is hidden either.
    """

    rubric: Rubric | None
    audience: str = "student"

    @property
    def complete(self) -> bool:
        """Whether there is nothing to leave out."""
        hiding = self.rubric is not None and self.rubric.hidden
        return self.audience == "instructor" or not hiding

    @property
    def shown(self) -> Rubric | None:
        """The rubric with the items that are shown."""
        return self.rubric if self.complete or self.rubric is None else self.rubric.visible()

    def held(self, case: CaseResult) -> CaseResult:
        """Give a case, counting or not as the rubric says."""
        return case if self.rubric is None else self.rubric.held(case)

    def shows(self, case: CaseResult) -> bool:
        """Whether a case may be shown: not where it belongs to a hidden item."""
        if self.complete or self.rubric is None:
            return True
        return not any(item.covers(case) for item in self.rubric.hidden)

    def of(self, report: CheckReport) -> CheckReport:
        """Give the report by the rubric, as if the hidden cases had never been asked."""
        report = replace(report, cases=tuple(map(self.held, report.cases)))
        if self.complete:
            return report
        cases = tuple(case for case in report.cases if self.shows(case))
        told, others = (_names(report.course, group) for group in (cases, report.cases))
        course = known(report.course)
        names = (others if course is None else course.wanted.names) - told
        keys = {f"{case.function}: {case.name}" for case in cases}
        return replace(
            report,
            cases=cases,
            problems=not_judged(cases),
            recognised={},  # what is recognised may tell of a hidden function
            notes=tuple(n for n in report.notes if not names & set(re.findall(r"\w+", n))),
            timings={key: value for key, value in report.timings.items() if key in keys},
        )


def _names(course: str, cases: Iterable[CaseResult]) -> set[str]:
    """Every name by which the functions of some cases are found."""
    held = known(course)
    aliases = held.aliases if held is not None else {}
    functions = {case.function for case in cases}
    return {name for own in functions for name in aliases.get(own, [own.partition(".")[0]])}
