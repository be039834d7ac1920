"""Cases that losses share, and those of several classes: values, labels, extreme scores."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import (
    Case,
    Setting,
    Step,
    Variant,
    Verdict,
    Want,
    call,
    copied,
    shape_text,
)
from handgrad.check.cases.in_turn import differs, is_right, same
from handgrad.check.cases.pairs import agree, tolerance_of
from handgrad.check.reference import reference
from handgrad.check.verdict.hypotheses import as_numbers

READ = 'handgrad/theory/losses.md, "2–4 The losses"'


def cases(setting: Setting) -> Iterator[Case]:
    """Give the cases of the losses of several classes."""
    if setting.convention.multiclass_svm:
        yield from _multiclass(setting, "svm_loss")
    yield from _multiclass(setting, "softmax_loss")


def loss_case(function: str, name: str, variants: Sequence[Variant], **more: Any) -> Case:
    """A case of a loss."""
    return Case("losses", function, name, variants, READ, **more)


def loss_variant(
    function: str,
    label: str,
    x: Array,
    y: Array,
    numbers: Mapping[str, float] | None = None,
    dtype: str = "any",
    **more: Any,
) -> Variant:
    """One call of a loss, and its two answers."""
    tolerance = tolerance_of(str(x.dtype))
    wants = [Want("loss", "any", tolerance), Want("dx", dtype, tolerance)]
    steps = [call(function, ["x", "y"], ["loss", "dx"])]
    return Variant(label, {"x": x, "y": y}, steps, wants, {"N": len(x), **(numbers or {})}, **more)


def own_differences(function: str, label: str, x: Array, y: Array) -> Variant:
    """The gradient beside central differences of the submission's own loss."""
    steps = [
        call(function, ["x", "y"], ["loss", "dx"]),
        {
            "op": "differences", "steps": [call(function, ["x", "y"], ["loss", "other"])],
            "of": "loss", "by": "x", "upstream": None, "h": 1e-5, "save": "numeric dx",
        },
    ]  # fmt: skip
    extra = ["dx", "numeric dx"]
    return Variant(label, {"x": x, "y": y}, steps, judge=agree(["dx"]), extra=extra)


def differences_case(function: str, variants: Sequence[Variant]) -> Case:
    """The case of ``own_differences``."""
    name = "gradient agrees with differences of its own loss"
    return loss_case(function, name, variants, counts_alone=False)


def in_turn_case(function: str, variants: Sequence[Variant]) -> Case:
    """The case of ``two_calls``."""
    return loss_case(function, "two calls in turn", variants, counts_alone=False)


def two_calls(
    setting: Setting,
    function: str,
    label: str,
    first: tuple[Array, Array],
    second: tuple[Array, Array],
) -> Variant:
    """Two batches of one shape: the second call knows nothing of the first, nor the other way."""
    inputs = {
        f"given {side} {name}": array
        for side, pair in zip("AB", (first, second), strict=True)
        for name, array in zip("xy", pair, strict=True)
    }
    outputs = ("loss", "dx")

    def go(side: str, when: str) -> list[Step]:
        names = [f"{side} x", f"{side} y"]
        saved = [f"{side} {name} {when}" for name in outputs]
        copies: list[Step] = [copied(f"given {n}", n) for n in names]
        return [*copies, call(function, names, saved)]

    steps = [
        *go("A", "first"),
        *(copied(f"A {name} first", f"A {name} kept") for name in outputs),
        *go("A", "again"), *go("B", "first"),
        *(copied(f"A {name} first", f"A {name} later") for name in outputs),
        *(copied(f"B {name} first", f"B {name} kept") for name in outputs),
        *go("A", "last"),
    ]  # fmt: skip
    extra = [f"A {name} {w}" for name in outputs for w in ("kept", "later", "again", "last")]
    extra += [f"B {name} kept" for name in outputs]

    def look(values: Mapping[str, Any]) -> Verdict:
        for name in outputs:
            kept = values.get(f"A {name} kept")
            if as_numbers(kept) is None:
                return Verdict(False, None, f"{name} is no array of numbers")
            for when, cause, said in (
                ("later", "result-overwritten", "later calls have been made"),
                ("again", "not-deterministic", "the same call is made again"),
                ("last", "depends-on-earlier-calls", "another batch has been in between"),
            ):
                now = values.get(f"A {name} {when}")
                if not same(kept, now):
                    return Verdict(False, cause, differs(name, kept, now, said))
        loss = reference(setting.convention).function(function)
        pairs = {
            side: [(n, values.get(f"{side} {n} kept"), value)
                   for n, value in zip(outputs, loss(*batch), strict=True)]
            for side, batch in (("A", first), ("B", second))
        }  # fmt: skip
        wrong = [n for n, got, value in pairs["B"] if not is_right(got, value)]
        if wrong and all(is_right(got, value) for _, got, value in pairs["A"]):
            text = f"{wrong[0]} is right in the first call and wrong in the second, of one shape"
            return Verdict(False, "depends-on-earlier-calls", text)
        return Verdict(True)

    return Variant(label, inputs, steps, judge=look, extra=extra)


def _multiclass(setting: Setting, function: str) -> Iterator[Case]:
    def draw(name: str, N: int, C: int) -> tuple[Array, Array]:
        rng = setting.rng(function, f"{name} {N} {C}")
        y = rng.permutation(np.arange(N) % C)
        return rng.standard_normal((N, C)) * 1.3, y

    def variant(label: str, x: Array, y: Array, **more: Any) -> Variant:
        return loss_variant(function, label, x, y, **more)

    name = "loss and gradient"
    variants = [
        variant(f"x ({N}, {C})", *draw(name, N, C), numbers={"C": C})
        for N, C in ((5, 4), (1, 3), (7, 10), (3, 2), (4, 4))
    ]
    yield loss_case(function, name, variants)

    name = "labels of any dtype"
    variants = []
    for dtype in ("int64", "uint8", "int32"):
        x, y = draw(name, 6, 3)
        odd = {"odd dtype": dtype == "uint8"}
        variants.append(variant(f"y of {dtype}", x, y.astype(dtype), numbers=odd))
    yield loss_case(function, name, variants)

    name = "extreme scores"
    variants = []
    for size in (100.0, 1000.0, 1e4):
        x = np.array([[size, 0, -size], [-size, size, 0], [size, size, size], [-size, -size, 0]])
        variants.append(variant(f"scores of ±{size:g}", x, np.array([0, 2, 1, 1])))
    yield loss_case(function, name, variants)

    name = "modifies no argument"
    x, y = draw(name, 5, 3)
    steps = [call(function, ["x", "y"], ["loss", "dx"])]
    variants = [Variant("int64 labels", {"x": x, "y": y}, steps, unmodified=["x", "y"])]
    yield loss_case(function, name, variants, counts_alone=False)

    name = "float32 stays float32"
    x, y = draw(name, 5, 3)
    variants = [variant(dtype, x.astype(dtype), y, dtype=dtype) for dtype in ("float32", "float64")]
    yield loss_case(function, name, variants)

    x, y = draw("differences", 4, 3)
    yield differences_case(function, [own_differences(function, f"x {shape_text(x)}", x, y)])

    first = draw("two calls in turn", 5, 3)
    second = (draw("two calls in turn B", 5, 3)[0], (first[1] + 1) % 3)
    label = f"x {shape_text(first[0])}"
    yield in_turn_case(function, [two_calls(setting, function, label, first, second)])
