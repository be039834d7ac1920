"""Cases of the binary losses: codings and dtypes of labels, columns, extremes, the hinge's kink.

A loss may take labels in {0, 1} or in {-1, 1}: each case asks in the coding that it understands.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Case, Setting, Variant, Want, call
from handgrad.check.cases.losses import (
    differences_case,
    in_turn_case,
    loss_case,
    loss_variant,
    own_differences,
    two_calls,
)
from handgrad.check.reference import reference
from handgrad.check.verdict.hypotheses import as_numbers, close


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of the two losses."""
    if setting.convention.models:
        yield from _binary(setting, "logistic_loss")
    if not setting.convention.multiclass_svm:
        yield from _binary(setting, "svm_loss")
        yield _kink()


_CODINGS: dict[str, Callable[[Array], Array]] = {
    "0 and 1": lambda positive: positive.astype(int),
    "-1 and 1": lambda positive: 2 * positive.astype(int) - 1,
}
# A small batch of both classes: where its answer is right, the labels are understood.
_ORDINARY = np.array([0.4, -1.6, 2.5, -0.2]), np.array([True, False, False, True])


def _away(rng: np.random.Generator, N: int) -> Array:
    """Scores whose margins y x keep away from the kink at 1, some beyond it."""
    size = rng.permutation(np.resize([0.3, 0.6, 1.4, 2.2, 0.8], N)) + rng.uniform(0, 0.1, N)
    x: Array = size * rng.choice([-1, 1], N)
    return x


def _if_understood(function: str, coding: str, variant: Variant) -> Variant:
    """The variant, asked of a loss that understands labels in its coding."""
    x, positive = _ORDINARY
    names = ["ordinary x", "ordinary y"]
    inputs = {names[0]: x, names[1]: _CODINGS[coding](positive)}
    wants = [Want("ordinary loss"), Want("ordinary dx")]
    first = call(function, list(names), [want.name for want in wants])
    return replace(
        variant, inputs={**inputs, **variant.inputs}, steps=[first, *variant.steps],
        kind=coding, understood=wants,
    )  # fmt: skip


Draw = Callable[[str, int], tuple[Array, Array]]


def _binary(setting: Setting, function: str) -> Iterator[Case]:
    def draw(name: str, N: int) -> tuple[Array, Array]:
        rng = setting.rng(function, f"{name} {N}")
        # Alone, an example is a negative one: it is 0 or -1 that a coding gets wrong.
        positive = rng.permutation(np.arange(N) % 2 == 1)
        return _away(rng, N), positive

    yield from _binary_values(setting, function, draw)
    yield from _binary_odd(setting, function, draw)
    yield from _binary_conduct(setting, function, draw)


def _coded(
    function: str, labelled: Callable[[Callable[[Array], Array], str], list[Variant]]
) -> list[Variant]:
    """Variants in both codings, each asked where the coding is understood."""
    return [
        _if_understood(function, coding, variant)
        for coding, code in _CODINGS.items()
        for variant in labelled(code, coding)
    ]


def _binary_values(setting: Setting, function: str, draw: Draw) -> Iterator[Case]:
    """Ordinary labels, in whatever coding; then in both, and of any dtype."""
    name = "loss and gradient"
    variants: dict[str, list[Variant]] = {coding: [] for coding in _CODINGS}
    for N in (7, 1):
        x, positive = draw(name, N)
        for coding, code in _CODINGS.items():
            bits = coding == "0 and 1"
            numbers = {"bits": bits, "signs": not bits}
            label = f"x ({N},), labels {coding}"
            variants[coding].append(loss_variant(function, label, x, code(positive), numbers))
    both = [variant for own in zip(*variants.values(), strict=True) for variant in own]
    asked = [_if_understood(function, coding, v) for coding, own in variants.items() for v in own]
    yield loss_case(function, name, asked)
    yield loss_case(
        function, "labels in either coding", both,
        recognise=_recognise_labels(setting, function, both),
    )  # fmt: skip

    name = "labels of any dtype"
    x, positive = draw(name, 6)

    def of_dtypes(code: Callable[[Array], Array], coding: str) -> list[Variant]:
        unsigned = ("uint8", "bool") if coding == "0 and 1" else ()
        return [
            loss_variant(
                function, f"y of {dtype}, {coding}", x, code(positive).astype(dtype),
                {"odd dtype": dtype != "int64"},
            )
            for dtype in ("int64", *unsigned, "float64", "float32", "int8")
        ]  # fmt: skip

    yield loss_case(function, name, _coded(function, of_dtypes))

    name = "float32 stays float32"
    x32, positive32 = draw(name, 5)

    def kept(code: Callable[[Array], Array], coding: str) -> list[Variant]:
        y = code(positive32)
        return [
            loss_variant(function, f"{dtype}, labels {coding}", x32.astype(dtype), y, dtype=dtype)
            for dtype in ("float32", "float64")
        ]

    yield loss_case(function, name, _coded(function, kept))


def _binary_odd(setting: Setting, function: str, draw: Draw) -> Iterator[Case]:
    """Scores as a column, batches of one class, extreme scores."""
    name = "x of shape (N, 1)"
    columns = [draw(name, N) for N in (5, 1)]

    def as_columns(code: Callable[[Array], Array], coding: str) -> list[Variant]:
        return [
            loss_variant(
                function, f"x ({len(x)}, 1), y ({len(x)},), labels {coding}", x[:, None],
                code(positive),
            )
            for x, positive in columns
        ]  # fmt: skip

    variants = _coded(function, as_columns)
    yield loss_case(
        function, name, variants, recognise=_recognise_column(setting, function, variants)
    )

    name = "a batch of one class"
    variants = []
    for value, coding in ((1, ""), (0, "0 and 1"), (-1, "-1 and 1")):
        x, _ = draw(f"{name} {value}", 4)
        codings = {"signs": value == -1, "bits": value == 0}
        # Which label is which cannot be told where there is one alone.
        variant = loss_variant(
            function, f"all labels {value}", x, np.full(4, value), codings, untold=["labels-sign"]
        )
        variants.append(_if_understood(function, coding, variant) if coding else variant)
    yield loss_case(function, name, variants)

    name = "extreme scores"
    sizes = (40.0, 720.0, 1000.0, 1e4)  # exp(720) overflows, exp(-720) is not yet 0

    def extreme(code: Callable[[Array], Array], coding: str) -> list[Variant]:
        y = code(np.array([True, True, False, False, True]))
        return [
            loss_variant(
                function, f"scores of ±{size:g}, labels {coding}",
                np.array([size, -size, size, -size, 0.0]), y,
            )
            for size in sizes
        ]  # fmt: skip

    yield loss_case(function, name, _coded(function, extreme))


def _binary_conduct(setting: Setting, function: str, draw: Draw) -> Iterator[Case]:
    """What a call does to its arguments, to the next call, and against its own differences."""
    name = "modifies no argument"
    given = {coding: draw(f"{name} {coding}", 5) for coding in _CODINGS}

    def unmodified(code: Callable[[Array], Array], coding: str) -> list[Variant]:
        x, positive = given[coding]
        inputs = {"x": x, "y": code(positive)}
        steps = [call(function, ["x", "y"], ["loss", "dx"])]
        return [Variant(f"labels {coding}", inputs, steps, unmodified=["x", "y"])]

    yield loss_case(function, name, _coded(function, unmodified), counts_alone=False)

    x, positive = draw("differences", 6)
    yield differences_case(
        function,
        _coded(
            function,
            lambda code, coding: [
                own_differences(function, f"x (6,), labels {coding}", x, code(positive))
            ],
        ),
    )

    draws = [draw(f"two calls in turn {side}", 6) for side in "AB"]
    # Of the second batch other rows are positive.
    draws[1] = (draws[1][0], ~draws[0][1])

    def in_turn(code: Callable[[Array], Array], coding: str) -> list[Variant]:
        first, second = ((x, code(positive)) for x, positive in draws)
        return [two_calls(setting, function, f"x (6,), labels {coding}", first, second)]

    yield in_turn_case(function, _coded(function, in_turn))


Recognise = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, str]]


def _right(setting: Setting, variant: Variant, values: Mapping[str, Any]) -> bool:
    """Whether the loss is right and dx holds the right numbers, in whatever shape."""
    loss, dx = (as_numbers(values.get(name)) for name in ("loss", "dx"))
    if loss is None or dx is None or loss.size != 1:
        return False
    right = reference(setting.convention).right(variant)
    return all(
        close(got.astype(np.float64).reshape(-1), np.reshape(right[name], -1), 1e-4)
        for got, name in ((loss, "loss"), (dx, "dx"))
    )


def _recognise_labels(setting: Setting, function: str, variants: Sequence[Variant]) -> Recognise:
    """Say which codings of the labels a loss understands."""

    def recognise(results: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        fits = {"bits": True, "signs": True}
        for variant, values in zip(variants, results, strict=True):
            for coding in fits:
                if variant.numbers[coding]:
                    fits[coding] &= _right(setting, variant, values)
        known = [text for key, text in (("bits", "0 and 1"), ("signs", "-1 and 1")) if fits[key]]
        return {f"labels of {function}": ", or ".join(known)} if known else {}

    return recognise


def _recognise_column(setting: Setting, function: str, variants: Sequence[Variant]) -> Recognise:
    """Say whether a loss takes scores of shape (N, 1), and gives dx in which shape."""

    def recognise(results: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        for variant, values in zip(variants, results, strict=True):
            if _right(setting, variant, values):
                dx = as_numbers(values.get("dx"))
                shape = "(N, 1)" if dx is not None and dx.ndim == 2 else "(N,)"
                return {f"scores (N, 1) of {function}": f"taken; dx is {shape}"}
        return {}

    return recognise


def _kink() -> Case:
    """At y x = 1 exactly the gradient is 0."""
    x = np.array([1.0, -1.0, 0.5, 3.0, 2.5])  # at the kink twice, twice within, once beyond
    positive = np.array([True, False, True, False, True])
    places = np.array([True, True, False, False, False])
    steps = [call("svm_loss", ["x", "y"], ["loss", "dx"])]
    wants = [Want("loss"), Want("dx", places={"kink-wrong": places})]

    def at_kink(code: Callable[[Array], Array], coding: str) -> list[Variant]:
        label = f"two margins at exactly 1, labels {coding}"
        return [Variant(label, {"x": x, "y": code(positive)}, steps, wants, {"N": 5})]

    return loss_case("svm_loss", "gradient 0 at the kink", _coded("svm_loss", at_kink))
