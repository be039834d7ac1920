"""Cases of the convolution layer, of the two matrix operations, and the time of a batch."""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Case, Setting, Variant, Verdict, Want, call, shape_text
from handgrad.check.cases.pairs import Pair, Sample, pair_cases
from handgrad.check.reference import reference
from handgrad.check.verdict.compare import compare
from handgrad.check.verdict.hypotheses import as_numbers, close
from handgrad.layers import conv_backward, conv_forward

READ = 'handgrad/theory/convolution.md, "1.5 Convolution"'
_TIMED = "100x1x28x28 images, 32 filters of 7x7, forward and backward in time"
_TRIED_SECONDS = 2.0  # what would take longer is estimated from a few images

_SPECS = (  # x (N, C, H, W), w (F, C, HH, WW)
    ((3, 2, 6, 5), (4, 2, 3, 2)),
    ((1, 1, 5, 5), (1, 1, 3, 3)),
    ((3, 1, 5, 5), (2, 1, 3, 3)),
    ((1, 3, 5, 5), (2, 3, 3, 3)),
    ((2, 2, 5, 5), (3, 2, 3, 3)),
    ((2, 3, 4, 5), (2, 3, 1, 1)),
    ((2, 2, 5, 5), (3, 2, 2, 2)),
    ((2, 2, 4, 3), (3, 2, 4, 3)),
    ((2, 2, 4, 5), (1, 2, 3, 3)),
)

Recognise = Callable[[Sequence[Mapping[str, Any]]], Mapping[str, str]]


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of convolution."""
    bias = setting.convention.conv_bias
    specs: list[Any] = [(*spec, 1, 0) for spec in _SPECS]
    args: list[Any] = ["x", "w"]
    if bias:
        specs += [((2, 3, 5, 5), (2, 3, 3, 3), 1, 1), ((3, 2, 7, 6), (2, 2, 3, 2), 2, 1)]
        args = ["x", "w", "b", "param"]

    def make(rng: np.random.Generator, spec: Any, dtype: str) -> Sample:
        return _sample(setting, rng, spec, dtype)

    gradients = [arg for arg in args if arg != "param"]
    pair = Pair("conv", "conv_forward", "conv_backward", READ, args, gradients, specs, make)
    for case in pair_cases(setting, pair):
        first = (case.function, case.name) == ("conv_forward", "value")
        yield replace(case, recognise=_recognise(setting, case)) if first else case
    yield from _matrices(setting)
    yield _timed(setting)


def _recognise(setting: Setting, case: Case) -> Recognise:
    """Say whether the filters slide as they are or flipped, whatever is right here."""
    variant = case.variants[0]
    said = ("slides its filters as they are", "flips its filters")

    def recognise(results: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        got = as_numbers(results[0].get("out"))
        for w, flipped in ((variant.inputs["w"], False), (_flip(variant.inputs["w"]), True)):
            values = reference(setting.convention).values({**variant.inputs, "w": w}, variant.steps)
            if got is not None and close(got.astype(np.float64), values["out"], 1e-4):
                return {"convolution": said[flipped != setting.convention.flipped]}
        return {}

    return recognise


def _flip(w: Array) -> Array:
    return w[..., ::-1, ::-1]


def _sample(setting: Setting, rng: np.random.Generator, spec: Any, dtype: str) -> Sample:
    x_shape, w_shape, stride, padding = spec
    x, w = (rng.standard_normal(shape).astype(dtype) for shape in (x_shape, w_shape))
    N, C, H, W = x_shape
    F, _, HH, WW = w_shape
    OH, OW = (1 + (side + 2 * padding - own) // stride for side, own in ((H, HH), (W, WW)))
    inputs: dict[str, Any] = {"x": x, "w": w}
    inputs["dout"] = rng.standard_normal((N, F, OH, OW)).astype(dtype)
    label = f"x {shape_text(x)}, w {shape_text(w)}, {dtype}"
    if setting.convention.conv_bias:
        inputs["b"] = rng.standard_normal(F).astype(dtype)
        inputs["param"] = {"stride": stride, "pad": padding}
        label += f", stride {stride}, pad {padding}"
    return Sample(
        label=label,
        inputs=inputs,
        numbers={
            "N": N, "C": C, "N*C": N * C, "1x1": HH == WW == 1, "F": F,
            "even": HH % 2 == 0 or WW % 2 == 0, "oblong": H != W or HH != WW, "stride": stride,
            "oblong window": HH != WW,
        },
        places={"x": {"borders-wrong": _border(x_shape, HH, WW)}},
    )  # fmt: skip


def _border(shape: tuple[int, ...], HH: int, WW: int) -> Array:
    """The pixels of x that not every tap of the filter reaches."""
    mask = np.ones(shape, dtype=bool)
    mask[..., HH - 1 : shape[2] - HH + 1, WW - 1 : shape[3] - WW + 1] = False
    return mask


def _matrices(setting: Setting) -> Iterator[Case]:
    """The assignment's *full and *filt on matrices, where a submission has them."""
    shapes = [((5, 4), (3, 2)), ((4, 4), (2, 2)), ((3, 5), (1, 1)), ((4, 3), (4, 3))]
    for function in ("filter_valid", "convolve_full"):
        rng = setting.rng(function, "value")
        variants = []
        for a_shape, b_shape in shapes:
            a, b = rng.standard_normal(a_shape), rng.standard_normal(b_shape)
            label = f"a {shape_text(a)}, b {shape_text(b)}"
            steps = [call(function, ["a", "b"], "out")]
            wants = [Want("out", "float64")]
            variants.append(Variant(label, {"a": a, "b": b}, steps, wants, {}, ["a", "b"]))
        yield Case("conv", function, "value", variants, READ, optional=True)


# -- time ---------------------------------------------------------------------------------------


def _timed(setting: Setting) -> Case:
    rng = setting.rng("conv_forward", _TIMED)
    x = rng.standard_normal((100, 1, 28, 28)).astype(np.float32)
    w = rng.standard_normal((32, 1, 7, 7)).astype(np.float32)
    dout = rng.standard_normal((100, 32, 22, 22)).astype(np.float32)
    inputs: dict[str, Any] = {"x": x, "w": w, "dout": dout}
    args: list[Any] = ["x", "w"]
    names = ["dx", "dw"]
    if setting.convention.conv_bias:
        inputs["b"] = np.zeros(32, dtype=np.float32)
        args += ["b", {"stride": 1, "pad": 0}]
        names.append("db")
    inside = [
        call("conv_forward", args, ["out", "cache"]),
        call("conv_backward", ["dout", "cache"], names),
    ]
    # Loops of Python take a minute for all images: a few tell, and need no more than their time.
    trial = {"of": ["x", "dout"], "counts": [1, 3], "all": len(x), "enough": _TRIED_SECONDS}
    steps = [{"op": "timed", "steps": inside, "save": "seconds", "trial": trial}]

    def look(values: Mapping[str, Any]) -> Verdict:
        """Right on the first and last images: the rest is the other cases'."""
        count = 3 if "tried" in values else len(x)
        some = [0, count - 1]
        got_out, got_dx = as_numbers(values.get("out")), as_numbers(values.get("dx"))
        if got_out is None or got_dx is None or got_out.shape != (count, *dout.shape[1:]):
            return Verdict(False, None, "the results are no arrays of the right shapes")
        few = {**inputs, "x": x[some], "dout": dout[some]}
        right = reference(setting.convention).values(few, inside)
        for label, got in (("out", got_out[some]), ("dx", got_dx[some])):
            difference = compare(Want(label, tolerance=2e-4), right[label], got)
            if difference is not None:
                return Verdict(False, seen=difference.seen)
        return Verdict(True)

    def lasts(values: Mapping[str, Any]) -> float | None:
        seconds = as_numbers(values.get("seconds"))
        return None if seconds is None or seconds.ndim != 0 else float(seconds)

    def timing(values: Mapping[str, Any]) -> Mapping[str, float]:
        seconds = lasts(values)
        if seconds is None:
            return {}
        ours = _our_seconds()
        label = f"{_TIMED}, estimated: " if "tried" in values else f"{_TIMED}: "
        return {f"{label}seconds": seconds, f"{label}times ours (plain NumPy)": seconds / ours}

    extra = ["out", "dx", "seconds", "tried"]
    variant = Variant("float32", inputs, steps, judge=look, extra=extra)
    return Case(
        "time", "conv_forward", _TIMED, [variant], READ, patience=6.0, timing=timing, lasts=lasts
    )


@functools.cache
def _our_seconds() -> float:
    """The same work by handgrad's own layer in this process, the better of two."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 1, 28, 28)).astype(np.float32)
    w = rng.standard_normal((32, 1, 7, 7)).astype(np.float32)
    dout = rng.standard_normal((100, 32, 22, 22)).astype(np.float32)
    seconds = []
    for _ in range(3):
        started = time.process_time()
        _, cache = conv_forward(x, w)
        conv_backward(dout, cache)
        seconds.append(time.process_time() - started)
    return min(seconds[1:])
