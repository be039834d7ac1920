"""Cases of batch normalisation: training, testing, running statistics, both gradients."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Case, Setting, Step, Variant, Verdict, Want, call, item
from handgrad.check.cases.pairs import Pair, Sample, pair_cases, tolerance_of
from handgrad.check.verdict.hypotheses import as_numbers

READ = 'handgrad/theory/batch_normalisation.md, "1.4 Batch normalisation"'
STATISTICS = {key: f"bn_param['{key}']" for key in ("running_mean", "running_var")}


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of batch norm, of features and of channels."""
    for prefix, shapes in (
        ("", [(7, 4), (5, 1), (3, 6)]),
        ("spatial_", [(3, 2, 4, 5), (2, 3, 3, 3), (5, 1, 2, 2)]),
    ):
        pair = Pair(
            "batchnorm", f"{prefix}batchnorm_forward", f"{prefix}batchnorm_backward", READ,
            ["x", "gamma", "beta", {"mode": "train"}], ["x", "gamma", "beta"], shapes, _training,
            optional=prefix != "",
        )  # fmt: skip
        yield from pair_cases(setting, pair)
        yield from _modes(setting, replace(pair, args=["x", "gamma", "beta", "param"]), shapes[0])


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> dict[str, Array]:
    """Features of different means and scales; one small enough for eps to show."""
    C = shape[1]
    wide = (1, C) + (1,) * (len(shape) - 2)
    scale = np.resize([1.5, 0.01, 0.7, 3.0, 0.02, 1.0], C).reshape(wide)
    x = rng.standard_normal(shape) * scale + rng.uniform(-1, 1, C).reshape(wide)
    return {
        "x": x.astype(dtype),
        "gamma": rng.uniform(0.5, 2, C).astype(dtype),
        "beta": rng.standard_normal(C).astype(dtype),
        "dout": rng.standard_normal(shape).astype(dtype),
    }


def _training(rng: np.random.Generator, shape: Any, dtype: str) -> Sample:
    inputs = draw(rng, shape, dtype)
    shown = "x".join(map(str, shape))
    numbers = {"N": inputs["x"].size // shape[1], "C": shape[1]}
    return Sample(f"x {shown}, {dtype}", inputs, numbers)


def _modes(setting: Setting, pair: Pair, shape: tuple[int, ...]) -> Iterator[Case]:
    """Running statistics, test mode, and the backward after it."""
    name = "running statistics"
    yield pair.case(name, _running(setting, pair, shape), backward=False)
    name = "test mode"
    for case, dtype in ((name, "float64"), (f"{name}, float32", "float32")):
        variants = [
            _test(setting, pair, name, shape, dtype),
            _at_first(setting, pair, shape, dtype),
        ]
        yield pair.case(case, variants, backward=False)
    name = "test mode leaves the running statistics alone"
    yield pair.case(name, [_test_keeps(setting, pair, shape)], backward=False, counts_alone=False)
    name = "a constant feature gives beta"
    yield pair.case(name, [_constant(setting, pair, shape)], backward=False)
    name = "after a test-mode forward"
    dtypes = ("float64", "float32")
    yield pair.case(name, [_test(setting, pair, name, shape, d, backward=True) for d in dtypes])


def _kept() -> list[Step]:
    """Read the running statistics from bn_param, under the names that the learner knows."""
    return [item("param", key, name) for key, name in STATISTICS.items()]


def _running(setting: Setting, pair: Pair, shape: tuple[int, ...]) -> list[Variant]:
    """Three training batches through one bn_param; then what it holds."""
    rng = setting.rng(pair.forward, "running statistics")
    variants = []
    for label, start, momentum in (
        ("from nothing, momentum by default", None, None),
        ("from given statistics, momentum 0.75", 0.5, 0.75),
    ):
        batches = [draw(rng, shape, "float64") for _ in range(3)]
        C = shape[1]
        param: dict[str, Any] = {"mode": "train"}
        if start is not None:
            param["running_mean"] = rng.standard_normal(C)
            param["running_var"] = rng.uniform(0.5, 2, C)
        if momentum is not None:
            param["momentum"] = momentum
        inputs: dict[str, Any] = {f"x{i}": batch["x"] for i, batch in enumerate(batches)}
        inputs |= {"gamma": batches[0]["gamma"], "beta": batches[0]["beta"], "param": param}
        steps = [
            call(pair.forward, [f"x{i}", "gamma", "beta", "param"], ["out", "cache"])
            for i in range(3)
        ]

        def kept(values: Mapping[str, Any]) -> Verdict | None:
            if any(values.get(name) is None for name in STATISTICS.values()):
                said = "bn_param holds no running statistics"
                return Verdict(False, "running-statistics-not-kept", said)
            return None

        numbers = {"N": batches[0]["x"].size // C}
        wants = [Want(name, "float64") for name in STATISTICS.values()]
        variants.append(Variant(label, inputs, [*steps, *_kept()], wants, numbers, judge=kept))
    return variants


def given(setting: Setting, forward: str, name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """Inputs of a test-mode layer, with running statistics."""
    rng = setting.rng(forward, f"{name} {dtype}")
    inputs: dict[str, Any] = draw(rng, shape, dtype)
    mean = rng.standard_normal(shape[1]).astype(dtype)
    var = rng.uniform(0.2, 2, shape[1]).astype(dtype)
    var[-1] = 1e-4  # so that eps shows
    inputs["param"] = {"mode": "test", "running_mean": mean, "running_var": var}
    return inputs


def _test(
    setting: Setting,
    pair: Pair,
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    backward: bool = False,
) -> Variant:
    inputs = given(setting, pair.forward, name, shape, dtype)
    label = f"x {'x'.join(map(str, shape))}, {dtype}"
    sample = Sample(label, inputs, {"N": inputs["x"].size // shape[1]})
    outputs = pair.outputs if backward else ["out"]
    wants = [Want(output, dtype, tolerance_of(dtype)) for output in outputs]
    return pair.variant(sample, wants, backward=backward)


def _test_keeps(setting: Setting, pair: Pair, shape: tuple[int, ...]) -> Variant:
    inputs = given(setting, pair.forward, "test keeps", shape, "float64")

    def look(values: Mapping[str, Any]) -> Verdict:
        for key, name in STATISTICS.items():
            after = as_numbers(values.get(name))
            if after is None or not np.array_equal(after, inputs["param"][key]):
                return Verdict(False, "test-moves-statistics", f"a test-mode pass moves {name}")
        return Verdict(True)

    steps = [*pair.steps(backward=False), *_kept()]
    return Variant("float64", inputs, steps, judge=look, extra=list(STATISTICS.values()))


def _at_first(setting: Setting, pair: Pair, shape: tuple[int, ...], dtype: str) -> Variant:
    """Before any training the statistics are zeros, of x's dtype."""
    inputs: dict[str, Any] = draw(setting.rng(pair.forward, "at first"), shape, dtype)
    inputs["param"] = {"mode": "test"}
    sample = Sample(f"no running statistics yet, {dtype}", inputs)
    return pair.variant(sample, [Want("out", dtype, tolerance_of(dtype))], backward=False)


def _constant(setting: Setting, pair: Pair, shape: tuple[int, ...]) -> Variant:
    """Zero variance: eps alone stands under the root."""
    inputs: dict[str, Any] = draw(setting.rng(pair.forward, "constant"), shape, "float64")
    inputs["x"][:, 0] = 3.0
    inputs["param"] = {"mode": "train"}
    sample = Sample("feature 0 is 3 everywhere", inputs)
    return pair.variant(sample, [Want("out", "float64", 1e-6)], backward=False)
