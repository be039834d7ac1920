"""Cases of the models: parameters, test-mode scores, losses and gradients with L2, differences."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.check import references as right
from handgrad.check.case import Array, Case, Setting, Step, Variant, Verdict, Want, call, ref
from handgrad.check.hypotheses import as_numbers, close

READ = "what a model computes: python -m pydoc handgrad.{unit}, and handgrad.network.Network"
_REG = 0.7


@dataclass(frozen=True)
class Net:
    """One configuration of one class, and its right answers.

    Attributes
    ----------
    forward : function
        ``forward(X, params)`` gives scores (N, C) or (N, 1).
    backward : function
        ``backward(dscores, X, params)`` gives the gradients.
    """

    label: str
    unit: str
    cls: str
    keywords: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    x_shape: tuple[int, ...]
    classes: int  # 1: binary
    loss: Callable[[Array, Array], tuple[float, Array]]
    forward: Callable[..., Array]
    backward: Callable[..., dict[str, Array]]
    hidden: bool


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of the four classes."""
    if not setting.convention.models:
        return
    for unit, cls, classes, loss in (
        ("logistic", "LogisticClassifier", 1, right.logistic_loss),
        ("svm", "SVM", 1, right.svm_loss),
        ("softmax", "SoftmaxClassifier", 4, right.softmax_loss),
    ):
        nets = [_dense_net(unit, cls, classes, loss, hidden, (6,)) for hidden in (None, 5)]
        images = [_dense_net(unit, cls, classes, loss, 5, (2, 3))]
        yield from _net_cases(setting, nets, images)
    conv = [_conv_net((2, 7, 8), 3), _conv_net((1, 8, 8), 2)]
    yield from _net_cases(setting, conv, [])
    yield _dtype_case(setting, conv[0])
    yield _optional_layers(setting)


# -- the networks -------------------------------------------------------------------------------


def _dense_net(
    unit: str, cls: str, classes: int, loss: Any, hidden: int | None, example: tuple[int, ...]
) -> Net:
    D = int(np.prod(example))
    keywords: dict[str, Any] = {"input_dim": D, "hidden_dim": hidden}
    shapes: dict[str, tuple[int, ...]] = {"W1": (D, hidden or classes), "b1": (hidden or classes,)}
    if hidden is not None:
        shapes |= {"W2": (hidden, classes), "b2": (classes,)}
    if classes > 1:
        keywords["num_classes"] = classes

    def forward(X: Array, p: Mapping[str, Array], wrong: str = "") -> Array:
        out = right.fc_forward(X, p["W1"], 0 * p["b1"] if wrong == "bias-ignored" else p["b1"])
        if hidden is None:
            return out
        return right.fc_forward(_relu(out, wrong), p["W2"], p["b2"])

    def backward(
        dscores: Array, X: Array, p: Mapping[str, Array], wrong: str = ""
    ) -> dict[str, Array]:
        grads = {}
        if hidden is not None:
            before = right.fc_forward(X, p["W1"], p["b1"])
            active = _relu(before, wrong)
            dactive, grads["W2"], grads["b2"] = right.fc_backward(dscores, active, p["W2"])
            linear = wrong in ("no-relu", "missing-mask")
            dscores = dactive if linear else dactive * (before > 0)
        _, grads["W1"], grads["b1"] = right.fc_backward(dscores, X, p["W1"])
        return grads

    kind = "linear" if hidden is None else f"hidden_dim {hidden}"
    label = f"{kind}, X (N, {', '.join(map(str, example))})"
    return Net(
        label, unit, cls, keywords, shapes, example, classes, loss, forward, backward,
        hidden is not None,
    )  # fmt: skip


def _relu(x: Array, wrong: str) -> Array:
    return x if wrong == "no-relu" else np.maximum(x, 0)


def _conv_net(example: tuple[int, int, int], filters: int) -> Net:
    C, H, W = example
    hidden, classes, size = 5, 4, 3
    rows, columns = (H - size + 1) // 2, (W - size + 1) // 2
    flat = filters * rows * columns
    keywords = {
        "input_dim": list(example), "num_filters": filters, "filter_size": size,
        "hidden_dim": hidden, "num_classes": classes, "dtype": "float64",
    }  # fmt: skip
    shapes = {
        "W1": (filters, C, size, size), "W2": (flat, hidden), "b2": (hidden,),
        "W3": (hidden, classes), "b3": (classes,),
    }  # fmt: skip

    def parts(X: Array, p: Mapping[str, Array], wrong: str) -> tuple[Array, Array, Array, Array]:
        conv = right.conv_forward(X, p["W1"])
        active = conv if wrong in ("no-relu", "first") else np.maximum(conv, 0)
        pooled = right.max_pool_forward(active, 2, 2, 2)
        before = right.fc_forward(pooled, p["W2"], p["b2"])
        return conv, active, pooled, before

    def last(before: Array, wrong: str) -> Array:
        return before if wrong in ("no-relu", "second") else np.maximum(before, 0)

    def forward(X: Array, p: Mapping[str, Array], wrong: str = "") -> Array:
        *_, before = parts(X, p, wrong)
        return right.fc_forward(last(before, wrong), p["W3"], p["b3"])

    def backward(
        dscores: Array, X: Array, p: Mapping[str, Array], wrong: str = ""
    ) -> dict[str, Array]:
        conv, active, pooled, before = parts(X, p, wrong)
        grads = {}
        out, grads["W3"], grads["b3"] = right.fc_backward(dscores, last(before, wrong), p["W3"])
        if wrong not in ("no-relu", "second", "missing-mask 2"):
            out = out * (before > 0)
        out, grads["W2"], grads["b2"] = right.fc_backward(out, pooled, p["W2"])
        out = right.max_pool_backward(out.reshape(pooled.shape), active, 2, 2, 2)
        if wrong not in ("no-relu", "first", "missing-mask"):
            out = out * (conv > 0)
        grads["W1"] = right.conv_backward(out, X, p["W1"])[1]
        return grads

    return Net(
        f"input_dim {example}", "cnn", "ConvNet", keywords, shapes, example, classes,
        right.softmax_loss, forward, backward, True,
    )  # fmt: skip


# -- cases --------------------------------------------------------------------------------------


def _net_cases(setting: Setting, nets: Sequence[Net], more: Sequence[Net]) -> Iterator[Case]:
    first = nets[0]

    def case(name: str, variants: Sequence[Variant]) -> Case:
        read = READ.format(unit=first.unit)
        return Case(
            "models", first.cls, name, variants, read, [(first.unit, first.cls)], unit=first.unit
        )

    yield case("parameters: names, shapes and start", [_start(net) for net in nets])
    name = "test-mode scores"
    yield case(name, [_scores(setting, net, name) for net in (*nets, *more)])
    for name, reg in (("loss and gradients", 0.0), (f"loss and gradients, reg {_REG}", _REG)):
        yield case(name, [_gradients(setting, net, name, reg) for net in nets])
    name = "gradients agree with differences of its own loss"
    yield case(name, [_differences(setting, net, name) for net in nets])


def _new(net: Net, **keywords: Any) -> Step:
    given = {**net.keywords, "weight_scale": 0.1, **keywords}
    if "input_dim" in given and isinstance(given["input_dim"], list):
        given["input_dim"] = tuple(given["input_dim"])
    return call(net.cls, [], "model", unit=net.unit, kwargs=given)


def _draw(
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
    steps: list[Step] = [{"op": "seed", "value": 3}, _new(net, weight_scale=0.05)]
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


def _give(params: Mapping[str, Array]) -> Step:
    return {"op": "parameters", "on": "model", "values": dict(params)}


def _call_loss(args: list[str], save: Any) -> Step:
    return {
        "op": "method", "on": "model", "name": "loss", "args": [ref(a) for a in args],
        "save": save,
    }  # fmt: skip


def _scores(setting: Setting, net: Net, name: str) -> Variant:
    params, X, _ = _draw(setting, net, name)
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
    steps = [_new(net), _give(params), _call_loss(["X"], "scores")]
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
    params, X, y = _draw(setting, net, name)
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
        _new(net, reg=reg),
        _give(params),
        _call_loss(["X", "y"], ["loss", "grads"]),
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


def _differences(
    setting: Setting,
    net: Net,
    name: str,
    choices: Sequence[Mapping[str, Any]] = ({},),
) -> Variant:
    _, X, y = _draw(setting, net, name)
    make = _new(net, reg=0.1, weight_scale=0.4)
    steps: list[Step] = [
        {"op": "seed", "value": 5},
        {**make, "op": "make", "choices": list(choices)},
        {
            "op": "model_differences", "on": "model", "X": "X", "y": "y", "h": 1e-6,
            "samples": 8, "seed": 9, "save": "found",
        },
    ]  # fmt: skip
    extra = ["found"]
    return Variant(net.label, {"X": X, "y": y}, steps, judge=_agree, extra=extra)


def _agree(values: Mapping[str, Any]) -> Verdict:
    """Every sampled entry of every gradient agrees with its differences."""
    found = values.get("found")
    if not isinstance(found, dict):
        return Verdict(False, None, "no gradients")
    for name, entry in found.items():
        analytic, numeric = as_numbers(entry.get("analytic")), as_numbers(entry.get("numeric"))
        index = as_numbers(entry.get("index"))
        if analytic is None:
            return Verdict(False, "gradient-missing", f"loss gives no gradient of {name}")
        if entry.get("same shape") is not True:
            return Verdict(False, "wrong-shape", f"the gradient of {name} has not {name}'s shape")
        if numeric is None or index is None or numeric.shape != analytic.shape:
            return Verdict(False, None, f"the gradient of {name} is no array of numbers")
        # At weights of about 0.4 a loss of about 1 is rounded to 1e-16: differences to 1e-10.
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


# -- ConvNet's extras ---------------------------------------------------------------------------

_BATCHNORM: tuple[Mapping[str, Any], ...] = (
    {"batchnorm": ["conv", "dense"]}, {"batchnorm": True}, {"use_batchnorm": True},
    {"normalization": "batchnorm"}, {"batch_norm": True}, {"use_bn": True}, {},
)  # fmt: skip
_DROPOUT: tuple[Mapping[str, Any], ...] = ({"dropout": 0.6}, {"dropout_p": 0.6}, {"p": 0.6}, {})


def _dtype_case(setting: Setting, net: Net) -> Case:
    """dtype='float32' computes in float32, 'float64' in float64, whatever X is."""
    name = "computes in its dtype"
    _, X, y = _draw(setting, net, name)
    variants = []
    for dtype in ("float32", "float64"):
        steps: list[Step] = [
            {"op": "seed", "value": 3},
            _new(net, dtype=dtype),
            _call_loss(["X"], "scores"),
            _call_loss(["X", "y"], ["loss", "grads"]),
        ]
        steps += [
            {"op": "item", "on": "grads", "key": key, "save": f"grads['{key}']"}
            for key in net.shapes
        ]
        outputs = ["scores", *(f"grads['{key}']" for key in net.shapes)]

        def look(
            values: Mapping[str, Any], dtype: str = dtype, outputs: list[str] = outputs
        ) -> Verdict:
            for output in outputs:
                got = as_numbers(values.get(output))
                if got is None:
                    cause = "gradient-missing" if output != "scores" else None
                    return Verdict(False, cause, f"{output} is no array")
                if got.dtype != np.dtype(dtype):
                    cause = "dtype-not-kept" if dtype == "float32" else "float32-forced"
                    return Verdict(False, cause, f"{output} is {got.dtype} though dtype is {dtype}")
            return Verdict(True)

        variants.append(Variant(dtype, {"X": X, "y": y}, steps, judge=look, extra=outputs))
    read = READ.format(unit="cnn")
    return Case("models", "ConvNet", name, variants, read, [("cnn", "ConvNet")], unit="cnn")


def _optional_layers(setting: Setting) -> Case:
    """With batch norm and with dropout, under whatever keyword the class takes, or without."""
    name = "batch norm and dropout, where it has them"
    net = _conv_net((2, 7, 8), 3)
    variants = []
    for label, choices in (("batch norm", _BATCHNORM), ("dropout", _DROPOUT)):
        given = [
            {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in choice.items()
            }
            for choice in choices
        ]
        inner = _differences(setting, net, f"{name} {label}", given)
        _, more, labels = _draw(setting, net, f"more {label}", 40)
        steps: list[Step] = [
            *inner.steps,
            *[_call_loss(["more", "labels"], ["loss", "grads"])] * 20,
            _call_loss(["X"], "scores"),
            _call_loss(["one"], "score of one"),
            _call_loss(["more"], "many scores"),
        ]

        def look(values: Mapping[str, Any], label: str = label) -> Verdict:
            return _judge_modes(values, label)

        inputs = {**inner.inputs, "more": more, "labels": labels, "one": inner.inputs["X"][:1]}
        extra = ["found", "scores", "score of one", "many scores"]
        variants.append(Variant(label, inputs, steps, judge=look, extra=extra))
    variants.append(_dropout_scale(setting, net))
    read = READ.format(unit="cnn")
    return Case("models", "ConvNet", name, variants, read, [("cnn", "ConvNet")], unit="cnn")


def _dropout_scale(setting: Setting, net: Net) -> Variant:
    """In testing, dropout of 0.6 after the hidden layer multiplies its units by what is kept.

    Only well-known wrong answers fail: where a class drops is its own business.
    """
    p = 0.6
    params, X, _ = _draw(setting, net, "the scale of dropout")
    plain = {**params, "W3": np.eye(5), "b3": np.zeros(5)}
    hidden = np.maximum(net.forward(X, plain, "second"), 0)
    by_scale = {scale: scale * hidden @ params["W3"] + params["b3"] for scale in (1.0, p, 1 - p)}
    right_scale = 1.0 if setting.convention.inverted else setting.convention.keep(p)
    make = {**_new(net), "op": "make", "choices": list(_DROPOUT)}
    steps = [make, _give(params), _call_loss(["X"], "scores")]

    def look(values: Mapping[str, Any]) -> Verdict:
        scores = as_numbers(values.get("scores"))
        if scores is None:
            return Verdict(False, None, "loss(X) should give scores")
        if values.get("model choice") == len(_DROPOUT) - 1:
            return Verdict(True)  # it has no dropout
        for scale, value in by_scale.items():
            if scale != right_scale and close(scores.astype(float), value, 1e-7):
                cause = "keep-drop-swapped" if scale != 1 else "no-test-scaling"
                text = f"with dropout {p}, the hidden units are multiplied by {scale:g} in testing"
                return Verdict(False, cause, f"{text}, expected {right_scale:g}")
        return Verdict(True)

    extra = ["scores", "model choice"]
    return Variant("dropout's scale", {"X": X}, steps, judge=look, extra=extra)


def _judge_modes(values: Mapping[str, Any], label: str) -> Verdict:
    """Gradients are right in training; in testing an example's scores are its own business."""
    many, one = as_numbers(values.get("scores")), as_numbers(values.get("score of one"))
    if many is None or one is None or many.shape[1:] != one.shape[1:]:
        return Verdict(False, None, "loss(X) should give scores")
    if not np.allclose(many[:1], one, rtol=1e-6, atol=1e-9):
        return Verdict(
            False,
            "test-mode-missing",
            f"with {label}, the test-mode scores of an example depend on the other examples of "
            f"the batch, or on chance: {many[0, 0]:.7g} among 5, {one[0, 0]:.7g} alone",
        )
    verdict = _agree(values)
    if not verdict.passed:
        return Verdict(False, verdict.cause, f"with {label}, {verdict.detail}")
    spread = as_numbers(values.get("many scores"))
    if label == "batch norm" and spread is not None and np.abs(spread).max() > 1e3:
        return Verdict(
            False,
            "running-statistics-not-kept",
            f"after 20 training passes the test-mode scores reach {np.abs(spread).max():.3g}: "
            "the running statistics do not follow the batches",
        )
    return Verdict(True)
