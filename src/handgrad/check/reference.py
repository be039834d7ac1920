"""One right submission, and what it answers: as it is, under a convention, with a mistake in it.

A course holds it as a student would write it, without a line of handgrad. What a case asks
is asked of it in this process, in float64: its answers are the right ones, and with a known mistake
planted in it (``handgrad.check.mistakes``) they are what that mistake gives.
"""

import builtins
import copy
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from functools import cache, cached_property, lru_cache
from types import CodeType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from handgrad.check.case import Step, Variant, called
from handgrad.check.conventions import Convention
from handgrad.check.mistakes import Mistake, calls, patched
from handgrad.check.sandbox.steps import Context

Values = Mapping[str, Any]


class Reference:
    """The right submission under a convention.

    Parameters
    ----------
    convention : Convention
    """

    def __init__(self, convention: Convention) -> None:
        self.convention = convention
        self.sources = _held_to(convention)
        self._answers: WeakKeyDictionary[Variant, Values] = WeakKeyDictionary()
        self._mistaken: WeakKeyDictionary[Variant, dict[str, list[Values]]] = WeakKeyDictionary()

    def right(self, variant: Variant) -> Values:
        """Give the right value of every output of a variant, by name.

        They are kept as long as the variant is: many submissions are asked the same.
        """
        if variant not in self._answers:
            self._answers[variant] = self._of(variant)
        return self._answers[variant]

    def wrong(self, variant: Variant, mistake: Mistake) -> Iterator[Values]:
        """Give what a variant's outputs are with a mistake in it, made in each of its ways."""
        known = self._mistaken.setdefault(variant, {})
        if mistake.name not in known:
            planted = mistake.planted(self.sources)
            known[mistake.name] = [self._of(variant, sources) for sources in planted]
        yield from known[mistake.name]

    def both(self, variant: Variant, first: Mistake, second: Mistake) -> Iterator[Values]:
        """Give what a variant's outputs are with two mistakes in it, each made in its ways.

        There are none where they change the same text.
        """
        for one in first.planted(self.sources):
            for other in second.planted({**self.sources, **one}):
                yield self._of(variant, {**one, **other})

    def mistakes(self, variant: Variant) -> list[Mistake]:
        """Give the known mistakes in what a variant's steps call, in the table's order."""
        reached = self._reached({name for _, name in called(variant.steps)})
        return [
            mistake
            for mistake, touched in self._known
            if touched & reached and mistake.unless not in self.convention.flags
        ]

    @cached_property
    def _known(self) -> list[tuple[Mistake, set[str]]]:
        mistakes = self.convention.course.mistakes
        return [(mistake, mistake.touches(self.sources)) for mistake in mistakes]

    def _reached(self, names: set[str]) -> set[str]:
        """These functions, by any of their names, and those of their module that they call."""
        aliases = self.convention.course.aliases
        names = {other for name in names for other in aliases.get(name, (name,))}
        called_by = [calls(source) for source in self.sources.values()]
        while True:
            more = {o for name in names for found in called_by for o in found.get(name, ())}
            if more <= names:
                return names
            names = names | more

    def _of(self, variant: Variant, sources: Mapping[str, str] = {}) -> Values:
        values = self.values(variant.inputs, variant.steps, sources)
        compared = (*variant.understood, *variant.wants)
        return {want.name: values[want.name] for want in compared if want.name in values}

    def values(
        self, inputs: Mapping[str, Any], steps: Sequence[Step], sources: Mapping[str, str] = {}
    ) -> Values:
        """Carry out steps in float64, and give every value by its name.

        What an exception leaves undone is absent: a mistake may raise one.
        """
        given = {"inputs": widened(inputs), "steps": list(steps), "returns": ()}
        with _own_random_numbers():
            units = {unit for unit, _ in called(steps)} if steps else set()
            _, values = self.context(sources, units).carry_out(given)
        return values

    def error(self, variant: Variant) -> str:
        """What ends a variant's steps before their end: '' where nothing does."""
        given = {"inputs": widened(variant.inputs), "steps": list(variant.steps), "returns": ()}
        with _own_random_numbers():
            error, _ = self.context().carry_out(given)
        return f"{error['doing']} raised {error['type']}: {error['text']}" if error else ""

    def context(self, sources: Mapping[str, str] = {}, units: Set[str] | None = None) -> Context:
        """Load the submission afresh, some of its sources replaced, for steps to be run on.

        units : what of it is needed, and with it what that imports; default all
        """
        context = Context({}, self.convention.course.aliases)
        context.loaded.update(_load({**self.sources, **sources}, units))
        return context

    def function(self, name: str) -> Any:
        """Give one function of its layers."""
        return getattr(_load({"layers": self.sources["layers"]})["layers"], name)


@lru_cache(maxsize=16)
def reference(convention: Convention) -> Reference:
    """Give the reference of a convention; there is one of each."""
    return Reference(convention)


def widened(value: Any) -> Any:
    """Copy inputs, float32 as float64: the right answer is not rounded."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64) if value.dtype == np.float32 else value.copy()
    if isinstance(value, dict):
        return {key: widened(item) for key, item in value.items()}
    return copy.deepcopy(value)


@cache
def _held_to(convention: Convention) -> dict[str, str]:
    """The sources by unit, changed as the convention asks."""
    sources = dict(convention.course.sources)
    for flag, patch in convention.course.patches.items():
        if flag in convention.flags and patch.unit in sources:
            sources[patch.unit] = patched(sources[patch.unit], patch.old, patch.new)
    return sources


@lru_cache(maxsize=1024)
def _compiled(unit: str, source: str) -> list[CodeType]:
    """Compile a source by its functions: one with a mistake in it differs in one or two."""
    try:
        return [_piece(unit, piece) for piece in re.split(r"\n(?=(?:def|class) )", source)]
    except SyntaxError:  # a decorator stands alone
        return [_piece(unit, source)]


@lru_cache(maxsize=4096)
def _piece(unit: str, text: str) -> CodeType:
    return compile(text, f"{unit}.py", "exec")


def _load(sources: Mapping[str, str], units: Set[str] | None = None) -> dict[str, ModuleType]:
    """Run sources as modules that import each other, known to nobody else."""
    loaded: dict[str, ModuleType] = {}

    def find(name: str, *rest: Any) -> ModuleType:
        if name not in sources:
            return builtins.__import__(name, *rest)
        if name not in loaded:
            module = loaded[name] = ModuleType(name)
            vars(module)["__builtins__"] = {**vars(builtins), "__import__": find}
            for code in _compiled(name, sources[name]):
                exec(code, vars(module))
        return loaded[name]

    for unit in sources if units is None else sources.keys() & units:
        find(unit)
    return loaded


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Put NumPy's global generator back as it was: steps seed it."""
    state = np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
