"""Cases of the losses: values, codings and dtypes of labels, extreme logits, the hinge's kink."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from handgrad.check import references as right
from handgrad.check.case import Array, Case, Setting, Step, Variant, Want, call, shape_text
from handgrad.check.cases.pairs import agree, tolerance_of
from handgrad.check.hypotheses import as_numbers, close

READ = 'docs/derivations.md, "2.1, 3.1, 4.1 Losses"'
Loss = Callable[[Array, Array], tuple[float, Array]]
Wrongs = Callable[[Array, Array], tuple[Mapping[str, Any], Mapping[str, Any]]]


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of the losses."""
    if setting.convention.models:
        yield from _binary(setting, "logistic_loss", right.logistic_loss, _wrong_logistic)
    if setting.convention.multiclass_svm:
        yield from _multiclass(
            setting, "svm_loss", right.multiclass_svm_loss, _wrong_multiclass_svm
        )
    else:
        yield from _binary(setting, "svm_loss", right.svm_loss, _wrong_svm)
        yield _kink(setting)
    yield from _multiclass(setting, "softmax_loss", right.softmax_loss, _wrong_softmax)


def _case(function: str, name: str, variants: Sequence[Variant], **more: Any) -> Case:
    return Case("losses", function, name, variants, READ, [("layers", function)], **more)


def _variant(
    function: str,
    label: str,
    x: Array,
    y: Array,
    answers: tuple[float, Array],
    wrongs: tuple[Mapping[str, Any], Mapping[str, Any]],
    numbers: Mapping[str, float] | None = None,
    dtype: str = "any",
    steps: Sequence[Step] = (),
    **more: Any,
) -> Variant:
    """One call of a loss, its two answers, and what mistakes would give."""
    tolerance = tolerance_of(str(x.dtype))
    wants = [
        Want("loss", answers[0], "any", tolerance, wrongs[0]),
        Want("dx", answers[1], dtype, tolerance, wrongs[1]),
    ]
    all_steps = [call(function, ["x", "y"], ["loss", "dx"]), *steps]
    counts = {"N": len(x), **(numbers or {})}
    return Variant(label, {"x": x, "y": y}, all_steps, wants, counts, **more)


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
    return _case(function, name, [variant])


# -- binary -------------------------------------------------------------------------------------


def _away(rng: np.random.Generator, N: int) -> Array:
    """Scores whose margins y x keep away from the kink at 1, some beyond it."""
    size = rng.permutation(np.resize([0.3, 0.6, 1.4, 2.2, 0.8], N)) + rng.uniform(0, 0.1, N)
    x: Array = size * rng.choice([-1, 1], N)
    return x


def _binary(setting: Setting, function: str, loss: Loss, wrongs: Wrongs) -> Iterator[Case]:
    def draw(name: str, N: int) -> tuple[Array, Array]:
        rng = setting.rng(function, f"{name} {N}")
        # Alone, an example is a negative one: it is 0 or -1 that a coding gets wrong.
        positive = rng.permutation(np.arange(N) % 2 == 1)
        return _away(rng, N), positive

    def variant(label: str, x: Array, positive: Array, y: Array, **more: Any) -> Variant:
        return _variant(function, label, x, y, loss(x, positive), wrongs(x, positive), **more)

    name = "loss and gradient"
    variants = []
    for N in (7, 1):
        x, positive = draw(name, N)
        for coding, y in (("0 and 1", positive.astype(int)), ("-1 and 1", 2 * positive - 1)):
            bits = coding == "0 and 1"
            variants.append(
                variant(
                    f"x ({N},), labels {coding}", x, positive, y,
                    numbers={"bits": bits, "signs": not bits},
                )
            )  # fmt: skip
    yield _case(function, name, variants, recognise=_recognise_labels(function, variants))

    name = "x of shape (N, 1)"
    variants = []
    for N in (5, 1):
        x, positive = draw(name, N)
        variants.append(
            variant(f"x ({N}, 1), y ({N},)", x[:, None], positive, positive.astype(int))
        )
    yield _case(function, name, variants, recognise=_recognise_column(function, variants))

    name = "labels of any dtype"
    x, positive = draw(name, 6)
    variants = [
        variant(
            f"y of {dtype}", x, positive, positive.astype(dtype),
            numbers={"odd dtype": dtype != "int64"},
        )
        for dtype in ("int64", "uint8", "bool", "float64", "float32", "int8")
    ]  # fmt: skip
    yield _case(function, name, variants)

    name = "a batch of one class"
    variants = []
    for value in (1, 0, -1):
        x, _ = draw(f"{name} {value}", 4)
        positive = np.full(4, value == 1)
        codings = {"signs": value == -1, "bits": value == 0}
        y = np.full(4, value)
        variants.append(variant(f"all labels {value}", x, positive, y, numbers=codings))
    yield _case(function, name, variants)

    name = "extreme scores"
    variants = []
    for size in (40.0, 720.0, 1000.0, 1e4):  # exp(720) overflows, exp(-720) is not yet 0
        x = np.array([size, -size, size, -size, 0.0])
        positive = np.array([True, True, False, False, True])
        variants.append(variant(f"scores of ±{size:g}", x, positive, positive.astype(int)))
    yield _case(function, name, variants)

    name = "modifies no argument"
    variants = []
    for coding in ("0 and 1", "-1 and 1"):
        x, positive = draw(f"{name} {coding}", 5)
        y = positive.astype(int) if coding == "0 and 1" else 2 * positive - 1
        steps = [call(function, ["x", "y"], ["loss", "dx"])]
        variants.append(Variant(f"labels {coding}", {"x": x, "y": y}, steps,
                                unmodified=["x", "y"]))  # fmt: skip
    yield _case(function, name, variants)

    name = "float32 stays float32"
    x, positive = draw(name, 5)
    variants = []
    for dtype in ("float32", "float64"):
        given = x.astype(dtype)
        variants.append(variant(dtype, given, positive, positive.astype(int), dtype=dtype))
    yield _case(function, name, variants)

    x, positive = draw("differences", 6)
    yield _differences(setting, function, x, positive.astype(int))


Recognise = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, str]]


def _right(variant: Variant, values: Mapping[str, Any]) -> bool:
    """Whether the loss is right and dx holds the right numbers, in whatever shape."""
    loss, dx = (as_numbers(values.get(name)) for name in ("loss", "dx"))
    if loss is None or dx is None or loss.size != 1:
        return False
    wanted = [np.asarray(want.value, dtype=np.float64).reshape(-1) for want in variant.wants]
    return all(
        close(got.astype(np.float64).reshape(-1), want, 1e-4)
        for got, want in zip((loss, dx), wanted, strict=True)
    )


def _recognise_labels(function: str, variants: Sequence[Variant]) -> Recognise:
    """Say which codings of the labels a loss understands."""

    def recognise(results: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        fits = {"bits": True, "signs": True}
        for variant, values in zip(variants, results, strict=True):
            for coding in fits:
                if variant.numbers[coding]:
                    fits[coding] &= _right(variant, values)
        known = [text for key, text in (("bits", "0 and 1"), ("signs", "-1 and 1")) if fits[key]]
        return {f"labels of {function}": ", or ".join(known)} if known else {}

    return recognise


def _recognise_column(function: str, variants: Sequence[Variant]) -> Recognise:
    """Say whether a loss takes scores of shape (N, 1), and gives dx in which shape."""

    def recognise(results: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        if not _right(variants[0], results[0]):
            return {}
        dx = as_numbers(results[0].get("dx"))
        shape = "(N, 1)" if dx is not None and dx.ndim == 2 else "(N,)"
        return {f"scores (N, 1) of {function}": f"taken; dx is {shape}"}

    return recognise


def _wrong_logistic(x: Array, positive: Array) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    loss, _ = right.logistic_loss(x, positive)
    flat, N = x.reshape(-1).astype(np.float64), len(x)
    sign, bits = np.where(positive, 1.0, -1.0), positive.astype(float)
    other_loss, other_dx = right.logistic_loss(x, ~positive)
    with np.errstate(all="ignore"):
        p = 1 / (1 + np.exp(-flat))
        naive = np.log(1 + np.exp(-sign * flat)).mean()
        ratio = np.exp(-sign * flat)
        naive_dx = -sign * ratio / (1 + ratio) / N
        cross = -(bits * np.log(p) + (1 - bits) * np.log(1 - p)).mean()
        as_signs = np.logaddexp(0, -bits * flat).mean()
        as_signs_dx = -bits / (1 + np.exp(bits * flat)) / N
        twice = np.where(positive, 1.0, -3.0)  # 2 y - 1 of labels -1 and 1
        as_twice = np.logaddexp(0, -twice * flat).mean()
        as_twice_dx = -twice / (1 + np.exp(twice * flat)) / N
        as_bits = (np.logaddexp(0, flat) - sign * flat).mean()
        as_bits_dx = (p - sign) / N
        clipped = {
            "log-of-zero" + k * " ": value
            for k, eps in enumerate((1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16))
            for k, value in (
                (2 * k + 1, -np.log(np.where(positive, p, 1 - p) + eps).mean()),
                (2 * k + 2, -np.log(np.clip(np.where(positive, p, 1 - p), eps, 1 - eps)).mean()),
            )
        }
        pairs = -sign[None, :] * flat[:, None]
        broadcast = np.logaddexp(0, pairs)
    wrong_loss: dict[str, Any] = {
        "labels-sign": other_loss,
        "labels-coding": as_signs,
        "labels-coding ": as_bits,
        "labels-coding  ": as_twice,
    }
    wrong_dx = {
        "labels-sign": other_dx,
        "labels-coding": as_signs_dx.reshape(x.shape),
        "labels-coding ": as_bits_dx.reshape(x.shape),
        "labels-coding  ": as_twice_dx.reshape(x.shape),
    }
    if x.ndim == 2:
        wrong_loss["broadcast-n-by-n"] = broadcast.mean()
        wrong_loss["broadcast-n-by-n "] = broadcast.sum() / N
        wrong_dx["broadcast-n-by-n"] = -sign * np.exp(pairs - broadcast) / N
    if not np.isfinite(naive):
        if np.abs(flat).max() > 750:  # here the probability is 0, too
            wrong_loss["log-of-zero"] = naive
        wrong_loss["not-shifted-by-maximum"] = naive
    if not np.isfinite(cross):
        wrong_loss["log-of-zero" + 40 * " "] = cross
    if not np.isfinite(naive_dx).all():
        wrong_dx["not-shifted-by-maximum"] = naive_dx.reshape(x.shape)
    for cause, value in clipped.items():
        if abs(value - loss) > 1e-5 * abs(loss):
            wrong_loss[cause] = value
    return wrong_loss, wrong_dx


def _wrong_svm(x: Array, positive: Array) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    flat, N = x.reshape(-1).astype(np.float64), len(x)
    sign, bits = np.where(positive, 1.0, -1.0), positive.astype(float)
    slack = 1 - sign * flat
    violators = max(int((slack > 0).sum()), 1)
    other_loss, other_dx = right.svm_loss(x, ~positive)
    hinge = np.maximum(slack, 0)
    as_bits = np.maximum(0, 1 - bits * flat)
    pairs = np.maximum(0, 1 - sign[None, :] * flat[:, None])
    wrong_loss: dict[str, Any] = {
        "labels-sign": other_loss,
        "labels-coding": as_bits.mean(),
        "mean-over-violators": hinge.sum() / violators,
        "margin-wrong": np.maximum(0, -sign * flat).mean(),
        "squared-hinge": (hinge**2).mean(),
        "squared-hinge ": 0.5 * (hinge**2).mean(),
        "missing-mask": slack.mean(),
    }
    shaped = {
        "labels-sign": other_dx.reshape(-1),
        "labels-coding": np.where(as_bits > 0, -bits, 0) / N,
        "mean-over-violators": np.where(slack > 0, -sign, 0) / violators,
        "margin-wrong": np.where(sign * flat < 0, -sign, 0) / N,
        "squared-hinge": -2 * sign * hinge / N,
        "squared-hinge ": -sign * hinge / N,
        "kink-wrong": np.where(slack >= 0, -sign, 0) / N,
        "missing-mask": -sign / N,
    }
    wrong_dx = {cause: value.reshape(x.shape) for cause, value in shaped.items()}
    if x.ndim == 2:
        wrong_loss["broadcast-n-by-n"] = pairs.mean()
        wrong_loss["broadcast-n-by-n "] = pairs.sum() / N
        wrong_dx["broadcast-n-by-n"] = np.where(pairs > 0, -sign, 0) / N
    return wrong_loss, wrong_dx


def _kink(setting: Setting) -> Case:
    """At y x = 1 exactly the gradient is 0."""
    x = np.array([1.0, -1.0, 0.5, 3.0, 2.5])  # at the kink twice, twice within, once beyond
    positive = np.array([True, False, True, False, True])
    places = np.array([True, True, False, False, False])
    loss, dx = right.svm_loss(x, positive)
    variant = Variant(
        "two margins at exactly 1", {"x": x, "y": positive.astype(int)},
        [call("svm_loss", ["x", "y"], ["loss", "dx"])],
        [Want("loss", loss, wrong=_wrong_svm(x, positive)[0]),
         Want("dx", dx, wrong=_wrong_svm(x, positive)[1], places={"kink-wrong": places})],
        {"N": 5},
    )  # fmt: skip
    return _case("svm_loss", "gradient 0 at the kink", [variant])


# -- several classes ----------------------------------------------------------------------------


def _multiclass(setting: Setting, function: str, loss: Loss, wrongs: Wrongs) -> Iterator[Case]:
    def draw(name: str, N: int, C: int) -> tuple[Array, Array]:
        rng = setting.rng(function, f"{name} {N} {C}")
        y = rng.permutation(np.arange(N) % C)
        return rng.standard_normal((N, C)) * 1.3, y

    def variant(label: str, x: Array, y: Array, given: Array | None = None, **more: Any) -> Variant:
        given = y if given is None else given
        return _variant(function, label, x, given, loss(x, y), wrongs(x, y), **more)

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
        variants.append(variant(f"y of {dtype}", x, y, y.astype(dtype), numbers=odd))
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
    yield _case(function, name, variants)

    name = "float32 stays float32"
    x, y = draw(name, 5, 3)
    variants = [variant(dtype, x.astype(dtype), y, dtype=dtype) for dtype in ("float32", "float64")]
    yield _case(function, name, variants)

    yield _differences(setting, function, *draw("differences", 4, 3))


def _wrong_softmax(x: Array, y: Array) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    N, C = x.shape
    rows = np.arange(N)
    x = x.astype(np.float64)
    onehot = np.zeros((N, C))
    onehot[rows, y] = 1
    p = np.exp(x - np.logaddexp.reduce(x, axis=1, keepdims=True))
    across = np.exp(x - np.logaddexp.reduce(x, axis=0, keepdims=True))
    shifted = x - x.max(axis=1, keepdims=True)
    sums = np.exp(shifted).sum(axis=0, keepdims=True)
    loss = float((np.logaddexp.reduce(x, axis=1) - x[rows, y]).mean())
    with np.errstate(all="ignore"):
        raw = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        naive = -np.log(raw[rows, y]).mean()
        naive_apart = (np.log(np.exp(x).sum(axis=1)) - x[rows, y]).mean()
        after = -np.log(p[rows, y]).mean()
        wrong_axis = -np.log(across[rows, y]).mean()
        every = -np.log(p).mean()
        clipped = {
            "log-of-zero" + k * " ": value
            for k, eps in enumerate((1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16))
            for k, value in (
                (2 * k + 1, -np.log(p[rows, y] + eps).mean()),
                (2 * k + 2, -np.log(np.maximum(p[rows, y], eps)).mean()),
            )
        }
    wrong_loss: dict[str, Any] = {}
    if not np.isfinite(after):
        wrong_loss["log-of-zero"] = after
    if not np.isfinite(naive):
        wrong_loss["not-shifted-by-maximum"] = naive
    if not np.isfinite(naive_apart):
        wrong_loss["not-shifted-by-maximum "] = naive_apart
    wrong_loss |= {
        "wrong-axis": wrong_axis,
        "wrong-axis ": (np.log(sums) - shifted)[rows, y].mean(),
        "averaged-not-summed": loss / C,
        "labels-ignored": every,
        "labels-sign": -loss,
    }
    for cause, value in clipped.items():
        if abs(value - loss) > 1e-5 * abs(loss):
            wrong_loss[cause] = value
    wrong_dx = {
        "labels-ignored": p / N,
        "sign": (onehot - p) / N,
        "wrong-axis": (across - onehot) / N,
        "wrong-axis ": (np.exp(shifted) / sums - onehot) / N,
        "averaged-not-summed": (p - onehot) / N / C,
    }
    if not np.isfinite(raw).all():
        wrong_dx["not-shifted-by-maximum"] = (raw - onehot) / N
    wrong_loss.pop("labels-sign")
    return wrong_loss, wrong_dx


def _wrong_multiclass_svm(x: Array, y: Array) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    N, rows = len(x), np.arange(len(x))
    margins = np.maximum(0, x - x[rows, y][:, None] + 1)
    with_own = margins.sum() / N
    no_margin = np.maximum(0, x - x[rows, y][:, None])
    ones = (margins > 0).astype(float)
    ones[rows, y] = 0
    right_column = np.array(ones)
    return (
        {"margin-wrong": no_margin.sum() / N, "labels-ignored": with_own},
        {"labels-ignored": right_column / N},
    )
