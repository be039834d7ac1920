"""The page of one training on one's own data: its record in, one HTML file out.

It computes no metric: each number on it is the record's, and says where it stands there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from handgrad.report import own_plots, plots
from handgrad.report.formats import confusion_shades
from handgrad.report.records import Ref
from handgrad.report.svg import Plot
from handgrad.report.templating import fill
from handgrad.training_record import (
    LOWER_IS_BETTER,
    METRICS,
    TargetAnalysis,
    TrainingRecord,
)

_CLASSES_SHOWN = 30  # a larger confusion matrix is told by its largest errors
_CLASSES_BESIDE = 10
_TARGETS_DRAWN = 8  # of more targets, the others have their tables
_EPOCHS_SHOWN = 40
_COLUMNS_SHOWN = 200
_NOT_SHARES = ("r2", *LOWER_IS_BETTER)


@dataclass(frozen=True)
class Confused:
    """Rows of one class that were taken for another."""

    truth: Ref[str]
    prediction: Ref[str]
    rows: Ref[int]


@dataclass(frozen=True)
class ShownTarget:
    """What the net does on the test rows, for one target, as the template needs it.

    ``shades`` tints the errors of the confusion matrix; where that is too large to show, it is
    empty and ``confused`` has the largest errors. ``beside``: whether it leaves room beside it.
    """

    record: Ref[TargetAnalysis]
    slug: str
    plots: tuple[Plot, ...]
    calibration: Plot | None
    shades: tuple[tuple[str, ...], ...]
    confused: tuple[Confused, ...]
    beside: bool


def _target(entry: Ref[TargetAnalysis], number: int) -> ShownTarget:
    record, slug = entry.value, f"target-{number}"
    found, regression = record.classification, record.regression
    drawn: list[Plot] = []
    calibration = None
    plotted = number < _TARGETS_DRAWN
    if plotted and found and found.calibration:
        bins = found.calibration.bins
        calibration = plots.calibration(f"{slug}-calibration", record.target, bins)
    if plotted and regression and regression.points:
        drawn.append(own_plots.predictions(f"{slug}-predicted", record.target, regression))
    if plotted and regression and regression.counts:
        drawn.append(own_plots.residuals(f"{slug}-residuals", record.target, regression))
    fits = found is not None and len(found.classes) <= _CLASSES_SHOWN
    return ShownTarget(
        record=entry,
        slug=slug,
        plots=tuple(drawn),
        calibration=calibration,
        shades=confusion_shades(found.confusion) if found and fits else (),
        confused=_confused(entry["classification"]) if found and not fits else (),
        beside=found is not None and (not fits or len(found.classes) <= _CLASSES_BESIDE),
    )


def _confused(entry: Ref[Any]) -> tuple[Confused, ...]:
    """Find the pairs of classes that are confused most often."""
    errors = [
        (-count, truth, prediction)
        for truth, line in enumerate(entry.value.confusion)
        for prediction, count in enumerate(line)
        if count and truth != prediction
    ]
    classes, confusion = entry["classes"], entry["confusion"]
    return tuple(
        Confused(classes[truth], classes[prediction], confusion[truth][prediction])
        for _, truth, prediction in sorted(errors)[:_CLASSES_SHOWN]
    )


def _epochs(record: TrainingRecord, history: Ref[Any]) -> list[Ref[Any]]:
    """Choose the epochs of the table: evenly spaced, with the first, the kept and the last one."""
    step = -(-len(history) // _EPOCHS_SHOWN) or 1
    return [
        line
        for place, line in enumerate(history)
        if place % step == 0
        or place == len(history) - 1
        or line.value.epoch == record.net.best_epoch
    ]


def _verdict(record: TrainingRecord, metric: str) -> tuple[str, str]:
    """Name the baseline that is best on the test rows, and say how the net compares with it.

    The second is 'better', 'within' (the baseline lies in the net's interval), 'no better', or
    '' where there is nothing to compare.
    """
    score = record.net.test.get(metric)
    judged = [(each.test.get(metric), each.name) for each in record.baselines]
    rivals = [(value, name) for value, name in judged if value is not None]
    if score is None or not rivals:
        return "", ""
    best, name = max(rivals, key=lambda pair: pair[0])
    if score <= best:
        return name, "no better"
    interval = record.net.test_interval
    return name, "within" if interval is not None and interval.low <= best else "better"


def _curves(record: TrainingRecord, metric: str, scale: int) -> Sequence[Plot]:
    net = record.net
    if not net.history:
        return ()
    title = METRICS[record.task][metric]
    about = record.data.name
    return (
        own_plots.losses("loss", about, net.history, net.best_epoch),
        own_plots.scores("score", about, net.history, net.best_epoch, title, scale),
    )


def render(record: TrainingRecord, source: str, walk: str | None) -> str:
    """Render the page of a record.

    ``source`` is the name of the file that holds it, ``walk`` the address of the net's page.
    """
    root = Ref(f"{source}#", record)
    metric = next(iter(METRICS[record.task]))
    scale = 1 if metric in _NOT_SHARES else 100
    title, about, data = METRICS[record.task][metric], record.data.name, record.data
    importances = searched = None
    if record.importances:
        importances = own_plots.importances("importance", about, record.importances, title, scale)
    if record.search and any(trial.val_score is not None for trial in record.search.trials):
        searched = own_plots.search("search", about, record.search, title, scale)
    return fill(
        "own_page.html",
        record=root,
        source=source,
        walk=walk,
        unit="images" if data.kind == "images" else "rows",
        metric=metric,
        metrics=METRICS[record.task],
        shares=[name for name in METRICS[record.task] if name not in _NOT_SHARES],
        leaking_told=all(any(name in said for said in data.warnings) for name in data.leaking),
        verdict=_verdict(record, metric),
        columns=list(root["data"]["columns"])[:_COLUMNS_SHOWN],
        targets=[_target(entry, number) for number, entry in enumerate(root["analyses"])],
        curves=_curves(record, metric, scale),
        epochs=_epochs(record, root["net"]["history"]),
        importances=importances,
        searched=searched,
    )
