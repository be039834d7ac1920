"""Cases of the losses: values, codings and dtypes of labels, extreme logits, the hinge's kink."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from handgrad.check.verdict.hypotheses import as_numbers, close

READ = 'handgrad/theory/losses.md, "2–4 The losses"'


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of the losses."""
    if setting.convention.models:
        yield from _binary(setting, "logistic_loss")
    if setting.convention.multiclass_svm:
        yield from _multiclass(setting, "svm_loss")
    else:
        yield from _binary(setting, "svm_loss")
        yield _kink()
    yield from _multiclass(setting, "softmax_loss")


def _case(function: str, name: str, variants: Sequence[Variant], **more: Any) -> Case:
    return Case("losses", function, name, variants, READ, **more)


def _variant(
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


def _differences(setting: Setting, function: str, x: Array, y: Array) -> Case:
    name = "gradient agrees with differences of its own loss"
    steps = [
        call(function, ["x", "y"], ["loss", "dx"]),
        {
            "op": "differences", "steps": [call(function, ["x", "y"], ["loss", "other"])],
            "of": "loss", "by": "x", "upstream": None, "h": 1e-5, "save": "numeric dx",
        },
    ]  # fmt: skip
    extra = ["dx", "numeric dx"]
    variant = Variant(
        f"x {shape_text(x)}", {"x": x, "y": y}, steps, judge=agree(["x"]), extra=extra
    )
    return _case(function, name, [variant], counts_alone=False)


def _in_turn(
    setting: Setting, function: str, first: tuple[Array, Array], second: tuple[Array, Array]
) -> Case:
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

    variant = Variant(f"x {shape_text(first[0])}", inputs, steps, judge=look, extra=extra)
    return _case(function, "two calls in turn", [variant], counts_alone=False)


# -- binary -------------------------------------------------------------------------------------


def _away(rng: np.random.Generator, N: int) -> Array:
    """Scores whose margins y x keep away from the kink at 1, some beyond it."""
    size = rng.permutation(np.resize([0.3, 0.6, 1.4, 2.2, 0.8], N)) + rng.uniform(0, 0.1, N)
    x: Array = size * rng.choice([-1, 1], N)
    return x


def _binary(setting: Setting, function: str) -> Iterator[Case]:
    def draw(name: str, N: int) -> tuple[Array, Array]:
        rng = setting.rng(function, f"{name} {N}")
        # Alone, an example is a negative one: it is 0 or -1 that a coding gets wrong.
        positive = rng.permutation(np.arange(N) % 2 == 1)
        return _away(rng, N), positive

    def variant(label: str, x: Array, y: Array, **more: Any) -> Variant:
        return _variant(function, label, x, y, **more)

    name = "loss and gradient"
    variants = []
    for N in (7, 1):
        x, positive = draw(name, N)
        for coding, y in (("0 and 1", positive.astype(int)), ("-1 and 1", 2 * positive - 1)):
            bits = coding == "0 and 1"
            variants.append(
                variant(
                    f"x ({N},), labels {coding}", x, y, numbers={"bits": bits, "signs": not bits}
                )
            )
    yield _case(function, name, variants, recognise=_recognise_labels(setting, function, variants))

    name = "x of shape (N, 1)"
    variants = []
    for N in (5, 1):
        x, positive = draw(name, N)
        variants.append(variant(f"x ({N}, 1), y ({N},)", x[:, None], positive.astype(int)))
    yield _case(function, name, variants, recognise=_recognise_column(setting, function, variants))

    name = "labels of any dtype"
    x, positive = draw(name, 6)
    variants = [
        variant(f"y of {dtype}", x, positive.astype(dtype), numbers={"odd dtype": dtype != "int64"})
        for dtype in ("int64", "uint8", "bool", "float64", "float32", "int8")
    ]
    yield _case(function, name, variants)

    name = "a batch of one class"
    variants = []
    for value in (1, 0, -1):
        x, _ = draw(f"{name} {value}", 4)
        codings = {"signs": value == -1, "bits": value == 0}
        # Which label is which cannot be told where there is one alone.
        more = {"numbers": codings, "untold": ["labels-sign"]}
        variants.append(variant(f"all labels {value}", x, np.full(4, value), **more))
    yield _case(function, name, variants)

    name = "extreme scores"
    variants = []
    for size in (40.0, 720.0, 1000.0, 1e4):  # exp(720) overflows, exp(-720) is not yet 0
        x = np.array([size, -size, size, -size, 0.0])
        variants.append(variant(f"scores of ±{size:g}", x, np.array([1, 1, 0, 0, 1])))
    yield _case(function, name, variants)

    name = "modifies no argument"
    variants = []
    for coding in ("0 and 1", "-1 and 1"):
        x, positive = draw(f"{name} {coding}", 5)
        y = positive.astype(int) if coding == "0 and 1" else 2 * positive - 1
        steps = [call(function, ["x", "y"], ["loss", "dx"])]
        variants.append(Variant(f"labels {coding}", {"x": x, "y": y}, steps,
                                unmodified=["x", "y"]))  # fmt: skip
    yield _case(function, name, variants, counts_alone=False)

    name = "float32 stays float32"
    x, positive = draw(name, 5)
    variants = []
    for dtype in ("float32", "float64"):
        variants.append(variant(dtype, x.astype(dtype), positive.astype(int), dtype=dtype))
    yield _case(function, name, variants)

    x, positive = draw("differences", 6)
    yield _differences(setting, function, x, positive.astype(int))

    draws = [draw(f"two calls in turn {side}", 6) for side in "AB"]
    # Of the second batch other rows are positive.
    draws[1] = (draws[1][0], ~draws[0][1])
    first, second = ((x, positive.astype(int)) for x, positive in draws)
    yield _in_turn(setting, function, first, second)


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
        if not _right(setting, variants[0], results[0]):
            return {}
        dx = as_numbers(results[0].get("dx"))
        shape = "(N, 1)" if dx is not None and dx.ndim == 2 else "(N,)"
        return {f"scores (N, 1) of {function}": f"taken; dx is {shape}"}

    return recognise


def _kink() -> Case:
    """At y x = 1 exactly the gradient is 0."""
    x = np.array([1.0, -1.0, 0.5, 3.0, 2.5])  # at the kink twice, twice within, once beyond
    y = np.array([1, 0, 1, 0, 1])
    places = np.array([True, True, False, False, False])
    steps = [call("svm_loss", ["x", "y"], ["loss", "dx"])]
    wants = [Want("loss"), Want("dx", places={"kink-wrong": places})]
    variant = Variant("two margins at exactly 1", {"x": x, "y": y}, steps, wants, {"N": 5})
    return _case("svm_loss", "gradient 0 at the kink", [variant])


# -- several classes ----------------------------------------------------------------------------


def _multiclass(setting: Setting, function: str) -> Iterator[Case]:
    def draw(name: str, N: int, C: int) -> tuple[Array, Array]:
        rng = setting.rng(function, f"{name} {N} {C}")
        y = rng.permutation(np.arange(N) % C)
        return rng.standard_normal((N, C)) * 1.3, y

    def variant(label: str, x: Array, y: Array, **more: Any) -> Variant:
        return _variant(function, label, x, y, **more)

    name = "loss and gradient"
    variants = [
        variant(f"x ({N}, {C})", *draw(name, N, C), numbers={"C": C})
        for N, C in ((5, 4), (1, 3), (7, 10), (3, 2), (4, 4))
    ]
    yield _case(function, name, variants)

    name = "labels of any dtype"
    variants = []
    for dtype in ("int64", "uint8", "int32"):
        x, y = draw(name, 6, 3)
        odd = {"odd dtype": dtype == "uint8"}
        variants.append(variant(f"y of {dtype}", x, y.astype(dtype), numbers=odd))
    yield _case(function, name, variants)

    name = "extreme scores"
    variants = []
    for size in (100.0, 1000.0, 1e4):
        x = np.array([[size, 0, -size], [-size, size, 0], [size, size, size], [-size, -size, 0]])
        variants.append(variant(f"scores of ±{size:g}", x, np.array([0, 2, 1, 1])))
    yield _case(function, name, variants)

    name = "modifies no argument"
    x, y = draw(name, 5, 3)
    steps = [call(function, ["x", "y"], ["loss", "dx"])]
    variants = [Variant("int64 labels", {"x": x, "y": y}, steps, unmodified=["x", "y"])]
    yield _case(function, name, variants, counts_alone=False)

    name = "float32 stays float32"
    x, y = draw(name, 5, 3)
    variants = [variant(dtype, x.astype(dtype), y, dtype=dtype) for dtype in ("float32", "float64")]
    yield _case(function, name, variants)

    yield _differences(setting, function, *draw("differences", 4, 3))

    first = draw("two calls in turn", 5, 3)
    second = (draw("two calls in turn B", 5, 3)[0], (first[1] + 1) % 3)
    yield _in_turn(setting, function, first, second)
