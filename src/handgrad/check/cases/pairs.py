"""The cases that every forward/backward pair has in common."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Case, Setting, Step, Variant, Verdict, Want, call, copied
from handgrad.check.cases.in_turn import IN_TURN, Turn, in_turn
from handgrad.check.reference import reference
from handgrad.check.verdict.hypotheses import as_numbers

_DIFFERENCES_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Sample:
    """One set of inputs of a pair.

    Attributes
    ----------
    label, numbers : see Variant
    inputs : mapping
        The forward's arguments, and dout.
    places : mapping
        Input name to (cause to a mask of its gradient's entries).
    """

    label: str
    inputs: Mapping[str, Any]
    numbers: Mapping[str, float] = field(default_factory=dict)
    places: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A forward and its backward.

    Attributes
    ----------
    args : the forward's arguments: names of inputs, or values
    gradients : the inputs whose gradients the backward gives, in their order
    specs : shapes to try; the first is used where one is enough
    make : function
        ``make(rng, spec, dtype)`` gives a Sample.
    """

    group: str
    forward: str
    backward: str
    read: str
    args: Sequence[Any]
    gradients: Sequence[str]
    specs: Sequence[Any]
    make: Callable[[np.random.Generator, Any, str], Sample]
    optional: bool = False

    def steps(self, backward: bool = True) -> list[Step]:
        """Forward, and backward where it is wanted."""
        steps = [call(self.forward, self.args, ["out", "cache"])]
        if backward:
            steps.append(call(self.backward, ["dout", "cache"], _saved(self.outputs)))
        return steps

    @property
    def outputs(self) -> list[str]:
        """What the backward gives: 'dx', ..."""
        return [f"d{name}" for name in self.gradients]

    def variant(
        self,
        sample: Sample,
        wants: Sequence[Want] = (),
        unmodified: Sequence[str] = (),
        backward: bool = True,
    ) -> Variant:
        """Ask for one sample's outputs."""
        steps = self.steps(backward)
        return Variant(sample.label, sample.inputs, steps, wants, sample.numbers, unmodified)

    def case(
        self, name: str, variants: Sequence[Variant], backward: bool = True, **more: Any
    ) -> Case:
        """Make a case of the forward, or of the backward."""
        function = self.backward if backward else self.forward
        return Case(self.group, function, name, variants, self.read, optional=self.optional, **more)


def _saved(names: list[str]) -> Any:
    return names if len(names) > 1 else names[0]


def pair_cases(setting: Setting, pair: Pair) -> Iterator[Case]:
    """Give the cases of a pair: values, gradients, dtypes, arguments, repetition, differences."""

    def samples(function: str, name: str, dtype: str, specs: Sequence[Any]) -> list[Sample]:
        rng = setting.rng(function, name)
        return [pair.make(rng, spec, dtype) for spec in specs]

    def forward(name: str, dtype: str, specs: Sequence[Any]) -> Case:
        wants = [Want("out", dtype, tolerance_of(dtype))]
        found = samples(pair.forward, name, dtype, specs)
        return pair.case(name, [pair.variant(s, wants, (), False) for s in found], False)

    def unmodified(backward: bool) -> Case:
        name = "modifies no argument"
        function = pair.backward if backward else pair.forward
        found = samples(function, name, "float64", pair.specs[:1])
        variants = [pair.variant(s, (), _arrays(s, backward), backward) for s in found]
        return pair.case(name, variants, backward, counts_alone=False)

    yield forward("value", "float64", pair.specs)
    yield forward("float32 stays float32", "float32", pair.specs[:1])
    yield unmodified(False)
    for argument in pair.gradients:
        name = f"gradient of {argument}"
        yield pair.case(name, [
            pair.variant(sample, [_want(sample, argument, "float64")])
            for sample in samples(pair.backward, name, "float64", pair.specs)
        ])  # fmt: skip
    name = "float32 stays float32"
    yield pair.case(name, [
        pair.variant(sample, [_want(sample, argument, "float32") for argument in pair.gradients])
        for sample in samples(pair.backward, name, "float32", pair.specs[:1])
    ])  # fmt: skip
    yield unmodified(True)
    name = "the same cache twice"
    twice = [_twice(pair, s) for s in samples(pair.backward, name, "float64", pair.specs[:1])]
    yield pair.case(name, twice, counts_alone=False)
    specs = [pair.specs[0], pair.specs[0], pair.specs[-1]]
    first, alike, other = samples(pair.backward, IN_TURN, "float64", specs)
    turns = [
        _in_turn(setting, pair, first, alike, "two of one shape"),
        _in_turn(setting, pair, first, other, f"{first.label} and {other.label}"),
    ]
    yield pair.case(IN_TURN, turns, counts_alone=False)
    name = "agrees with differences of its own forward"
    found = samples(pair.backward, name, "float64", pair.specs[:1])
    yield pair.case(name, [_differences(pair, sample) for sample in found], counts_alone=False)


def _arrays(sample: Sample, with_dout: bool) -> list[str]:
    return [
        name
        for name, value in sample.inputs.items()
        if isinstance(value, np.ndarray) and (with_dout or name != "dout")
    ]


def tolerance_of(dtype: str) -> float:
    """Relative to the largest entry: sums in another order differ by far less.

    Float32's digits (6e-8) must not pass for float64's.
    """
    return 1e-9 if dtype == "float64" else 2e-4


def _want(sample: Sample, argument: str, dtype: str) -> Want:
    return Want(f"d{argument}", dtype, tolerance_of(dtype), sample.places.get(argument, {}))


def _twice(pair: Pair, sample: Sample) -> Variant:
    """A second backward on the same cache, and forward and backward once more."""
    names = pair.outputs
    again = [f"{name} again" for name in names]
    afresh = [f"{name} afresh" for name in names]
    steps = [
        *pair.steps(),
        *(copied(name, f"first {name}") for name in names),
        call(pair.backward, ["dout", "cache"], _saved(again)),
        call(pair.forward, pair.args, ["out", "cache"]),
        call(pair.backward, ["dout", "cache"], _saved(afresh)),
    ]

    def same(values: Mapping[str, Any]) -> Verdict:
        for name in names:
            first = as_numbers(values.get(f"first {name}"))
            if first is None:
                return Verdict(False, None, f"{name} is no array of numbers")
            for other, cause, when in (
                (f"{name} again", "cache-modified", "a second backward on the same cache"),
                (f"{name} afresh", "not-deterministic", "the same two calls once more"),
            ):
                second = as_numbers(values.get(other))
                if second is None or not np.array_equal(first, second, equal_nan=True):
                    return Verdict(False, cause, f"{name} is another after {when}")
        return Verdict(True)

    extra = [*(f"first {name}" for name in names), *again, *afresh]
    return Variant(sample.label, dict(sample.inputs), steps, (), sample.numbers, (), same, extra)


def _in_turn(setting: Setting, pair: Pair, first: Sample, second: Sample, label: str) -> Variant:
    names = ["out", *pair.outputs]

    def turn(sample: Sample) -> Turn:
        def right() -> dict[str, Array]:
            values = reference(setting.convention).values(sample.inputs, pair.steps())
            return {name: values[name] for name in names}

        return Turn(sample.inputs, pair.args, right)

    return in_turn(label, (pair.forward, pair.backward), pair.outputs, (turn(first), turn(second)))


def _differences(pair: Pair, sample: Sample) -> Variant:
    """The backward's gradients against central differences of the submission's own forward."""
    names = pair.gradients
    steps = [
        *pair.steps(),
        *(
            {
                "op": "differences",
                "steps": pair.steps(backward=False),
                "of": "out",
                "by": name,
                "upstream": "dout",
                "h": 1e-5,
                "save": f"numeric d{name}",
            }
            for name in names
        ),
    ]
    extra = [*(f"d{name}" for name in names), *(f"numeric d{name}" for name in names)]
    return Variant(
        sample.label, dict(sample.inputs), steps, (), sample.numbers, (),
        agree([f"d{name}" for name in names]), extra,
    )  # fmt: skip


def agree(
    names: Sequence[str], times: Mapping[str, float] = {}
) -> Callable[[Mapping[str, Any]], Verdict]:
    """Judge whether 'dx' is 'numeric dx', for each name, or so many times as much."""

    def judge(values: Mapping[str, Any]) -> Verdict:
        for name in names:
            analytic = as_numbers(values.get(name))
            numeric = as_numbers(values.get(f"numeric {name}"))
            if analytic is None or numeric is None:
                return Verdict(False, None, f"{name} is no array of numbers")
            if analytic.shape != numeric.shape:
                shapes = f"{name} has shape {analytic.shape}, expected {numeric.shape}"
                return Verdict(False, "wrong-shape", shapes)
            analytic = analytic.astype(float)
            numeric = numeric.astype(float) * times.get(name, 1.0)
            scale = max(float(np.abs(numeric).max(initial=0.0)), 1e-3)
            error = np.abs(analytic - numeric) / scale
            error = np.where(np.isnan(error), np.inf, error)
            if not (error < _DIFFERENCES_TOLERANCE).all():
                index = np.unravel_index(int(np.argmax(error)), error.shape)
                at = tuple(int(i) for i in index)
                return Verdict(
                    False,
                    "backward-of-another-forward",
                    f"{name} at index {at[0] if len(at) == 1 else at}: backward says "
                    f"{analytic[index]:.7g}, central differences of its own forward say "
                    f"{numeric[index]:.7g}",
                )
        return Verdict(True)

    return judge
