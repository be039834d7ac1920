"""Cases of ConvNet alone: its dtype, and batch norm and dropout where it has them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from handgrad.check.case import Case, Setting, Step, Variant, Verdict, item, seeded
from handgrad.check.cases.models import READ, call_loss, differences, draw, entries_agree, give, new
from handgrad.check.cases.networks import Net, conv_net
from handgrad.check.reference import reference
from handgrad.check.verdict.hypotheses import as_numbers, close, dtype_cause

BATCHNORM: tuple[Mapping[str, Any], ...] = (
    {"batchnorm": ["conv", "dense"]}, {"batchnorm": True}, {"use_batchnorm": True},
    {"normalization": "batchnorm"}, {"batch_norm": True}, {"use_bn": True}, {},
)  # fmt: skip
_DROPOUT: tuple[Mapping[str, Any], ...] = ({"dropout": 0.6}, {"dropout_p": 0.6}, {"p": 0.6}, {})


def cases(setting: Setting) -> Iterator[Case]:
    """Give ConvNet's own cases."""
    if setting.convention.models:
        yield _dtype_case(setting, conv_net((2, 7, 8), 3))
        yield _optional_layers(setting)


def _dtype_case(setting: Setting, net: Net) -> Case:
    """dtype='float32' computes in float32, 'float64' in float64, whatever X is."""
    name = "computes in its dtype"
    _, X, y = draw(setting, net, name)
    variants = []
    for dtype in ("float32", "float64"):
        steps: list[Step] = [
            seeded(3),
            new(net, dtype={"dtype": dtype}),
            call_loss(["X"], "scores"),
            call_loss(["X", "y"], ["loss", "grads"]),
        ]
        steps += [item("grads", key, f"grads['{key}']") for key in net.shapes]
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
                    text = f"{output} is {got.dtype} though dtype is {dtype}"
                    return Verdict(False, dtype_cause(got, dtype), text)
            return Verdict(True)

        variants.append(Variant(dtype, {"X": X, "y": y}, steps, judge=look, extra=outputs))
    return _case(name, variants)


def _case(name: str, variants: Sequence[Variant]) -> Case:
    read = READ.format(unit="cnn")
    return Case("models", "ConvNet", name, variants, read, "cnn", counts_alone=False)


def _optional_layers(setting: Setting) -> Case:
    """With batch norm and with dropout, under whatever keyword the class takes, or without."""
    name = "batch norm and dropout, where it has them"
    net = conv_net((2, 7, 8), 3)
    variants = []
    for label, choices in (("batch norm", BATCHNORM), ("dropout", _DROPOUT)):
        given = [
            {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in choice.items()
            }
            for choice in choices
        ]
        inner = differences(setting, net, f"{name} {label}", given)
        _, more, labels = draw(setting, net, f"more {label}", 40)
        steps: list[Step] = [
            *inner.steps,
            *[call_loss(["more", "labels"], ["loss", "grads"])] * 20,
            call_loss(["X"], "scores"),
            call_loss(["one"], "score of one"),
            call_loss(["more"], "many scores"),
        ]

        def look(values: Mapping[str, Any], label: str = label) -> Verdict:
            return _judge_modes(values, label)

        inputs = {**inner.inputs, "more": more, "labels": labels, "one": inner.inputs["X"][:1]}
        extra = ["found", "scores", "score of one", "many scores"]
        variants.append(Variant(label, inputs, steps, judge=look, extra=extra))
    variants.append(_dropout_scale(setting, net))
    return _case(name, variants)


def _dropout_scale(setting: Setting, net: Net) -> Variant:
    """In testing, dropout of 0.6 after the hidden layer multiplies its units by what is kept.

    Only well-known wrong answers fail: where a class drops is its own business.
    """
    p = 0.6
    params, X, _ = draw(setting, net, "the scale of dropout")
    hidden = {**params, "W3": np.eye(5), "b3": np.zeros(5)}  # whose scores are the hidden units
    steps = [new(replace(net, keywords={**net.keywords, "num_classes": 5})), give(hidden)]
    steps.append(call_loss(["X"], "hidden"))
    units = reference(setting.convention).values({"X": X}, steps)["hidden"]
    by_scale = {scale: scale * units @ params["W3"] + params["b3"] for scale in (1.0, p, 1 - p)}
    right_scale = 1.0 if setting.convention.inverted else setting.convention.keep(p)
    make = {**new(net), "op": "make", "choices": list(_DROPOUT)}
    steps = [make, give(params), call_loss(["X"], "scores")]

    def look(values: Mapping[str, Any]) -> Verdict:
        scores = as_numbers(values.get("scores"))
        if scores is None:
            return Verdict(False, None, "loss(X) should give scores")
        choice = values.get("model choice")
        if isinstance(choice, int) and choice == len(_DROPOUT) - 1:
            return Verdict(True)  # it has no dropout
        for scale, value in by_scale.items():
            if scale != right_scale and close(scores.astype(float), value, 1e-7):
                cause = "keep-drop-swapped" if scale != 1 else "no-test-scaling"
                if setting.convention.inverted and scale == setting.convention.keep(p):
                    cause = "factor-p"
                text = f"with dropout {p}, the hidden units are multiplied by {scale:g} in testing"
                return Verdict(False, cause, f"{text}, expected {right_scale:g}")
        return Verdict(True)

    extra = ["scores", "model choice"]
    return Variant("dropout's scale", {"X": X}, steps, judge=look, extra=extra)


def _judge_modes(values: Mapping[str, Any], label: str) -> Verdict:
    """Gradients are right in training; in testing an example's scores are its own business."""
    many, one = as_numbers(values.get("scores")), as_numbers(values.get("score of one"))
    if many is None or one is None or many.ndim != 2 or one.shape != (1, many.shape[1]):
        return Verdict(False, None, "loss(X) should give scores")
    if many.size == 0 or not np.allclose(many[:1], one, rtol=1e-6, atol=1e-9):
        return Verdict(
            False,
            "test-mode-missing",
            f"with {label}, the test-mode scores of an example depend on the other examples of "
            f"the batch, or on chance: {many[0, 0]:.7g} among 5, {one[0, 0]:.7g} alone",
        )
    verdict = entries_agree(values)
    if not verdict.passed:
        return Verdict(False, verdict.cause, f"with {label}, {verdict.said}")
    spread = as_numbers(values.get("many scores"))
    if label == "batch norm" and spread is not None and spread.size and np.abs(spread).max() > 1e3:
        return Verdict(
            False,
            "running-statistics-not-kept",
            f"after 20 training passes the test-mode scores reach {np.abs(spread).max():.3g}: "
            "the running statistics do not follow the batches",
        )
    return Verdict(True)
