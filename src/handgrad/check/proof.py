"""A course proves itself: its reference passes all cases, and its planted mistakes are named.

Everything runs in this process, on what a child would import; what comes back goes over the wire
all the same. A course's files are its author's: nothing of them is contained.
"""

import copy
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from handgrad.check.case import Case, Setting
from handgrad.check.cases import all_cases, groups_of
from handgrad.check.conventions import Convention, parse
from handgrad.check.courses import Course
from handgrad.check.mistakes import Mistake
from handgrad.check.reference import reference
from handgrad.check.sandbox import wire
from handgrad.check.sandbox.steps import Context
from handgrad.check.severity import COUNTED, LEVELS, Level
from handgrad.check.verdict.judge import Judgement, judge

GENERAL = frozenset(
    {"backward-of-another-forward", "does-not-learn", "raises", "nonfinite", "wrong-shape"}
)
"""Causes that are true of any wrong gradient or model: they say that, not what."""

# The assignment's groups whose functions share no code: a mistake in one is no other's.
_APART = ("losses", "optim", "models")


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

    def names(self, mistake: Any) -> bool:
        """Whether the mistake is named, and nothing else is blamed.

        A cause that is true of any wrong answer (``GENERAL``), or of this one as a consequence
        (``also``), neither names nor misleads.
        """
        return bool(set(self.stated) & set(mistake.causes)) and not self.misleads(mistake)

    def misleads(self, mistake: Any) -> bool:
        """Whether a cause is stated that is not true of the mistake."""
        return not set(self.stated) <= {*mistake.causes, *mistake.also, *GENERAL}


def of_reference(course: Course, seed: int = 0) -> list[str]:
    """The cases that the course's own reference does not pass: 'function: case'."""
    held = parse("", course.place)
    right = reference(held)
    context = right.context()
    return [
        f"{case.function}: {case.name}"
        for case in all_cases(Setting(held, seed))
        if judge(case, replies(case, context), right).status != "passed"
    ]


def of_mistake(mistake: Mistake, course: str = "") -> list[Verdict]:
    """Plant a mistake in its course's reference, in each of its ways, and judge that."""
    severity_of = parse(mistake.convention, course).course.severity_of
    return [
        Verdict(
            tuple(
                Failure(found.cause, severity_of(case).level, case.name)
                for case, found in judged
                if found.status != "passed"
            )
        )
        for judged in judgements(mistake, course)
    ]


def judgements(mistake: Mistake, course: str = "") -> Iterator[Iterator[tuple[Case, Judgement]]]:
    """Judge the reference with a mistake in it, for each of the ways to make it."""
    held = parse(mistake.convention, course)
    right = reference(held)
    for sources in mistake.planted(right.sources):
        yield (
            (case, judge(case, replies(case, right.context(sources)), right))
            for case in _asked(mistake, held)
        )


def proved(course: Course) -> Iterator[tuple[Mistake, Verdict]]:
    """Plant each mistake of the course's own, in each of its ways."""
    for mistake in course.mistakes:
        if course.base is None or mistake not in course.base.mistakes:
            for verdict in of_mistake(mistake, course.place):
                yield mistake, verdict


def _asked(mistake: Mistake, held: Convention) -> list[Case]:
    """The cases of the functions that a mistake touches, of its group, or of the whole course."""
    touched = mistake.touches(reference(held).sources)
    if mistake.group not in groups_of(held.course):
        return list(all_cases(Setting(held, 0)))
    cases = all_cases(Setting(held, 0), frozenset([mistake.group]))
    return [
        case
        for case in cases
        if (case.function in touched if mistake.group in _APART else case.group == mistake.group)
    ]


def replies(case: Case, context: Context) -> list[dict[str, Any]]:
    """What a child would send of a case."""
    state = np.random.get_state()  # noqa: NPY002
    variants: list[Mapping[str, Any]] = [
        {
            "inputs": copy.deepcopy(dict(variant.inputs)),
            "steps": list(variant.steps),
            "returns": variant.returns(),
        }
        for variant in case.variants
    ]
    try:
        return [wire.decode(wire.encode(context.variant(dict(given)))) for given in variants]
    finally:
        np.random.set_state(state)  # noqa: NPY002
