"""Cases of two batch-norm layers in turn: of other modes, and each with its own statistics."""

from collections.abc import Iterator, Mapping
from typing import Any

from handgrad.check.case import Case, Setting, Step, Variant, Verdict, call, copied, item, ref
from handgrad.check.cases.batchnorm import READ, draw, given
from handgrad.check.cases.in_turn import (
    IN_TURN,
    OTHER_TESTED,
    SOME_TESTED,
    Turn,
    differs,
    in_turn,
    same,
)

_GRADIENTS = ("dx", "dgamma", "dbeta")
_KEYS = ("running_mean", "running_var")


def cases(setting: Setting) -> Iterator[Case]:
    """Give the cases, of features and of channels."""
    for prefix, shape in (("", (7, 4)), ("spatial_", (3, 2, 4, 5))):
        forward, backward = f"{prefix}batchnorm_forward", f"{prefix}batchnorm_backward"
        training, testing = _modes(setting, forward, backward, shape)
        for function, name, variants in (
            (forward, "running statistics of two layers in turn",
             [_statistics(setting, forward, shape)]),
            (backward, OTHER_TESTED, [training]),
            (backward, SOME_TESTED, testing),
        ):  # fmt: skip
            yield Case(
                "batchnorm", function, name, variants, READ, optional=prefix != "",
                counts_alone=False,
            )  # fmt: skip


def _modes(
    setting: Setting, forward: str, backward: str, shape: tuple[int, ...]
) -> tuple[Variant, list[Variant]]:
    """A training pass's gradient when another layer was tested since; those of both."""
    args = ["x", "gamma", "beta", "param"]
    rng = setting.rng(backward, IN_TURN)
    functions = forward, backward
    pairs = {}
    for label, modes in (
        ("training, then testing", ("train", "test")),
        ("testing, then training", ("test", "train")),
    ):
        turns = []
        for mode in modes:
            inputs: dict[str, Any] = draw(rng, shape, "float64")
            inputs["param"] = {"mode": "train"}
            if mode == "test":
                inputs = given(setting, forward, f"in turn, {label}", shape, "float64")
            turns.append(Turn(inputs, args))
        pairs[label] = (turns[0], turns[1])
    training, *_ = pairs.values()
    label = "training, while the other is tested"
    return (
        in_turn(label, functions, _GRADIENTS, training, asked="A"),
        [in_turn(label, functions, _GRADIENTS, turns) for label, turns in pairs.items()],
    )


def _statistics(setting: Setting, forward: str, shape: tuple[int, ...]) -> Variant:
    """Two layers of one shape, three batches each: in turn they keep what they keep alone."""
    rng = setting.rng(forward, "running statistics of two layers in turn")
    inputs: dict[str, Any] = {"given param": {"mode": "train"}}
    for side in "AB":
        for i in range(3):
            inputs |= {f"{side} {n}{i}": v for n, v in draw(rng, shape, "float64").items()}

    def begin(side: str) -> Step:
        return copied("given param", f"{side} param")

    def go(side: str, i: int) -> Step:
        args = [f"{side} {n}{i}" for n in ("x", "gamma", "beta")]
        return call(forward, [*args, ref(f"{side} param")], ["out", "cache"])

    def keep(side: str, when: str) -> list[Step]:
        return [item(f"{side} param", key, f"{side} {key} {when}") for key in _KEYS]

    steps: list[Step] = []
    for side in "AB":
        steps += [begin(side), *(go(side, i) for i in range(3)), *keep(side, "alone")]
    steps += [begin("A"), begin("B"), *(go(side, i) for i in range(3) for side in "AB")]
    steps += [*keep("A", "in turn"), *keep("B", "in turn")]
    names = [f"{side} {key}" for side in "AB" for key in _KEYS]

    def look(values: Mapping[str, Any]) -> Verdict:
        for name in names:
            alone, now = values.get(f"{name} alone"), values.get(f"{name} in turn")
            if alone is None:
                return Verdict(False, "running-statistics-not-kept", f"bn_param has no {name[2:]}")
            if not same(alone, now):
                when = "another layer is trained in turn with it"
                text = differs(f"bn_param['{name[2:]}']", alone, now, when)
                return Verdict(False, "statistics-shared", text)
        return Verdict(True)

    extra = [f"{name} {when}" for name in names for when in ("alone", "in turn")]
    shown = "x".join(map(str, shape))
    return Variant(f"two of x {shown}", inputs, steps, judge=look, extra=extra)
