"""Cases of the Solver: what it does with a model that keeps a record, and a small real problem."""

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
    method,
    ref,
    refused,
    seeded,
)
from handgrad.check.verdict.hypotheses import as_numbers

READ = "what a Solver does: python -m pydoc handgrad.solver.Solver"
_CLASSES = 3


def cases(setting: Setting) -> Iterator[Case]:
    """Give all cases of the Solver."""
    if not setting.convention.models:
        return
    yield solver_case("every row once an epoch, shuffled", [_visits(24, 6), _visits(23, 5)])
    yield solver_case("histories", [_histories()])
    yield solver_case(
        "the best parameters are put back", [_best([0.3, 0.9, 0.5, 0.2]), _best([0.5] * 3)]
    )
    yield solver_case("the learning rate decays after each epoch", [_decay(0.5), _decay(1.0)])
    yield solver_case("the update rule keeps its state", [_rule_state()])
    name = "check_accuracy"
    binary = {coding: _accuracy(1, coding) for coding in ("0 and 1", "-1 and 1")}
    either = [replace(v, kind=coding, understood=[Want("whole")]) for coding, v in binary.items()]
    yield solver_case(name, [_accuracy(_CLASSES), *either])
    yield solver_case(f"{name}, labels in either coding", [*binary.values()])
    yield solver_case(f"{name} of more rows than there are", [_accuracy_of_all()])
    yield solver_case("an unknown keyword is an error", [_keyword()], counts_alone=False)


def solver_case(
    name: str,
    variants: Sequence[Variant],
    more: Sequence[tuple[str, str]] = (),
    counts_alone: bool = True,
) -> Case:
    """A case of the Solver, which needs ``more`` functions beside it."""
    return Case("solver", "Solver", name, variants, READ, "solver", more, counts_alone=counts_alone)


def _rows(count: int, classes: int = _CLASSES) -> tuple[Array, Array]:
    """Rows that start with their number; the label is the number modulo the classes."""
    numbers = np.arange(count, dtype=np.float64)
    return np.stack([numbers, np.ones(count)], axis=1), np.arange(count) % max(classes, 2)


def data_of(train: int, val: int = 100) -> dict[str, Array]:
    """Rows to train on and rows to validate with."""
    X, y = _rows(train)
    X_val, y_val = _rows(val)
    return {"X_train": X, "y_train": y, "X_val": X_val, "y_val": y_val}


def _probed(plan: Sequence[float], steps: int, classes: int = _CLASSES) -> list[Step]:
    return [
        seeded(2),
        {"op": "probe", "save": "model", "classes": classes, "plan": list(plan), "steps": steps},
    ]


def new_solver(**keywords: Any) -> Step:
    """Make a Solver of the model and the data."""
    given = {
        "update_rule": "sgd", "optim_config": {"learning_rate": 1.0}, "verbose": False,
        "print_every": 1000, **keywords,
    }  # fmt: skip
    return call("Solver", [ref("model"), ref("data")], "solver", unit="solver", kwargs=given)


TRAIN = method("solver", "train", [], None)


def read(on: str, name: str) -> Step:
    """Read an attribute after the steps."""
    return attribute(on, name, name)


def number(value: Any) -> float | None:
    """Give what the child sent as one number, or None."""
    number = as_numbers(value)
    return float(number.reshape(())) if number is not None and number.size == 1 else None


def numbers_of(value: Any) -> list[float] | None:
    """Give what the child sent as a list of numbers, or None."""
    numbers = as_numbers(list(value) if isinstance(value, tuple) else value)
    if isinstance(value, list) and not value:
        return []
    return None if numbers is None or numbers.ndim != 1 else [float(n) for n in numbers]


def _visits(rows: int, batch: int) -> Variant:
    """Three epochs: which rows did the model see, in which order?"""
    steps = [
        *_probed([0.5], 1), new_solver(batch_size=batch, num_epochs=3), TRAIN,
        read("model", "visits"), read("model", "batches"),
    ]  # fmt: skip

    def look(values: Mapping[str, Any]) -> Verdict:
        seen, sizes = numbers_of(values.get("visits")), numbers_of(values.get("batches"))
        if seen is None or not sizes:
            return Verdict(False, None, "the model was not trained")
        if len(seen) != 3 * rows:
            text = f"three epochs of {rows} rows made {len(seen)} visits, expected {3 * rows}"
            return Verdict(False, "not-every-row-once", text)
        epochs = [seen[i * rows : (i + 1) * rows] for i in range(3)]
        for number, epoch in enumerate(epochs):
            missed = sorted(set(range(rows)) - set(epoch))
            if missed:
                text = f"epoch {number + 1} never visits row {missed[0]}, and others twice"
                return Verdict(False, "not-every-row-once", text)
        if max(sizes) > batch:
            return Verdict(False, None, f"a batch has {max(sizes):g} rows at batch_size {batch}")
        if epochs[0] == epochs[1] == epochs[2] or epochs[0] == sorted(epochs[0]):
            return Verdict(False, "not-shuffled", "the order is the same in every epoch")
        return Verdict(True)

    extra = ["visits", "batches"]
    label = f"{rows} rows, batch_size {batch}"
    return Variant(label, {"data": data_of(rows)}, steps, judge=look, extra=extra)


def _histories() -> Variant:
    """Loss by iteration, accuracies by epoch; the model's losses are 1, 2, 3, ..."""
    plan, epochs, per_epoch = [0.1, 0.4, 0.8, 0.6], 3, 4
    steps = [
        *_probed(plan, per_epoch), new_solver(batch_size=5, num_epochs=epochs), TRAIN,
        *(read("solver", name) for name in (
            "loss_history", "train_acc_history", "val_acc_history", "best_val_acc",
        )),
    ]  # fmt: skip

    def look(values: Mapping[str, Any]) -> Verdict:
        losses, train, val = (
            numbers_of(values.get(f"{name}_history")) for name in ("loss", "train_acc", "val_acc")
        )
        wanted = [float(i + 1) for i in range(epochs * per_epoch)]
        if losses != wanted:
            have = "no list" if losses is None else f"{len(losses)} numbers"
            text = f"loss_history has {have}, expected the loss of each of {len(wanted)} steps"
            return Verdict(False, "history-wrong", text)
        # Some courses measure once more, before or after the first step.
        expected = plan[1:]
        shown = ", ".join(f"{value:g}" for value in expected)
        counts = (epochs, epochs + 1)
        if val is None or len(val) not in counts or not np.allclose(val[-epochs:], expected):
            have = "no list" if val is None else ", ".join(f"{value:g}" for value in val[:9])
            text = f"val_acc_history is {have}; the model's accuracies were {shown}"
            return Verdict(False, "history-wrong", text)
        if train is None or len(train) not in counts:
            have = "no list" if train is None else f"{len(train)} numbers"
            text = f"train_acc_history has {have}, expected one an epoch ({epochs})"
            return Verdict(False, "history-wrong", text)
        best = number(values.get("best_val_acc"))
        if best is None or abs(best - 0.8) > 1e-9:
            text = f"best_val_acc is {values.get('best_val_acc')}, the best accuracy was 0.8"
            return Verdict(False, "history-wrong", text)
        return Verdict(True)

    extra = ["loss_history", "train_acc_history", "val_acc_history", "best_val_acc"]
    return Variant("20 rows, batch_size 5", {"data": data_of(20)}, steps, judge=look, extra=extra)


def _best(after: Sequence[float]) -> Variant:
    """The accuracy after each epoch is planned; W counts the steps."""
    per_epoch = 4
    data = data_of(20)
    steps: list[Step] = [
        *_probed([0.1, *after], per_epoch), new_solver(batch_size=5, num_epochs=len(after)), TRAIN,
        read("model", "params"), read("solver", "best_params"),
    ]  # fmt: skip
    best = 1 + int(np.argmax(after))

    def look(values: Mapping[str, Any]) -> Verdict:
        params, kept = values.get("params"), values.get("best_params")
        W = number(params.get("W")) if isinstance(params, dict) else None
        if W is None:
            return Verdict(False, None, "model.params is not what it was")
        if best * per_epoch == W:
            return Verdict(True)
        own = number(kept.get("W")) if isinstance(kept, dict) else None
        cause = "best-snapshot-wrong"
        if own == len(after) * per_epoch and own == W:
            cause = "best-not-copied"
        elif isinstance(kept, dict) and not kept:
            cause = "best-snapshot-wrong"
        shown = ", ".join(f"{value:g}" for value in after)
        return Verdict(
            False, cause,
            f"validation accuracies were {shown}; the model holds the parameters after step "
            f"{W:g}, the best were those after epoch {best} (step {best * per_epoch})",
        )  # fmt: skip

    extra = ["params", "best_params"]
    label = f"accuracies {', '.join(f'{value:g}' for value in after)}"
    return Variant(label, {"data": data}, steps, judge=look, extra=extra)


def _decay(decay: float) -> Variant:
    """W moves by the learning rate: 4 steps an epoch at 1, then decay, then decay^2."""
    steps = [
        *_probed([i / 20 for i in range(20)], 1),
        new_solver(batch_size=5, num_epochs=3, lr_decay=decay), TRAIN, read("model", "path"),
    ]  # fmt: skip
    wanted = [decay**epoch for epoch in (0, 1, 2) for _ in range(4)][:-1]

    def look(values: Mapping[str, Any]) -> Verdict:
        path = numbers_of(values.get("path"))
        if path is None or len(path) < 2:
            return Verdict(False, None, "the model was not trained")
        rates = [float(rate) for rate in np.diff(path)]
        if len(rates) == len(wanted) and np.allclose(rates, wanted, rtol=1e-9, atol=0):
            return Verdict(True)
        firsts = ", ".join(f"{rate:g}" for rate in rates[::4])
        expected = ", ".join(f"{rate:g}" for rate in wanted[::4])
        # Off from the first step, by no power of the decay: it is not the decay that is wrong.
        starts = any(np.isclose(rates[0], first) for first in (1, decay))
        return Verdict(
            False, "lr-decay-wrong" if starts and len(rates) == len(wanted) else None,
            f"3 epochs of 4 steps from learning rate 1, lr_decay {decay}: steps 1, 5 and 9 are of "
            f"{firsts}, expected {expected}",
        )  # fmt: skip

    label = f"lr_decay {decay}"
    return Variant(label, {"data": data_of(20)}, steps, judge=look, extra=["path"])


def _rule_state() -> Variant:
    """Momentum 0.5 at rate 1, gradient -1: step n moves W by 2 - 2^(1 - n)."""
    config = {"learning_rate": 1.0, "momentum": 0.5}
    steps = [
        *_probed([0.5], 1),
        new_solver(batch_size=5, num_epochs=1, update_rule="sgd_momentum", optim_config=config),
        TRAIN, read("model", "path"),
    ]  # fmt: skip
    wanted = [1, 1.5, 1.75]

    def look(values: Mapping[str, Any]) -> Verdict:
        path = numbers_of(values.get("path"))
        taken = [] if path is None else np.diff(path).tolist()
        if len(taken) == 3 and np.allclose(taken, wanted):
            return Verdict(True)
        cause = "state-not-kept" if taken == [1, 1, 1] else None
        shown = ", ".join(f"{step:g}" for step in taken[:12])
        text = f"three steps with momentum 0.5 at rate 1 move W by {shown}; expected 1, 1.5, 1.75"
        return Verdict(False, cause, text)

    return Variant("sgd_momentum", {"data": data_of(20)}, steps, judge=look, extra=["path"])


def _accuracy(classes: int, coding: str = "") -> Variant:
    """70 of 100 rows are right, whatever the batches."""
    X, y = _rows(100, classes)
    given = 2 * y - 1 if coding == "-1 and 1" else y
    steps: list[Step] = [*_probed([0.7], 1, classes), new_solver()]
    for save, keywords in (
        ("whole", {}), ("in batches of 7", {"batch_size": 7}), ("of 40 rows", {"num_samples": 40}),
    ):  # fmt: skip
        steps.append(method("solver", "check_accuracy", ["X", "y"], save, **keywords))

    def look(values: Mapping[str, Any]) -> Verdict:
        for save in ("whole", "in batches of 7"):
            got = number(values.get(save))
            if got is None or abs(got - 0.7) > 1e-9:
                # Of the 70, the 35 of label 1 are right in either coding.
                one_coding = classes == 1 and got is not None and abs(got - 0.35) < 1e-9
                cause = "labels-coding" if one_coding else "accuracy-wrong"
                text = f"check_accuracy {save} gives {values.get(save)}; 70 of 100 rows are right"
                return Verdict(False, cause, text)
        some = number(values.get("of 40 rows"))
        if some is None or not 0.3 <= some <= 1 or abs(some * 40 - round(some * 40)) > 1e-6:
            text = f"check_accuracy with num_samples=40 gives {values.get('of 40 rows')}"
            return Verdict(False, "accuracy-wrong", f"{text}: not a number of rows out of 40")
        return Verdict(True)

    inputs = {"data": data_of(20), "X": X, "y": given}
    label = f"{classes} classes" if classes > 1 else f"binary, labels {coding}"
    extra = ["whole", "in batches of 7", "of 40 rows"]
    return Variant(label, inputs, steps, judge=look, extra=extra)


def _accuracy_of_all() -> Variant:
    """500 of 100 rows are all of them."""
    X, y = _rows(100)
    steps = [
        *_probed([0.7], 1), new_solver(),
        method("solver", "check_accuracy", ["X", "y"], "accuracy", num_samples=500),
    ]  # fmt: skip

    def look(values: Mapping[str, Any]) -> Verdict:
        got = number(values.get("accuracy"))
        if got is not None and abs(got - 0.7) <= 1e-9:
            return Verdict(True)
        shown = values.get("accuracy")
        text = f"check_accuracy with num_samples=500 gives {shown}; 70 of the 100 rows are right"
        return Verdict(False, "accuracy-wrong", text)

    inputs = {"data": data_of(20), "X": X, "y": y}
    return Variant("500 of 100 rows", inputs, steps, judge=look, extra=["accuracy"])


def _keyword() -> Variant:
    word = "learning_rat"
    steps = [
        *_probed([0.5], 1),
        refused(new_solver(**{word: 0.1}), "error"),
    ]

    def look(values: Mapping[str, Any]) -> Verdict:
        error = values.get("error")
        if not isinstance(error, dict):
            text = f"Solver(..., {word}=0.1) is accepted though there is no such keyword"
            return Verdict(False, "keyword-accepted", text)
        if word in str(error.get("text")):
            return Verdict(True)
        text = f"the error for an unknown keyword should name it; it says: {error.get('text')}"
        return Verdict(False, None, text)

    return Variant("", {"data": data_of(20)}, steps, judge=look, extra=["error"])
