"""The cases that every forward/backward pair has in common."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Case, Setting, Step, Variant, Verdict, Want, call
from handgrad.check.cases.in_turn import IN_TURN, Turn, in_turn
from handgrad.check.verdict.hypotheses import as_numbers

_DIFFERENCES_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Sample:
    """One set of inputs of a pair, with everything that is right and much that is wrong.

    Attributes
    ----------
    label, numbers : see Variant
    inputs : mapping
        The forward's arguments, and dout.
    out : array
    gradients : mapping
        Input name to the right gradient.
    wrong_out : mapping
        Cause to what a mistake gives.
    wrong : mapping
        Input name to (cause to what a mistake gives).
    places : mapping
        Input name to (cause to a mask).
    """

    label: str
    inputs: Mapping[str, Any]
    out: Array
    gradients: Mapping[str, Array]
    numbers: Mapping[str, float] = field(default_factory=dict)
    wrong_out: Mapping[str, Any] = field(default_factory=dict)
    wrong: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    places: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A forward and its backward.

    Attributes
    ----------
    make : function
        ``make(rng, spec, dtype)`` gives a Sample.
    args : the forward's arguments: names of inputs, or values
    specs : shapes to try; the first is used where one is enough
    """

    group: str
    forward: str
    backward: str
    read: str
    args: Sequence[Any]
    specs: Sequence[Any]
    make: Callable[[np.random.Generator, Any, str], Sample]
    optional: bool = False

    def steps(self, gradients: Mapping[str, Array] | None) -> list[Step]:
        """Forward, and backward where gradients are wanted."""
        steps = [call(self.forward, self.args, ["out", "cache"])]
        if gradients is not None:
            names = [f"d{name}" for name in gradients]
            saved = names if len(names) > 1 else names[0]
            steps.append(call(self.backward, ["dout", "cache"], saved))
        return steps


def pair_cases(setting: Setting, pair: Pair) -> Iterator[Case]:
    """Give the cases of a pair: values, gradients, dtypes, arguments, repetition, differences."""
    forward, backward = pair.forward, pair.backward
    unit = "layers"
    gives_forward: dict[str, Any] = {
        "group": pair.group,
        "function": forward,
        "read": pair.read,
        "needs": [(unit, forward)],
        "optional": pair.optional,
    }
    gives_backward = {**gives_forward, "function": backward, "needs": [
        (unit, backward), (unit, forward),
    ]}  # fmt: skip

    def samples(function: str, name: str, dtype: str, specs: Sequence[Any]) -> list[Sample]:
        rng = setting.rng(function, name)
        return [pair.make(rng, spec, dtype) for spec in specs]

    name = "value"
    yield Case(name=name, **gives_forward, variants=[
        _variant(pair, sample, None, [_want_out(sample, "float64")])
        for sample in samples(forward, name, "float64", pair.specs)
    ])  # fmt: skip
    name = "float32 stays float32"
    yield Case(name=name, **gives_forward, variants=[
        _variant(pair, sample, None, [_want_out(sample, "float32")])
        for sample in samples(forward, name, "float32", pair.specs[:1])
    ])  # fmt: skip
    name = "modifies no argument"
    yield Case(name=name, **gives_forward, counts_alone=False, variants=[
        _variant(pair, sample, None, (), _arrays(sample, with_dout=False))
        for sample in samples(forward, name, "float64", pair.specs[:1])
    ])  # fmt: skip

    first = samples(backward, "names", "float64", pair.specs[:1])[0]
    for argument in first.gradients:
        name = f"gradient of {argument}"
        yield Case(name=name, **gives_backward, variants=[
            _variant(pair, sample, sample.gradients, [_want_gradient(sample, argument, "float64")])
            for sample in samples(backward, name, "float64", pair.specs)
        ])  # fmt: skip
    name = "float32 stays float32"
    yield Case(name=name, **gives_backward, variants=[
        _variant(pair, sample, sample.gradients, [
            _want_gradient(sample, argument, "float32") for argument in sample.gradients
        ])
        for sample in samples(backward, name, "float32", pair.specs[:1])
    ])  # fmt: skip
    name = "modifies no argument"
    yield Case(name=name, **gives_backward, counts_alone=False, variants=[
        _variant(pair, sample, sample.gradients, (), _arrays(sample, with_dout=True))
        for sample in samples(backward, name, "float64", pair.specs[:1])
    ])  # fmt: skip
    name = "the same cache twice"
    yield Case(name=name, **gives_backward, counts_alone=False, variants=[
        _twice(pair, sample) for sample in samples(backward, name, "float64", pair.specs[:1])
    ])  # fmt: skip
    name = IN_TURN
    first, alike, other = samples(
        backward, name, "float64", [pair.specs[0], pair.specs[0], pair.specs[-1]]
    )
    yield Case(name=name, **gives_backward, counts_alone=False, variants=[
        _in_turn(pair, first, alike, "two of one shape"),
        _in_turn(pair, first, other, f"{first.label} and {other.label}"),
    ])  # fmt: skip
    name = "agrees with differences of its own forward"
    yield Case(name=name, **gives_backward, counts_alone=False, variants=[
        _differences(pair, sample) for sample in samples(backward, name, "float64", pair.specs[:1])
    ])  # fmt: skip


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


def _want_out(sample: Sample, dtype: str) -> Want:
    return Want("out", sample.out, dtype, tolerance_of(dtype), sample.wrong_out)


def _want_gradient(sample: Sample, argument: str, dtype: str) -> Want:
    return Want(
        f"d{argument}",
        sample.gradients[argument],
        dtype,
        tolerance_of(dtype),
        sample.wrong.get(argument, {}),
        sample.places.get(argument, {}),
    )


def _variant(
    pair: Pair,
    sample: Sample,
    gradients: Mapping[str, Array] | None,
    wants: Sequence[Want],
    unmodified: Sequence[str] = (),
) -> Variant:
    inputs = dict(sample.inputs)
    return Variant(sample.label, inputs, pair.steps(gradients), wants, sample.numbers, unmodified)


def _twice(pair: Pair, sample: Sample) -> Variant:
    """A second backward on the same cache, and forward and backward once more."""
    names = [f"d{name}" for name in sample.gradients]
    again = [f"{name} again" for name in names]
    afresh = [f"{name} afresh" for name in names]

    def one(saved: list[str]) -> Any:
        return saved if len(saved) > 1 else saved[0]

    steps = [
        *pair.steps(sample.gradients),
        *({"op": "copy", "of": name, "save": f"first {name}"} for name in names),
        call(pair.backward, ["dout", "cache"], one(again)),
        call(pair.forward, pair.args, ["out", "cache"]),
        call(pair.backward, ["dout", "cache"], one(afresh)),
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


def _in_turn(pair: Pair, first: Sample, second: Sample, label: str) -> Variant:
    def turn(sample: Sample) -> Turn:
        right = {f"d{name}": value for name, value in sample.gradients.items()}
        return Turn(sample.inputs, pair.args, {"out": sample.out, **right})

    outputs = [f"d{name}" for name in first.gradients]
    turns = turn(first), turn(second)
    return in_turn(label, (pair.forward, pair.backward), outputs, turns)


def _differences(pair: Pair, sample: Sample) -> Variant:
    """The backward's gradients against central differences of the submission's own forward."""
    names = list(sample.gradients)
    steps = [
        *pair.steps(sample.gradients),
        *(
            {
                "op": "differences",
                "steps": pair.steps(None),
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
        sample.label, dict(sample.inputs), steps, (), sample.numbers, (), agree(names), extra
    )


def agree(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Verdict]:
    """Judge whether 'dx' is 'numeric dx', for each name."""

    def judge(values: Mapping[str, Any]) -> Verdict:
        for name in names:
            analytic = as_numbers(values.get(f"d{name}"))
            numeric = as_numbers(values.get(f"numeric d{name}"))
            if analytic is None or numeric is None:
                return Verdict(False, None, f"d{name} is no array of numbers")
            if analytic.shape != numeric.shape:
                shapes = f"d{name} has shape {analytic.shape}, {name} has {numeric.shape}"
                return Verdict(False, "wrong-shape", shapes)
            analytic, numeric = analytic.astype(float), numeric.astype(float)
            scale = max(float(np.abs(numeric).max(initial=0.0)), 1e-3)
            error = np.abs(analytic - numeric) / scale
            error = np.where(np.isnan(error), np.inf, error)
            if not (error < _DIFFERENCES_TOLERANCE).all():
                index = np.unravel_index(int(np.argmax(error)), error.shape)
                at = tuple(int(i) for i in index)
                return Verdict(
                    False,
                    "backward-of-another-forward",
                    f"d{name} at index {at[0] if len(at) == 1 else at}: backward says "
                    f"{analytic[index]:.7g}, central differences of its own forward say "
                    f"{numeric[index]:.7g}",
                )
        return Verdict(True)

    return judge
