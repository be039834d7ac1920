"""What was seen of a case, in words: the sentences that every format shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from handgrad.check.verdict.diagnosis import CAUSES

if TYPE_CHECKING:
    from handgrad.check.records import CaseResult, Observation

# Of these the observation itself has said it.
_SAID = ("raises", "crashed", "timeout", "memory", "too-slow", "not-written", None)


def sentences(case: CaseResult) -> list[str]:
    """Give what was seen, then, last, its likely cause."""
    if case.status == "missing":
        return [case.seen.said]
    observed = seen(case.seen)
    place = f"{case.function} is in {case.place}." if case.place else ""
    return [text for text in (observed, place, likely_cause(case)) if text]


def seen(facts: Observation) -> str:
    """Give what was seen, and beside it what is right."""
    text = facts.said or _compared(facts)
    if not text:
        return ""
    parts = [f"{text} [{facts.input}]." if facts.input else _ended(text)]
    if facts.right_for:
        shown = "; ".join(facts.right_for[:3]) + ("; ..." if len(facts.right_for) > 3 else "")
        parts.append(f"Right for {len(facts.right_for)} of {facts.inputs} inputs: {shown}.")
    if facts.also_wrong:
        parts.append(f"Also wrong: {', '.join(facts.also_wrong)}.")
    if facts.right:
        parts.append(f"Right: {', '.join(facts.right)}.")
    return " ".join(parts)


def likely_cause(case: CaseResult) -> str:
    """Give the cause's sentence, and how to be judged where it is no mistake; or ''."""
    if case.status not in ("failed", "error"):
        return ""
    if case.diagnosis is None:
        return "No known mistake gives these numbers."
    if case.second is not None:
        both = (case.cause or CAUSES[case.diagnosis], case.second_cause or CAUSES[case.second])
        return f"Likely two mistakes at once: first, {both[0]}; second, {both[1]}."
    text = ""
    if case.diagnosis not in _SAID:
        remark = f" ({case.remark})" if case.remark else ""
        text = f"Likely cause: {case.cause or CAUSES[case.diagnosis]}{remark}."
    if case.convention and case.diagnosis == "raises":
        text = f"If your course's layers take conv_param, run with --convention {case.convention}."
    elif case.convention:
        text += (
            " If your course does it this way, that is no mistake: run with --convention "
            f"{case.convention}."
        )
    return text


def _compared(facts: Observation) -> str:
    if facts.received is None or facts.expected is None:
        return ""
    numbers = f"received {facts.received:.9g}, expected {facts.expected:.9g}"
    if not facts.entries:
        return f"{facts.output}: {numbers}"
    return (
        f"{facts.output} is wrong at {facts.off} of {facts.entries} entries, most at index "
        f"{place(facts.index)}: {numbers}"
    )


def place(index: tuple[int, ...]) -> str:
    """Write an index as one does: 3, or (3, 1)."""
    return str(index[0]) if len(index) == 1 else str(index)


def _ended(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def not_judged(cases: Iterable[CaseResult]) -> tuple[str, ...]:
    """Give a line a package that is not there: what could not be judged for want of it."""
    needed: dict[str, dict[str, None]] = {}
    for case in cases:
        if case.status == "not judged":
            who = case.seen.said.removesuffix(f" needs {case.seen.lacks}.")
            needed.setdefault(case.seen.lacks, {})[who] = None
    return tuple(lacking(lack, list(who)) for lack, who in needed.items())


def lacking(package: str, who: list[str]) -> str:
    """Say in one line who needs a package that is not there."""
    shown = ", ".join(who[:3]) + (f" and {len(who) - 3} more" if len(who) > 3 else "")
    return " ".join(f"not judged: {shown} need{'s' * (len(who) == 1)} {package}".split())
