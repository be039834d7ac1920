"""Cases of the models: parameters, test-mode scores, losses and gradients with L2, differences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check import references as right
from handgrad.check.case import Case, Setting, Step, Variant, Verdict, Want, call, ref
from handgrad.check.cases.networks import Net, conv_net, dense_net
from handgrad.check.verdict.hypotheses import as_numbers

READ = "what a model computes: python -m pydoc handgrad.{unit}, and handgrad.network.Network"
_REG = 0.7


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of the four classes."""
    if not setting.convention.models:
        return
    for unit, cls, classes, loss in (
        ("logistic", "LogisticClassifier", 1, right.logistic_loss),
        ("svm", "SVM", 1, right.svm_loss),
        ("softmax", "SoftmaxClassifier", 4, right.softmax_loss),
    ):
        nets = [dense_net(unit, cls, classes, loss, hidden, (6,)) for hidden in (None, 5)]
        images = [dense_net(unit, cls, classes, loss, 5, (2, 3))]
        yield from _net_cases(setting, nets, images)
    conv = [conv_net((2, 7, 8), 3), conv_net((1, 8, 8), 2)]
    yield from _net_cases(setting, conv, [])


def _net_cases(setting: Setting, nets: Sequence[Net], more: Sequence[Net]) -> Iterator[Case]:
    first = nets[0]

    def case(name: str, variants: Sequence[Variant], **more: Any) -> Case:
        read, needs = READ.format(unit=first.unit), [(first.unit, first.cls)]
        return Case("models", first.cls, name, variants, read, needs, unit=first.unit, **more)

    yield case("parameters: names, shapes and start", [_start(net) for net in nets])
    name = "test-mode scores"
    yield case(name, [_scores(setting, net, name) for net in (*nets, *more)])
    for name, reg in (("loss and gradients", 0.0), (f"loss and gradients, reg {_REG}", _REG)):
        yield case(name, [_gradients(setting, net, name, reg) for net in nets])
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
    steps: list[Step] = [{"op": "seed", "value": 3}, new(net, weight_scale=0.05)]
    steps.append({"op": "attribute", "on": "model", "name": "params", "save": "params"})

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
    return {
        "op": "method", "on": "model", "name": "loss", "args": [ref(a) for a in args],
        "save": save,
    }  # fmt: skip


def _scores(setting: Setting, net: Net, name: str) -> Variant:
    params, X, _ = draw(setting, net, name)
    value, wrong = net.forward(X, params), {}
    if net.hidden:
        wrong["no-relu"] = net.forward(X, params, "no-relu")
    if net.cls == "ConvNet":
        wrong["no-relu "] = net.forward(X, params, "first")
        wrong["no-relu  "] = net.forward(X, params, "second")
    else:
        wrong["bias-ignored"] = net.forward(X, params, "bias-ignored")
    if net.classes == 1:
        wrong |= {"factor-other": 1 / (1 + np.exp(-value[:, 0]))}
        value = value[:, 0]
        wrong = {key: other.reshape(len(X)) for key, other in wrong.items()}
    wrong.pop("factor-other", None)
    steps = [new(net), give(params), call_loss(["X"], "scores")]
    want = Want("scores", value, "any", wrong=wrong)
    return Variant(net.label, {"X": X}, steps, [want], unmodified=["X"])


def _penalty(net: Net, params: Mapping[str, Array], letters: str = "W") -> float:
    return float(sum((params[k] ** 2).sum() for k in net.shapes if k[0] in letters))


def _answers(
    net: Net, X: Array, y: Array, params: Mapping[str, Array], wrong: str = "", back: str = ""
) -> tuple[float, dict[str, Array]]:
    loss, dscores = net.loss(net.forward(X, params, wrong), y == 1 if net.classes == 1 else y)
    return loss, net.backward(dscores, X, params, back or wrong)


def _gradients(setting: Setting, net: Net, name: str, reg: float) -> Variant:
    params, X, y = draw(setting, net, name)
    loss, grads = _answers(net, X, y, params)
    penalty, with_biases = _penalty(net, params), _penalty(net, params, "Wb")
    wrong_loss: dict[str, Any] = {}
    wrong: dict[str, dict[str, Any]] = {key: {} for key in net.shapes}

    def note(cause: str, forward: str, backward: str) -> None:
        other_loss, other = _answers(net, X, y, params, forward, backward)
        if forward:
            wrong_loss[cause] = other_loss + 0.5 * reg * penalty
        for key in net.shapes:
            wrong[key][cause] = other[key] + (reg * params[key] if key[0] == "W" else 0)

    # The backward's mistakes first: where both fit W1, a wrong forward shows elsewhere, too.
    if net.hidden:
        note("missing-mask", "", "missing-mask")
    if net.cls == "ConvNet":
        note("missing-mask ", "", "missing-mask 2")
    if net.hidden:
        note("no-relu", "no-relu", "no-relu")
    if net.cls == "ConvNet":
        note("no-relu ", "first", "first")
        note("no-relu  ", "second", "second")
    if reg:
        wrong_loss |= {
            "reg-not-in-loss": loss,
            "reg-missing": loss,
            "reg-on-biases": loss + 0.5 * reg * with_biases,
            "reg-factor": loss + reg * penalty,
            "reg-factor ": loss + 0.25 * reg * penalty,
            "reg-factor  ": loss + 0.5 * reg * penalty / len(X),
        }
        for k, key in enumerate(key for key in net.shapes if key[0] == "W"):
            if _penalty(net, params) != float((params[key] ** 2).sum()):
                some = 0.5 * reg * (penalty - float((params[key] ** 2).sum()))
                wrong_loss["reg-not-in-loss" + (k + 1) * " "] = loss + some
                wrong_loss["reg-missing" + (k + 1) * " "] = loss + some
        for key in net.shapes:
            if key[0] == "W":
                wrong[key] |= {
                    "reg-not-in-gradient": grads[key],
                    "reg-missing": grads[key],
                    "reg-factor": grads[key] + 2 * reg * params[key],
                    "reg-factor ": grads[key] + 0.5 * reg * params[key],
                    "reg-factor  ": grads[key] + reg * params[key] / len(X),
                }
            else:
                wrong[key] |= {"reg-on-biases": grads[key] + reg * params[key]}
    wants = [Want("loss", loss + 0.5 * reg * penalty, wrong=wrong_loss)]
    steps: list[Step] = [
        new(net, reg=reg),
        give(params),
        call_loss(["X", "y"], ["loss", "grads"]),
    ]
    for key in net.shapes:
        steps.append({"op": "item", "on": "grads", "key": key, "save": f"grads['{key}']"})
        value = grads[key] + (reg * params[key] if key[0] == "W" else 0)
        wants.append(Want(f"grads['{key}']", value, "any", 1e-7, wrong[key]))

    def complete(values: Mapping[str, Any]) -> Verdict | None:
        absent = [key for key in net.shapes if values.get(f"grads['{key}']") is None]
        if not absent:
            return None
        return Verdict(False, "gradient-missing", f"loss gives no gradient of {', '.join(absent)}")

    return Variant(
        net.label, {"X": X, "y": y}, steps, wants, {"N": len(X)}, ["X", "y"], judge=complete
    )


def differences(
    setting: Setting,
    net: Net,
    name: str,
    choices: Sequence[Mapping[str, Any]] = ({},),
) -> Variant:
    _, X, y = draw(setting, net, name)
    make = new(net, reg=0.1, weight_scale=0.4)
    steps: list[Step] = [
        {"op": "seed", "value": 5},
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
