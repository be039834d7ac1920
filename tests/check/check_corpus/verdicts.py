"""What `handgrad check` says of a mutant and of an alternative, and the page that shows it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import handgrad
from check_corpus.corpus import ALTERNATIVES, Alternative
from check_corpus.mutants import Mutant
from check_corpus.mutants_ours import OURS
from handgrad.check import check_submission, session
from handgrad.check.case import Case, Setting
from handgrad.check.cases import all_cases
from handgrad.check.conventions import parse
from handgrad.check.courses import load, shipped
from handgrad.check.mistakes import Mistake
from handgrad.check.proof import Failure, Verdict, proved
from handgrad.check.sandbox.runner import Runner
from handgrad.check.severity import Entry

PAGE = Path(__file__).parents[3] / "docs" / "check_tables.md"

Known = Mistake | Mutant


@contextmanager
def one_child() -> Iterator[None]:
    """Let all checks within share one child process.

    It forks a new process for each case in any event; what is saved is its start, which imports
    NumPy: half the time of a check of one group.
    """
    shared = Runner(hidden=Path(handgrad.__file__).parent)

    class Lent:
        def __init__(self, **_: Any) -> None: ...

        def __enter__(self) -> Runner:
            return shared

        def __exit__(self, *_: object) -> None: ...

    with shared, mock.patch.object(session, "Runner", Lent):
        yield


def _verdict(path: Path, only: Sequence[str], convention: str) -> Verdict:
    # Patient: a busy machine is no mistake of the submission's.
    report = check_submission(path, only=only, convention=convention, timeout=60)
    assert report.passed == all(c.status == "passed" for c in report.cases if c.counts)
    return Verdict(
        tuple(
            Failure(case.diagnosis, case.severity, case.name)
            for case in report.cases
            if case.status != "passed"
        )
    )


def of_mutant(mutant: Mutant, folder: Path) -> Verdict:
    """Plant the mistake in handgrad's own files in ``folder``, and check its group."""
    return _verdict(mutant.build(folder), [mutant.group], "handgrad")


def of_alternative(alternative: Alternative, folder: Path) -> Verdict:
    """Check all groups that it changes, under its convention."""
    path = alternative.build(folder)
    return _verdict(path, alternative.groups, alternative.convention)


def of_course(name: str) -> list[str]:
    """The lines of a course's own mistakes, in each of their ways; its name stands in front."""
    return [
        f"| {name}: {mistake_row(mistake, verdict).removeprefix('| ')}"
        for mistake, verdict in proved(load(name))
    ]


# -- the page -----------------------------------------------------------------------------------


def mistake_row(mistake: Known, verdict: Verdict) -> str:
    """One line of a table of mistakes."""
    named = "yes" if verdict.names(mistake) else "misled" if verdict.misleads(mistake) else "no"
    said = ", ".join(f"`{cause}`" for cause in verdict.stated) or "wrong, cause unknown"
    if not verdict.failed:
        said, named = "nothing", "missed"
    return f"| {mistake.name} | {mistake.what} | {said} | {verdict.severity} | {named} |"


def alternative_row(alternative: Alternative, verdict: Verdict) -> str:
    """One line of the table of right submissions."""
    said = "all passed"
    if verdict.remarks:
        shown = (f"{name} ({count})" for name, count in verdict.remarks.items())
        said = f"passed; remarks: {'; '.join(shown)}"
    if verdict.mistakes:
        said = f"{len(verdict.mistakes)} false alarms"
    groups = ", ".join(alternative.groups)
    return (
        f"| {alternative.name} | {alternative.style} | {groups} | `{alternative.convention}` "
        f"| {said} |"
    )


_HEAD = """\
# What `handgrad check` finds: the proof

Made by `python tools/make_check_tables.py`; the tests run every line again and compare.

A *mistake* is one exact replacement in a submission that is right: a plain one, written as a
student would write it (a course's reference), or handgrad's own layers and update rules. It
counts as *named* (yes) when a stated cause is the mistake that was made and no stated cause is
false of it. Causes that hold for any wrong answer (`wrong-shape`, `raises`, `nonfinite`,
`backward-of-another-forward`) do not count; *no* means that the answer is rejected without its
cause, *misled* that a false cause is stated, too, and *missed* that the mistake passes. Its
*severity* is the gravest of the cases that it fails: what is *beyond* is remarked on, and counts
only with `--strict`.
"""

_TABLE = """
## Mistakes in the plain submission

{rejected} of {count} rejected, {named} of {count} named. These are the checker's own table, from
which it explains a wrong answer: a stranger's mistake is named less often, which the second table
measures.
"""

_OURS = """
## Mistakes in handgrad's own layers and update rules

{rejected} of {count} rejected, {named} of {count} named. These were written when the hypotheses
stood. The first time they were run, 32 of 32 were rejected and 22 named; for 9 no cause was stated,
or one that holds for any wrong answer, and one was given a false cause beside the true one.{since}
"""

_COURSE = """
## Mistakes in the reference of the course {name}

{rejected} of {count} rejected, {named} of {count} named: `handgrad check --course {name} --prove`.
"""

_RIGHT = """
## Right submissions in other styles

{passed} of {count} pass: no false alarm. Of these, {clean} pass every case; the others do what the
assignment's text asks and no more, and get remarks.
"""

_SEVERITIES = """
## Severities

What each case is worth, and why (`severities.toml` of the assignment): *wrong* is against the
assignment's mathematics or stated interface, *fragile* right on ordinary inputs and not on extreme,
odd or repeated ones, *beyond* good practice that the text does not ask for, which does not count.
The numbers are of cases in all conventions, each once.

| of | cases | number | severity | because |
|---|---|---|---|---|
"""

_SINCE = " That one has\nbeen put right since; for the others, the checker was left as it was."
_COLUMNS = (
    "\n| mistake | what is wrong | causes stated | severity | named |\n|---|---|---|---|---|\n"
)


def page(rows: Mapping[str, str]) -> str:
    """Put the page together from its lines, by the name of the mutant or alternative."""
    text = _HEAD
    for head, mistakes in ((_TABLE, load().mistakes), (_OURS, OURS)):
        lines = [rows[mistake.name] for mistake in mistakes]
        ends = [line.rsplit("| ", 1)[1].removesuffix(" |") for line in lines]
        text += head.format(
            count=len(lines), named=ends.count("yes"), rejected=len(ends) - ends.count("missed"),
            since=_SINCE,
        )  # fmt: skip
        text += _COLUMNS + "\n".join(lines) + "\n"
    for name in shipped()[1:]:
        lines = [line for key, line in rows.items() if key.startswith(f"{name}: ")]
        ends = [line.rsplit("| ", 1)[1].removesuffix(" |") for line in lines]
        text += _COURSE.format(
            name=name, count=len(lines), named=ends.count("yes"),
            rejected=len(ends) - ends.count("missed"),
        )  # fmt: skip
        text += _COLUMNS + "\n".join(lines) + "\n"
    lines = [rows[alternative.name] for alternative in ALTERNATIVES]
    said = [line.rsplit("| ", 1)[1] for line in lines]
    clean, remarked = (sum(s.startswith(w) for s in said) for w in ("all passed", "passed; "))
    text += _RIGHT.format(count=len(lines), passed=clean + remarked, clean=clean)
    text += "\n| submission | style | groups | convention | check says |\n|---|---|---|---|---|\n"
    text += "\n".join(lines) + "\n"
    return text + _SEVERITIES + "\n".join(map(_severity_row, load().severities.entries)) + "\n"


def _severity_row(entry: Entry) -> str:
    count = sum(map(entry.holds, every_case()))
    of, cases = (", ".join(f"`{word}`" for word in words) for words in (entry.of, entry.cases))
    return f"| {of} | {cases} | {count} | {entry.severity.level} | {entry.severity.because} |"


@cache
def every_case() -> tuple[Case, ...]:
    """The assignment's cases in all conventions, and CS231n's of them; those of one name once."""
    conventions = ["handgrad", "cs231n", *load().switches]
    own = {topic.name for topic in load("cs231n").topics}
    base = {name: other for other, name in load("cs231n").names.items()}
    cases = [
        replace(case, function=base.get(case.function, case.function))
        for name in conventions
        for case in all_cases(Setting(parse(name), 0))
        if case.group not in own
    ]
    return tuple({(case.group, case.function, case.name): case for case in cases}.values())


def rows_of(text: str) -> dict[str, str]:
    """Take a page's lines apart again, by name."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines}
