"""The end of a training: the test rows, looked at once, and the record of all of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad.analysis import analyse
from handgrad.arrays import Array
from handgrad.environment import environment
from handgrad.models import Model
from handgrad.network_spec import layers_of
from handgrad.own_data import judging, metrics
from handgrad.own_data.baselines import Fitted
from handgrad.own_data.fitting import Net
from handgrad.own_data.reading import Ready
from handgrad.own_data.request import Request
from handgrad.own_data.settings import Settings
from handgrad.results import Interval
from handgrad.training_record import (
    Baseline,
    Importance,
    NetSummary,
    SearchSummary,
    TargetAnalysis,
    TrainingRecord,
)


@dataclass(frozen=True)
class Found:
    """What was fitted on the training rows, and chosen on the validation rows."""

    settings: Settings
    net: Net
    fitted: tuple[Fitted, ...]
    search: SearchSummary | None


def model_of(
    ready: Ready, found: Found, measured: Mapping[str, Any], more: Mapping[str, Any] | None = None
) -> Model:
    """Put together what the model's file keeps; ``more`` is known of the training besides."""
    about = {
        "data": ready.data.name,
        "rows": {"train": ready.sizes.train, "val": ready.sizes.val, "test": ready.sizes.test},
        "split": ready.sizes.how,
        "settings": found.settings.to_record(),
        "epoch": found.net.best.epoch,
        "numpy": np.__version__,
        **(more or {}),
    }
    return Model(found.net.network, ready.preprocessor, ready.coder, measured, about)


def concluded(
    request: Request, ready: Ready, found: Found, started: float, spent: float
) -> TrainingRecord:
    """Look at the test rows and make the record.

    Parameters
    ----------
    request, ready, found
    started : float
        When the command began, by time.perf_counter.
    spent : float
        Seconds of earlier parts of it.
    """
    problem = ready.problem
    baselines = [
        Baseline(
            name=each.name,
            description=each.description,
            validation=ready.metrics(problem.val, each.predict),
            test=ready.metrics(problem.test, each.predict),
            seconds=each.seconds,
        )
        for each in found.fitted
    ]
    predicted = ready.in_units(found.net.predict(problem.test.X))
    importances, rows = _importances(ready, found.net, request.seed)
    return TrainingRecord(
        command=request.command,
        task=problem.task,
        data=ready.data,
        split=ready.sizes,
        preprocessing=ready.preprocessing,
        baselines=tuple(baselines),
        net=_net(ready, found, predicted),
        analyses=_analyses(ready, predicted, request.seed),
        importances=importances,
        importance_rows=rows,
        search=found.search,
        interrupted=spent > 0,
        seconds=spent + time.perf_counter() - started,
        seed=request.seed,
        model="model.safetensors",
        environment=environment(1),
    )


def _net(ready: Ready, found: Found, predicted: Array) -> NetSummary:
    problem, net = ready.problem, found.net
    test = metrics.of(problem.task, ready.truth(problem.test), predicted)
    accuracy = test.get("accuracy")
    interval = None if accuracy is None else Interval.wilson(accuracy, len(predicted))
    return NetSummary(
        architecture=found.settings.in_words(problem.input_shape, problem.outputs),
        layers=layers_of(net.network),
        parameters=sum(array.size for array in net.network.params.values()),
        hyperparameters=found.settings.to_record(),
        history=net.history,
        best_epoch=net.best.epoch,
        stopped=net.stopped,
        validation=ready.metrics(problem.val, net.predict),
        test=test,
        test_interval=interval,
        seconds=net.history[-1].seconds,
    )


def _analyses(ready: Ready, predicted: Array, seed: int) -> tuple[TargetAnalysis, ...]:
    part, targets = ready.problem.test, ready.data.targets
    numbers = ready.numbers[part.rows]
    if ready.problem.task == "regress":
        return judging.of_numbers(targets, ready.truth(part), predicted, numbers)
    if ready.problem.task == "multilabel":
        return judging.of_labels(targets, part.y, predicted, numbers, seed)
    analysis = analyse(
        part.y,
        seed=seed,
        classes=ready.coder.classes,
        probabilities=predicted,
        images=None if ready.pixels is None else ready.pixels[part.rows],
    )
    names = tuple(ready.names[part.rows[m.row]] for m in analysis.mistakes) if ready.names else ()
    return (TargetAnalysis(targets[0], judging.numbered(analysis, numbers), None, names),)


def _importances(ready: Ready, net: Net, seed: int) -> tuple[tuple[Importance, ...], int]:
    if not ready.groups:
        return (), 0
    problem = ready.problem

    def score(X: Array, y: Array) -> float | None:
        return judging.first_metric(problem.task, y, net.predict(X))

    rng = np.random.default_rng(seed)
    return judging.importances(problem.val.X, problem.val.y, ready.groups, score, rng)
