"""A case, as data: inputs and steps for the child, and what the parent wants to see."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.conventions import Convention
from handgrad.check.records import Observation

Step = dict[str, Any]
_HOLDERS = (dict, list, tuple)  # of steps within steps


@dataclass(frozen=True)
class Want:
    """One output that is compared with the reference's.

    Attributes
    ----------
    name : str
        The name under which the child gives it back.
    dtype : 'any' or a dtype's name
        What dtype the output must have; 'any' does not look.
    tolerance : float
        Relative to the largest entry of the right value.
    places : mapping
        Cause ('borders-wrong', 'ties-wrong', ...) to the mask of entries that it concerns: named
        when exactly entries of these places are off.
    """

    name: str
    dtype: str = "any"
    tolerance: float = 1e-9
    places: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """A custom judge's finding; ``cause`` None: failed, cause unknown.

    What was seen is ``said``, or, where it is one output that was compared, ``seen``.
    """

    passed: bool
    cause: str | None = None
    said: str = ""
    seen: Observation | None = None


@dataclass(frozen=True, eq=False)  # one is itself alone: answers are kept by it
class Variant:
    """One set of inputs within a case.

    Attributes
    ----------
    label : str
        For the learner: 'N = 3, C = 2, image 5x4, float64'.
    inputs : mapping
        Name to array (or dict); a fresh copy for the child.
    steps : list of dict
        See ``steps.py``.
    wants : outputs to compare
    numbers : mapping
        N, C, p, ...: what constant factors may be called; and facts that patterns use.
    unmodified : names of inputs that must not change
    judge : function, optional
        Looks at the values given back and finds, in place of ``wants`` or after them.
    extra : further names to give back
    untold : causes that these inputs cannot tell from others
    kind : str
        Of several kinds of input that are as good (codings of the labels), which this is. A case
        asks in the kinds that the submission takes; where it takes none, in all.
    understood : sequence of Want
        Of a variant with a kind: outputs that are right where that kind is taken. It is taken where
        they are right in all its variants.
    """

    label: str
    inputs: Mapping[str, Any]
    steps: Sequence[Step]
    wants: Sequence[Want] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    unmodified: Sequence[str] = ()
    judge: Callable[[Mapping[str, Any]], Verdict | None] | None = None
    extra: Sequence[str] = ()
    untold: Sequence[str] = ()
    kind: str = ""
    understood: Sequence[Want] = ()

    def returns(self) -> list[str]:
        """Names that the child gives back."""
        compared = (*self.understood, *self.wants)
        names = [*(want.name for want in compared), *self.unmodified, *self.extra]
        return list(dict.fromkeys(names))


@dataclass(frozen=True)
class Case:
    """One record of the report: a function, what is asked of it, and the variants that ask.

    Attributes
    ----------
    group, function, name : see CaseResult
    variants : sequence of Variant
    read : str
        What to read where it fails.
    unit : str
        The module of the function.
    beside : sequence of (unit, name)
        Functions that it needs, and that no step calls by name.
    patience : float
        How many times the usual limit of time it may take.
    recognise : function, optional
        Says from the values given back what convention the submission follows.
    optional : bool
        It is left out when the function is absent.
    timing : function, optional
        Gives times, by their labels, from the values given back.
    lasts : function, optional
        Gives from the values given back the seconds that the case takes, or would take where a part
        of it was tried; passing its limit is failing it.
    counts_alone : bool
        False: zeros, or one number everywhere, would pass it.
    """

    group: str
    function: str
    name: str
    variants: Sequence[Variant]
    read: str = ""
    unit: str = "layers"
    beside: Sequence[tuple[str, str]] = ()
    patience: float = 1.0
    recognise: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, str]] | None = None
    optional: bool = False
    timing: Callable[[Mapping[str, Any]], Mapping[str, float]] | None = None
    lasts: Callable[[Mapping[str, Any]], float | None] | None = None
    counts_alone: bool = True

    @cached_property
    def needs(self) -> list[tuple[str, str]]:
        """The modules and functions without which it cannot be asked, its own first."""
        steps = [variant.steps for variant in self.variants]
        own = (self.unit, self.function.partition(".")[0])  # of a method, its class
        return list(dict.fromkeys([own, *called(steps), *self.beside]))


@dataclass(frozen=True)
class Setting:
    """What case builders need: the convention (which has the course) and the seed."""

    convention: Convention
    seed: int

    def rng(self, function: str, name: str) -> np.random.Generator:
        """The case's own generator: what else runs does not change its inputs."""
        words = [zlib.crc32(text.encode()) for text in (function, name)]
        return np.random.default_rng([self.seed, *words])


# -- steps: what each does is said in sandbox/steps.py ------------------------------------------


def ref(name: str) -> dict[str, str]:
    """A reference to a value of the variant."""
    return {"$": name}


def call(
    name: str,
    args: Sequence[Any],
    save: str | list[str],
    unit: str = "layers",
    kwargs: Mapping[str, Any] | None = None,
) -> Step:
    """Call a function; strings among the arguments are references."""
    return {
        "op": "call", "unit": unit, "name": name, "args": _given(args), "save": save,
        "kwargs": dict(kwargs or {}),
    }  # fmt: skip


def method(on: str, name: str, args: Sequence[Any], save: Any, **kwargs: Any) -> Step:
    """Call a method; strings among the arguments are references."""
    given = _given(args)
    return {"op": "method", "on": on, "name": name, "args": given, "kwargs": kwargs, "save": save}


def _given(args: Sequence[Any]) -> list[Any]:
    return [ref(arg) if isinstance(arg, str) else arg for arg in args]


def seeded(value: int) -> Step:
    """Seed NumPy's global generator."""
    return {"op": "seed", "value": value}


def copied(of: str, save: str) -> Step:
    """Keep a value as it is now."""
    return {"op": "copy", "of": of, "save": save}


def item(on: str, key: str, save: str) -> Step:
    """Take an item out of a dict."""
    return {"op": "item", "on": on, "key": key, "save": save}


def attribute(on: str, name: str, save: str) -> Step:
    """Read an attribute."""
    return {"op": "attribute", "on": on, "name": name, "save": save}


def refused(step: Step, save: str) -> Step:
    """Carry out a step that should raise an exception; keep it."""
    return {"op": "refuse", "step": step, "save": save}


def called(steps: Any) -> list[tuple[str, str]]:
    """The functions and classes that steps call, (unit, name), those of steps within steps, too."""
    found: list[tuple[str, str]] = []
    waiting = [steps]
    while waiting:
        step = waiting.pop()
        if isinstance(step, dict):
            if step.get("op") in ("call", "make"):
                found.append((step["unit"], step["name"]))
            step = list(step.values())
        if isinstance(step, list | tuple):
            waiting += [inside for inside in reversed(step) if isinstance(inside, _HOLDERS)]
    return found


def shape_text(x: Array) -> str:
    """A shape as '3x2x5'."""
    return "x".join(map(str, x.shape)) or "scalar"
