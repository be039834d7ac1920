"""Cases of max pooling: overlap, uncovered borders, ties, negative pixels."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check import references as right
from handgrad.check.case import Case, Setting, Variant, Want, call
from handgrad.check.cases.pairs import Pair, Sample, pair_cases

READ = 'handgrad/theory/max_pooling.md, "5 Max pooling"'

_SPECS = (  # x (N, C, H, W), window, stride, all pixels negative
    ((2, 3, 4, 6), (2, 2), 2, False),
    ((1, 1, 4, 4), (2, 2), 2, False),
    ((3, 1, 4, 4), (2, 2), 2, False),
    ((1, 3, 4, 4), (2, 2), 2, False),
    ((2, 2, 4, 4), (2, 2), 2, True),
    ((2, 2, 5, 7), (2, 2), 2, False),
    ((2, 2, 6, 8), (3, 2), 2, False),
    ((2, 2, 5, 5), (3, 3), 1, False),
    ((2, 1, 4, 5), (1, 1), 1, False),
    ((1, 2, 7, 6), (2, 2), 3, False),
)


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of max pooling."""
    pair = Pair(
        "pool", "max_pool_forward", "max_pool_backward", READ, ["x", "param"], _SPECS, _sample
    )
    yield from pair_cases(setting, pair)
    yield _ties(setting)


def _param(window: tuple[int, int], stride: int) -> dict[str, int]:
    return {"pool_height": window[0], "pool_width": window[1], "stride": stride}


def _sample(rng: np.random.Generator, spec: Any, dtype: str) -> Sample:
    shape, (height, width), stride, negative = spec
    size = int(np.prod(shape))
    x = (rng.permutation(size).reshape(shape) / size * 4 - (6 if negative else 2)).astype(dtype)
    out = right.max_pool_forward(x, height, width, stride)
    dout = rng.standard_normal(out.shape).astype(dtype)
    dx = right.max_pool_backward(dout, x, height, width, stride)
    _, _, H, W = shape
    rows, columns = out.shape[2:]
    covered = ((rows - 1) * stride + height, (columns - 1) * stride + width)
    outside = np.ones(shape, dtype=bool)
    outside[:, :, : covered[0], : covered[1]] = False
    wrong_out: dict[str, Any] = {"sign": -right.max_pool_forward(-x, height, width, stride)}
    more = [(-(H - height) % stride), (-(W - width) % stride)]
    if any(more):
        room = [(0, 0), (0, 0), (0, more[0]), (0, more[1])]
        for k, fill in enumerate((-np.inf, 0.0)):
            wider = np.pad(right.wide(x), room, constant_values=fill)
            wrong_out["uncovered-border-lost" + k * " "] = right.max_pool_forward(
                wider, height, width, stride
            )
    for k, other in enumerate((height, width)):
        if other != stride:
            wrong_out["stride-ignored" + k * " "] = right.max_pool_forward(x, height, width, other)
    return Sample(
        label=f"x {'x'.join(map(str, shape))}, window {height}x{width}, stride {stride}, {dtype}",
        inputs={"x": x, "param": _param((height, width), stride), "dout": dout},
        out=out,
        gradients={"x": dx},
        numbers={
            "N": shape[0], "C": shape[1], "N*C": shape[0] * shape[1], "negative": negative,
            "uncovered": bool(outside.any()), "overlap": stride < max(height, width),
            "oblong": height != width or H != W, "oblong window": height != width,
        },
        wrong_out=wrong_out,
        wrong={
            "x": {
                "upstream-ignored": right.max_pool_backward(
                    np.ones_like(dout), x, height, width, stride
                ),
                "overlap-lost": _last_window(dout, x, height, width, stride),
                "missing-mask": _everybody(dout, shape, height, width, stride, 1),
                "missing-mask ": _everybody(dout, shape, height, width, stride, height * width),
            }
        },
        places={"x": {"uncovered-border-lost": outside}},
    )  # fmt: skip


def _last_window(dout: Array, x: Array, height: int, width: int, stride: int) -> Array:
    """What assigning instead of adding gives: of several windows, the last one's payment stays."""
    dx = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(dout.shape):
        top, left = i * stride, j * stride
        window = x[n, c, top : top + height, left : left + width]
        p, q = np.unravel_index(int(np.argmax(window)), window.shape)
        dx[n, c, top + p, left + q] = dout[n, c, i, j]
    return dx


def _everybody(
    dout: Array, shape: tuple[int, ...], height: int, width: int, stride: int, share: int
) -> Array:
    """Every pixel of a window gets the gradient, or its share."""
    dx = np.zeros(shape)
    for n, c, i, j in np.ndindex(dout.shape):
        top, left = i * stride, j * stride
        dx[n, c, top : top + height, left : left + width] += dout[n, c, i, j] / share
    return dx


def _ties(setting: Setting) -> Case:
    """A tie gives one pixel the gradient, the first; images after a ReLU are full of ties."""
    name = "a tie gives one pixel the gradient, the first"
    rng = setting.rng("max_pool_backward", name)
    variants = []
    for label, shape, window, stride, high in (
        ("few values, window 2x2, stride 2", (2, 2, 4, 4), (2, 2), 2, 3),
        ("all zeros, window 2x2, stride 2", (2, 1, 4, 4), (2, 2), 2, 1),
        ("few values, window 3x2, stride 1", (1, 2, 5, 4), (3, 2), 1, 3),
    ):
        x = rng.integers(0, high, shape).astype(np.float64)
        out = right.max_pool_forward(x, *window, stride)
        dout = rng.standard_normal(out.shape)
        pays = {
            ties: right.max_pool_backward(dout, x, *window, stride, ties)
            for ties in ("first", "all", "last", "share")
        }
        wrong = {
            "ties-paid-twice": pays["all"],
            "ties-wrong": pays["last"],
            "ties-wrong ": pays["share"],
            "overlap-lost": _last_window(dout, x, *window, stride),
        }
        steps = [
            call("max_pool_forward", ["x", "param"], ["out", "cache"]),
            call("max_pool_backward", ["dout", "cache"], "dx"),
        ]
        inputs = {"x": x, "dout": dout, "param": _param(window, stride)}
        wants = [
            Want("dx", pays["first"], "float64", wrong=wrong),
        ]
        variants.append(Variant(label, inputs, steps, wants))
    needs = [("layers", "max_pool_backward"), ("layers", "max_pool_forward")]
    return Case("pool", "max_pool_backward", name, variants, READ, needs)
