"""Cases of the fully connected layer and of ReLU."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from handgrad.check import references as right
from handgrad.check.case import Case, Setting, Variant, Want, call, shape_text
from handgrad.check.cases.pairs import Pair, Sample, pair_cases

READ_FC = 'handgrad/theory/fully_connected.md, "1.1 The fully connected layer"'
READ_RELU = 'handgrad/theory/relu.md, "1.2 ReLU, and what happens at 0"'


def _fc(rng: np.random.Generator, spec: Any, dtype: str) -> Sample:
    x_shape, M = spec
    D = int(np.prod(x_shape[1:]))
    N = x_shape[0]
    x, w, b, dout = (
        rng.standard_normal(shape).astype(dtype) for shape in (x_shape, (D, M), (M,), (N, M))
    )
    dx, dw, db = right.fc_backward(dout, x, w)
    rows = right.wide(x).reshape(N, D)
    ones = np.ones_like(right.wide(dout))
    without = right.fc_backward(ones, x, w)
    return Sample(
        label=f"x {shape_text(x)}, w {shape_text(w)}, {dtype}",
        inputs={"x": x, "w": w, "b": b, "dout": dout},
        out=right.fc_forward(x, w, b),
        gradients={"x": dx, "w": dw, "b": db},
        numbers={"N": N, "D": D, "M": M},
        wrong_out={
            "bias-ignored": rows @ right.wide(w),
            "sign": rows @ right.wide(w) - b,
            "summed-over-wrong-index": right.wide(x).reshape(D, N).T @ right.wide(w) + b,
        },
        wrong={
            "x": {"upstream-ignored": without[0]},
            "w": {"upstream-ignored": without[1], "wrong-axis": dw.sum(axis=0, keepdims=True)},
            "b": {
                "averaged-not-summed": db / N,
                "wrong-axis": right.wide(dout).sum(axis=1),
                "upstream-ignored": without[2],
                "not-summed": right.wide(dout)[0],
            },
        },
    )


def _away_from_zero(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    """Numbers between 0.1 and 2 of either sign: no kink nearby."""
    return (rng.uniform(0.1, 2, shape) * rng.choice([-1, 1], shape)).astype(dtype)


def _relu(rng: np.random.Generator, shape: Any, dtype: str) -> Sample:
    x = _away_from_zero(rng, shape, dtype)
    x.reshape(-1)[:2] = [-0.7, 0.9]  # both signs, always
    dout = rng.standard_normal(shape).astype(dtype)
    wide, upstream = right.wide(x), right.wide(dout)
    return Sample(
        label=f"x {shape_text(x)}, {dtype}",
        inputs={"x": x, "dout": dout},
        out=np.where(wide > 0, wide, 0),
        gradients={"x": np.where(wide > 0, upstream, 0)},
        numbers={"N": shape[0]},
        wrong_out={"no-relu": wide, "sign": np.where(wide < 0, wide, 0), "transposed": wide.T},
        wrong={
            "x": {
                "missing-mask": upstream,
                "upstream-ignored": np.where(wide > 0, 1.0, 0.0),
                "sign": np.where(wide < 0, upstream, 0),
                "mask-twice": np.where(wide > 0, wide * upstream, 0),
                "wrong-mask": np.where(upstream > 0, upstream, 0),
            }
        },
    )


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of fc and relu."""
    fc_specs = [((3, 4), 5), ((1, 4), 2), ((5, 2, 3), 4), ((7, 2, 1, 3), 1), ((3, 1), 3)]
    yield from pair_cases(
        setting,
        Pair("fc", "fc_forward", "fc_backward", READ_FC, ["x", "w", "b"], fc_specs, _fc),
    )
    relu_specs = [(3, 4), (7,), (2, 3, 4, 5), (1, 3)]
    yield from pair_cases(
        setting,
        Pair("relu", "relu_forward", "relu_backward", READ_RELU, ["x"], relu_specs, _relu),
    )
    yield _kink(setting)


def _kink(setting: Setting) -> Case:
    """At exactly 0 the gradient is 0; -0.0 is 0, too."""
    name = "gradient at exactly 0 is 0"
    rng = setting.rng("relu_backward", name)
    x = np.array([[0.0, -1.5, 2.0], [-0.0, 0.5, 0.0]])
    dout = rng.standard_normal(x.shape)
    value = np.where(x > 0, dout, 0)
    steps = [
        call("relu_forward", ["x"], ["out", "cache"]),
        call("relu_backward", ["dout", "cache"], "dx"),
    ]
    variant = Variant(
        "x with zeros, float64",
        {"x": x, "dout": dout},
        steps,
        [
            Want(
                "dx", value, "float64",
                wrong={
                    "missing-mask": dout,
                    "kink-wrong": np.where(x >= 0, dout, 0),
                    "wrong-mask": np.where(dout > 0, dout, 0),
                },
                places={"kink-wrong": x == 0},
            )
        ],
    )  # fmt: skip
    needs = [("layers", "relu_backward"), ("layers", "relu_forward")]
    return Case("relu", "relu_backward", name, [variant], READ_RELU, needs)
