"""Cases of dropout: what is dropped, how it is scaled, what the gradient sees."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Case, Setting, Step, Variant, Verdict, Want, call, ref, seeded
from handgrad.check.conventions import Convention
from handgrad.check.verdict.compare import compare
from handgrad.check.verdict.hypotheses import as_numbers, dtype_cause
from handgrad.check.verdict.judge import causes_of

READ = 'handgrad/theory/dropout.md, "1.3 Dropout, in training and in testing"'


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of dropout."""
    yield _train(setting)
    yield _test(setting)
    yield _types(setting)
    yield _unmodified(setting)
    yield _backward_train(setting)
    yield _backward_test(setting)
    yield _backward_types(setting)
    yield _backward_unmodified(setting)


def nonzero(rng: np.random.Generator, shape: tuple[int, ...], dtype: str = "float64") -> Array:
    """Numbers between 0.5 and 2 of either sign: a dropped unit shows."""
    x: Array = (rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)).astype(dtype)
    return x


def param_of(p: float, mode: str, seed: int | None = None) -> dict[str, Any]:
    """A dropout_param."""
    return {"p": p, "mode": mode} if seed is None else {"p": p, "mode": mode, "seed": seed}


def steps_of(backward: bool = False, save: str = "out") -> list[Step]:
    """The forward after a seed, and the backward where it is wanted."""
    steps = [
        seeded(11),
        call("dropout_forward", ["x", ref("param")], [save, "cache"]),
    ]
    return [*steps, call("dropout_backward", ["dout", "cache"], "dx")] if backward else steps


def scale_of(convention: Convention, p: float) -> float:
    """What a kept unit is multiplied by in training."""
    return 1 / convention.keep(p) if convention.inverted else 1.0


def ratio_of(x: Array, out: Any) -> Array | None:
    """Give out / x for every unit, where out has x's shape."""
    numbers = as_numbers(out)
    if numbers is None or numbers.shape != x.shape:
        return None
    ratio: Array = numbers.astype(np.float64) / x
    return ratio


def _train(setting: Setting) -> Case:
    name = "training: the kept fraction and its scale"
    rng = setting.rng("dropout_forward", name)
    variants = []
    for p, shape in ((0.3, (100, 60)), (0.8, (100, 60)), (0.7, (20, 3, 10, 12))):
        x = nonzero(rng, shape)

        def look(values: Mapping[str, Any], x: Array = x, p: float = p) -> Verdict:
            return _judge_train(setting.convention, x, p, values.get("out"))

        label = f"p = {p}, x {'x'.join(map(str, shape))}"
        inputs = {"x": x, "param": param_of(p, "train")}
        variants.append(Variant(label, inputs, steps_of(), judge=look, extra=["out"]))

    def recognise(results: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        return _recognise(variants[0].inputs["x"], 0.3, results[0].get("out"))

    return Case("dropout", "dropout_forward", name, variants, READ, recognise=recognise)


def _judge_train(convention: Convention, x: Array, p: float, out: Any) -> Verdict:
    """Every unit is 0 or x times one scale; the fraction of kept ones is right within 5 sigma."""
    ratio = ratio_of(x, out)
    if ratio is None or not np.isfinite(ratio).all():
        return Verdict(False, None, f"out should be finite numbers in x's shape {x.shape}")
    keep, scale = convention.keep(p), scale_of(convention, p)
    kept = ratio != 0
    fraction = float(kept.mean())
    if not kept.any():
        return Verdict(False, "gradient-zero", "every unit is dropped")
    if np.ptp(ratio[kept]) > 1e-9 * np.abs(ratio[kept]).max():
        return Verdict(False, None, "the kept units are not all multiplied by one number")
    own = float(ratio[kept].mean())
    sigma = np.sqrt(keep * (1 - keep) / x.size)
    said = (
        f"{fraction:.1%} of the units are kept and multiplied by {own:.6g}; expected {keep:.0%} "
        f"kept, multiplied by {scale:.6g}"
    )
    if fraction == 1.0:
        return Verdict(False, "not-random", said)
    rows = kept.reshape(len(kept), -1)
    if (rows == rows[:1]).all() or (rows == rows[:, :1]).all():
        return Verdict(False, "mask-per-row", f"whole rows or columns share one draw; {said}")
    if abs(fraction - keep) > 5 * sigma:
        swapped = abs(fraction - (1 - keep)) < 5 * sigma
        return Verdict(False, "keep-drop-swapped" if swapped else "keep-fraction-wrong", said)
    if not np.isclose(own, scale, rtol=1e-9):
        return Verdict(False, _scaling_cause(own, keep, convention.inverted), said)
    return Verdict(True)


def _scaling_cause(own: float, keep: float, inverted: bool) -> str | None:
    """Which mistake multiplies the kept units by this."""
    known = (
        (1 / keep, "inverted-scaling"),
        (1.0, "no-train-scaling"),
        (keep, "factor-p"),
        (1 / (1 - keep), "keep-drop-swapped"),
        (1 - keep, "keep-drop-swapped"),
        (1 / keep**2, "mask-twice"),
    )
    for factor, cause in known:
        if np.isclose(own, factor, rtol=1e-9):
            return None if cause == "inverted-scaling" and inverted else cause
    return "factor-other"


def _recognise(x: Array, p: float, out: Any) -> Mapping[str, str]:
    """Say what form of dropout this is, whatever it is held to."""
    ratio = ratio_of(x, out)
    if ratio is None or not np.isfinite(ratio).all() or not (ratio != 0).any():
        return {}
    kept = ratio != 0
    fraction, own = float(kept.mean()), float(ratio[kept].mean())
    near = 5 * np.sqrt(p * (1 - p) / x.size)
    if abs(fraction - p) < near:
        meaning = "p is the probability to keep"
    elif abs(fraction - (1 - p)) < near:
        meaning = "p is the probability to drop"
    else:
        return {"dropout": f"unknown: {fraction:.0%} kept at p = {p}"}
    if np.isclose(own, 1):
        form = "unscaled in training"
    elif abs(own * fraction - 1) < 0.1:
        form = "inverted (divided by the probability to keep in training)"
    else:
        form = f"multiplied by {own:.3g} in training"
    return {"dropout": f"{form}; {meaning}"}


def _test(setting: Setting) -> Case:
    name = "test mode"
    rng = setting.rng("dropout_forward", name)
    variants = []
    for p in (0.3, 0.8):
        x = nonzero(rng, (12, 5))

        def look(values: Mapping[str, Any], x: Array = x) -> Verdict | None:
            ratio = ratio_of(x, values.get("out"))
            if ratio is None or (ratio != 0).all() or not (ratio != 0).any():
                return None
            said = f"{(ratio == 0).mean():.0%} of the units are 0"
            return Verdict(False, "test-mode-drops", said)

        inputs = {"x": x, "param": param_of(p, "test")}
        wants, numbers = [Want("out", "float64")], {"keep": setting.convention.keep(p)}
        variants.append(Variant(f"p = {p}", inputs, steps_of(), wants, numbers, judge=look))
    return Case("dropout", "dropout_forward", name, variants, READ)


def _kept_dtype(output: str, mode: str, dtype: str, x: Array) -> Variant:
    """One output of float32 or float64 inputs."""

    def look(values: Mapping[str, Any]) -> Verdict:
        got = as_numbers(values.get(output))
        if got is not None and got.dtype == np.dtype(dtype):
            return Verdict(True)
        shown = "no array" if got is None else str(got.dtype)
        cause = None if got is None else dtype_cause(got, dtype)
        return Verdict(False, cause, f"{output} is {shown}, expected {dtype} (as the input)")

    inputs = {"x": x, "dout": x.copy(), "param": param_of(0.6, mode)}
    steps = steps_of(output == "dx")
    return Variant(f"{mode}, {dtype}", inputs, steps, judge=look, extra=[output])


def _types(setting: Setting) -> Case:
    name = "float32 stays float32"
    rng = setting.rng("dropout_forward", name)
    variants = [
        _kept_dtype("out", mode, dtype, nonzero(rng, (6, 5), dtype))
        for mode in ("train", "test")
        for dtype in ("float32", "float64")
    ]
    return Case("dropout", "dropout_forward", name, variants, READ, counts_alone=False)


def _backward_types(setting: Setting) -> Case:
    name = "float32 stays float32"
    rng = setting.rng("dropout_backward", name)
    variants = [
        _kept_dtype("dx", "train", dtype, nonzero(rng, (6, 5), dtype))
        for dtype in ("float32", "float64")
    ]
    return Case("dropout", "dropout_backward", name, variants, READ, counts_alone=False)


def _unmodified(setting: Setting) -> Case:
    name = "modifies no argument"
    rng = setting.rng("dropout_forward", name)
    variants = [
        Variant(mode, {"x": nonzero(rng, (6, 5)), "param": param_of(0.6, mode)}, steps_of(),
                unmodified=["x"])
        for mode in ("train", "test")
    ]  # fmt: skip
    return Case("dropout", "dropout_forward", name, variants, READ, counts_alone=False)


def _backward_train(setting: Setting) -> Case:
    """Against the mask that its own forward drew: the gradient is dout * mask (* scale)."""
    name = "gradient of x, training"
    rng = setting.rng("dropout_backward", name)
    convention = setting.convention
    variants = []
    for p in (0.3, 0.8):
        x, dout = nonzero(rng, (8, 9)), rng.standard_normal((8, 9))
        inputs = {"x": x, "dout": dout, "param": param_of(p, "train")}

        def look(
            values: Mapping[str, Any], x: Array = x, dout: Array = dout, p: float = p
        ) -> Verdict:
            ratio = ratio_of(x, values.get("out"))
            if ratio is None:
                return Verdict(False, None, "out of the forward should be numbers in x's shape")
            mask, scale, keep = ratio != 0, scale_of(convention, p), convention.keep(p)
            if not mask.any():
                text = "the forward keeps no unit: there is no mask for the gradient to follow"
                return Verdict(False, None, text)
            want, right = Want("dx", "float64"), dout * mask * scale
            difference = compare(want, right, values.get("dx"))
            if difference is None:
                return Verdict(True)
            other_scale = (
                ("no-train-scaling", dout * mask)
                if convention.inverted
                else ("inverted-scaling", dout * mask / keep)
            )
            mistaken = [
                ("missing-mask", dout), ("missing-mask", dout * scale),
                ("upstream-ignored", mask * scale), other_scale,
                ("factor-p", right * keep), ("mask-twice", right * scale),
                ("keep-drop-swapped", dout * ~mask * scale),
                ("summed-over-wrong-index", dout * x * mask),
            ]  # fmt: skip
            causes = causes_of(difference, want, {}, mistaken)
            return Verdict(False, causes[0].cause if causes else None, seen=difference.seen)

        variants.append(
            Variant(f"p = {p}", inputs, steps_of(True), judge=look, extra=["out", "dx"])
        )
    return Case("dropout", "dropout_backward", name, variants, READ)


def _backward_test(setting: Setting) -> Case:
    name = "gradient of x, after a test-mode forward"
    rng = setting.rng("dropout_backward", name)
    variants = []
    for p in (0.3, 0.8):
        x, dout = nonzero(rng, (6, 5)), rng.standard_normal((6, 5))
        inputs = {"x": x, "dout": dout, "param": param_of(p, "test")}
        wants, numbers = [Want("dx", "float64")], {"keep": setting.convention.keep(p)}
        kept = ["x", "dout"]
        variants.append(Variant(f"p = {p}", inputs, steps_of(True), wants, numbers, kept))
    return Case("dropout", "dropout_backward", name, variants, READ)


def _backward_unmodified(setting: Setting) -> Case:
    name = "modifies no argument"
    rng = setting.rng("dropout_backward", name)
    x, dout = nonzero(rng, (6, 5)), rng.standard_normal((6, 5))
    inputs = {"x": x, "dout": dout, "param": param_of(0.6, "train")}
    variant = Variant("train", inputs, steps_of(True), unmodified=["x", "dout"])
    return Case("dropout", "dropout_backward", name, [variant], READ, counts_alone=False)
