"""Cases of the fully connected layer and of ReLU."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from handgrad.check.case import Case, Setting, Want, shape_text
from handgrad.check.cases.pairs import Pair, Sample, pair_cases

READ_FC = 'handgrad/theory/fully_connected.md, "1.1 The fully connected layer"'
READ_RELU = 'handgrad/theory/relu.md, "1.2 ReLU, and what happens at 0"'


def _fc(rng: np.random.Generator, spec: Any, dtype: str) -> Sample:
    x_shape, M = spec
    D, N = int(np.prod(x_shape[1:])), x_shape[0]
    x, w, b, dout = (
        rng.standard_normal(shape).astype(dtype) for shape in (x_shape, (D, M), (M,), (N, M))
    )
    label = f"x {shape_text(x)}, w {shape_text(w)}, {dtype}"
    return Sample(label, {"x": x, "w": w, "b": b, "dout": dout}, {"N": N, "D": D, "M": M})


def _relu(rng: np.random.Generator, shape: Any, dtype: str) -> Sample:
    # Between 0.1 and 2, of either sign: no kink nearby.
    x = (rng.uniform(0.1, 2, shape) * rng.choice([-1, 1], shape)).astype(dtype)
    x.reshape(-1)[:2] = [-0.7, 0.9]  # both signs, always
    dout = rng.standard_normal(shape).astype(dtype)
    return Sample(f"x {shape_text(x)}, {dtype}", {"x": x, "dout": dout}, {"N": shape[0]})


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of fc and relu."""
    fc_specs = [((3, 4), 5), ((1, 4), 2), ((5, 2, 3), 4), ((7, 2, 1, 3), 1), ((3, 1), 3)]
    weights = ["x", "w", "b"]
    fc = Pair("fc", "fc_forward", "fc_backward", READ_FC, weights, weights, fc_specs, _fc)
    yield from pair_cases(setting, fc)
    specs = [(3, 4), (7,), (2, 3, 4, 5), (1, 3)]
    relu = Pair("relu", "relu_forward", "relu_backward", READ_RELU, ["x"], ["x"], specs, _relu)
    yield from pair_cases(setting, relu)
    yield _kink(setting, relu)


def _kink(setting: Setting, relu: Pair) -> Case:
    """At exactly 0 the gradient is 0; -0.0 is 0, too."""
    name = "gradient at exactly 0 is 0"
    x = np.array([[0.0, -1.5, 2.0], [-0.0, 0.5, 0.0]])
    dout = setting.rng("relu_backward", name).standard_normal(x.shape)
    sample = Sample("x with zeros, float64", {"x": x, "dout": dout})
    return relu.case(
        name, [relu.variant(sample, [Want("dx", "float64", places={"kink-wrong": x == 0})])]
    )
