"""Judge one case: compare what came back with what is right, and say what is known of a failure."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Case, Variant, Want
from handgrad.check.records import NOTHING, Observation, Status
from handgrad.check.reference import Reference
from handgrad.check.verdict.compare import Difference, compare, worst
from handgrad.check.verdict.hypotheses import (
    Explanation,
    Mistaken,
    as_numbers,
    close,
    dtype_cause,
    explain,
)
from handgrad.check.verdict.releases import changed_by_numpy
from handgrad.check.verdict.two_mistakes import Wrong, two_causes
from handgrad.check.words import place


@dataclass(frozen=True)
class Problem:
    """What is wrong in one variant: one output, or the whole of it."""

    variant: Variant
    seen: Observation
    causes: tuple[Explanation, ...] = ()
    status: Status = "failed"
    wrong: Wrong | None = None


@dataclass(frozen=True)
class Judgement:
    """A case's status, its likely cause, and what was seen."""

    status: Status
    cause: str | None = None
    remark: str = ""
    seen: Observation = NOTHING
    second: str | None = None  # the cause of another mistake, without which the first is none


@np.errstate(all="ignore")  # of NaN and infinity the observation speaks
def judge(case: Case, results: Sequence[Mapping[str, Any]], reference: Reference) -> Judgement:
    """Judge all variants of a case together: one cause should explain every failure.

    Parameters
    ----------
    case : Case
    results : one mapping a variant, as the child sent it: ``error`` and ``values``
    reference : Reference
        Of the convention that the case was made for: its answers are the right ones.
    """
    pairs = _understood(case, results, reference)
    case = replace(case, variants=[variant for variant, _ in pairs])
    results = [result for _, result in pairs]
    problems = [
        problem for variant, result in pairs for problem in _problems(variant, result, reference)
    ]
    if not problems:
        return Judgement("passed")
    if all(problem.status == "missing" for problem in problems):
        return Judgement("missing", "not-written", seen=problems[0].seen)
    problems = [problem for problem in problems if problem.status != "missing"]
    found = _common(case, problems)
    hard_first = sorted(problems, key=lambda problem: not _WEAK.issuperset(
        item.cause for item in problem.causes
    ))  # fmt: skip
    wrong = [problem.wrong for problem in hard_first if problem.wrong is not None]
    if len(wrong) == len(problems) and not _explains_all(found, problems):
        pair = two_causes(case, wrong, results, reference)
        if pair is not None:
            seen = _among(case, problems, problems[0])
            return Judgement("failed", pair[0], seen=seen, second=pair[1])
    status: Status = "error" if all(problem.status == "error" for problem in problems) else "failed"
    seen = _among(case, problems, _clearest(problems, found))
    return Judgement(status, found.cause if found else None, found.remark if found else "", seen)


Answered = tuple[Variant, Mapping[str, Any]]


def _understood(
    case: Case, results: Sequence[Mapping[str, Any]], reference: Reference
) -> list[Answered]:
    """The variants with what came back, but for kinds of input that the submission does not take.

    Where it takes none of several kinds, all are asked.
    """
    pairs = list(zip(case.variants, results, strict=True))

    def taken(variant: Variant, result: Mapping[str, Any]) -> bool:
        values = result.get("values")
        given = values if isinstance(values, dict) else {}
        return all(
            compare(want, reference.right(variant)[want.name], given.get(want.name)) is None
            for want in variant.understood
        )

    refused = {variant.kind for variant, result in pairs if not taken(variant, result)}
    kinds = {variant.kind for variant, _ in pairs} - refused - {""}
    return [pair for pair in pairs if not kinds or pair[0].kind in ("", *kinds)]


def _problems(
    variant: Variant, result: Mapping[str, Any], reference: Reference
) -> Iterator[Problem]:
    error = result.get("error")
    values = result.get("values")
    values = values if isinstance(values, dict) else {}
    if isinstance(error, dict):
        yield _raised(variant, error)
        return
    found, right = [], []
    for want in variant.wants:
        value = reference.right(variant)[want.name]
        difference = compare(want, value, values.get(want.name))
        if difference is None:
            right.append(want.name)
        else:
            mistaken = _mistaken(variant, want.name, reference)
            causes = tuple(causes_of(difference, want, variant.numbers, mistaken))
            wrong = None
            if difference.got is not None and difference.kind != "dtype":
                wrong = Wrong(variant, want, difference.got.astype(np.float64))
            found.append(Problem(variant, difference.seen, causes, wrong=wrong))
    for name in variant.unmodified:
        found += _modified(variant, name, values.get(name))
    verdict = variant.judge(values) if variant.judge is not None else None
    if verdict is not None and not verdict.passed:
        named = (Explanation(verdict.cause),) if verdict.cause else ()
        found.append(Problem(variant, verdict.seen or Observation(said=verdict.said), named))
    for problem in found:
        yield replace(problem, seen=replace(problem.seen, right=tuple(right)))


def _mistaken(variant: Variant, output: str, reference: Reference) -> Mistaken:
    """What each known mistake that its steps could meet makes of an output."""
    for mistake in reference.mistakes(variant):
        if mistake.causes[0] in variant.untold:
            continue
        for values in reference.wrong(variant, mistake):
            if output in values:
                yield mistake.causes[0], values[output]


def _raised(variant: Variant, error: Mapping[str, Any]) -> Problem:
    """An exception in a variant."""
    kind, text = str(error.get("kind")), str(error.get("text", ""))
    doing, type_name = str(error.get("doing", "")), str(error.get("type", ""))
    if kind == "missing":
        text = text.removeprefix("not written yet").strip(" :.")
        said = f"not written yet: {text}" if text else "not written yet"
        return Problem(variant, Observation(said=said), (Explanation("not-written"),), "missing")
    if kind == "form":
        return Problem(variant, Observation(said=text))
    where = ""
    if error.get("line"):
        code = f": {error.get('code')}" if error.get("code") else ""
        where = f" ({error.get('file')}, line {error.get('line')}{code})"
    said = f"{doing} raised {type_name}{': ' if text else ''}{text}{where}"
    change = changed_by_numpy(error)
    if change:
        found = Explanation("numpy-changed", change)
    else:
        found = Explanation(kind if kind in ("memory", "crashed") else "raises")
    return Problem(variant, Observation(said=said, error=type_name), (found,), "error")


def causes_of(
    difference: Difference, want: Want, numbers: Mapping[str, float], mistaken: Mistaken
) -> list[Explanation]:
    """Name the likely causes of a difference, the most telling first."""
    got, value = difference.got, difference.value
    if got is None:
        return []
    if difference.kind == "dtype":
        return [Explanation(dtype_cause(got, want.dtype))]
    wide = got.astype(np.float64)
    causes = explain(wide, value, want, numbers, mistaken)
    if difference.kind == "shape":
        return causes or [Explanation("wrong-shape")]
    if difference.kind == "nonfinite":
        return [Explanation("nonfinite"), *causes]
    if got.dtype.kind in "iu" and (np.trunc(value) != value).any():
        causes.append(Explanation("integer-division", f"its dtype is {got.dtype}"))
    narrow = want.dtype == "float64" and got.dtype.itemsize == 4
    if narrow and not causes and close(wide, value, 3e-5):
        causes.append(Explanation("float32-forced"))
    return causes


def _modified(variant: Variant, name: str, after: Any) -> list[Problem]:
    """An argument that is not what it was."""
    before: Array = variant.inputs[name]
    same = (
        isinstance(after, np.ndarray)
        and after.shape == before.shape
        and after.dtype == before.dtype
        and np.array_equal(after, before, equal_nan=True)
    )
    if same:
        return []
    said = f"the argument {name} is not what it was before the call"
    after = as_numbers(after)
    if after is not None and after.shape == before.shape:
        index = worst(np.asarray(after, dtype=np.float64), before.astype(np.float64))
        said += f": at index {place(index)} it was {before[index]:.6g}, now {after[index]:.6g}"
    cause = "labels-modified" if name == "y" else "argument-modified"
    return [Problem(variant, Observation(output=name, said=said), (Explanation(cause),))]


# -- one cause for all --------------------------------------------------------------------------


def _common(case: Case, problems: Sequence[Problem]) -> Explanation | None:
    """The cause that explains most: every problem if one does, else a pattern, else the most."""
    counts: Counter[str] = Counter()
    remarks: dict[str, Explanation] = {}
    for problem in problems:
        for explanation in {item.cause: item for item in reversed(problem.causes)}.values():
            counts[explanation.cause] += 1
        for explanation in problem.causes:
            remarks.setdefault(explanation.cause, explanation)
    order = list(dict.fromkeys(item.cause for problem in problems for item in problem.causes))
    for cause in order:
        if counts[cause] == len(problems) and cause not in ("raises", "wrong-shape", "nonfinite"):
            return remarks[cause]
    pattern = _pattern(case, problems)
    if pattern is not None:
        return pattern
    if not order:
        return None
    # The first of those named most often; order has the most telling first.
    best = max(order, key=lambda cause: (cause not in _WEAK, counts[cause]))
    # What fits less than half of the failures fits by chance: it explains nothing.
    return remarks[best] if 2 * counts[best] >= len(problems) else None


def _explains_all(found: Explanation | None, problems: Sequence[Problem]) -> bool:
    """Whether a cause that says something is that of every problem, or one of its pattern."""
    if found is None or found.cause in _WEAK:
        return False
    named = [any(item.cause == found.cause for item in problem.causes) for problem in problems]
    return all(named) or not any(named)


_WEAK = {"raises", "wrong-shape", "nonfinite", "borders-wrong", "factor-other"}

# A cause, and the number of a variant that is 1 where it strikes (or: other than 1, for 'N', 'C').
_PATTERNS: tuple[tuple[str, str, Callable[[float], bool]], ...] = (
    ("1x1-filter-fails", "1x1", bool),
    ("even-filter-fails", "even", bool),
    ("uncovered-border-lost", "uncovered", bool),
    ("only-without-overlap", "overlap", bool),
    ("negative-pixels", "negative", bool),
    ("labels-coding", "signs", bool),
    ("labels-coding", "bits", bool),
    ("labels-dtype", "odd dtype", bool),
    ("only-n1", "N", lambda number: number != 1),
    ("only-c1", "C", lambda number: number != 1),
    ("only-n1-c1", "N*C", lambda number: number != 1),
    ("only-f1", "F", lambda number: number != 1),
    ("only-square", "oblong window", bool),
    ("only-square", "oblong", bool),
    ("only-stride-1", "stride", lambda number: number != 1),
)


def _pattern(case: Case, problems: Sequence[Problem]) -> Explanation | None:
    """A property that every wrong variant has and no right one."""
    wrong = {id(problem.variant) for problem in problems}
    right = [variant.numbers for variant in case.variants if id(variant) not in wrong]
    failed = [variant.numbers for variant in case.variants if id(variant) in wrong]
    if not right:
        return None
    for cause, key, strikes in _PATTERNS:
        if any(key not in numbers for numbers in (*right, *failed)):
            continue
        # Of the odd dtypes, a mistake need not get every one wrong.
        tell = not any(strikes(n[key]) for n in right) or key == "odd dtype"
        if all(strikes(n[key]) for n in failed) and tell:
            return Explanation(cause)
    return None


def _clearest(problems: Sequence[Problem], explanation: Explanation | None) -> Problem:
    """The problem to show: one that the cause explains, of a real answer if there is one."""
    named = [
        problem
        for problem in problems
        if explanation and any(item.cause == explanation.cause for item in problem.causes)
    ]
    return (named or list(problems))[0]


def _among(case: Case, problems: Sequence[Problem], shown: Problem) -> Observation:
    """What is shown of a problem, and what is right and wrong beside it."""
    wrong = {id(problem.variant) for problem in problems}
    right_for = tuple(variant.label for variant in case.variants if id(variant) not in wrong)
    also = tuple(
        problem.seen.output
        for problem in problems
        if problem.variant is shown.variant and problem is not shown and problem.seen.output
    )
    return replace(
        shown.seen, input=shown.variant.label, also_wrong=also, right_for=right_for,
        inputs=len(case.variants),
    )  # fmt: skip
