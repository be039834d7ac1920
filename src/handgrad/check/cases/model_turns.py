"""Cases of two models of one class: what one holds or does is nothing to the other."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from handgrad.arrays import Array
from handgrad.check.case import (
    Case,
    Setting,
    Step,
    Variant,
    Verdict,
    attribute,
    copied,
    method,
    refused,
    seeded,
)
from handgrad.check.cases.convnet import BATCHNORM
from handgrad.check.cases.in_turn import differs, same
from handgrad.check.cases.models import READ, draw, new
from handgrad.check.cases.networks import CLASSES, Net, conv_net, dense_net
from handgrad.check.verdict.hypotheses import as_numbers

_NAME = "two models in turn"
_WHEN = "a second model has been made and used"


def cases(setting: Setting) -> Iterator[Case]:
    """Give a case of each of the four classes."""
    if not setting.convention.models:
        return
    for unit, cls, classes in CLASSES:
        linear, deep = (dense_net(unit, cls, classes, hidden, (6,)) for hidden in (None, 5))
        yield _case(deep, [_two(setting, deep, deep), _two(setting, linear, deep)])
    conv, other = conv_net((2, 7, 8), 3), conv_net((1, 8, 8), 2)
    variants = [_two(setting, conv, conv), _two(setting, conv, other), _normed(setting, conv)]
    yield _case(conv, variants)


def _case(net: Net, variants: Sequence[Variant]) -> Case:
    read = READ.format(unit=net.unit)
    return Case("models", net.cls, _NAME, variants, read, net.unit, counts_alone=False)


def _loss(side: str, save: Any, training: bool = True) -> Step:
    args = [f"{side} X", f"{side} y"] if training else [f"{side} X"]
    return method(f"{side} model", "loss", args, save)


def _measure(side: str, when: str) -> list[Step]:
    """Scores, loss and gradients of a model, as they are now."""
    names = [f"{side} {name} {when}" for name in ("scores", "loss", "grads")]
    return [
        _loss(side, names[0], training=False),
        _loss(side, names[1:]),
        *(copied(name, f"{name}, kept") for name in names),
    ]


def _two(setting: Setting, one: Net, two: Net) -> Variant:
    """Model A alone; then B is made, given its parameters and used; then A once more."""
    inputs: dict[str, Array] = {}
    given: dict[str, Mapping[str, Array]] = {}
    for side, net in (("A", one), ("B", two)):
        given[side], inputs[f"{side} X"], inputs[f"{side} y"] = draw(
            setting, net, f"{_NAME} {side} {two.label}"
        )

    def begin(side: str, net: Net, reg: float) -> list[Step]:
        return [
            {**new(net, reg=reg), "save": f"{side} model"},
            {"op": "parameters", "on": f"{side} model", "values": dict(given[side])},
        ]

    def params(when: str) -> Step:
        return attribute("A model", "params", f"A params {when}")

    again: list[Step] = [
        refused(_loss("A", "A scores then", training=False), "A error"),
        refused(_loss("A", ["A loss then", "A grads then"]), "A error 2"),
    ]
    steps = [
        seeded(3), *begin("A", one, 0.1), params("alone"), *_measure("A", "alone"),
        *begin("B", two, 0.7), *_measure("B", "alone"), params("then"), *again,
    ]  # fmt: skip
    extra = [
        *(f"A {name} {when}" for name in ("params", "scores", "loss", "grads")
          for when in ("alone", "then")),
        *(f"A {name} alone, kept" for name in ("scores", "grads")), "A error", "A error 2",
    ]  # fmt: skip
    label = "two of one configuration" if one is two else f"{one.label}; then {two.label}"
    return Variant(label, inputs, steps, judge=_judge, extra=extra)


def _judge(values: Mapping[str, Any]) -> Verdict:
    """Compare model A before and after there was another."""
    for key in ("A error", "A error 2"):
        error = values.get(key)
        if isinstance(error, dict):
            said = f"{error.get('type')}: {error.get('text')}"
            text = f"loss raised {said}, after {_WHEN}; before it did not"
            return Verdict(False, "instances-share", text)
    changed = _entries(values, "params", "A params alone", "A params then", "model.params")
    if changed:
        return Verdict(False, "instances-share", changed)
    for name in ("scores", "grads"):
        shown = "grads" if name == "grads" else ""
        changed = _entries(values, name, f"A {name} alone, kept", f"A {name} alone", shown)
        if changed:
            return Verdict(False, "result-overwritten", changed)
    for name in ("scores", "loss", "grads"):
        shown = "grads" if name == "grads" else ""
        changed = _entries(values, name, f"A {name} alone", f"A {name} then", shown)
        if changed:
            return Verdict(False, "instances-share", changed)
    return Verdict(True)


def _entries(values: Mapping[str, Any], name: str, one: str, other: str, shown: str) -> str:
    """Say which array differs between two results, or two dicts of them; '' when none does."""
    before, after = values.get(one), values.get(other)
    if not shown:
        return "" if same(before, after) else differs(name, before, after, _WHEN)
    if not isinstance(before, dict):
        return f"{shown} is no dict of arrays"
    after = after if isinstance(after, dict) else {}
    if set(before) != set(after):
        added = ", ".join(sorted(map(str, set(after) ^ set(before))))
        return f"{shown} holds other names after {_WHEN}: {added}"
    for key, value in before.items():
        if as_numbers(value) is not None and not same(value, after[key]):
            return differs(f"{shown}['{key}']", value, after[key], _WHEN)
    return ""


def _normed(setting: Setting, net: Net) -> Variant:
    """With batch norm, where the class has it: a model's running statistics are its own."""
    inputs: dict[str, Array] = {}
    for side in "AB":
        _, X, y = draw(setting, net, f"{_NAME}, batch norm {side}", 12)
        inputs |= {f"{side} X": X + (3 if side == "B" else 0), f"{side} y": y}
    choices = [
        {key: tuple(value) if isinstance(value, list) else value for key, value in choice.items()}
        for choice in BATCHNORM
    ]

    def begin(side: str) -> Step:
        return {**new(net), "op": "make", "choices": choices, "save": f"{side} model"}

    def trained(side: str) -> list[Step]:
        return [_loss(side, ["loss", "grads"])] * 3

    def scores(when: str) -> list[Step]:
        name = f"A scores {when}"
        return [_loss("A", name, training=False), copied(name, name)]

    steps: list[Step] = [
        seeded(5), begin("A"), *trained("A"), *scores("alone"),
        begin("B"), *trained("B"), *scores("then"),
    ]  # fmt: skip

    def look(values: Mapping[str, Any]) -> Verdict:
        alone, then = values.get("A scores alone"), values.get("A scores then")
        if as_numbers(alone) is None:
            return Verdict(False, None, "loss(X) should give scores")
        if same(alone, then):
            return Verdict(True)
        text = differs("with batch norm, scores", alone, then, _WHEN)
        return Verdict(False, "instances-share", text)

    extra = ["A scores alone", "A scores then"]
    return Variant("with batch norm", inputs, steps, judge=look, extra=extra)
