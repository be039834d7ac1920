"""Question 7: the small measurements behind its three written answers, from our own layers."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handgrad import layers, optim, scaling
from handgrad.arrays import Array
from handgrad.datasets import Dataset
from handgrad.experiments.base import AssignmentItem
from handgrad.network import BatchNorm, Dense, Layer, Network, ReLU, Sigmoid
from handgrad.results import Series

_UNITS = 100  # of every hidden layer here
_BATCH = 100
_MEASURED_ROWS = 500  # the gradients of 7.1 are those of so many rows together
_MOMENTUM = 0.9
_TOGETHER = 10  # a point of 7.3 is the mean of so many steps


@dataclass(frozen=True)
class StudyBudget:
    """How much of a study one profile does: training rows, and steps (of training, or masks)."""

    train_rows: int
    steps: int


@dataclass(frozen=True)
class Findings:
    """What a study measured: a sentence or two with its numbers, and the lines of its plot."""

    caption: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class StudyExperiment(AssignmentItem):
    """A measurement of seconds that an answer rests on; no search, one seed.

    Attributes
    ----------
    x_label, y_label : str
        Quantity and unit of the plot's axes; ``log_y`` for a logarithmic one.
    measure : function
        ``measure(data, budget, rng)`` returns the Findings.
    budgets : mapping
        Profile to StudyBudget.
    """

    x_label: str
    y_label: str
    log_y: bool
    measure: Callable[[Dataset, StudyBudget, np.random.Generator], Findings]
    budgets: Mapping[str, StudyBudget]


def _rows(data: Dataset, count: int) -> tuple[Array, Array]:
    """Give the first training rows, flat, with mean 0 and deviation 1, and their labels."""
    X: Array = np.asarray(data.X_train[:count]).reshape(-1, math.prod(data.X_train.shape[1:]))
    return scaling.standardise(X, *scaling.mean_and_deviation(X, None)), data.y_train[:count]


def _network(hidden: Sequence[Layer], features: int, rng: np.random.Generator) -> Network:
    return Network([*hidden, Dense(10)], (features,), dtype=np.float32, rng=rng)


def _losses(
    net: Network,
    X: Array,
    y: Array,
    rng: np.random.Generator,
    steps: int,
    *,
    learning_rate: float,
    rising: bool = False,
    max_norm: float = math.inf,
) -> Iterator[float]:
    """Train by SGD with momentum on random batches; yield each step's loss, up to a non-finite.

    A constant rate, or, with ``rising``, one that grows in equal steps to ``learning_rate``.
    """
    configs: dict[str, optim.Config] = {name: {"momentum": _MOMENTUM} for name in net.params}
    for step in range(steps):
        rate = learning_rate * ((step + 1) / steps if rising else 1.0)
        chosen = rng.integers(0, len(X), _BATCH)
        # A run that diverges overflows on its way; what it yields says so.
        with np.errstate(over="ignore", invalid="ignore"):
            loss, grads = net.loss(X[chosen], y[chosen])
            yield loss
            if not math.isfinite(loss):
                return
            for name, dw in optim.clipped(grads, max_norm).items():
                net.params[name], configs[name] = optim.sgd_momentum(
                    net.params[name], dw, {**configs[name], "learning_rate": rate}
                )


def _gradient_lengths(data: Dataset, budget: StudyBudget, rng: np.random.Generator) -> Findings:
    """7.1: the length of dL/dW of each layer, sigmoid against ReLU, at the start and later.

    Both units get the same initial weights and the same batches.
    """
    X, y = _rows(data, budget.train_rows)
    depth = 8
    start, later = "at the start", f"after {budget.steps} steps"
    series, losses, spreads = [], {}, {}
    init, batches = (int(seed) for seed in rng.integers(0, 2**32, 2))  # the same for both
    for name, unit in (("sigmoid", Sigmoid()), ("ReLU", ReLU())):
        net = _network([Dense(_UNITS), unit] * depth, X.shape[1], np.random.default_rng(init))
        for moment in (start, later):
            loss, grads = net.loss(X[:_MEASURED_ROWS], y[:_MEASURED_ROWS])
            lengths = [float(np.linalg.norm(grads[f"W{k}"])) for k in range(1, depth + 2)]
            numbers = tuple(float(layer) for layer in range(1, depth + 2))
            series.append(Series(f"{name}, {moment}", numbers, tuple(lengths)))
            losses[name, moment] = loss
            hidden = net.activations(X[:_MEASURED_ROWS])[1 : 2 * depth : 2]
            spreads[name, moment] = [float(out.std(axis=0).mean()) for out in hidden]
            if moment == start:
                shuffled = np.random.default_rng(batches)
                for _ in _losses(net, X, y, shuffled, budget.steps, learning_rate=0.02):
                    pass
    ratios = {line.name: (line.y[-1] or 0.0) / (line.y[0] or 1.0) for line in series}
    first, *_, top = spreads["sigmoid", start]
    relu_first, *_, relu_top = spreads["ReLU", start]
    caption = (
        f"{depth} hidden layers of {_UNITS} units and an output layer, weights of variance 2/D, "
        f"the same for both, {len(X)} rows of {data.name}. At the start the last layer's gradient "
        f"is {_times(ratios['sigmoid, at the start'])} times as long as the first's with sigmoids, "
        f"{_times(ratios['ReLU, at the start'])} times with ReLU. On the way forward, a unit of "
        f"the first hidden layer deviates from its mean over the images by {first:.2g} with "
        f"sigmoids, one of the last by {top:.2g}; with ReLU, by {relu_first:.2g} and "
        f"{relu_top:.2g}. {later.capitalize()} of SGD with momentum {_MOMENTUM} and learning rate "
        f"0.02 the loss is {losses['sigmoid', later]:.3f} with sigmoids and "
        f"{losses['ReLU', later]:.3f} with ReLU (guessing: ln 10 = {math.log(10):.3f})."
    )
    return Findings(caption, tuple(series))


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2f}"


def _dropout_means(data: Dataset, budget: StudyBudget, rng: np.random.Generator) -> Findings:
    """7.2: the mean of one unit over more and more masks, beside what the test pass gives."""
    X, _ = _rows(data, budget.train_rows)
    w = math.sqrt(2 / X.shape[1]) * rng.standard_normal((X.shape[1], _UNITS))
    row, b, keep = X[:1].astype(np.float64), np.zeros(_UNITS), 0.5
    tested, _ = layers.fc_forward(layers.dropout_forward(row, {"p": keep, "mode": "test"})[0], w, b)
    unit = int(np.abs(tested[0]).argmin())  # where ReLU's corner matters most
    masked = np.repeat(row, budget.steps, axis=0)
    dropped, _ = layers.dropout_forward(masked, {"p": keep, "mode": "train", "rng": rng})
    before, _ = layers.fc_forward(dropped, w[:, unit : unit + 1], b[:1])
    every = max(1, budget.steps // 100)
    counts = np.arange(1, budget.steps + 1)
    points = tuple(float(count) for count in counts[every - 1 :: every])
    series, ends = [], []
    for place, values, test in (
        ("before ReLU", before, tested[0, unit]),
        ("after ReLU", layers.relu_forward(before)[0], max(0.0, tested[0, unit])),
    ):
        means = (values[:, 0].cumsum() / counts)[every - 1 :: every]
        series.append(Series(f"mean over masks, {place}", points, tuple(means.tolist())))
        series.append(Series(f"test pass, {place}", points, (float(test),) * len(points)))
        ends.append((float(means[-1]), float(test)))
    caption = (
        f"One unit with dropout at its input (keep {keep}), fed one row of {data.name}: the unit "
        f"of {_UNITS} whose test-time value is nearest 0. Over {budget.steps} masks its mean is "
        f"{ends[0][0]:.3f} before the ReLU, the test pass gives {ends[0][1]:.3f}; after the ReLU "
        f"{ends[1][0]:.3f} and {ends[1][1]:.3f}."
    )
    return Findings(caption, tuple(series))


def _divergence(data: Dataset, budget: StudyBudget, rng: np.random.Generator) -> Findings:
    """7.3: a run that falls and diverges, and the same run with one thing changed at a time.

    Where a run is chaotic, the last bit of a product decides, and with it the processor. So only
    changes with a wide margin are here. With 24 seeds each, on 900 rows in 300 steps and on 6,000
    in 600: the first run ends not finite or above 2; a tenth of its rate ends below 0.1, clipping
    below 0.14, batch normalisation below 0.24. Momentum 0 is not among them: 0.3 is near plain
    descent's own limit, and 4 of 24 runs on 6,000 rows ended above 0.3, one at 1.4.
    """
    X, y = _rows(data, budget.train_rows)
    init, batches = (int(seed) for seed in rng.integers(0, 2**32, 2))
    plain: list[Layer] = [Dense(_UNITS), ReLU()] * 3
    normed: list[Layer] = [Dense(_UNITS), BatchNorm(), ReLU()] * 3
    usual = {"learning_rate": 0.3, "rising": True}
    series, words = [], []
    runs: tuple[tuple[str, list[Layer], dict[str, Any]], ...] = (
        ("rate rising to 0.3", plain, {}),
        ("rate 0.2 throughout", plain, {"learning_rate": 0.2, "rising": False}),
        ("rising to 0.03", plain, {"learning_rate": 0.03}),
        ("gradient clipped to length 0.25", plain, {"max_norm": 0.25}),
        ("batch normalisation", normed, {}),
    )
    for name, hidden, settings in runs:
        net = _network(hidden, X.shape[1], np.random.default_rng(init))
        shuffled = np.random.default_rng(batches)
        losses = list(_losses(net, X, y, shuffled, budget.steps, **(usual | settings)))
        points = [
            (float(first + len(part)), _mean(part))
            for first, part in (
                (i, losses[i : i + _TOGETHER]) for i in range(0, len(losses), _TOGETHER)
            )
        ]
        series.append(Series(name, tuple(x for x, _ in points), tuple(y for _, y in points)))
        finite = [(y, x) for x, y in points if y is not None]
        last = points[-1][1]
        low, at = min(finite, default=(math.inf, 0.0))  # of a run that is lost within ten steps
        ends = "not finite" if last is None else f"{last:.3g}"
        words.append(f"{name}, {low:.3g} (step {at:.0f}) and {ends}")
    caption = (
        f"Three hidden layers of {_UNITS} units on {len(X)} rows of {data.name}, SGD with "
        f"momentum {_MOMENTUM} and batches of {_BATCH}, the same initial weights and batches each "
        f"time; each point is the mean of {_TOGETHER} steps. The first run, in which the learning "
        f"rate rises to 0.3, then the same with one thing changed. Lowest loss and loss at the "
        f"end: {'; '.join(words)}. Guessing gives ln 10 = {math.log(10):.3f}."
    )
    return Findings(caption, tuple(series))


def _mean(losses: Sequence[float]) -> float | None:
    """Mean of these losses; None, a gap in the plot, where one of them is not finite."""
    return float(np.mean(losses)) if np.isfinite(losses).all() else None


STUDIES = {
    study.id: study
    for study in (
        StudyExperiment(
            "7.1",
            "Length of each layer's gradient: sigmoid against ReLU",
            "mnist",
            "layer (1 is next to the data)",
            "length of dL/dW",
            True,
            _gradient_lengths,
            {
                "smoke": StudyBudget(train_rows=1000, steps=50),
                "standard": StudyBudget(train_rows=6000, steps=500),
                "full": StudyBudget(train_rows=54000, steps=2000),
            },
        ),
        StudyExperiment(
            "7.2",
            "A unit behind dropout: mean over masks against the test pass",
            "mnist",
            "masks averaged",
            "value of the unit",
            False,
            _dropout_means,
            {
                "smoke": StudyBudget(train_rows=100, steps=200),
                "standard": StudyBudget(train_rows=100, steps=2000),
                "full": StudyBudget(train_rows=100, steps=2000),
            },
        ),
        StudyExperiment(
            "7.3",
            "A loss that falls and diverges, and its cures",
            "mnist",
            "training step",
            "training loss",
            True,
            _divergence,
            {
                "smoke": StudyBudget(train_rows=1000, steps=300),
                "standard": StudyBudget(train_rows=6000, steps=600),
                "full": StudyBudget(train_rows=54000, steps=2000),
            },
        ),
    )
}
