"""Cases of dropout: what is dropped, how it is scaled, what the gradient sees, whose randomness."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from handgrad.check.case import Array, Case, Setting, Step, Variant, Verdict, Want, call, ref
from handgrad.check.conventions import Convention
from handgrad.check.hypotheses import as_numbers
from handgrad.check.judge import compare

READ = 'handgrad/report/theory/dropout.md, "1.3 Dropout, in training and in testing"'
_FORWARD, _BACKWARD = ("layers", "dropout_forward"), ("layers", "dropout_backward")


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of dropout."""
    yield _train(setting)
    yield _test(setting)
    yield _types(setting)
    yield _unmodified(setting)
    if setting.convention.course_stream:
        yield _stream(setting)
        yield _global_state(setting)
    yield _seeds(setting)
    yield _backward_train(setting)
    yield _backward_test(setting)
    yield _backward_unmodified(setting)


def _nonzero(rng: np.random.Generator, shape: tuple[int, ...], dtype: str = "float64") -> Array:
    x: Array = (rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)).astype(dtype)
    return x


def _param(p: float, mode: str, seed: int | None = None) -> dict[str, Any]:
    return {"p": p, "mode": mode} if seed is None else {"p": p, "mode": mode, "seed": seed}


def _steps(backward: bool = False, save: str = "out") -> list[Step]:
    steps = [
        {"op": "seed", "value": 11},
        call("dropout_forward", ["x", ref("param")], [save, "cache"]),
    ]
    return [*steps, call("dropout_backward", ["dout", "cache"], "dx")] if backward else steps


def _scale(convention: Convention, p: float) -> float:
    """What a kept unit is multiplied by in training."""
    return 1 / convention.keep(p) if convention.inverted else 1.0


def _ratio(x: Array, out: Any) -> Array | None:
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
        x = _nonzero(rng, shape)

        def look(values: Mapping[str, Any], x: Array = x, p: float = p) -> Verdict:
            return _judge_train(setting.convention, x, p, values.get("out"))

        label = f"p = {p}, x {'x'.join(map(str, shape))}"
        inputs = {"x": x, "param": _param(p, "train")}
        variants.append(Variant(label, inputs, _steps(), judge=look, extra=["out"]))

    def recognise(results: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        return _recognise(variants[0].inputs["x"], 0.3, results[0].get("out"))

    return Case("dropout", "dropout_forward", name, variants, READ, [_FORWARD], recognise=recognise)


def _judge_train(convention: Convention, x: Array, p: float, out: Any) -> Verdict:
    """Every unit is 0 or x times one scale; the fraction of kept ones is right within 5 sigma."""
    ratio = _ratio(x, out)
    if ratio is None or not np.isfinite(ratio).all():
        return Verdict(False, None, f"out should be finite numbers in x's shape {x.shape}")
    keep, scale = convention.keep(p), _scale(convention, p)
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
    ratio = _ratio(x, out)
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
    convention = setting.convention
    variants = []
    for p in (0.3, 0.8):
        x = _nonzero(rng, (12, 5))
        keep = convention.keep(p)
        if convention.inverted:
            value, wrong = x, {"factor-p": x * keep, "keep-drop-swapped": x * (1 - keep)}
        else:
            value = x * keep
            wrong = {
                "no-test-scaling": x,
                "keep-drop-swapped": x * (1 - keep),
                "mask-twice": x * keep**2,
                "factor-one-over-p": x / keep,
            }

        def look(values: Mapping[str, Any], x: Array = x) -> Verdict | None:
            ratio = _ratio(x, values.get("out"))
            if ratio is None or (ratio != 0).all() or not (ratio != 0).any():
                return None
            return Verdict(
                False, "test-mode-drops", f"{(ratio == 0).mean():.0%} of the units are 0"
            )

        variants.append(
            Variant(
                f"p = {p}",
                {"x": x, "param": _param(p, "test")},
                _steps(),
                [Want("out", value, "float64", wrong=wrong)],
                {"p": keep},
                judge=look,
            )
        )
    return Case("dropout", "dropout_forward", name, variants, READ, [_FORWARD])


def _types(setting: Setting) -> Case:
    name = "float32 stays float32"
    rng = setting.rng("dropout_forward", name)
    variants = []
    for mode in ("train", "test"):
        for dtype in ("float32", "float64"):
            x = _nonzero(rng, (6, 5), dtype)

            def look(values: Mapping[str, Any], dtype: str = dtype) -> Verdict:
                for output in ("out", "dx"):
                    got = as_numbers(values.get(output))
                    if got is None or got.dtype != np.dtype(dtype):
                        shown = "no array" if got is None else str(got.dtype)
                        cause = "dtype-not-kept" if dtype == "float32" else "float32-forced"
                        text = f"{output} is {shown}, expected {dtype} (as the input)"
                        return Verdict(False, cause if got is not None else None, text)
                return Verdict(True)

            inputs = {"x": x, "dout": x.copy(), "param": _param(0.6, mode)}
            label = f"{mode}, {dtype}"
            variants.append(Variant(label, inputs, _steps(True), judge=look, extra=["out", "dx"]))
    return Case("dropout", "dropout_forward", name, variants, READ, [_FORWARD, _BACKWARD])


def _unmodified(setting: Setting) -> Case:
    name = "modifies no argument"
    rng = setting.rng("dropout_forward", name)
    variants = [
        Variant(mode, {"x": _nonzero(rng, (6, 5)), "param": _param(0.6, mode)}, _steps(),
                unmodified=["x"])
        for mode in ("train", "test")
    ]  # fmt: skip
    return Case("dropout", "dropout_forward", name, variants, READ, [_FORWARD])


def _stream(setting: Setting) -> Case:
    """The mask is RandomState(seed).rand(*x.shape) < p, or that of the global generator."""
    name = "the course's random numbers: rand(*x.shape) < p"
    rng = setting.rng("dropout_forward", name)
    convention, p = setting.convention, 0.7
    scale = _scale(convention, p)
    variants = []
    for label, seed, draws in (
        ("dropout_param['seed'] = 5", 5, 5),
        ("no seed, numpy.random.seed(11) before", None, 11),
    ):
        x = _nonzero(rng, (6, 7))
        draw = np.random.RandomState(draws).rand(*x.shape)
        value = x * (draw < p) * scale
        wrong = {
            "keep-drop-swapped": x * (draw >= p) * scale,
            "inverted-scaling": x * (draw < p) / p,
            "no-train-scaling": x * (draw < p),
        }

        def look(
            values: Mapping[str, Any], x: Array = x, value: Array = value, draw: Array = draw
        ) -> Verdict:
            ratio = _ratio(x, values.get("out"))
            if ratio is None:
                return Verdict(False, None, "out should be numbers in x's shape")
            if np.array_equal(ratio != 0, value != 0):
                return Verdict(True)
            kept = ratio != 0
            cause = "other-random-stream"
            if np.array_equal(kept, value == 0):
                cause = "keep-drop-swapped"
            elif kept.all():
                cause = "not-random"
            elif kept.any() and draw[kept].max() < draw[~kept].min():
                cause = "keep-fraction-wrong"
            elif (kept == kept[:1]).all() or (kept == kept[:, :1]).all():
                cause = "mask-per-row"
            differ = int(np.sum((ratio != 0) != (value != 0)))
            return Verdict(False, cause, f"{differ} of {x.size} units of the mask are other ones")

        want = Want("out", value, "any", wrong=wrong)
        variants.append(
            Variant(
                label,
                {"x": x, "param": _param(p, "train", seed)},
                _steps(),
                [want],
                {"p": convention.keep(p)},
                judge=look,
            )
        )
    return Case("dropout", "dropout_forward", name, variants, READ, [_FORWARD])


def _global_state(setting: Setting) -> Case:
    name = "the global generator is left alone"
    rng = setting.rng("dropout_forward", name)
    variants = []
    for label, param in (
        ("training with a seed", _param(0.7, "train", 5)),
        ("test mode", _param(0.7, "test")),
    ):
        steps: list[Step] = [
            {"op": "seed", "value": 11},
            {"op": "global_state", "save": "before"},
            call("dropout_forward", ["x", ref("param")], ["out", "cache"]),
            {"op": "global_state", "save": "after"},
        ]

        def look(values: Mapping[str, Any]) -> Verdict:
            before, after = values.get("before"), values.get("after")
            same = isinstance(before, str) and isinstance(after, str) and before == after
            return Verdict(
                same, "global-random-state", "numpy.random's state is another afterwards"
            )

        inputs = {"x": _nonzero(rng, (4, 5)), "param": param}
        variants.append(Variant(label, inputs, steps, judge=look, extra=["before", "after"]))
    return Case("dropout", "dropout_forward", name, variants, READ, [_FORWARD])


def _seeds(setting: Setting) -> Case:
    name = "the same seed gives the same mask, no seed a new one"
    rng = setting.rng("dropout_forward", name)
    x = _nonzero(rng, (20, 30))
    params = {
        "a": _param(0.6, "train", 5), "b": _param(0.6, "train", 5), "c": _param(0.6, "train", 6),
        "d": _param(0.6, "train"), "e": _param(0.6, "train"),
    }  # fmt: skip
    steps: list[Step] = [{"op": "seed", "value": 11}]
    for letter in params:
        steps.append(call("dropout_forward", ["x", ref(letter)], [f"out {letter}", "cache"]))

    def look(values: Mapping[str, Any]) -> Verdict:
        outs = {letter: _ratio(x, values.get(f"out {letter}")) for letter in params}
        if any(out is None for out in outs.values()):
            return Verdict(False, None, "out should be numbers in x's shape")
        masks = {letter: out != 0 for letter, out in outs.items()}
        if not np.array_equal(masks["a"], masks["b"]):
            return Verdict(False, "seed-ignored", "two calls with seed 5 drop different units")
        if np.array_equal(masks["a"], masks["c"]):
            return Verdict(False, "not-random", "seeds 5 and 6 drop the same units")
        if np.array_equal(masks["d"], masks["e"]):
            return Verdict(False, "not-random", "two calls without a seed drop the same units")
        return Verdict(True)

    extra = [f"out {letter}" for letter in params]
    variant = Variant("", {"x": x, **params}, steps, judge=look, extra=extra)
    return Case("dropout", "dropout_forward", name, [variant], READ, [_FORWARD])


def _backward_train(setting: Setting) -> Case:
    """Against the mask that its own forward drew: the gradient is dout * mask (* scale)."""
    name = "gradient of x, training"
    rng = setting.rng("dropout_backward", name)
    convention = setting.convention
    variants = []
    for p in (0.3, 0.8):
        x, dout = _nonzero(rng, (8, 9)), rng.standard_normal((8, 9))
        inputs = {"x": x, "dout": dout, "param": _param(p, "train")}

        def look(
            values: Mapping[str, Any], x: Array = x, dout: Array = dout, p: float = p
        ) -> Verdict:
            ratio = _ratio(x, values.get("out"))
            if ratio is None:
                return Verdict(False, None, "out of the forward should be numbers in x's shape")
            mask, scale, keep = ratio != 0, _scale(convention, p), convention.keep(p)
            wrong = {
                "missing-mask": dout,
                "missing-mask, scaled": dout * scale,
                "upstream-ignored": mask * scale,
                "no-train-scaling" if convention.inverted else "inverted-scaling": (
                    dout * mask if convention.inverted else dout * mask / keep
                ),
                "factor-p": dout * mask * scale * keep,
                "mask-twice": dout * mask * scale**2,
                "keep-drop-swapped": dout * ~mask * scale,
                "summed-over-wrong-index": dout * x * mask,
            }
            want = Want("dx", dout * mask * scale, "float64", wrong=wrong)
            problem = compare(Variant("", {}, []), want, values.get("dx"))
            if problem is None:
                return Verdict(True)
            cause = problem.causes[0].cause.partition(",")[0] if problem.causes else None
            return Verdict(False, cause, problem.text)

        variants.append(Variant(f"p = {p}", inputs, _steps(True), judge=look, extra=["out", "dx"]))
    needs = [_BACKWARD, _FORWARD]
    return Case("dropout", "dropout_backward", name, variants, READ, needs)


def _backward_test(setting: Setting) -> Case:
    name = "gradient of x, after a test-mode forward"
    rng = setting.rng("dropout_backward", name)
    convention = setting.convention
    variants = []
    for p in (0.3, 0.8):
        x, dout = _nonzero(rng, (6, 5)), rng.standard_normal((6, 5))
        keep = convention.keep(p)
        value = dout if convention.inverted else dout * keep
        wrong = {
            "factor-p" if convention.inverted else "no-test-scaling": (
                dout * keep if convention.inverted else dout
            ),
            "keep-drop-swapped": dout * (1 - keep),
            "mask-twice": dout * keep**2,
        }
        inputs = {"x": x, "dout": dout, "param": _param(p, "test")}
        want = Want("dx", value, "float64", wrong=wrong)
        variants.append(Variant(f"p = {p}", inputs, _steps(True), [want], {"p": keep}))
    needs = [_BACKWARD, _FORWARD]
    return Case("dropout", "dropout_backward", name, variants, READ, needs)


def _backward_unmodified(setting: Setting) -> Case:
    name = "modifies no argument"
    rng = setting.rng("dropout_backward", name)
    variants = []
    for mode in ("train", "test"):
        x, dout = _nonzero(rng, (6, 5)), rng.standard_normal((6, 5))
        inputs = {"x": x, "dout": dout, "param": _param(0.6, mode)}
        variants.append(Variant(mode, inputs, _steps(True), unmodified=["x", "dout"]))
    needs = [_BACKWARD, _FORWARD]
    return Case("dropout", "dropout_backward", name, variants, READ, needs)
