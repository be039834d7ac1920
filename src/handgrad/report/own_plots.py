"""The plots of a training on one's own data; each draws recorded numbers as they are."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from handgrad.report.drawing import (
    DASHES,
    ROW_INCHES,
    WIDTH,
    Look,
    amounts,
    draw_line,
    epoch_axis,
    label,
    legend,
    panel,
    styled,
)
from handgrad.report.svg import INK, PAPER, SERIES, Plot, plot
from handgrad.training_record import (
    EpochRecord,
    Importance,
    Regression,
    SearchSummary,
    TrialSummary,
)

_COLUMNS_SHOWN = 20
_PANELS_SHOWN = 9
_CHARACTERS_ACROSS = 22  # of a panel's labels side by side
_LOGARITHMIC = 30  # a hyperparameter whose values span such a factor has a logarithmic axis

_HOLLOW: Look = {"marker": "o", "color": SERIES[0], "markerfacecolor": "none", "linestyle": "none"}
_PRUNED: Look = {"marker": "x", "color": SERIES[0], "linestyle": "none"}
_STAR: Look = {
    "marker": "*",
    "markersize": 12,
    "color": SERIES[1],
    "markeredgecolor": PAPER,
    "linestyle": "none",
}


def _mark_best(axes: Axes, best_epoch: int) -> None:
    axes.axvline(best_epoch, color=INK, linewidth=1, linestyle=DASHES[1], label="kept epoch")


@styled
def losses(name: str, title: str, history: Sequence[EpochRecord], best_epoch: int) -> Plot:
    """Draw the training and the validation loss of each epoch."""
    figure, axes = panel()
    epochs = [line.epoch for line in history]
    draw_line(axes, 0, epochs, [line.loss for line in history], label="training")
    said = "training loss (solid)"
    if any(line.val_loss is not None for line in history):
        draw_line(axes, 1, epochs, [line.val_loss for line in history], label="validation")
        said += " and validation loss (dashed)"
    _mark_best(axes, best_epoch)
    axes.set(xlabel="epoch", ylabel="loss")
    epoch_axis(axes)
    legend(axes, 3)
    text = f"Mean {said} against the epoch; a vertical line marks the epoch that was kept."
    return plot(figure, name, title, "Loss", text)


@styled
def scores(
    name: str, title: str, history: Sequence[EpochRecord], best_epoch: int, metric: str, scale: int
) -> Plot:
    """Draw the metric that chooses the epoch on training and validation rows, times ``scale``."""
    figure, axes = panel()
    lines: dict[str, list[float | None]] = {
        "training": [line.train_score for line in history],
        "validation": [line.val_score for line in history],
    }
    epochs = [line.epoch for line in history]
    for number, (part, values) in enumerate(lines.items()):
        if any(value is not None for value in values):
            scaled = [None if value is None else scale * value for value in values]
            draw_line(axes, number, epochs, scaled, label=part)
    _mark_best(axes, best_epoch)
    axes.set(xlabel="epoch", ylabel=f"{metric} (%)" if scale == 100 else metric)
    epoch_axis(axes)
    legend(axes, 3)
    text = (
        f"Training (solid) and validation (dashed) {metric} against the epoch; a vertical line "
        "marks the epoch that was kept."
    )
    return plot(figure, name, title, metric.capitalize(), text)


@styled
def predictions(name: str, title: str, record: Regression) -> Plot:
    """Draw the predictions of test rows against the truth, with the line of a perfect model."""
    figure, axes = panel(3.4)
    figure.subplots_adjust(left=0.19)  # for numbers of any size
    truths = [point.truth for point in record.points]
    ends = [min(truths), max(truths)]
    axes.plot(ends, ends, color=INK, linewidth=1, linestyle=DASHES[2], label="exact")
    look = {**_HOLLOW, "markersize": 3.5, "alpha": 0.7}
    axes.plot(truths, [point.prediction for point in record.points], label="test row", **look)
    axes.set(xlabel="true value", ylabel="predicted value")
    amounts(axes.xaxis)
    amounts(axes.yaxis)
    legend(axes, 2)
    text = (
        "A circle for each test row (of many, evenly spaced ones): its prediction against its true "
        "value; on the dotted diagonal a prediction is exact."
    )
    return plot(figure, name, title, "Predicted against true", text)


@styled
def residuals(name: str, title: str, record: Regression) -> Plot:
    """Draw the histogram of the residuals."""
    figure, axes = panel()
    look: Look = {"facecolor": SERIES[0], "edgecolor": SERIES[0], "alpha": 0.5, "linewidth": 1.2}
    axes.stairs(record.counts, record.edges, fill=True, label="test rows", **look)
    axes.axvline(0, color=INK, linewidth=1.2, linestyle=DASHES[1], label="no error")
    axes.grid(axis="x", visible=False)
    axes.set(xlabel="predicted value − true value", ylabel="test rows")
    amounts(axes.xaxis)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    legend(axes, 2)
    text = (
        "Histogram of predicted minus true value over the test rows; the dashed vertical line is "
        "no error. What lies left of it was predicted too low."
    )
    return plot(figure, name, title, "Residuals", text)


@styled
def importances(
    name: str, title: str, found: Sequence[Importance], metric: str, scale: int
) -> Plot:
    """Draw how far the metric falls when a column is shuffled, the largest fall first."""
    shown = found[:_COLUMNS_SHOWN]
    figure = Figure(figsize=(WIDTH, ROW_INCHES * len(shown) + 0.8), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(
        range(len(shown)),
        [scale * each.mean for each in shown],
        xerr=[scale * each.std for each in shown],
        height=0.6,
        color=SERIES[0],
        ecolor=INK,
        capsize=2,
    )
    axes.set_yticks(range(len(shown)), [label(each.column, 26) for each in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_xlabel(f"fall of {metric} (points)" if scale == 100 else f"fall of {metric}")
    text = (
        f"A bar for each column, the most important at the top: how far {metric} on the validation "
        "rows falls when the column is shuffled; a whisker is one standard deviation. The table "
        "has the same numbers."
    )
    return plot(figure, name, title, "Permutation importance", text)


@styled
def search(name: str, title: str, record: SearchSummary, metric: str, scale: int) -> Plot:
    """Draw each candidate's validation score against each hyperparameter that varies."""
    judged = [trial for trial in record.trials if trial.val_score is not None]
    varied = _varied(judged)[:_PANELS_SHOWN]
    down = -(-(len(varied) + 1) // 2)
    figure = Figure(figsize=(WIDTH, 1.75 * down + 0.3), layout="constrained")
    panels = list(figure.subplots(down, 2, squeeze=False, sharey=True).flat)
    for axes, key in zip(panels, [None, *varied], strict=False):
        values = [trial.number if key is None else trial.params.get(key) for trial in judged]
        places = _axis(axes, values)
        for said, kept, look in _looks(record.best):
            some = [pair for pair in zip(places, judged, strict=True) if kept(pair[1])]
            heights = [scale * (trial.val_score or 0.0) for _, trial in some]
            axes.plot([place for place, _ in some], heights, label=said, **look)
        axes.set_title("candidate" if key is None else label(key, 24).replace("_", " "), loc="left")
    for axes in panels[len(varied) + 1 :]:
        axes.set_visible(False)
    panels[0].xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    figure.supylabel(
        f"validation {metric} (%)" if scale == 100 else f"validation {metric}", fontsize=10
    )
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=3)
    text = (
        "The first panel has the candidates in order, each other one a hyperparameter: a circle "
        "for each candidate, placed by its value and its validation score, a cross where it was "
        "pruned, a star where it was chosen. The table has the same numbers."
    )
    return plot(figure, name, title, "Validation score of every candidate", text)


def _looks(best: int) -> Sequence[tuple[str, Any, Look]]:
    """Part the candidates by how they are drawn: label, which ones, look."""
    return (
        ("candidate", lambda t: t.state != "pruned" and t.number != best, _HOLLOW),
        ("pruned", lambda t: t.state == "pruned" and t.number != best, _PRUNED),
        ("chosen", lambda t: t.number == best, _STAR),
    )


def _varied(trials: Sequence[TrialSummary]) -> list[str]:
    """List the hyperparameters that have more than one value."""
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    return [name for name in names if len({repr(t.params.get(name)) for t in trials}) > 1]


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _axis(axes: Axes, values: Sequence[Any]) -> Sequence[Any]:
    """Make the axis of a hyperparameter; give each value's place on it."""
    if all(_number(value) for value in values):
        if _spans(values):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(numticks=4))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            amounts(axes.xaxis, 4)
        return values
    names = [label(str(value), 14) for value in values]
    ticks = list(dict.fromkeys(names))
    crowded = sum(map(len, ticks)) > _CHARACTERS_ACROSS
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_xlim(-0.5, len(ticks) - 0.5)
    if crowded:
        axes.tick_params(axis="x", rotation=30)
        for tick in axes.get_xticklabels():
            tick.set_horizontalalignment("right")
    return [ticks.index(name) for name in names]


def _spans(values: Sequence[Any]) -> bool:
    return all(_number(v) and math.isfinite(v) and v > 0 for v in values) and (
        max(values) >= _LOGARITHMIC * min(values)
    )
