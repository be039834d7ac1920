"""Why a gradient of a chain is wrong: suppositions that are tried, and count only if they fit."""

import ast
import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from handgrad import kinks
from handgrad.arrays import Array
from handgrad.gradcheck.copies import copied
from handgrad.gradcheck.rewrites import Rewrite, rewrites
from handgrad.gradcheck.running import Backward, Chain, Version
from handgrad.gradcheck.statements import compiled

_CLOSE, _ROUNDING = 1e-5, 1e-9
_WIDE = 1e-3


@dataclass
class Trouble:
    """A gradient that is wrong, and what is needed to find out why.

    Attributes
    ----------
    chain, version, gradient : what is judged
    run : Backward
        In which it is wrong.
    place : int
        The statement of the backward after which it was looked at.
    answer : the gradient as it was then
    start : array, what it is the gradient of
    step : float, of the differences
    """

    chain: Chain
    version: Version
    gradient: str
    run: Backward
    place: int
    answer: Any
    start: Array
    step: float
    off: int = 0
    looked_at: int = 0
    _known: Array | None = field(default=None, repr=False)

    def note(self, places: list[kinks.Index], judged: kinks.Judged) -> None:
        """Keep what was found when it was judged."""
        self.off, self.looked_at = judged.off, len(places)
        if len(places) == self.start.size:
            self._known = judged.differences.reshape(self.start.shape)

    @cached_property
    def said(self) -> Array | None:
        """The answer as numbers; None where it is none."""
        try:
            array = np.asarray(self.answer)
        except ValueError:
            return None
        return array.astype(np.float64) if array.dtype.kind in "biuf" else None

    @cached_property
    def right(self) -> Array:
        """The central differences, every one."""
        if self._known is not None:
            return self._known
        statement, name, array = self.version.statement, self.version.name, self.start
        return self.differences(lambda: self.chain.loss_after(statement, name, array))

    def differences(self, value: Callable[[], float], step: float | None = None) -> Array:
        """Central differences of a function of ``start`` as it is then."""
        found, step = np.empty_like(self.start), step or self.step
        for index in np.ndindex(self.start.shape):
            found[index] = kinks.central(kinks.along(self.start, index, value), 0.0, step)
        return found

    @property
    def repaired(self) -> Array:
        """The right gradient in more digits than differences have: others are computed from it.

        Those of the answer, where that is right; else Richardson's, from three steps that are too
        large to lose digits, where no kink is in them.
        """
        statement, name, array = self.version.statement, self.version.name, self.start

        def value() -> float:
            return self.chain.loss_after(statement, name, array)

        wide, half, quarter = (self.differences(value, _WIDE / part) for part in (1, 2, 4))
        first, second = (4 * half - wide) / 3, (4 * quarter - half) / 3
        better = (16 * second - first) / 15
        found = np.where(np.abs(better - self.right) <= _allowed(self.right), better, self.right)
        said = self.said
        if said is None or said.shape != found.shape:
            return found
        return np.where(np.abs(said - found) <= _allowed(found) / 100, said, found)

    @property
    def worst(self) -> kinks.Index:
        """The entry that is most off."""
        assert self.said is not None
        error = np.abs(self.said - self.right)
        error = np.where(np.isnan(error), np.inf, error)
        return tuple(int(i) for i in np.unravel_index(int(np.argmax(error)), error.shape))

    @property
    def distance(self) -> float:
        """How far off it is: infinitely, where the shape is another."""
        if self.said is None or self.said.shape != self.right.shape:
            return math.inf
        return float(np.abs(self.said - self.right).max())

    def is_right(self, value: Any) -> bool:
        """Whether a value would be the right gradient."""
        return agree(value, self.right)

    @property
    def own(self) -> list[int]:
        """The statements of the backward that set it."""
        return self.chain.backward.writers(self.gradient)

    def line(self, number: int) -> str:
        """A statement of the forward, for a message."""
        statement = self.chain.forward.statements[number]
        return f"`{statement.text}` (forward, line {statement.line})"


def agree(value: Any, right: Array) -> bool:
    """Whether a value is this array, shape and all, but for the rounding of differences."""
    found = np.asarray(value)
    if found.shape != right.shape or found.dtype.kind not in "biuf":
        return False
    with np.errstate(all="ignore"):
        return bool((np.abs(found - right) <= _allowed(right)).all())


def _allowed(right: Array) -> float:
    return _CLOSE * float(np.abs(right).max(initial=0.0)) + _ROUNDING


def likely_cause(trouble: Trouble) -> str:
    """Say which mistake gives the numbers received; '' where none is known to."""
    if trouble.said is None or not np.isfinite(trouble.right).all():
        return ""
    with np.errstate(all="ignore"):
        for suppose in (
            _zero, _changed_later, _used_too_early, _another_shape, _passed_on, _as_rewritten,
            _summed_too_far, _branches, _by_factor,
        ):  # fmt: skip
            found = suppose(trouble)
            if found:
                return found
    return ""


def _changed_later(trouble: Trouble) -> str:
    """Right after its own statement, and then changed through another name of the same array."""
    last, seen = trouble.own[-1], trouble.run.seen
    if not trouble.version.first or not trouble.is_right(seen[last].get(trouble.gradient)):
        return ""
    for number in range(last + 1, len(seen)):
        if not trouble.is_right(seen[number].get(trouble.gradient)):
            statement = trouble.chain.backward.statements[number]
            return (
                f"it is right after its own statement, and {statement.shown.rstrip()} changes it: "
                "two names are of one array; make a copy"
            )
    return ""


def _used_too_early(trouble: Trouble) -> str:
    """Its statements would be right if they stood at the end: a gradient in them was not ready."""
    chain, own = trouble.chain, trouble.own
    space = {name: copied(value) for name, value in trouble.run.space.items()}
    if trouble.run.error is not None or not trouble.version.first:
        return ""
    space.pop(trouble.gradient, None)
    try:
        exec(compiled([chain.backward.statements[i].node for i in own]), space)
    except Exception:  # whatever the learner's statements raise there: it is not this mistake
        return ""
    if not trouble.is_right(space.get(trouble.gradient)):
        return ""
    for number in own:
        for name in chain.gradients:
            later = [i for i in chain.backward.writers(name) if i > number]
            if later and name != trouble.gradient:
                statement = chain.backward.statements[number]
                if statement.reads(name):
                    more = chain.backward.statements[later[-1]].shown
                    return f"line {statement.line} uses {name} before {more} has completed it"
    return ""


def _another_shape(trouble: Trouble) -> str:
    """The right numbers in another shape, or not yet summed."""
    said, right, name = trouble.said, trouble.right, trouble.version.name
    assert said is not None
    if said.shape == right.shape:
        return ""
    if said.size == right.size and said.size and agree(said.reshape(right.shape), right):
        return (
            f"the numbers are right, only the shape is not: keep the axis in the sum "
            f"(keepdims=True), or reshape to {name}.shape"
        )
    if said.ndim == right.ndim == 2 and agree(said.T, right):
        return "it is transposed"
    for axes in _subsets(said.ndim):
        for keep in (True, False):
            if agree(said.sum(axis=axes, keepdims=keep), right):
                kept_too = ", keepdims=True" if keep and right.ndim else ""
                return (
                    f"a sum is missing: {name} of shape {right.shape} was broadcast to "
                    f"{said.shape}, so its gradient is summed, .sum(axis={_axes(axes)}{kept_too})"
                )
    return ""


def _summed_too_far(trouble: Trouble) -> str:
    """A sum over an axis that is there."""
    said, right, name = trouble.said, trouble.right, trouble.version.name
    assert said is not None
    if said.shape == right.shape:
        return ""
    for axes in _subsets(right.ndim):
        for keep in (True, False):
            if agree(said, right.sum(axis=axes, keepdims=keep)):
                return f"it is summed over axis {_axes(axes)}, which {name} has: leave the sum out"
    return ""


def _subsets(ndim: int) -> Iterator[tuple[int, ...]]:
    for count in range(1, min(ndim, 4) + 1):
        yield from itertools.combinations(range(ndim), count)


def _axes(axes: tuple[int, ...]) -> str:
    return str(axes[0]) if len(axes) == 1 else str(axes)


def _as_rewritten(trouble: Trouble) -> str:
    """One of its statements written a little differently gives the right gradient."""
    chain = trouble.chain
    found: list[tuple[int, Rewrite]] = []
    for number in trouble.own:
        if number <= trouble.place:
            before = trouble.run.seen[number - 1] if number else {}
            space = {**trouble.run.space, **before}
            had = trouble.gradient in before
            node = chain.backward.statements[number].node
            found += [(number, rewrite) for rewrite in rewrites(node, trouble.gradient, space, had)]
    found.sort(key=lambda item: item[1].rank)
    for number, rewrite in found:
        try:
            code = compiled([rewrite.node])
        except (SyntaxError, ValueError, TypeError):
            continue  # no statement: a sum that is assigned to, a negative name
        run = chain.run_backward(instead={number: code})
        if len(run.seen) > trouble.place:
            final = trouble.version.first and run.error is None
            value = run.space if final else run.seen[trouble.place]
            if trouble.is_right(value.get(trouble.gradient)):
                line = chain.backward.statements[number].line
                return rewrite.sentence + (f" (line {line})" if len(trouble.own) > 1 else "")
    return ""


@dataclass(frozen=True)
class _Path:
    """One place at which the forward reads a name, and what it contributes to its gradient."""

    where: str
    part: Array


def _paths(trouble: Trouble) -> list[_Path]:
    """Each place at which the name is read, with the gradient through it alone."""
    forward, name = trouble.chain.forward, trouble.version.name
    first = trouble.version.statement + 1
    ends = [i for i in forward.writers(name) if i >= first]
    found = []
    for number in forward.readers(name, first):
        if ends and number > ends[0]:
            break
        nodes = [
            node
            for node in ast.walk(forward.statements[number].node)
            if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
        ]
        for turn, node in enumerate(nodes):
            other = ast.copy_location(ast.Name("_moved", ast.Load()), node)
            changed = copy.deepcopy(forward.statements[number].node, {id(node): other})
            where = trouble.line(number)
            if len(nodes) > 1:
                where += f", where {name} stands for the {_ORDINAL.get(turn, f'{turn + 1}th')} time"
            found.append(_Path(where, _through(trouble, number, changed)))
    return found


_ORDINAL = {0: "first", 1: "second", 2: "third"}


def _through(trouble: Trouble, number: int, changed: ast.stmt) -> Array:
    chain, code = trouble.chain, compiled([changed])

    def value() -> float:
        space = {key: copied(item) for key, item in chain.states[number - 1].items()}
        space["_moved"] = copied(trouble.start)[()]
        exec(code, space)
        chain.forward.run_tail(space, number + 1)
        return float(np.asarray(space[chain.loss]).item())

    return trouble.differences(value)


def _branches(trouble: Trouble) -> str:
    """Of several ways from the name to the loss, one is missing, or has the wrong sign."""
    said, right, name = trouble.said, trouble.right, trouble.version.name
    assert said is not None
    if said.shape != right.shape:
        return ""
    paths = _paths(trouble)
    if len(paths) < 2:
        return ""
    used = f"{name} is used {len(paths)} times, and its gradient is the sum over all ways"
    for path in paths:
        if np.abs(path.part).max(initial=0.0) <= _ROUNDING:
            continue
        for value, what in (
            (right - path.part, f"the way through {path.where} is missing: add it with +="),
            (path.part, f"only the way through {path.where} is in it: add the others with +="),
            (right - 2 * path.part, f"the way through {path.where} has the wrong sign"),
            (right + path.part, f"the way through {path.where} is counted twice"),
        ):
            if agree(said, value):
                return f"{used}; {what}"
    return ""


def _passed_on(trouble: Trouble) -> str:
    """It is the gradient that came in: the derivative of the statement itself is left out."""
    said, chain, name = trouble.said, trouble.chain, trouble.version.name
    for number in chain.forward.readers(name, trouble.version.statement + 1):
        for written in chain.forward.statements[number].writes:
            upstream = chain.named.format(written)
            arrived = trouble.run.space.get(upstream)
            known = upstream in chain.gradients and upstream != trouble.gradient
            if known and agree(said, np.asarray(arrived)) and np.any(arrived):
                return (
                    f"it is {upstream} as it came in: the derivative of {trouble.line(number)} is "
                    "left out"
                )
    return ""


def _zero(trouble: Trouble) -> str:
    said = trouble.said
    if said is None or said.shape != trouble.right.shape or said.any():
        return ""
    return "it is zero everywhere"


def _by_factor(trouble: Trouble) -> str:
    """Off by one factor everywhere."""
    said, right = trouble.said, trouble.right
    assert said is not None
    if said.shape != right.shape:
        return ""
    square = float((right * right).sum())
    if not math.isfinite(float(said.sum())) or np.count_nonzero(right) < 2 or not square:
        return ""
    factor = float((said * right).sum()) / square
    if not agree(said, factor * right):
        return ""
    if math.isclose(factor, -1, rel_tol=_CLOSE):
        return "it has the wrong sign"
    counts = [n for n in {*trouble.start.shape, trouble.start.size, 2} if n > 1]
    for count in counts:
        if math.isclose(factor, count, rel_tol=1e-4):
            return f"it is {count} times too large"
        if math.isclose(factor, 1 / count, rel_tol=1e-4):
            return f"it is {count} times too small"
    return f"it is {factor:.6g} times what it should be"
