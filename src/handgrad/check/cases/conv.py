"""Cases of the convolution layer, of the two matrix operations, and the time of a batch."""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check import references as right
from handgrad.check.case import Case, Setting, Variant, Verdict, Want, call, shape_text
from handgrad.check.cases.pairs import Pair, Sample, pair_cases
from handgrad.check.verdict.hypotheses import as_numbers, close
from handgrad.check.verdict.judge import compare
from handgrad.layers import conv_backward, conv_forward

READ = 'handgrad/theory/convolution.md, "1.5 Convolution"'
_TIMED = "100x1x28x28 images, 32 filters of 7x7, forward and backward in time"

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

    pair = Pair("conv", "conv_forward", "conv_backward", READ, args, specs, make)
    for case in pair_cases(setting, pair):
        first = (case.function, case.name) == ("conv_forward", "value")
        yield replace(case, recognise=_recognise(case)) if first else case
    yield from _matrices(setting)
    yield _timed(setting)


def _recognise(case: Case) -> Callable[[Sequence[Mapping[str, Any]]], Mapping[str, str]]:
    """Say whether the filters slide as they are or flipped, whatever is right here."""
    flips = {
        "kernel-flipped": ("slides its filters as they are", "flips its filters"),
        "kernel-not-flipped": ("flips its filters", "slides its filters as they are"),
    }

    def recognise(results: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        want = case.variants[0].wants[0]
        got = as_numbers(results[0].get("out"))
        for cause, (held, other) in flips.items():
            if got is None or cause not in want.wrong:
                continue
            if close(got.astype(np.float64), np.asarray(want.value), 1e-4):
                return {"convolution": held}
            if close(got.astype(np.float64), np.asarray(want.wrong[cause]), 1e-4):
                return {"convolution": other}
        return {}

    return recognise


def _flip(w: Array) -> Array:
    return w[..., ::-1, ::-1]


def _sample(setting: Setting, rng: np.random.Generator, spec: Any, dtype: str) -> Sample:
    x_shape, w_shape, stride, padding = spec
    convention = setting.convention
    x, w = (rng.standard_normal(shape).astype(dtype) for shape in (x_shape, w_shape))
    kernel = _flip(w) if convention.flipped else w
    out = right.conv_forward(x, kernel, stride, padding)
    dout = rng.standard_normal(out.shape).astype(dtype)
    dx, dw = right.conv_backward(dout, x, kernel, stride, padding)
    other_out = right.conv_forward(x, _flip(kernel), stride, padding)
    other_dx, _ = right.conv_backward(dout, x, _flip(kernel), stride, padding)
    ones_dx, ones_dw = right.conv_backward(np.ones_like(dout), x, kernel, stride, padding)
    if convention.flipped:
        dw, ones_dw = _flip(dw), _flip(ones_dw)
    N, C, H, W = x_shape
    HH, WW = w_shape[2:]
    wrong_out: dict[str, Any] = {
        "kernel-not-flipped" if convention.flipped else "kernel-flipped": other_out
    }
    wrong_dx = {"kernel-not-flipped": other_dx, "upstream-ignored": ones_dx}
    wrong_dw = {"kernel-flipped": _flip(dw), "upstream-ignored": ones_dw}
    if HH == WW and HH > 1:
        turned = np.swapaxes(kernel, 2, 3)
        wrong_out["transposed"] = right.conv_forward(x, turned, stride, padding)
        wrong_dx["transposed"] = right.conv_backward(dout, x, turned, stride, padding)[0]
        wrong_dw["transposed"] = np.swapaxes(dw, 2, 3)
    if N > 1:
        for k, n in enumerate((0, N - 1)):
            one = right.conv_backward(dout[[n]], x[[n]], kernel, stride, padding)[1]
            wrong_dw["not-summed" + k * " "] = _flip(one) if convention.flipped else one
    if C > 1:
        wrong_out["averaged-not-summed"] = out / C
        for k, c in enumerate((0, C - 1)):
            one = right.conv_forward(x[:, [c]], kernel[:, [c]], stride, padding)
            wrong_out["only-c1" + k * " "] = one
    if w_shape[0] > 1:
        last = right.conv_backward(dout[:, -1:], x, kernel[-1:], stride, padding)[0]
        wrong_dx["not-summed"] = last
    if HH > 1 or WW > 1:
        for name, wrong, array in (("x", wrong_dx, dx), ("out", wrong_out, out)):
            for k, shifted in enumerate(_shifts(array)):
                wrong["padding-off-by-one" + k * " "] = shifted
            if name == "out":
                for k, moved in enumerate(_shifts(right.wide(x))):
                    wrong["padding-off-by-one" + (k + 8) * " "] = right.conv_forward(
                        moved, kernel, stride, padding
                    )
        if stride == 1 and padding == 0:
            wrong_dx["overlap-lost"] = _last_tap(dout, right.wide(kernel), x_shape)
    inputs: dict[str, Any] = {"x": x, "w": w, "dout": dout}
    gradients = {"x": dx, "w": dw}
    wrong_gradients: dict[str, dict[str, Any]] = {"x": wrong_dx, "w": wrong_dw}
    label = f"x {shape_text(x)}, w {shape_text(w)}, {dtype}"
    if convention.conv_bias:
        inputs["b"] = rng.standard_normal(w_shape[0]).astype(dtype)
        inputs["param"] = {"stride": stride, "pad": padding}
        plus = right.wide(inputs["b"])[:, None, None]
        wrong_out = {cause: value + plus for cause, value in wrong_out.items()}
        wrong_out["bias-ignored"] = out
        out = out + plus
        gradients["b"] = right.wide(dout).sum(axis=(0, 2, 3))
        wrong_gradients["b"] = {
            "averaged-not-summed": gradients["b"] / N,
            "not-summed": right.wide(dout)[-1].sum(axis=(1, 2)),
        }
        label += f", stride {stride}, pad {padding}"
    return Sample(
        label=label,
        inputs=inputs,
        out=out,
        gradients=gradients,
        numbers={
            "N": N, "C": C, "N*C": N * C, "1x1": HH == WW == 1, "F": w_shape[0],
            "even": HH % 2 == 0 or WW % 2 == 0, "oblong": H != W or HH != WW, "stride": stride,
            "oblong window": HH != WW,
        },
        wrong_out=wrong_out,
        wrong=wrong_gradients,
        places={"x": {"borders-wrong": _border(dx.shape, HH, WW)}},
    )  # fmt: skip


def _shifts(array: Array) -> list[Array]:
    """The last two axes moved by one pixel in each of eight directions, zeros coming in."""
    H, W = array.shape[-2:]
    around = np.pad(array, [(0, 0)] * (array.ndim - 2) + [(1, 1), (1, 1)])
    return [
        around[..., i : i + H, j : j + W]
        for i in range(3)
        for j in range(3)
        if (i, j) != (1, 1) and (i == 1 or H > 1) and (j == 1 or W > 1)
    ]


def _last_tap(dout: Array, kernel: Array, shape: tuple[int, ...]) -> Array:
    """What assigning instead of adding gives: of several taps, the last one's share stays."""
    dx = np.zeros(shape)
    OH, OW = dout.shape[2:]
    for i, j in np.ndindex(kernel.shape[2:]):
        share = np.einsum("nfhw,fc->nchw", right.wide(dout), kernel[:, :, i, j])
        dx[:, :, i : i + OH, j : j + OW] = share
    return dx


def _border(shape: tuple[int, ...], HH: int, WW: int) -> Array:
    """The pixels of x that not every tap of the filter reaches."""
    mask = np.ones(shape, dtype=bool)
    mask[..., HH - 1 : shape[2] - HH + 1, WW - 1 : shape[3] - WW + 1] = False
    return mask


def _matrices(setting: Setting) -> Iterator[Case]:
    """The assignment's *full and *filt on matrices, where a submission has them."""
    shapes = [((5, 4), (3, 2)), ((4, 4), (2, 2)), ((3, 5), (1, 1)), ((4, 3), (4, 3))]
    for function, reference in (
        ("filter_valid", right.filter_valid),
        ("convolve_full", right.convolve_full),
    ):
        rng = setting.rng(function, "value")
        variants = []
        for a_shape, b_shape in shapes:
            a, b = rng.standard_normal(a_shape), rng.standard_normal(b_shape)
            cause = "kernel-flipped" if function == "filter_valid" else "kernel-not-flipped"
            want = Want("out", reference(a, b), "float64", wrong={cause: reference(a, _flip(b))})
            label = f"a {shape_text(a)}, b {shape_text(b)}"
            steps = [call(function, ["a", "b"], "out")]
            variants.append(Variant(label, {"a": a, "b": b}, steps, [want], {}, ["a", "b"]))
        yield Case("conv", function, "value", variants, READ, [("layers", function)], optional=True)


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
    steps = [{"op": "timed", "steps": inside, "save": "seconds"}]

    def look(values: Mapping[str, Any]) -> Verdict:
        """Right on the first and last images and one filter: the rest is the other cases'."""
        kernel = _flip(w) if setting.convention.flipped else w
        some = [0, 99]
        got_out, got_dx = as_numbers(values.get("out")), as_numbers(values.get("dx"))
        if got_out is None or got_dx is None or got_out.shape != dout.shape:
            return Verdict(False, None, "the results are no arrays of the right shapes")
        out = right.conv_forward(x[some], kernel)
        dx, _ = right.conv_backward(dout[some], x[some], kernel)
        for label, got, value in (("out", got_out[some], out), ("dx", got_dx[some], dx)):
            if not close(got.astype(np.float64), value, 2e-4):
                problem = compare(Variant("", {}, []), Want(label, value, tolerance=2e-4), got)
                return Verdict(False, None, problem.text if problem else "")
        return Verdict(True)

    def timing(values: Mapping[str, Any]) -> Mapping[str, float]:
        seconds = as_numbers(values.get("seconds"))
        if seconds is None or seconds.ndim != 0:
            return {}
        ours = _our_seconds()
        label = f"{_TIMED}: "
        return {
            f"{label}seconds": float(seconds),
            f"{label}times ours (plain NumPy)": float(seconds) / ours,
        }

    variant = Variant("float32", inputs, steps, judge=look, extra=["out", "dx", "seconds"])
    needs: Sequence[tuple[str, str]] = [("layers", "conv_forward"), ("layers", "conv_backward")]
    return Case("time", "conv_forward", _TIMED, [variant], READ, needs, patience=6.0, timing=timing)


@functools.cache
def _our_seconds() -> float:
    """The same work by handgrad's own layer in this process, the better of two."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 1, 28, 28)).astype(np.float32)
    w = rng.standard_normal((32, 1, 7, 7)).astype(np.float32)
    dout = rng.standard_normal((100, 32, 22, 22)).astype(np.float32)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        _, cache = conv_forward(x, w)
        conv_backward(dout, cache)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])
