"""Cases of the models: parameters, test-mode scores, losses and gradients with L2, differences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import (
    Case,
    Setting,
    Step,
    Variant,
    Verdict,
    Want,
    attribute,
    call,
    item,
    method,
    seeded,
)
from handgrad.check.cases.networks import CLASSES, Net, conv_net, dense_net
from handgrad.check.verdict.hypotheses import as_numbers

READ = "what a model computes: python -m pydoc handgrad.{unit}, and handgrad.network.Network"
_REG = 0.7


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of the four classes."""
    if not setting.convention.models:
        return
    for unit, cls, classes in CLASSES:
        nets = [dense_net(unit, cls, classes, hidden, (6,)) for hidden in (None, 5)]
        images = [dense_net(unit, cls, classes, 5, (2, 3))]
        yield from _net_cases(setting, nets, images)
    yield from _net_cases(setting, [conv_net((2, 7, 8), 3), conv_net((1, 8, 8), 2)], [])


def _net_cases(setting: Setting, nets: Sequence[Net], more: Sequence[Net]) -> Iterator[Case]:
    first = nets[0]

    def case(name: str, variants: Sequence[Variant], **more: Any) -> Case:
        read = READ.format(unit=first.unit)
        return Case("models", first.cls, name, variants, read, first.unit, **more)

    yield case("parameters: names, shapes and start", [_start(net) for net in nets])
    name = "test-mode scores"
    yield case(name, [_scores(setting, net, name) for net in (*nets, *more)])
    for name, reg in (("loss and gradients", 0.0), (f"loss and gradients, reg {_REG}", _REG)):
        yield case(name, [v for net in nets for v in _gradients(setting, net, name, reg)])
    name = "modifies no argument"
    yield case(name, [_unmodified(setting, nets[0], name)], counts_alone=False)
    name = "gradients agree with differences of its own loss"
    yield case(name, [differences(setting, net, name) for net in nets], counts_alone=False)


def new(net: Net, **keywords: Any) -> Step:
    """Make a model of this configuration."""
    given = {**net.keywords, "weight_scale": 0.1, **keywords}
    if "input_dim" in given and isinstance(given["input_dim"], list):
        given["input_dim"] = tuple(given["input_dim"])
    return call(net.cls, [], "model", unit=net.unit, kwargs=given)


def draw(
    setting: Setting, net: Net, name: str, N: int = 5
) -> tuple[dict[str, Array], Array, Array]:
    rng = setting.rng(net.cls, f"{name} {net.label}")
    params = {
        key: rng.standard_normal(shape) * (0.5 if len(shape) > 1 else 0.3)
        for key, shape in net.shapes.items()
    }
    X = rng.standard_normal((N, *net.x_shape))
    classes = max(net.classes, 2)
    return params, X, rng.permutation(np.arange(N) % classes)


def _start(net: Net) -> Variant:
    """Names and shapes as the assignment's; normal weights, biases of 0."""
    steps: list[Step] = [seeded(3), new(net, weight_scale=0.05)]
    steps.append(attribute("model", "params", "params"))

    def look(values: Mapping[str, Any]) -> Verdict:
        params = values.get("params")
        if not isinstance(params, dict):
            return Verdict(False, None, "model.params should be a dict of arrays")
        for key, shape in net.shapes.items():
            array = as_numbers(params.get(key))
            if array is None:
                have = ", ".join(sorted(map(str, params)))
                return Verdict(False, None, f"model.params has no array {key}; it has {have}")
            if array.shape != shape:
                text = f"model.params['{key}'] has shape {array.shape}, expected {shape}"
                return Verdict(False, "wrong-shape", text)
            if key[0] == "b" and array.any():
                return Verdict(
                    False, "initial-weights-wrong", f"the biases {key} do not start at 0"
                )
        spread = np.concatenate(
            [np.asarray(params[key], float).ravel() for key in net.shapes if key[0] == "W"]
        )
        # The standard deviation of n normal numbers is itself uncertain by 1 / sqrt(2 n).
        ratio = float(np.sqrt((spread**2).mean())) / 0.05
        if abs(ratio - 1) > 5 / np.sqrt(2 * spread.size):
            text = f"the weights have standard deviation {0.05 * ratio:.3g} at weight_scale 0.05"
            return Verdict(False, "initial-weights-wrong", text)
        return Verdict(True)

    return Variant(net.label, {}, steps, judge=look, extra=["params"])


def give(params: Mapping[str, Array]) -> Step:
    """Give the model these parameters."""
    return {"op": "parameters", "on": "model", "values": dict(params)}


def call_loss(args: list[str], save: Any) -> Step:
    """Call the model's loss."""
    return method("model", "loss", args, save)


def _scores(setting: Setting, net: Net, name: str) -> Variant:
    params, X, _ = draw(setting, net, name)
    steps = [new(net), give(params), call_loss(["X"], "scores")]
    return Variant(net.label, {"X": X}, steps, [Want("scores")])


def _unmodified(setting: Setting, net: Net, name: str) -> Variant:
    params, X, y = draw(setting, net, name)
    steps = [new(net), give(params), call_loss(["X"], "scores")]
    steps.append(call_loss(["X", "y"], ["loss", "grads"]))
    return Variant(net.label, {"X": X, "y": y}, steps, unmodified=["X", "y"])


def _gradients(setting: Setting, net: Net, name: str, reg: float) -> list[Variant]:
    """One variant; of a binary class one in each coding of the labels, if its loss takes it."""
    params, X, y = draw(setting, net, name)
    if net.classes > 1:
        return [_gradient(net, params, X, y, reg)]
    understood = [Want("loss")]
    return [
        replace(
            _gradient(net, params, X, labels, reg),
            label=f"{net.label}, labels {coding}", kind=coding, understood=understood,
        )
        for coding, labels in (("0 and 1", y), ("-1 and 1", 2 * y - 1))
    ]  # fmt: skip


def _gradient(net: Net, params: Mapping[str, Array], X: Array, y: Array, reg: float) -> Variant:
    outputs = {key: f"grads['{key}']" for key in net.shapes}
    steps: list[Step] = [new(net, reg=reg), give(params), call_loss(["X", "y"], ["loss", "grads"])]
    steps += [item("grads", k, to) for k, to in outputs.items()]
    wants = [Want("loss"), *(Want(output, tolerance=1e-7) for output in outputs.values())]

    def complete(values: Mapping[str, Any]) -> Verdict | None:
        absent = [key for key, output in outputs.items() if values.get(output) is None]
        if not absent:
            return None
        return Verdict(False, "gradient-missing", f"loss gives no gradient of {', '.join(absent)}")

    return Variant(net.label, {"X": X, "y": y}, steps, wants, {"N": len(X)}, judge=complete)


def differences(
    setting: Setting,
    net: Net,
    name: str,
    choices: Sequence[Mapping[str, Any]] = ({},),
) -> Variant:
    _, X, y = draw(setting, net, name)
    make = new(net, reg=0.1, weight_scale=0.4)
    steps: list[Step] = [
        seeded(5),
        {**make, "op": "make", "choices": list(choices)},
        {
            "op": "model_differences", "on": "model", "X": "X", "y": "y", "h": 1e-6,
            "samples": 8, "seed": 9, "save": "found",
        },
    ]  # fmt: skip
    extra = ["found"]
    return Variant(net.label, {"X": X, "y": y}, steps, judge=entries_agree, extra=extra)


def entries_agree(values: Mapping[str, Any]) -> Verdict:
    """Every sampled entry of every gradient agrees with its differences."""
    found = values.get("found")
    if not isinstance(found, dict):
        return Verdict(False, None, "no gradients")
    for name, entry in found.items():
        if not isinstance(entry, dict):
            return Verdict(False, None, f"the gradient of {name} is no array of numbers")
        analytic, numeric = as_numbers(entry.get("analytic")), as_numbers(entry.get("numeric"))
        index = as_numbers(entry.get("index"))
        if analytic is None:
            return Verdict(False, "gradient-missing", f"loss gives no gradient of {name}")
        if entry.get("same shape") is not True:
            return Verdict(False, "wrong-shape", f"the gradient of {name} has not {name}'s shape")
        if numeric is None or index is None or not numeric.shape == analytic.shape == index.shape:
            return Verdict(False, None, f"the gradient of {name} is no array of numbers")
        # At weights of about 0.4 a loss of about 1 is rounded to 1e-16: differences to 1e-10.
        analytic, numeric = analytic.astype(float), numeric.astype(float)
        error = np.abs(analytic - numeric) / max(float(np.abs(numeric).max(initial=0)), 1e-2)
        error = np.where(np.isnan(error), np.inf, error)
        if not (error < 1e-5).all():
            worst = int(np.argmax(error))
            return Verdict(
                False,
                "backward-of-another-forward",
                f"the gradient of {name} at flat index {int(index[worst])}: loss says "
                f"{analytic[worst]:.7g}, central differences of its own loss say "
                f"{numeric[worst]:.7g}",
            )
    return Verdict(True)
