"""Cases of max pooling: overlap, uncovered borders, ties, negative pixels."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from handgrad.check.case import Case, Setting, Want, shape_text
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
    forward, backward = "max_pool_forward", "max_pool_backward"
    pair = Pair("pool", forward, backward, READ, ["x", "param"], ["x"], _SPECS, _sample)
    yield from pair_cases(setting, pair)
    yield _ties(setting, pair)


def _param(window: tuple[int, int], stride: int) -> dict[str, int]:
    return {"pool_height": window[0], "pool_width": window[1], "stride": stride}


def _pooled(shape: tuple[int, ...], window: tuple[int, int], stride: int) -> tuple[int, ...]:
    """The shape of the output."""
    N, C, *sides = shape
    return N, C, *(1 + (side - own) // stride for side, own in zip(sides, window, strict=True))


def _sample(rng: np.random.Generator, spec: Any, dtype: str) -> Sample:
    shape, window, stride, negative = spec
    size = int(np.prod(shape))
    x = (rng.permutation(size).reshape(shape) / size * 4 - (6 if negative else 2)).astype(dtype)
    pooled = _pooled(shape, window, stride)
    dout = rng.standard_normal(pooled).astype(dtype)
    outside = np.ones(shape, dtype=bool)
    rows, columns = ((n - 1) * stride + own for n, own in zip(pooled[2:], window, strict=True))
    outside[:, :, :rows, :columns] = False
    N, C, H, W = shape
    height, width = window
    return Sample(
        label=f"x {shape_text(x)}, window {height}x{width}, stride {stride}, {dtype}",
        inputs={"x": x, "param": _param(window, stride), "dout": dout},
        numbers={
            "N": N, "C": C, "N*C": N * C, "negative": negative,
            "uncovered": bool(outside.any()), "overlap": stride < max(window),
            "oblong": height != width or H != W, "oblong window": height != width,
        },
        places={"x": {"uncovered-border-lost": outside}},
    )  # fmt: skip


def _ties(setting: Setting, pair: Pair) -> Case:
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
        dout = rng.standard_normal(_pooled(shape, window, stride))
        inputs = {"x": x, "dout": dout, "param": _param(window, stride)}
        variants.append(pair.variant(Sample(label, inputs), [Want("dx", "float64")]))
    return pair.case(name, variants)
