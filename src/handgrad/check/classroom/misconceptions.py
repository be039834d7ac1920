"""What a class gets wrong: each cause with how many students, how often, and the points it cost."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from handgrad.check.classroom import table
from handgrad.check.classroom.rubric import Grades, Rubric, one_point_each
from handgrad.check.formats.findings import Finding, absent, findings
from handgrad.check.records import CaseResult, CheckReport, counting
from handgrad.check.verdict.diagnosis import CAUSES

COLUMNS = ("cause", "title", "students", "count", "points lost")
UNKNOWN, NOT_WRITTEN, NO_PACKAGE, REFUSED = "unknown", "not-written", "no-package", "not-judged"
NO_VALUE = "no-value-right"
_TITLES = {
    UNKNOWN: "no known mistake gives these numbers",
    NOT_WRITTEN: "not written yet, or not there",
    NO_PACKAGE: "it needs a package that is not installed",
    REFUSED: "the submission cannot be judged: it cannot be loaded, or nothing of it is there",
    NO_VALUE: "nothing of it was handed in, or no value of it is right",
}
NO_MISTAKES = (NOT_WRITTEN, NO_PACKAGE, REFUSED, NO_VALUE)


@dataclass(frozen=True)
class Misconception:
    """One cause, over a class.

    Attributes
    ----------
    cause : str
        A key of CAUSES, or one of those above.
    title : str
        Its sentence.
    students : int
        In how many submissions it was found.
    count : int
        How often: a mistake counts once a submission and place, whatever it breaks; what has none
        to count, once where it cost points.
    points : float
        What it cost, by the rubric or, without one, at a point a function. What an item lost is
        shared equally by its cases that did not pass.
    findings : tuple of Finding
        Where it was found, in the order of the submissions.
    """

    cause: str
    title: str
    students: int
    count: int
    points: float
    findings: tuple[Finding, ...]


def of_class(
    reports: Sequence[tuple[CheckReport | None, str]], rubric: Rubric | None
) -> list[Misconception]:
    """Gather what is wrong in a class; what most students have comes first.

    reports : each submission's report, or None and why there is none.
    """
    students: Counter[str] = Counter()
    count: Counter[str] = Counter()
    points: dict[str, float] = defaultdict(float)
    where: dict[str, list[Finding]] = {}
    for report, _ in reports:
        mistakes = findings(report.cases) if report is not None else []
        own, cost = _of_one(report, mistakes), _points(report, mistakes, rubric)
        own.update(cause for cause in cost if cause not in own)
        count.update(own)
        students.update(own.keys())
        for finding in mistakes:
            where.setdefault(cause_of(finding), []).append(finding)
        for cause, lost in cost.items():
            points[cause] += lost
    found = [
        Misconception(
            cause, _title(cause, where.get(cause, ())), students[cause], count[cause],
            round(points[cause], 2), tuple(where.get(cause, ())),
        )
        for cause in students
    ]  # fmt: skip
    return sorted(found, key=lambda item: (-item.students, -item.points, item.cause))


def as_csv(found: Iterable[Misconception]) -> str:
    """Give the table."""
    rows = [
        {
            "cause": item.cause, "title": item.title, "students": item.students,
            "count": item.count, "points lost": f"{item.points:g}",
        }
        for item in found
    ]  # fmt: skip
    return table.as_csv(COLUMNS, rows)


def cause_of(finding: Finding) -> str:
    """Give the key of what a mistake comes from."""
    return finding.case.diagnosis or UNKNOWN


def _title(cause: str, found: Sequence[Finding]) -> str:
    """Its sentence, which a course's own cause brings along."""
    return _TITLES.get(cause) or next((f.case.cause for f in found), "") or CAUSES[cause]


def _of_one(report: CheckReport | None, mistakes: Sequence[Finding]) -> Counter[str]:
    """How often each cause is found in one submission."""
    if report is None:
        return Counter([REFUSED])
    found = Counter(cause_of(finding) for finding in mistakes)
    found.update([NOT_WRITTEN] * len(absent(report.cases)))
    found.update([NO_PACKAGE] * len(report.problems))
    return found


def _points(
    report: CheckReport | None, mistakes: Sequence[Finding], rubric: Rubric | None
) -> dict[str, float]:
    """What each cause cost one submission."""
    if report is None:
        return {REFUSED: rubric.points} if rubric is not None else {}
    grades = (rubric or one_point_each(report.cases)).grade(report.cases)
    return _shared(grades, _causes(report.cases, mistakes))


Named = tuple[str, str, str]


def _named(case: CaseResult) -> Named:
    return case.group, case.function, case.name


def _causes(cases: Iterable[CaseResult], mistakes: Sequence[Finding]) -> Mapping[Named, str]:
    """The cause of each case that did not pass."""
    absent = {"missing": NOT_WRITTEN, "not judged": NO_PACKAGE}
    causes = {
        _named(case): absent.get(case.status, case.diagnosis or UNKNOWN)
        for case in cases
        if case.status != "passed"
    }
    for finding in mistakes:
        for case in (finding.case, *finding.also, *finding.follow):
            causes[_named(case)] = cause_of(finding)
    return causes


def _shared(grades: Grades, causes: Mapping[Named, str]) -> dict[str, float]:
    cost: dict[str, float] = defaultdict(float)
    for grade in grades.items:
        lost = grade.points - grade.score
        if lost <= 0:
            continue
        failed = [case for case in counting(grade.cases) if case.status != "passed"]
        bad = [causes[_named(case)] for case in failed] or [NO_VALUE]
        for cause in bad:
            cost[cause] += lost / len(bad)
    return cost
