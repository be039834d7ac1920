"""Cases of dropout's randomness: the course's stream, the global generator, the seed."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Case, Setting, Step, Variant, Verdict, Want, call, ref, seeded
from handgrad.check.cases.dropout import (
    READ,
    nonzero,
    param_of,
    ratio_of,
    steps_of,
)


def cases(setting: Setting) -> Iterator[Case]:
    """Give what the convention asks of the random numbers."""
    if setting.convention.course_stream:
        yield _stream(setting)
        yield _global_state(setting)
    yield _seeds(setting)


def _stream(setting: Setting) -> Case:
    """The mask is RandomState(seed).rand(*x.shape) < p, or that of the global generator."""
    name = "the course's random numbers: rand(*x.shape) < p"
    rng = setting.rng("dropout_forward", name)
    p = 0.7
    variants = []
    for label, seed, draws in (
        ("dropout_param['seed'] = 5", 5, 5),
        ("no seed, numpy.random.seed(11) before", None, 11),
    ):
        x = nonzero(rng, (6, 7))
        draw = np.random.RandomState(draws).rand(*x.shape)

        def look(values: Mapping[str, Any], x: Array = x, draw: Array = draw) -> Verdict:
            ratio, right = ratio_of(x, values.get("out")), draw < p
            if ratio is None:
                return Verdict(False, None, "out should be numbers in x's shape")
            kept = ratio != 0
            if np.array_equal(kept, right):
                return Verdict(True)
            cause = "other-random-stream"
            if np.array_equal(kept, ~right):
                cause = "keep-drop-swapped"
            elif kept.all():
                cause = "not-random"
            elif kept.any() and draw[kept].max() < draw[~kept].min():
                cause = "keep-fraction-wrong"
            elif (kept == kept[:1]).all() or (kept == kept[:, :1]).all():
                cause = "mask-per-row"
            differ = int(np.sum(kept != right))
            return Verdict(False, cause, f"{differ} of {x.size} units of the mask are other ones")

        inputs = {"x": x, "param": param_of(p, "train", seed)}
        numbers = {"keep": setting.convention.keep(p)}
        variants.append(Variant(label, inputs, steps_of(), [Want("out")], numbers, judge=look))
    return Case("dropout", "dropout_forward", name, variants, READ)


def _global_state(setting: Setting) -> Case:
    name = "the global generator is left alone"
    rng = setting.rng("dropout_forward", name)
    variants = []
    for label, param, cause in (
        ("training with a seed", param_of(0.7, "train", 5), "global-random-state"),
        ("test mode", param_of(0.7, "test"), "test-mode-draws"),
        ("test mode with a seed", param_of(0.7, "test", 5), "test-mode-draws"),
    ):
        steps: list[Step] = [
            seeded(11),
            {"op": "global_state", "save": "before"},
            call("dropout_forward", ["x", ref("param")], ["out", "cache"]),
            {"op": "global_state", "save": "after"},
        ]

        def look(values: Mapping[str, Any], cause: str = cause) -> Verdict:
            before, after = values.get("before"), values.get("after")
            same = isinstance(before, str) and isinstance(after, str) and before == after
            return Verdict(same, cause, "numpy.random's state is another afterwards")

        inputs = {"x": nonzero(rng, (4, 5)), "param": param}
        variants.append(Variant(label, inputs, steps, judge=look, extra=["before", "after"]))
    return Case(
        "dropout", "dropout_forward", name, variants, READ, counts_alone=False
    )  # fmt: skip


def _seeds(setting: Setting) -> Case:
    name = "the same seed gives the same mask, no seed a new one"
    rng = setting.rng("dropout_forward", name)
    x = nonzero(rng, (20, 30))
    params = {
        letter: param_of(0.6, "train", seed)
        for letter, seed in (("a", 5), ("b", 5), ("c", 6), ("d", None), ("e", None))
    }
    steps: list[Step] = [seeded(11)]
    for letter in params:
        steps.append(call("dropout_forward", ["x", ref(letter)], [f"out {letter}", "cache"]))

    def look(values: Mapping[str, Any]) -> Verdict:
        outs = {letter: ratio_of(x, values.get(f"out {letter}")) for letter in params}
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
    return Case("dropout", "dropout_forward", name, [variant], READ)
