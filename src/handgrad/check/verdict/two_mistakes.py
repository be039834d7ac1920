"""Two known mistakes in one function, where no single one explains what was seen.

One hides the other: a loss that is N times too large is not what a softmax without its shift gives
either. Pairs of the mistakes that the steps could meet are planted together; a pair counts only
where it gives every wrong output of the case, and leaves every right one right.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Case, Variant, Want
from handgrad.check.mistakes import Mistake
from handgrad.check.reference import Reference
from handgrad.check.verdict.hypotheses import as_numbers, close, gives

MOST = 400  # pairs are tried for one case: a count, not a clock, so that a report repeats


@dataclass(frozen=True)
class Wrong:
    """An output that is wrong: what was received, of what variant."""

    variant: Variant
    want: Want
    got: Array


def two_causes(
    case: Case,
    wrong: Sequence[Wrong],
    results: Sequence[Mapping[str, Any]],
    reference: Reference,
) -> tuple[str, str] | None:
    """Give the causes of two mistakes that together give what was seen; None: no pair does.

    Parameters
    ----------
    case : Case
    wrong : every output of the case that is wrong; the first is the one that is hard to explain
    results : one mapping a variant, as the child sent it
    reference : Reference
    """
    hardest = wrong[0]
    known = _that_matter(hardest, reference)
    if any(_alone(mistake, wrong, reference) for mistake in known):
        return None  # a second one that changes nothing beside it would be blamed
    for first, second in itertools.islice(itertools.combinations(known, 2), MOST):
        if first.causes[0] == second.causes[0]:
            continue
        for way, values in enumerate(reference.both(hardest.variant, first, second)):
            pair = first, second
            if _explains(values, hardest, reference) and _fits(
                case, wrong, results, reference, pair, way
            ):
                return first.causes[0], second.causes[0]
    return None


def _alone(mistake: Mistake, wrong: Sequence[Wrong], reference: Reference) -> bool:
    """Whether one mistake gives every output that is wrong."""
    return all(
        any(_explains(values, one, reference) for values in reference.wrong(one.variant, mistake))
        for one in wrong
    )


def _that_matter(one: Wrong, reference: Reference) -> list[Mistake]:
    """The mistakes that alone change an output, each change once."""
    right = np.asarray(reference.right(one.variant)[one.want.name], dtype=np.float64)
    found: list[Mistake] = []
    seen: list[Array] = []
    for mistake in reference.mistakes(one.variant):
        if mistake.causes[0] in one.variant.untold:
            continue
        for values in reference.wrong(one.variant, mistake):
            candidate = as_numbers(values.get(one.want.name))
            if candidate is None:
                continue
            changed = candidate.astype(np.float64)
            known = any(np.array_equal(changed, other, equal_nan=True) for other in seen)
            if not known and not close(changed, right, one.want.tolerance):
                seen.append(changed)
                if mistake not in found:
                    found.append(mistake)
    return found


def _explains(values: Mapping[str, Any], one: Wrong, reference: Reference) -> bool:
    """Whether these values are what was received."""
    candidate = as_numbers(values.get(one.want.name))
    if candidate is None:
        return False
    right = np.asarray(reference.right(one.variant)[one.want.name], dtype=np.float64)
    return gives(one.got, candidate.astype(np.float64), right, one.want.tolerance)


def _fits(
    case: Case,
    wrong: Sequence[Wrong],
    results: Sequence[Mapping[str, Any]],
    reference: Reference,
    pair: tuple[Mistake, Mistake],
    way: int,
) -> bool:
    """Whether a pair, made in one of its ways, gives all that is wrong and all that is right."""
    for variant, result in zip(case.variants, results, strict=True):
        ways = list(reference.both(variant, *pair))
        values = ways[way] if way < len(ways) else {}
        bad = {one.want.name: one for one in wrong if one.variant is variant}
        given = result.get("values") or {}
        for want in variant.wants:
            if want.name in bad:
                if not _explains(values, bad[want.name], reference):
                    return False
            elif want.name in values and as_numbers(given.get(want.name)) is not None:
                right = np.asarray(reference.right(variant)[want.name], dtype=np.float64)
                candidate = as_numbers(values[want.name])
                tolerance = max(want.tolerance, 1e-9)
                if candidate is None or not close(candidate.astype(float), right, tolerance):
                    return False
    return True
