"""What `handgrad check` says of a mutant and of an alternative, and the page that shows it."""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

import handgrad
from check_corpus.corpus import ALTERNATIVES, Alternative
from check_corpus.mutants import Mutant
from check_corpus.mutants_ours import OURS
from handgrad.check import check_submission, session
from handgrad.check.case import Case, Setting
from handgrad.check.cases import all_cases
from handgrad.check.conventions import PRESETS, SWITCHES, Convention, parse
from handgrad.check.mistakes import Mistake, all_mistakes
from handgrad.check.reference import reference
from handgrad.check.sandbox import wire
from handgrad.check.sandbox.runner import Runner
from handgrad.check.sandbox.steps import Context
from handgrad.check.severity import COUNTED, LEVELS, Entry, Level, severities
from handgrad.check.verdict.judge import Judgement, judge

PAGE = Path(__file__).parents[3] / "docs" / "check_tables.md"

# True of any wrong gradient or model: these say that something is wrong, not what.
GENERAL = {"backward-of-another-forward", "does-not-learn", "raises", "nonfinite", "wrong-shape"}


Known = Mistake | Mutant


class Failure(NamedTuple):
    """A case that did not pass: its likely cause, and how much that matters."""

    cause: str | None
    level: Level
    name: str


@dataclass(frozen=True)
class Verdict:
    """What was found of the cases that did not pass."""

    failed: tuple[Failure, ...]

    @property
    def stated(self) -> list[str]:
        """The causes stated, each once, in the report's order."""
        return list(dict.fromkeys(failure.cause for failure in self.failed if failure.cause))

    @property
    def severity(self) -> str:
        """The gravest of the failures' severities; '-' where there are none."""
        return min((f.level for f in self.failed), key=LEVELS.index, default="-")

    @property
    def mistakes(self) -> list[Failure]:
        """The failures that count."""
        return [failure for failure in self.failed if failure.level in COUNTED]

    @property
    def remarks(self) -> dict[str, int]:
        """The names of those that do not, and how many there are of each."""
        return dict(Counter(f.name for f in self.failed if f.level not in COUNTED))

    def names(self, mistake: Known) -> bool:
        """Whether the mistake is named, and nothing else is blamed.

        A cause that is true of any wrong answer (``GENERAL``), or of this one as a consequence
        (``also``), neither names nor misleads.
        """
        return bool(set(self.stated) & set(mistake.causes)) and not self.misleads(mistake)

    def misleads(self, mistake: Known) -> bool:
        """Whether a cause is stated that is not true of the mistake."""
        return not set(self.stated) <= {*mistake.causes, *mistake.also, *GENERAL}


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


def of_mistake(mistake: Mistake) -> list[Verdict]:
    """Plant a mistake of the table in the plain submission, in each of its ways."""
    return [
        Verdict(
            tuple(
                Failure(found.cause, severities().of(case).level, case.name)
                for case, found in judged
                if found.status != "passed"
            )
        )
        for judged in judgements(mistake)
    ]


def judgements(mistake: Mistake) -> Iterator[Iterator[tuple[Case, Judgement]]]:
    """Judge the plain submission with a mistake of the table, for each of the ways to make it.

    The steps run in this process, on what a child would import; what they give goes over the wire
    all the same.
    """
    convention = parse(mistake.convention)
    right = reference(convention)
    for sources in mistake.planted(right.sources):
        yield (
            (case, judge(case, replies(case, right.context(sources)), right))
            for case in _asked(mistake, convention)
        )


# These share no code: a mistake in one of their functions is no other's.
_APART = ("losses", "optim", "models")


def _asked(mistake: Mistake, convention: Convention) -> list[Case]:
    """The cases of the functions that a mistake touches, or of their group."""
    touched = mistake.touches(reference(convention).sources)
    cases = all_cases(Setting(convention, 0), frozenset([mistake.group]))
    if mistake.group in _APART:
        return [case for case in cases if case.function in touched]
    return [case for case in cases if case.group == mistake.group]


def replies(case: Case, context: Context) -> list[dict[str, Any]]:
    """What a child would send of a case."""
    state = np.random.get_state()  # noqa: NPY002
    variants = [
        {
            "inputs": copy.deepcopy(dict(variant.inputs)),
            "steps": list(variant.steps),
            "returns": variant.returns(),
        }
        for variant in case.variants
    ]
    try:
        return [wire.decode(wire.encode(context.variant(variant))) for variant in variants]
    finally:
        np.random.set_state(state)  # noqa: NPY002


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
student would write it (`handgrad/check/reference`), or handgrad's own layers and update rules. It
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

_RIGHT = """
## Right submissions in other styles

{passed} of {count} pass: no false alarm. Of these, {clean} pass every case; the others do what the
assignment's text asks and no more, and get remarks.
"""

_SEVERITIES = """
## Severities

What each case is worth, and why (`handgrad/check/severities.toml`): *wrong* is against the
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
    for head, mistakes in ((_TABLE, all_mistakes()), (_OURS, OURS)):
        lines = [rows[mistake.name] for mistake in mistakes]
        ends = [line.rsplit("| ", 1)[1].removesuffix(" |") for line in lines]
        text += head.format(
            count=len(lines), named=ends.count("yes"), rejected=len(ends) - ends.count("missed"),
            since=_SINCE,
        )  # fmt: skip
        text += _COLUMNS + "\n".join(lines) + "\n"
    lines = [rows[alternative.name] for alternative in ALTERNATIVES]
    said = [line.rsplit("| ", 1)[1] for line in lines]
    clean, remarked = (sum(s.startswith(w) for s in said) for w in ("all passed", "passed; "))
    text += _RIGHT.format(count=len(lines), passed=clean + remarked, clean=clean)
    text += "\n| submission | style | groups | convention | check says |\n|---|---|---|---|---|\n"
    text += "\n".join(lines) + "\n"
    return text + _SEVERITIES + "\n".join(map(_severity_row, severities().entries)) + "\n"


def _severity_row(entry: Entry) -> str:
    count = sum(map(entry.holds, every_case()))
    of, cases = (", ".join(f"`{word}`" for word in words) for words in (entry.of, entry.cases))
    return f"| {of} | {cases} | {count} | {entry.severity.level} | {entry.severity.because} |"


@cache
def every_case() -> tuple[Case, ...]:
    """The cases of all conventions, those of one name once."""
    conventions = [*PRESETS, *SWITCHES]
    cases = [case for name in conventions for case in all_cases(Setting(parse(name), 0))]
    return tuple({(case.group, case.function, case.name): case for case in cases}.values())


def rows_of(text: str) -> dict[str, str]:
    """Take a page's lines apart again, by name."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines}
