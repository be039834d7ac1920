"""The usual cases of a function, made from what a course's topic says of it, and from nothing else.

A value for each output that is compared, with every set of sizes; each gradient against the
reference and against differences of the submission's own forward; float32; arguments that stay as
they were; a second backward on the same cache; two calls in turn; and what the topic adds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from handgrad.check.case import Case, Setting, Step, Variant, Verdict, Want, copied, ref
from handgrad.check.cases.drawing import Expression, drawn, label_of, narrowed
from handgrad.check.cases.in_turn import differs, same
from handgrad.check.cases.pairs import agree
from handgrad.check.cases.statements import Statements
from handgrad.check.courses.topics import Asking, Extra, Function, Gradients, Sizes, Topic
from handgrad.check.mistakes import calls
from handgrad.check.reference import Reference, reference
from handgrad.check.verdict.hypotheses import as_numbers

FLOAT32, UNMODIFIED = "float32 stays float32", "modifies no argument"
TWICE, IN_TURN = "the same cache twice", "two calls in turn"
DIFFERENCES = "agrees with differences of its own forward"
_STEP = 1e-5
_DRAWS = 5  # so many tries for inputs at which the reference's own differences tell its gradient


def cases(setting: Setting, topic: Topic) -> Iterator[Case]:
    """Give all cases of a topic.

    Raises
    ------
    CourseError
        Where the topic's data make no case, or the reference fails one of its own.
    """
    units = _units(reference(setting.convention))
    for function in topic.functions:
        yield from _Builder(setting, function, units).cases()


def _units(held: Reference) -> dict[str, str]:
    """Each function and class of the reference, by all of its names, to the module it is in."""
    own = {name: unit for unit, source in held.sources.items() for name in calls(source)}
    others = {
        other: own[name]
        for names in held.convention.course.aliases.values()
        for name in names
        if name in own
        for other in names
    }
    return {**others, **own}


@dataclass
class _Builder:
    """Makes the cases of one function."""

    setting: Setting
    function: Function
    units: Mapping[str, str]

    @property
    def reference(self) -> Reference:
        return reference(self.setting.convention)

    @cached_property
    def steps(self) -> list[Step]:
        """The function's own steps."""
        return self._read(self.function.steps, self.function.asking)

    def _read(self, lines: Sequence[str], asking: Asking, at: Any = None) -> list[Step]:
        names = {*asking.inputs, *(key for sizes in asking.sizes for key in sizes)}
        return Statements(self.units, names, at or self.function.at).read(lines)

    def cases(self) -> Iterator[Case]:
        """Give the usual cases but for those that the course leaves out, and its own."""
        asking = self.function.asking
        for name, variants, alone in self._usual():
            if name not in asking.without and variants:
                yield self._case(name, variants, alone)
        for extra in self.function.extras:
            yield self._case(extra.name, self._extra(extra), True)

    def _case(self, name: str, variants: Sequence[Variant], counts_alone: bool) -> Case:
        for variant in variants:
            self._prove(name, variant)
        function, asking = self.function, self.function.asking
        own = function.name.partition(".")[0]
        if own not in self.units:
            function.at.fail("steps", f"the reference defines no {own}")
        case = Case(
            function.topic, function.name, name, variants, asking.read, self.units[own],
            optional=asking.optional, counts_alone=counts_alone,
        )  # fmt: skip
        try:
            self.setting.convention.course.severity_of(case)
        except LookupError as error:
            function.at.fail("case", str(error))
        return case

    def _prove(self, name: str, variant: Variant) -> None:
        """The reference must answer all that is asked of it."""
        missing = [w.name for w in variant.wants if w.name not in self.reference.right(variant)]
        if not missing:
            return
        error = self.reference.error(variant)
        said = f"the reference gives no {missing[0]} in the case {name!r}"
        self.function.at.fail("steps", f"{said}: {error}" if error else said)

    # -- the usual cases --------------------------------------------------------------------

    def _usual(self) -> Iterator[tuple[str, list[Variant], bool]]:
        function, asking = self.function, self.function.asking
        for output in function.compare:
            name = self._name(output)
            yield name, [self._values(name, sizes, [output]) for sizes in asking.sizes], True
        yield FLOAT32, [self._narrow(asking.sizes[0])], True
        yield UNMODIFIED, self._unmodified(asking.sizes[0]), False
        again = self._twice(asking.sizes[0])
        yield TWICE, [again] if again else [], False
        yield IN_TURN, [self._in_turn(asking.sizes[0])], False
        if function.gradients is not None:
            yield DIFFERENCES, [self._differences(function.gradients)], False

    def _name(self, output: str) -> str:
        """'gradient of w' where it is one; else 'value', of which output if there are more."""
        gradients = self.function.gradients
        if gradients is not None and output in gradients.by:
            return f"gradient of {gradients.by[output]}"
        return "value" if len(self.function.compare) == 1 else f"value of {output}"

    def _inputs(
        self, name: str, asking: Asking, sizes: Sizes, steps: Sequence[Step], draw: int = 0
    ) -> dict[str, Any]:
        """What the steps use, of what is drawn: the same numbers, whatever else runs."""
        words = ", ".join(f"{key} {value}" for key, value in sizes.items())
        rng = self.setting.rng(self.function.name, f"{name} {words}" + f" {draw}" * bool(draw))
        inputs = drawn(asking, sizes, rng, self.function.at)
        used = _references(steps)
        return {key: value for key, value in inputs.items() if key in used}

    def _numbers(self, sizes: Sizes) -> dict[str, float]:
        examples = self.function.asking.examples
        more = {"N": sizes[examples]} if examples in sizes else {}
        return {**{key: float(value) for key, value in sizes.items()}, **more}

    def _variant(self, inputs: Mapping[str, Any], sizes: Sizes, **more: Any) -> Variant:
        dtype = "float32" if more.pop("narrow", False) else "float64"
        label = label_of(inputs, list(inputs), dtype)
        numbers = self._numbers(sizes)
        return Variant(label, inputs, more.pop("steps", self.steps), numbers=numbers, **more)

    def _values(self, name: str, sizes: Sizes, outputs: Sequence[str]) -> Variant:
        inputs = self._inputs(name, self.function.asking, sizes, self.steps)
        wants = [Want(output, "any", self.function.asking.tolerance) for output in outputs]
        return self._variant(inputs, sizes, wants=wants)

    def _narrow(self, sizes: Sizes) -> Variant:
        """In float32, of every output that is an array; a loss is a number of any kind."""
        inputs = narrowed(self._inputs(FLOAT32, self.function.asking, sizes, self.steps))
        bare = self._variant(inputs, sizes, narrow=True)
        values = self.reference.values(bare.inputs, bare.steps)
        wants = [
            Want(
                output,
                "float32" if np.ndim(values.get(output, 0)) else "any",
                self.function.asking.float32,
            )
            for output in self.function.compare
        ]
        return replace(bare, wants=wants)

    def _unmodified(self, sizes: Sizes) -> list[Variant]:
        inputs = self._inputs(UNMODIFIED, self.function.asking, sizes, self.steps)
        arrays = [name for name, value in inputs.items() if isinstance(value, np.ndarray)]
        return [self._variant(inputs, sizes, unmodified=arrays)] if arrays else []

    def _twice(self, sizes: Sizes) -> Variant | None:
        """The backward's own steps once more; what the reference does is right: it may add up."""
        gradients = self.function.gradients
        if gradients is None:
            return None
        at = self._end_of_forward(gradients)
        outputs = [name for name in self.function.compare if name in gradients.by]
        steps = [
            *self.steps,
            *(copied(name, f"first {name}") for name in outputs),
            *self.steps[at:],
        ]
        inputs = self._inputs(TWICE, self.function.asking, sizes, self.steps)
        right = self.reference.values(inputs, steps)
        if not all(same(right.get(name), right.get(f"first {name}")) for name in outputs):
            return None

        def look(values: Mapping[str, Any]) -> Verdict:
            for name in outputs:
                first, second = values.get(f"first {name}"), values.get(name)
                if as_numbers(first) is None:
                    return Verdict(False, None, f"{name} is no array of numbers")
                if not same(first, second):
                    text = differs(name, first, second, "the backward runs once more")
                    return Verdict(False, "cache-modified", text)
            return Verdict(True)

        extra = [*outputs, *(f"first {name}" for name in outputs)]
        return self._variant(inputs, sizes, steps=steps, judge=look, extra=extra)

    def _in_turn(self, sizes: Sizes) -> Variant:
        """Two calls alone, then step by step in turn: neither may know of the other."""
        outputs = self.function.compare
        inputs: dict[str, Any] = {}
        for side in "AB":
            own = self._inputs(f"{IN_TURN} {side}", self.function.asking, sizes, self.steps)
            inputs |= {f"given {side} {key}": value for key, value in own.items()}
        sides = {side: _with_prefix(self.steps, side) for side in "AB"}

        def fresh(side: str) -> list[Step]:
            names = [key for key in inputs if key.startswith(f"given {side} ")]
            return [copied(key, key.removeprefix("given ")) for key in names]

        def kept(side: str, when: str) -> list[Step]:
            return [copied(f"{side} {name}", f"{side} {name} {when}") for name in outputs]

        steps = [
            *fresh("A"), *sides["A"], *kept("A", "alone"),
            *fresh("B"), *sides["B"], *kept("B", "alone"), *kept("A", "later"),
            *fresh("A"), *fresh("B"),
            *(step for pair in zip(*sides.values(), strict=True) for step in pair),
            *kept("A", "in turn"), *kept("B", "in turn"),
            *fresh("A"), *sides["A"], *kept("A", "again"),
        ]  # fmt: skip
        moments = ("alone", "later", "in turn", "again")
        extra = [f"A {name} {when}" for name in outputs for when in moments]
        extra += [f"B {name} {when}" for name in outputs for when in ("alone", "in turn")]
        cause = self._shared_cause()

        def look(values: Mapping[str, Any]) -> Verdict:
            for side, when, told, said in (
                ("A", "later", "result-overwritten", "later calls have been made"),
                ("A", "in turn", cause, "another is called in turn with it"),
                ("B", "in turn", cause, "another is called in turn with it"),
                ("A", "again", "not-deterministic", "the same is called once more"),
            ):
                for name in outputs:
                    alone = values.get(f"{side} {name} alone")
                    now = values.get(f"{side} {name} {when}")
                    if as_numbers(alone) is None:
                        return Verdict(False, None, f"{name} is no array of numbers")
                    if not same(alone, now):
                        return Verdict(False, told, differs(name, alone, now, said))
            return Verdict(True)

        label = label_of(
            {key.removeprefix("given A "): v for key, v in inputs.items()},
            [k.removeprefix("given A ") for k in inputs if k.startswith("given A ")], "float64",
        )  # fmt: skip
        return Variant(label, inputs, steps, judge=look, extra=extra)

    def _shared_cause(self) -> str:
        """What it is called when one call changes the answer of another."""
        if any(step["op"] == "method" for step in self.steps):
            return "instances-share"
        calls = sum(step["op"] == "call" for step in self.steps)
        return "last-forward-not-cache" if calls > 1 else "depends-on-earlier-calls"

    # -- differences ------------------------------------------------------------------------

    def _end_of_forward(self, gradients: Gradients) -> int:
        """How many steps give what is differentiated."""
        for number, step in enumerate(self.steps, 1):
            if gradients.of in _saved(step):
                return number
        self.function.at.fail("gradients.of", f"no step gives {gradients.of}")

    def _differences(self, gradients: Gradients) -> Variant:
        """Where the reference's own do not tell its gradient, a kink is near: drawn again."""
        at = self._end_of_forward(gradients)
        table = self.function.at.table("gradients")
        for output, name in gradients.by.items():
            if name not in self.function.asking.inputs:
                table.fail(f"by.{output}", f"{name} is no input")
        sizes = self.function.asking.sizes[0]
        steps = [
            *self.steps,
            *(
                {
                    "op": "differences", "steps": self.steps[:at], "of": gradients.of,
                    "by": name, "upstream": gradients.upstream or None, "h": _STEP,
                    "save": f"numeric {output}",
                }
                for output, name in gradients.by.items()
            ),
        ]  # fmt: skip
        expression = Expression(sizes, table, "scale")
        scale = {output: expression.of(text) for output, text in gradients.scale.items()}
        judge = agree(list(gradients.by), scale)
        extra = [name for output in gradients.by for name in (output, f"numeric {output}")]
        for draw in range(_DRAWS):
            inputs = self._inputs(DIFFERENCES, self.function.asking, sizes, steps, draw)
            own = judge(self.reference.values(inputs, steps))
            if own.passed:
                break
        else:
            self.function.at.fail("gradients", f"of the reference itself, {own.said}")
        return self._variant(inputs, sizes, steps=steps, judge=judge, extra=extra)

    # -- what a topic adds ------------------------------------------------------------------

    def _extra(self, extra: Extra) -> list[Variant]:
        steps = self._read(extra.steps, extra.asking, extra.at)
        wants = [Want(name, "any", extra.asking.tolerance) for name in extra.compare]
        return [
            self._variant(
                self._inputs(extra.name, extra.asking, sizes, steps), sizes, steps=steps,
                wants=wants,
            )
            for sizes in extra.asking.sizes
        ]  # fmt: skip


def _saved(step: Step) -> list[str]:
    saved = step.get("save") or []
    return [saved] if isinstance(saved, str) else list(saved)


def _references(value: Any) -> set[str]:
    """The names of values that steps use."""
    if isinstance(value, Mapping):
        if set(value) == {"$"}:
            return {value["$"]}
        own = {value[key] for key in ("on", "of", "by", "upstream") if value.get(key)}
        return own.union(*(_references(item) for item in value.values()))
    if isinstance(value, list | tuple):
        return set().union(*(_references(item) for item in value))
    return set()


def _with_prefix(steps: Sequence[Step], side: str) -> list[Step]:
    """The same steps on values of their own."""

    def renamed(value: Any) -> Any:
        if isinstance(value, Mapping):
            if set(value) == {"$"}:
                return ref(f"{side} {value['$']}")
            return {key: renamed(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(renamed(item) for item in value)
        return value

    found = []
    for step in steps:
        step = renamed(step)
        for key in ("on", "of"):
            if key in step:
                step[key] = f"{side} {step[key]}"
        saved = step.get("save")
        if saved:
            step["save"] = (
                f"{side} {saved}" if isinstance(saved, str) else [f"{side} {s}" for s in saved]
            )
        found.append(step)
    return found
