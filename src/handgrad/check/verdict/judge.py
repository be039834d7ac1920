"""Judge one case: compare what came back with what is right, and say what is known of a failure."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Case, Variant, Want
from handgrad.check.records import Status
from handgrad.check.sandbox.wire import Foreign
from handgrad.check.verdict.diagnosis import CAUSES
from handgrad.check.verdict.hypotheses import Explanation, as_numbers, close, dtype_cause, explain


@dataclass(frozen=True)
class Problem:
    """What is wrong in one variant: one output, or the whole of it."""

    variant: Variant
    output: str
    text: str
    causes: tuple[Explanation, ...] = ()
    status: Status = "failed"
    right: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Judgement:
    """A case's status, cause and words."""

    status: Status
    cause: str | None = None
    detail: str = ""


@np.errstate(all="ignore")  # of NaN and infinity the words speak
def judge(case: Case, results: Sequence[Mapping[str, Any]]) -> Judgement:
    """Judge all variants of a case together: one cause should explain every failure.

    Parameters
    ----------
    results : one mapping a variant, as the child sent it: ``error`` and ``values``
    """
    problems = [
        problem
        for variant, result in zip(case.variants, results, strict=True)
        for problem in _problems(variant, result)
    ]
    if not problems:
        return Judgement("passed")
    if all(problem.status == "missing" for problem in problems):
        return Judgement("missing", "not-written", problems[0].text)
    problems = [problem for problem in problems if problem.status != "missing"]
    explanation = _common(case, problems)
    clearest = _clearest(problems, explanation)
    status: Status = "error" if all(problem.status == "error" for problem in problems) else "failed"
    return Judgement(
        status,
        explanation.cause if explanation else None,
        _words(case, problems, clearest, explanation),
    )


def _problems(variant: Variant, result: Mapping[str, Any]) -> list[Problem]:
    error = result.get("error")
    values = result.get("values")
    values = values if isinstance(values, dict) else {}
    if isinstance(error, dict):
        return [_raised(variant, error)]
    found, right = [], []
    for want in variant.wants:
        problem = compare(variant, want, values.get(want.name))
        if problem is None:
            right.append(want.shown)
        else:
            found.append(problem)
    for name in variant.unmodified:
        changed = _modified(variant, name, values.get(name))
        if changed is not None:
            found.append(changed)
    if variant.judge is not None:
        verdict = variant.judge(values)
        if verdict is not None and not verdict.passed:
            causes = (Explanation(verdict.cause),) if verdict.cause else ()
            found.append(Problem(variant, "", verdict.detail, causes))
    return [Problem(p.variant, p.output, p.text, p.causes, p.status, tuple(right)) for p in found]


def _raised(variant: Variant, error: Mapping[str, Any]) -> Problem:
    """An exception in a variant."""
    kind, text = str(error.get("kind")), str(error.get("text", ""))
    doing, type_name = str(error.get("doing", "")), str(error.get("type", ""))
    if kind == "missing":
        text = text.removeprefix("not written yet").strip(" :.")
        said = f"not written yet: {text}" if text else "not written yet"
        return Problem(variant, "", said, (Explanation("not-written"),), "missing")
    if kind == "form":
        return Problem(variant, "", text)
    where = ""
    if error.get("line"):
        code = f": {error.get('code')}" if error.get("code") else ""
        where = f" ({error.get('file')}, line {error.get('line')}{code})"
    said = f"{doing} raised {type_name}{': ' if text else ''}{text}{where}"
    cause = kind if kind in ("memory", "crashed") else "raises"
    return Problem(variant, "", said, (Explanation(cause),), "error")


def compare(variant: Variant, want: Want, got: Any) -> Problem | None:
    """Compare one output with its right value; None when it is right."""
    if not isinstance(want.value, float | int | np.ndarray | np.generic) or isinstance(
        want.value, bool
    ):
        if type(got) is type(want.value) and got == want.value:
            return None
        text = f"{want.shown}: received {_brief(got)}, expected {_brief(want.value)}"
        return Problem(variant, want.shown, text, _equal_to_wrong(want, got))
    numbers = as_numbers(got)
    value = np.asarray(want.value, dtype=np.float64)
    if numbers is None:
        text = f"{want.shown} should be {_form(value)}; got {_brief(got)}"
        return Problem(variant, want.shown, text)
    if value.ndim == 0 and numbers.size == 1:
        numbers = numbers.reshape(())  # a loss of shape (1,) or (1, 1) is a number all the same
    wide = numbers.astype(np.float64)
    causes: tuple[Explanation, ...]
    if numbers.shape != value.shape:
        causes = tuple(explain(wide, want, variant.numbers)) or (Explanation("wrong-shape"),)
        text = f"{want.shown} has shape {numbers.shape}, expected {value.shape}"
        return Problem(variant, want.shown, text, causes)
    if not np.isfinite(wide).all() and np.isfinite(value).all():
        causes = (Explanation("nonfinite"), *explain(wide, want, variant.numbers))
        return Problem(variant, want.shown, _difference(want, wide, value), causes)
    if not close(wide, value, want.tolerance):
        causes = tuple(explain(wide, want, variant.numbers))
        if numbers.dtype.kind in "iu" and (np.trunc(value) != value).any():
            causes = (*causes, Explanation("integer-division", f"its dtype is {numbers.dtype}"))
        narrow = want.dtype == "float64" and numbers.dtype.itemsize == 4
        if narrow and not causes and close(wide, value, 3e-5):
            causes = (Explanation("float32-forced"),)
        return Problem(variant, want.shown, _difference(want, wide, value), causes)
    if want.dtype != "any" and numbers.dtype != np.dtype(want.dtype):
        cause = dtype_cause(numbers, want.dtype)
        text = f"{want.shown} is {numbers.dtype}, expected {want.dtype} (as the input)"
        return Problem(variant, want.shown, text, (Explanation(cause),))
    return None


def _equal_to_wrong(want: Want, got: Any) -> tuple[Explanation, ...]:
    return tuple(
        Explanation(cause)
        for cause, wrong in want.wrong.items()
        if type(got) is type(wrong) and got == wrong
    )


def _modified(variant: Variant, name: str, after: Any) -> Problem | None:
    before = variant.inputs[name]
    same = (
        isinstance(after, np.ndarray)
        and after.shape == before.shape
        and after.dtype == before.dtype
        and np.array_equal(after, before, equal_nan=True)
    )
    if same:
        return None
    cause = "labels-modified" if name == "y" else "argument-modified"
    text = f"the argument {name} is not what it was before the call"
    after = as_numbers(after)
    if after is not None and after.shape == before.shape:
        index = _worst(np.asarray(after, dtype=np.float64), before.astype(np.float64))
        text += f": at index {_index(index)} it was {before[index]:.6g}, now {after[index]:.6g}"
    return Problem(variant, name, text, (Explanation(cause),))


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


# -- words --------------------------------------------------------------------------------------


def _words(
    case: Case, problems: Sequence[Problem], clearest: Problem, explanation: Explanation | None
) -> str:
    label = f" [{clearest.variant.label}]" if clearest.variant.label else ""
    lines = [f"{clearest.text}{label}."]
    wrong = {id(problem.variant) for problem in problems}
    if len(case.variants) > 1 and len(wrong) < len(case.variants):
        rest = [variant.label for variant in case.variants if id(variant) not in wrong]
        shown = "; ".join(rest[:3]) + ("; ..." if len(rest) > 3 else "")
        lines.append(f"Right for {len(rest)} of {len(case.variants)} inputs: {shown}.")
    also = [
        problem.output
        for problem in problems
        if problem.variant is clearest.variant and problem is not clearest and problem.output
    ]
    if also:
        lines.append(f"Also wrong: {', '.join(also)}.")
    if clearest.right:
        lines.append(f"Right: {', '.join(clearest.right)}.")
    if explanation is not None and explanation.cause != "raises":
        remark = f" ({explanation.remark})" if explanation.remark else ""
        lines.append(f"Likely cause: {CAUSES[explanation.cause]}{remark}.")
    elif explanation is None:
        lines.append("No known mistake gives these numbers.")
    return " ".join(lines)


def _difference(want: Want, got: Array, value: Array) -> str:
    if value.ndim == 0:
        return f"{want.shown}: received {got[()]:.9g}, expected {value[()]:.9g}"
    index = _worst(got, value)
    with np.errstate(all="ignore"):
        scale = max(float(np.abs(value).max()), 1e-300)
        off = int(np.sum(~(np.abs(got - value) <= want.tolerance * scale)))
    return (
        f"{want.shown} is wrong at {off} of {value.size} entries, most at index {_index(index)}: "
        f"received {got[index]:.9g}, expected {value[index]:.9g}"
    )


def _worst(got: Array, value: Array) -> tuple[int, ...]:
    with np.errstate(all="ignore"):
        error = np.abs(got - value)
    error = np.where(np.isnan(error), np.inf, error)
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(error)), error.shape))


def _index(index: tuple[int, ...]) -> str:
    return str(index[0]) if len(index) == 1 else str(index)


def _form(value: Array) -> str:
    return "a number" if value.ndim == 0 else f"an array of shape {value.shape}"


def _brief(value: Any) -> str:
    if isinstance(value, Foreign):
        return f"a {value}"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of shape {value.shape}"
    if value is None:
        return "None"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
