"""Two layers in turn: a backward answers from its own cache, whatever ran since its forward."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Step, Variant, Verdict, call, copied, refused
from handgrad.check.verdict.hypotheses import as_numbers, close

IN_TURN = "two layers in turn"
OTHER_TESTED = f"{IN_TURN}, the other in test mode"
SOME_TESTED = f"{IN_TURN}, some in test mode"
Agrees = Callable[[Mapping[str, Any], str, str], bool]
"""``agrees(values, side, when)``: is the gradient of side 'A' or 'B' its own forward's?"""
_SAME = 1e-9  # of the largest entry: the same sums, perhaps in another order
_RIGHT = 1e-6


@dataclass(frozen=True)
class Turn:
    """One layer's inputs.

    Attributes
    ----------
    inputs : mapping
        The forward's arguments, and dout.
    args : sequence
        The forward's arguments: names of inputs, or values.
    right : function, optional
        Gives each output ('out', 'dx', ...) and its right value, where they are to be compared.
    """

    inputs: Mapping[str, Any]
    args: Sequence[Any]
    right: Callable[[], Mapping[str, Array]] = dict


def in_turn(
    label: str,
    functions: tuple[str, str],
    gradients: Sequence[str],
    turns: tuple[Turn, Turn],
    agrees: Agrees | None = None,
    asked: str = "AB",
) -> Variant:
    """Forward A, forward B, backward A, backward B; and the backwards the other way round.

    Each gradient must be what the same two calls give alone. Each round has fresh inputs: what a
    function does to its arguments is another case's.

    Parameters
    ----------
    functions : forward and backward
    gradients : the outputs of the backward: 'dx', ...
    agrees : function, optional
        Says whether a gradient is its own forward's, where two equal calls may differ.
    asked : 'AB' or 'A'
        The layers whose backwards are called.
    """
    forward, backward = functions
    sides = dict(zip("AB", turns, strict=True))
    inputs = {
        f"given {side} {name}": value
        for side, turn in sides.items()
        for name, value in turn.inputs.items()
    }

    def go(side: str, when: str) -> list[Step]:
        names = [f"{side} {name}" for name in sides[side].inputs]
        args = [f"{side} {arg}" if isinstance(arg, str) else arg for arg in sides[side].args]
        return [
            *(copied(f"given {name}", name) for name in names),
            call(forward, args, [f"{side} out {when}", f"{side} cache"]),
        ]

    def back(side: str, when: str) -> Step:
        saved = [f"{side} {name} {when}" for name in gradients]
        given = [f"{side} dout", f"{side} cache"]
        return call(backward, given, saved if len(saved) > 1 else saved[0])

    def attempt(side: str, when: str) -> Step:
        return refused(back(side, when), f"{side} error {when}")

    outputs = ["out", *gradients]

    def alone(side: str) -> list[Step]:
        called = [back(side, "given")] if side in asked else []
        return [*go(side, "given"), *called, *copies(side, "alone")]

    def copies(side: str, when: str) -> list[Step]:
        known = outputs if side in asked else ["out"]
        return [copied(f"{side} {name} given", f"{side} {name} {when}") for name in known]

    def both(when: str, order: str) -> list[Step]:
        return [*go("A", when), *go("B", when), *(attempt(s, when) for s in order if s in asked)]

    steps = [
        *alone("A"), *alone("B"), *copies("A", "later"),
        *both("A first", "AB"), *both("B first", "BA"), *go("A", "afresh"), attempt("A", "afresh"),
    ]  # fmt: skip
    orders = [(side, when) for when in ("A first", "B first") for side in asked]
    extra = [
        *(f"A {name} {when}" for name in outputs for when in ("alone", "later", "afresh")),
        *(f"B {name} alone" for name in outputs),
        *(f"{side} {name} {when}" for side, when in orders for name in ("error", *outputs)),
        "A error afresh",
    ]

    def own(values: Mapping[str, Any], side: str, when: str) -> bool:
        return all(
            same(values.get(f"{side} {name} alone"), values.get(f"{side} {name} {when}"))
            for name in gradients
        )

    held = agrees or own

    def look(values: Mapping[str, Any]) -> Verdict:
        for name in outputs:
            if as_numbers(values.get(f"A {name} alone")) is None:
                return Verdict(False, None, f"{name} is no array of numbers")
            if not same(values.get(f"A {name} alone"), values.get(f"A {name} later")):
                return Verdict(False, "result-overwritten", f"{name} changes in the next call")
        if not all(held(values, side, "alone") for side in asked):
            return Verdict(True)  # wrong by itself: the other cases say how
        for side, when in orders:
            if not held(values, side, when):
                text = _differs(values, gradients, side, when)
                return Verdict(False, "last-forward-not-cache", text)
        if not held(values, "A", "afresh"):
            return Verdict(False, "not-deterministic", "the same two calls once more differ")
        wrong = _wrong_after_right(values, sides)
        if wrong:
            text = f"{wrong} is right in the first call and wrong in the second, of the same shape"
            return Verdict(False, "depends-on-earlier-calls", text)
        return Verdict(True)

    return Variant(label, inputs, steps, judge=look, extra=list(dict.fromkeys(extra)))


def same(one: Any, other: Any) -> bool:
    """Whether two results are the same numbers, NaN included, to the rounding of a sum."""
    a, b = as_numbers(one), as_numbers(other)
    if a is None or b is None or a.shape != b.shape:
        return False
    if np.array_equal(a, b, equal_nan=True):
        return True
    return close(b.astype(np.float64), a.astype(np.float64), _SAME)


def is_right(got: Any, value: Any) -> bool:
    """Whether a result is this value, of float64."""
    numbers = as_numbers(got)
    wanted = np.asarray(value, dtype=np.float64)
    if numbers is None:
        return False
    if wanted.ndim == 0 and numbers.size == 1:
        numbers = numbers.reshape(())
    return close(numbers.astype(np.float64), wanted, _RIGHT)


def _wrong_after_right(values: Mapping[str, Any], sides: Mapping[str, Turn]) -> str:
    """An output that is wrong for B though every one is right for A, of the same shape; or ''."""
    first, second = (sides[side].right() for side in "AB")
    if any(np.shape(first[name]) != np.shape(second[name]) for name in first):
        return ""
    if not all(is_right(values.get(f"A {name} alone"), first[name]) for name in first):
        return ""
    wrong = [n for n in second if not is_right(values.get(f"B {n} alone"), second[n])]
    return wrong[0] if wrong else ""


def _differs(values: Mapping[str, Any], gradients: Sequence[str], side: str, when: str) -> str:
    """What became of a gradient when another forward had run since its own."""
    between = "another forward had run since its own"
    error = values.get(f"{side} error {when}")
    if isinstance(error, dict):
        said = f"{error.get('type')}: {error.get('text')}"
        return f"the backward raised {said}, when {between}; alone it does not"
    for name in gradients:
        alone, now = (values.get(f"{side} {name} {w}") for w in ("alone", when))
        if not same(alone, now):
            return differs(name, alone, now, between)
    return f"the gradient is another one when {between}"


def differs(name: str, alone: Any, now: Any, when: str) -> str:
    """Say where a result is not what the same call gave alone."""
    first, second = as_numbers(alone), as_numbers(now)
    if first is None or second is None:
        return f"{name} is no array of numbers when {when}"
    if first.shape != second.shape:
        return f"{name} has shape {second.shape} when {when}; alone it has {first.shape}"
    if first.ndim == 0:
        return f"{name} is {second[()]:.7g} when {when}; alone it is {first[()]:.7g}"
    error = np.abs(second.astype(np.float64) - first.astype(np.float64))
    flat = int(np.argmax(np.nan_to_num(error, nan=np.inf)))
    index = tuple(int(i) for i in np.unravel_index(flat, second.shape))
    place = index[0] if len(index) == 1 else index
    return (
        f"{name} at index {place} is {second[index]:.7g} when {when}; "
        f"alone it is {first[index]:.7g}"
    )
