"""Cases of dropout that call it more than once: two layers in turn, the same cache twice."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from handgrad.check.case import Case, Setting, Step, Variant, Verdict, call, copied, ref
from handgrad.check.cases.dropout import READ, nonzero, param_of
from handgrad.check.cases.in_turn import (
    IN_TURN,
    OTHER_TESTED,
    SOME_TESTED,
    Turn,
    in_turn,
    same,
)
from handgrad.check.verdict.hypotheses import as_numbers, close

_TWICE = "the same cache twice"


def cases(setting: Setting) -> Iterator[Case]:
    """Give them, in training and in testing."""
    yield from _in_turn(setting)
    yield _twice(setting, _TWICE, "train")
    yield _twice(setting, f"{_TWICE}, after a test-mode forward", "test")


def _case(name: str, variants: list[Variant]) -> Case:
    return Case("dropout", "dropout_backward", name, variants, READ, counts_alone=False)


def _in_turn(setting: Setting) -> Iterator[Case]:
    rng = setting.rng("dropout_backward", IN_TURN)
    cases: dict[str, list[Variant]] = {IN_TURN: [], OTHER_TESTED: [], SOME_TESTED: []}
    for label, one, other, shape in (
        ("two of one shape", (0.3, "train"), (0.8, "train"), (6, 5)),
        ("training, then testing", (0.6, "train"), (0.6, "test"), (6, 5)),
        ("testing, then training", (0.6, "test"), (0.6, "train"), (6, 5)),
        ("testing with p 0.3 and 0.8", (0.3, "test"), (0.8, "test"), (6, 5)),
        ("x 6x5 and 4x3", (0.3, "train"), (0.8, "train"), (4, 3)),
    ):
        turns = []
        for (p, mode), size in ((one, (6, 5)), (other, shape)):
            x, dout = nonzero(rng, size), rng.standard_normal(size)
            inputs = {"x": x, "dout": dout, "param": param_of(p, mode)}
            turns.append(Turn(inputs, ["x", "param"]))

        def agrees(
            values: Mapping[str, Any], side: str, when: str, turns: list[Turn] = turns
        ) -> bool:
            """Dropout is x times one factor a unit; the gradient is dout times the same."""
            given = turns["AB".index(side)].inputs
            out, dx = (as_numbers(values.get(f"{side} {name} {when}")) for name in ("out", "dx"))
            if out is None or dx is None or out.shape != given["x"].shape or dx.shape != out.shape:
                return False
            return close(dx.astype(np.float64), given["dout"] * (out / given["x"]), 1e-9)

        functions = "dropout_forward", "dropout_backward"
        pair = (turns[0], turns[1])
        modes = one[1], other[1]
        name = IN_TURN if modes == ("train", "train") else SOME_TESTED
        cases[name].append(in_turn(label, functions, ["dx"], pair, agrees))
        if modes == ("train", "test"):
            label = "training, while the other is tested"
            variant = in_turn(label, functions, ["dx"], pair, agrees, asked="A")
            cases[OTHER_TESTED].append(variant)
    for name, variants in cases.items():
        yield _case(name, variants)


def _twice(setting: Setting, name: str, mode: str) -> Case:
    rng = setting.rng("dropout_backward", name)
    inputs = {
        "x": nonzero(rng, (6, 5)), "dout": rng.standard_normal((6, 5)),
        "param": param_of(0.6, mode),
    }  # fmt: skip
    steps: list[Step] = [
        call("dropout_forward", ["x", ref("param")], ["out", "cache"]),
        copied("dout", "once"),
        call("dropout_backward", ["once", "cache"], "dx"),
        copied("dx", "first dx"),
        call("dropout_backward", ["dout", "cache"], "dx again"),
    ]

    def look(values: Mapping[str, Any]) -> Verdict:
        if same(values.get("first dx"), values.get("dx again")):
            return Verdict(True)
        if as_numbers(values.get("first dx")) is None:
            return Verdict(False, None, "dx is no array of numbers")
        text = "dx is another after a second backward on the same cache"
        return Verdict(False, "cache-modified", text)

    extra = ["first dx", "dx again"]
    return _case(name, [Variant(mode, inputs, steps, judge=look, extra=extra)])
