"""Cases of two Solvers, and of a Solver with two parameters: each has what is its own."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from handgrad.check.case import (
    Case,
    Setting,
    Step,
    Variant,
    Verdict,
    attribute,
    call,
    ref,
    refused,
    seeded,
)
from handgrad.check.cases.in_turn import differs, same
from handgrad.check.cases.solver import TRAIN, data_of, numbers_of, solver_case

_KEPT = ("loss_history", "train_acc_history", "val_acc_history", "best_val_acc")


def cases(setting: Setting) -> Iterator[Case]:
    """Give both."""
    if setting.convention.models:
        yield solver_case(
            "two Solvers in turn", [_two(True), _two(False)], [("optim", "sgd_momentum")],
            counts_alone=False,
        )  # fmt: skip
        yield solver_case(
            "each parameter has its own state of the rule", [_parameters()],
            [("optim", "sgd_momentum")],
        )  # fmt: skip


def _two(given: bool) -> Variant:
    """The same model and data for each of two Solvers, one after the other: the same course."""
    steps: list[Step] = []
    keywords: dict[str, Any] = {
        "update_rule": "sgd_momentum", "batch_size": 5, "num_epochs": 3, "verbose": False,
        "print_every": 1000,
    }  # fmt: skip
    if given:
        keywords["optim_config"] = {"learning_rate": 1.0, "momentum": 0.5}

    def look_at(side: str, when: str) -> list[Step]:
        return [
            *(attribute(f"{side} solver", name, f"{side} {name} {when}") for name in _KEPT),
            attribute(f"{side} model", "path", f"{side} path {when}"),
        ]

    for side in "AB":
        made = call(
            "Solver", [ref(f"{side} model"), ref(f"{side} data")], f"{side} solver", unit="solver",
            kwargs=keywords,
        )  # fmt: skip
        probe: Step = {
            "op": "probe", "save": f"{side} model", "classes": 3, "plan": [0.1, 0.4, 0.8, 0.6],
            "steps": 4,
        }  # fmt: skip
        train: Step = {**TRAIN, "on": f"{side} solver"}
        if not given:
            train = refused(train, f"{side} error")
        steps += [seeded(2), probe, made, train, *look_at(side, "alone")]
    steps += look_at("A", "then")
    names = [*_KEPT, "path"]

    def look(values: Mapping[str, Any]) -> Verdict:
        first_error, second_error = values.get("A error"), values.get("B error")
        if isinstance(first_error, dict):
            return Verdict(True)  # without an optim_config it does not train at all
        if isinstance(second_error, dict):
            text = f"the second raised {second_error.get('type')}: {second_error.get('text')}"
            return Verdict(False, "instances-share", text)
        for name in names:
            first, later, second = (
                _plain(values.get(key))
                for key in (f"A {name} alone", f"A {name} then", f"B {name} alone")
            )
            shown = "the model's steps" if name == "path" else name
            if first is None:
                return Verdict(False, None, f"{shown} is no list of numbers")
            if not same(first, later):
                text = differs(shown, first, later, "another Solver has trained")
                return Verdict(False, "instances-share", text)
            if not same(first, second):
                when = "a second Solver trains the same model anew"
                return Verdict(False, "instances-share", differs(shown, first, second, when))
        return Verdict(True)

    extra = [key for n in names for key in (f"A {n} alone", f"A {n} then", f"B {n} alone")]
    extra += ["A error", "B error"]
    label = "optim_config given" if given else "optim_config by default"
    inputs = {"A data": data_of(20), "B data": data_of(20)}
    return Variant(label, inputs, steps, judge=look, extra=extra)


def _plain(value: Any) -> Any:
    """A history, or a number, as numbers."""
    numbers = numbers_of(value)
    return value if numbers is None else np.array(numbers)


def _parameters() -> Variant:
    """W and V of one shape, gradients -1 and -3: momentum 0.5 moves each by its own velocity."""
    config = {"learning_rate": 1.0, "momentum": 0.5}
    given = {
        "update_rule": "sgd_momentum", "optim_config": config, "batch_size": 5, "num_epochs": 1,
        "verbose": False, "print_every": 1000,
    }  # fmt: skip
    steps: list[Step] = [
        seeded(2),
        {"op": "probe", "save": "model", "classes": 3, "plan": [0.5], "steps": 1, "second": True},
        call("Solver", [ref("model"), ref("data")], "solver", unit="solver", kwargs=given),
        TRAIN,
        attribute("model", "path", "path"),
        attribute("model", "second_path", "second path"),
    ]
    gradients = {"W": -1.0, "V": -3.0}
    wanted = {name: [-gradient * factor for factor in (1, 1.5, 1.75)]
              for name, gradient in gradients.items()}  # fmt: skip

    def look(values: Mapping[str, Any]) -> Verdict:
        taken = {}
        for name, key in (("W", "path"), ("V", "second path")):
            path = numbers_of(values.get(key))
            taken[name] = [] if path is None else np.diff(path).tolist()
        if all(len(taken[n]) == 3 and np.allclose(taken[n], wanted[n]) for n in wanted):
            return Verdict(True)
        shared = [_shared(gradients, order) for order in (("W", "V"), ("V", "W"))]
        known = any(
            all(len(taken[n]) == 3 and np.allclose(taken[n], one[n]) for n in wanted)
            for one in shared
        )
        said = "; ".join(
            f"{n} by {', '.join(f'{step:g}' for step in taken[n][:12])}, expected "
            f"{', '.join(f'{step:g}' for step in wanted[n])}"
            for n in wanted
        )
        text = f"three steps with momentum 0.5 at rate 1 move {said}"
        return Verdict(False, "state-shared" if known else None, text)

    extra = ["path", "second path"]
    return Variant("sgd_momentum", {"data": data_of(20)}, steps, judge=look, extra=extra)


def _shared(gradients: Mapping[str, float], order: tuple[str, str]) -> dict[str, list[float]]:
    """The steps when both parameters are moved by one velocity."""
    velocity = 0.0
    moved: dict[str, list[float]] = {name: [] for name in order}
    for _ in range(3):
        for name in order:
            velocity = 0.5 * velocity - gradients[name]
            moved[name].append(velocity)
    return moved
