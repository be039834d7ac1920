"""Cases of a Solver that trains the submission's own models: the best epoch, real digits."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.check.case import Case, Setting, Step, Variant, Verdict, call, method, seeded
from handgrad.check.cases.convnet import BATCHNORM
from handgrad.check.cases.solver import TRAIN, new_solver, number, read, solver_case
from handgrad.check.verdict.hypotheses import as_numbers
from handgrad.datasets import mnist
from handgrad.datasets.idx import read_idx
from handgrad.datasets.mnist_files import TRAIN_IMAGES, TRAIN_LABELS

# handgrad itself reaches 0.86 to 0.89 over 12 seeds (NumPy kernels).
_LEARNED = 0.75
_EPOCHS = 5  # of the case of the best epoch


def cases(setting: Setting) -> Iterator[Case]:
    """Give the cases that train real models."""
    if setting.convention.models:
        yield _snapshot(setting)
        yield _digits(setting)


def _snapshot(setting: Setting) -> Case:
    """Parameters and running statistics come back together: the best epoch's scores do.

    The validation labels are wrong on purpose, so that accuracy falls and an early epoch is best.
    """
    name = "the best epoch's scores come back, running statistics and all"
    rng = setting.rng("Solver", name)
    N, classes = 60, 4
    y = np.arange(N) % classes
    patterns = rng.standard_normal((classes, 1, 6, 6))
    X = patterns[y] + 0.3 * rng.standard_normal((N, 1, 6, 6)) + 2.0
    X_val = patterns[y[:24]] + 0.3 * rng.standard_normal((24, 1, 6, 6)) + 2.0
    y_val = (y[:24] + 1) % classes
    data = {"X_train": X, "y_train": y, "X_val": X_val, "y_val": y_val}
    net = {
        "input_dim": (1, 6, 6), "num_filters": 3, "filter_size": 3, "hidden_dim": 8,
        "num_classes": classes, "weight_scale": 0.3, "dtype": {"dtype": "float64"},
    }  # fmt: skip
    choices = [
        {key: tuple(value) if isinstance(value, list) else value for key, value in choice.items()}
        for choice in BATCHNORM
    ]
    steps: list[Step] = [
        seeded(4),
        {
            "op": "make", "unit": "cnn", "name": "ConvNet", "kwargs": net, "choices": choices,
            "save": "model",
        },
        {"op": "record", "on": "model", "X": "X_val", "save": "kept"},
        new_solver(batch_size=10, num_epochs=_EPOCHS, optim_config={"learning_rate": 0.05}),
        TRAIN,
        method("model", "loss", ["X_val"], "finally"),
        read("solver", "best_params"),
    ]  # fmt: skip

    def look(values: Mapping[str, Any]) -> Verdict | None:
        kept = values.get("kept")
        if not isinstance(kept, list) or len(kept) < 6:
            return None  # it measures its accuracy in another way: other cases see to that
        recorded = [as_numbers(entry["scores"]) for entry in kept]
        if any(array is None or array.shape != (24, classes) for array in recorded):
            return None
        arrays = [array for array in recorded if array is not None]
        history, final = arrays[:-1], arrays[-1]
        accuracies = [float((array.argmax(axis=1) == y_val).mean()) for array in history]
        # Some measure before the first epoch, too, and count that epoch, or do not.
        of_epochs = range(len(history))[-_EPOCHS:]
        best = [
            n
            for numbers in (range(len(history)), of_epochs)
            for n in numbers
            if accuracies[n] == max(accuracies[i] for i in numbers)
        ]
        if any(np.allclose(history[n], final, rtol=1e-6, atol=1e-9) for n in best):
            return Verdict(True)
        shown = ", ".join(f"{value:.3f}" for value in accuracies)
        said = f"validation accuracies were {shown}; after train() the model gives other scores"
        params = [entry["params"] for entry in kept]
        if any(_same(params[n], params[-1]) for n in best):
            text = f"{said} than in the best epoch, though its parameters are that epoch's"
            return Verdict(False, "best-statistics-wrong", text)
        aliased = _same(params[-2], params[-1]) and _same(values.get("best_params"), params[-1])
        cause = "best-not-copied" if aliased else "best-snapshot-wrong"
        return Verdict(False, cause, f"{said} and has other parameters than in the best epoch")

    variant = Variant(
        "", {"data": data, "X_val": X_val}, steps, judge=look, extra=["kept", "best_params"]
    )
    needs = [("optim", "sgd")]
    return solver_case(name, [variant], needs, counts_alone=False)


def _same(a: Any, b: Any) -> bool:
    """Whether two dicts hold the same arrays."""
    if not isinstance(a, dict) or not isinstance(b, dict) or set(a) != set(b):
        return False
    pairs = [(as_numbers(a[key]), as_numbers(b[key])) for key in a]
    return all(x is not None and y is not None and np.array_equal(x, y) for x, y in pairs)


@functools.cache
def _sample() -> tuple[Array, Array]:
    """The shipped real digits: X (1000, 784) in [0, 1], float32; y."""
    files = mnist.read_sample()
    images = read_idx(files[TRAIN_IMAGES], 3)
    X = np.divide(images, 255, dtype=np.float32).reshape(len(images), -1)
    return X, read_idx(files[TRAIN_LABELS], 1).astype(np.int64)


def _digits(setting: Setting) -> Case:
    """Learn 700 real digits; 300 others are the validation rows."""
    name = "learns 700 real handwritten digits"
    X, y = _sample()
    data = {"X_train": X[:700], "y_train": y[:700], "X_val": X[700:], "y_val": y[700:]}
    net = {"input_dim": 784, "hidden_dim": 30, "num_classes": 10, "weight_scale": 0.05}
    steps: list[Step] = [
        seeded(6),
        call("SoftmaxClassifier", [], "model", unit="softmax", kwargs=net),
        new_solver(
            batch_size=35, num_epochs=8, update_rule="adam", optim_config={"learning_rate": 3e-3}
        ),
        TRAIN,
        method("solver", "check_accuracy", ["X_val", "y_val"], "accuracy"),
    ]  # fmt: skip

    def look(values: Mapping[str, Any]) -> Verdict:
        accuracy = number(values.get("accuracy"))
        if accuracy is not None and accuracy >= _LEARNED:
            return Verdict(True)
        return Verdict(
            False, "does-not-learn",
            f"validation accuracy is {accuracy}, expected at least {_LEARNED}",
        )  # fmt: skip

    inputs = {"data": data, "X_val": X[700:], "y_val": y[700:]}
    variant = Variant("", inputs, steps, judge=look, extra=["accuracy"])
    needs = [("optim", "adam")]
    return solver_case(name, [variant], needs)
