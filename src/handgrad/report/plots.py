"""The page's plots; each draws recorded numbers as they are.

Colour never stands alone: lines differ in their dashes and markers, too.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from handgrad.analysis import Bin, Histogram
from handgrad.report.drawing import (
    DASHES,
    MARKERS,
    ROW_INCHES,
    WIDTH,
    Look,
    draw_line,
    epoch_axis,
    legend,
    panel,
    styled,
)
from handgrad.report.svg import GRID, INK, PAPER, SERIES, Plot, plot
from handgrad.results import Epoch, ExperimentRecord, Study, Trial, value_text

Judged = tuple[Trial, float]  # a candidate, and its validation accuracy in per cent


@styled
def loss_curves(name: str, title: str, runs: Sequence[tuple[int, Sequence[Epoch]]]) -> Plot:
    """Draw the mean training loss of each epoch, one line a seed."""
    figure, axes = panel()
    for number, (seed, history) in enumerate(runs):
        losses = [line["loss"] if "loss" in line else line["train_loss"] for line in history]
        draw_line(axes, number, [line["epoch"] for line in history], losses, label=f"seed {seed}")
    axes.set(xlabel="epoch", ylabel="mean training loss")
    epoch_axis(axes)
    legend(axes, 3)
    text = "A line a seed: the mean training loss of each epoch, against the epoch."
    return plot(figure, name, title, "Training loss", text)


@styled
def accuracy_curves(name: str, title: str, runs: Sequence[tuple[int, Sequence[Epoch]]]) -> Plot:
    """Draw training and validation accuracy after each epoch, two lines a seed."""
    figure, axes = panel()
    for number, (seed, history) in enumerate(runs):
        colour = SERIES[number % len(SERIES)]
        val = [(line["epoch"], line.get("val_accuracy")) for line in history]
        train = [(line["epoch"], line.get("train_accuracy")) for line in history]
        for points, split, dashes, fill in (
            (val, "validation", "-", colour),
            (train, "training", (0, (2, 2)), PAPER),
        ):
            x = [epoch for epoch, share in points if share is not None]
            y = [100 * share for _, share in points if share is not None]
            look = {"color": colour, "linestyle": dashes, "markerfacecolor": fill}
            draw_line(axes, number, x, y, label=f"seed {seed}, {split}", **look)
    axes.set(xlabel="epoch", ylabel="accuracy (%)")
    epoch_axis(axes)
    legend(axes, 2)
    text = (
        "Two lines a seed, against the epoch: accuracy on validation rows (solid, filled markers) "
        "and on training rows (dotted, hollow markers)."
    )
    return plot(figure, name, title, "Accuracy", text)


@styled
def candidates(name: str, title: str, record: ExperimentRecord) -> Plot:
    """Draw every candidate's validation accuracy, once for each hyperparameter that varies."""
    groups = _groups(record)
    values: dict[str, list[Any]] = {}
    for trial, _ in _judged(record):
        for key, value in trial.params.items():
            if value not in values.setdefault(key, []):
                values[key].append(value)
    varied = {
        key: sorted(found, key=lambda v: v if isinstance(v, int | float) else 0)
        for key, found in values.items()
        if len(found) > 1
    } or values
    rows = {
        key: [textwrap.fill(value_text(key, value), 24) for value in found]
        for key, found in varied.items()
    }
    heights = [sum(1 + label.count("\n") * 0.6 for label in rows[key]) + 0.6 for key in varied]
    height = ROW_INCHES * sum(heights) + 0.45 * len(heights) + 0.5
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    panels = figure.subplots(len(varied), 1, sharex=True, height_ratios=heights, squeeze=False)
    for axes, (key, found) in zip(panels[:, 0], varied.items(), strict=True):
        for label, group, look in groups:
            axes.plot(
                [percent for _, percent in group],
                [found.index(trial.params[key]) for trial, _ in group],
                linestyle="none",
                label=label,
                **look,
            )
        axes.set_yticks(range(len(found)), rows[key])
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.set_title(key.replace("_", " "), loc="left")
    panels[-1, 0].set_xlabel("validation accuracy (%)")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(groups)
    )
    text = (
        "One panel for each hyperparameter; each circle is a candidate, placed by its value and "
        "its validation accuracy, a mean where it was tried with several seeds; a star marks the "
        "chosen one, a cross a control, which is not to be chosen. The table has the same numbers."
    )
    return plot(figure, name, title, "Validation accuracy of every candidate", text)


def _judged(record: ExperimentRecord) -> list[Judged]:
    return [(t, 100 * t.val_accuracy) for t in record.trials if t.val_accuracy is not None]


def _groups(record: ExperimentRecord) -> list[tuple[str, list[Judged], Look]]:
    """Part the candidates by how they are drawn: label, candidates, look."""
    judged = _judged(record)
    controls = [pair for pair in judged if record.setup.is_control(pair[0].params)]
    winners = [pair for pair in judged if pair[0].params == record.chosen]
    others = [pair for pair in judged if pair not in controls and pair not in winners]
    circle = {"marker": "o", "markersize": 4.5, "color": SERIES[0], "markerfacecolor": "none"}
    star = {"marker": "*", "markersize": 12, "color": SERIES[1], "markeredgecolor": PAPER}
    cross = {"marker": "x", "markersize": 5, "color": SERIES[0]}
    parts = [("candidate", others, circle), ("the chosen one", winners, star)]
    return [*parts, ("control", controls, cross)] if controls else parts


def _left_end(values: Sequence[float]) -> float:
    """Where the axis begins: a run that learned nothing shall not press the others together."""
    low, high = np.percentile(values, [25, 75])
    near = [value for value in values if value >= low - 6 * (high - low)]
    return min(values) if len(near) == len(values) else min(near) - 0.1 * (max(near) - min(near))


@styled
def ablation(name: str, title: str, record: ExperimentRecord) -> Plot:
    """Draw the validation accuracy of each single change of the improved net."""
    judged = _judged(record)
    figure = Figure(figsize=(WIDTH, ROW_INCHES * len(judged) + 0.9), layout="constrained")
    axes = figure.add_subplot()
    reference = next((value for trial, value in judged if trial.params["group"] == "none"), None)
    if reference is not None:
        dashed: Look = {"color": SERIES[1], "linestyle": DASHES[1]}
        axes.axvline(reference, label="nothing changed", **dashed)
    groups = list(dict.fromkeys(trial.params["group"] for trial, _ in judged))
    start = _left_end([value for _, value in judged])
    beside: Look = {
        "textcoords": "offset points",
        "verticalalignment": "center",
        "color": SERIES[0],
    }
    for position, (trial, value) in enumerate(judged):
        kind = groups.index(trial.params["group"]) % len(SERIES)
        if value < start:
            axes.annotate(f"← {value:.2f}", (start, position), (4, 0), **beside)
            continue
        axes.plot([value], [position], marker=MARKERS[kind], color=SERIES[0], linestyle="none")
    if min(value for _, value in judged) < start:
        axes.set_xlim(left=start)
    axes.set_yticks(range(len(judged)), [trial.params["change"] for trial, _ in judged])
    axes.set_ylim(len(judged) - 0.4, -0.6)
    axes.set_xlabel("validation accuracy (%)")
    if reference is not None:
        figure.legend(loc="outside upper center")
    text = (
        "One mark for each change, placed by validation accuracy, or an arrow and the number where "
        "it is far to the left; a dashed vertical line is the net without a change. The table has "
        "the same numbers."
    )
    return plot(figure, name, title, "Single changes", text)


@styled
def calibration(name: str, title: str, bins: Sequence[Bin]) -> Plot:
    """Draw accuracy against confidence, bin by bin, with the line of a calibrated model."""
    figure, axes = panel()
    axes.plot([0, 100], [0, 100], color=INK, linewidth=1, linestyle=DASHES[2], label="calibrated")
    x = [100 * b.confidence for b in bins if b.confidence is not None]
    y = [100 * b.accuracy for b in bins if b.accuracy is not None]
    draw_line(axes, 0, x, y, label="this model", markevery=1)
    axes.set(xlabel="mean confidence of the bin (%)", ylabel="accuracy of the bin (%)")
    axes.set(xlim=(0, 102), ylim=(0, 104))
    legend(axes, 2)
    text = (
        "Accuracy against confidence, a marker for each bin of test rows; the dotted diagonal is a "
        "model that is right as often as it is sure. The table has the same numbers."
    )
    return plot(figure, name, title, "Calibration", text)


@styled
def histogram(name: str, title: str, scores: Histogram, classes: Sequence[str]) -> Plot:
    """Draw the decision scores of a binary model, class by class, with border and margin."""
    figure, axes = panel()
    fills = ({"hatch": "////", "facecolor": "none"}, {"facecolor": SERIES[1], "alpha": 0.45})
    for number, (label, counts) in enumerate(zip(classes, scores.counts, strict=True)):
        look: Look = {"edgecolor": SERIES[number], "linewidth": 1.2, **fills[number]}
        axes.stairs(counts, scores.edges, fill=True, label=f"class {label}", **look)
    axes.axvline(0, color=INK, linewidth=1.4, label="border")
    for side, name_of in ((-1, None), (1, "margin")):
        axes.axvline(side, color=INK, linewidth=1, linestyle=DASHES[1], label=name_of)
    axes.grid(axis="x", visible=False)
    axes.set(xlabel="decision score", ylabel="test rows")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    legend(axes, 4)
    text = (
        "Histogram of the decision scores of the test rows, one for each class (hatched and "
        "filled); the solid vertical line is the border, the dashed ones the margin."
    )
    return plot(figure, name, title, "Decision scores of the test rows", text)


@styled
def study(name: str, record: Study) -> Plot:
    """Draw a recorded study: its series as lines."""
    figure, axes = panel(3.2)
    for number, series in enumerate(record.series):
        draw_line(axes, number, series.x, series.y, label=series.name)
    axes.set(xlabel=record.x_label, ylabel=record.y_label)
    if record.log_y:
        axes.set_yscale("log")
    axes.grid(color=GRID)
    legend(axes, 2)
    names = ", ".join(series.name for series in record.series)
    text = (
        f"Lines of {record.y_label} against {record.x_label}: {names}. "
        "The table has the same numbers."
    )
    return plot(figure, name, record.id, record.title, text)
