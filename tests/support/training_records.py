"""A small record of `handgrad train` for each task, made without training."""

import numpy as np

from handgrad.analysis import analyse
from handgrad.results import Interval, LayerRecord
from handgrad.training_record import (
    Baseline,
    ClassShare,
    ColumnRecord,
    DataSummary,
    EpochRecord,
    Importance,
    NetSummary,
    Regression,
    Residual,
    SearchSummary,
    SplitSizes,
    TargetAnalysis,
    TargetRange,
    TrainingRecord,
    TrialSummary,
)

_METRICS = {
    "classify": {"accuracy": 0.9, "balanced_accuracy": 0.85, "log_loss": 0.31},
    "multilabel": {
        "accuracy": 0.8,
        "label_accuracy": 0.9,
        "balanced_accuracy": 0.85,
        "log_loss": 0.31,
    },
    "regress": {"r2": 0.7, "rmse": 2.5, "mae": 1.75},
}

KINDS = {
    "classify": {"task": "classify", "search": True},
    "images": {"task": "classify", "images": True, "interrupted": True},
    "multilabel": {"task": "multilabel", "search": True},
    "regress": {"task": "regress"},
}
"""What `a_record` takes, for one of each task and of images."""


def a_record(task="classify", *, images=False, search=False, interrupted=False):
    """Give a record of made-up numbers; of a table, or of images for a classification."""
    metrics = _METRICS[task]
    targets = {"classify": ("species",), "multilabel": ("rain", "wind"), "regress": ("price",)}
    names = ("class",) if images else targets[task]
    return TrainingRecord(
        command="handgrad train data.csv --target species",
        task=task,
        data=_data(task, names, images),
        split=SplitSizes(70, 15, 15, "random" if task == "regress" else "stratified by class"),
        preprocessing=("missing numbers: the median, and an input that says so",),
        baselines=tuple(
            Baseline(name, "says what it does", dict(metrics), dict(metrics), 0.25)
            for name in ("mean" if task == "regress" else "majority", "linear")
        ),
        net=_net(metrics, task),
        analyses=tuple(_analysis(name, task, images) for name in names),
        importances=()
        if images
        else (Importance("length", 0.4, 0.05, 5), Importance("colour <b>", 0.0, 0.0, 5)),
        importance_rows=0 if images else 15,
        search=_search() if search else None,
        interrupted=interrupted,
        seconds=12.5,
        seed=0,
        model="model.safetensors",
        environment={"handgrad": "0.3.0", "numpy": "2.4.0", "processor": "a processor"},
    )


def _data(task, names, images):
    classes = () if task == "regress" else (ClassShare("a", 60, 0.6), ClassShare("b & c", 40, 0.4))
    columns = (
        ColumnRecord("length", "number", "input", 3, 80, 2, 0.5, 9.5, 4.0),
        ColumnRecord("colour <b>", "category", "input", 0, 3, 4),
        ColumnRecord("key", "identifier", "left out: another value in every row", 0, 100, 0),
        *(ColumnRecord(name, "category", "target", 0, 2, 0) for name in names),
    )
    return DataSummary(
        name="pictures" if images else "data.csv",
        recognised="a folder of images, 2 classes" if images else "CSV, 100 rows, comma, header",
        kind="images" if images else "table",
        rows=100,
        targets=names,
        columns=() if images else columns,
        image_shape=(1, 8, 8) if images else None,
        skipped=("a/broken.png: not an image",) if images else (),
        classes=classes,
        ranges=tuple(TargetRange(name, -3.0, 9.0, 2.0, 1.5) for name in names)
        if task == "regress"
        else (),
        leaking=("copy",),
        duplicates=2,
        warnings=("class b & c has 2 rows in the test part",),
    )


def _net(metrics, task):
    history = tuple(
        EpochRecord(e, 1 / e, 1.1 / e, 0.5 + e / 20, 0.5 + e / 25, 1e-3, 0.5 * e)
        for e in range(1, 9)
    )
    return NetSummary(
        architecture="4 inputs, 64, 3 classes, ReLU",
        layers=(LayerRecord("Dense", "units=64", (64,), 320),),
        parameters=320,
        hyperparameters={"hidden": [64], "learning_rate": 1e-3, "batch_size": 32},
        history=history,
        best_epoch=6,
        stopped="the validation score had not risen for 2 epochs",
        validation=dict(metrics),
        test={**metrics, "log_loss": None} if task != "regress" else dict(metrics),
        test_interval=None if task == "regress" else Interval.wilson(0.9, 15),
        seconds=4.0,
    )


def _analysis(name, task, images):
    rng = np.random.default_rng(0)
    if task == "regress":
        points = tuple(
            Residual(i, float(i), i + 0.5 * (-1) ** i, 0.5 * (-1) ** i) for i in range(1, 16)
        )
        return TargetAnalysis(
            name, None, Regression(15, points, (-1.0, 0.0, 1.0), (8, 7), points[:3])
        )
    labels = rng.integers(0, 2, 15)
    first = rng.random(15)
    analysis = analyse(
        labels,
        seed=0,
        classes=("a", "b & c") if task == "classify" else ("0", "1"),
        probabilities=np.stack([first, 1 - first], axis=1),
        images=rng.integers(0, 256, (15, 1, 8, 8), dtype=np.uint8) if images else None,
    )
    files = tuple(f"a/{mistake.row}.png" for mistake in analysis.mistakes) if images else ()
    return TargetAnalysis(name, analysis, None, files)


def _search():
    return SearchSummary(
        trials=(
            TrialSummary(0, {"width": 64}, "complete", 0.9, 8, 2.0),
            TrialSummary(1, {"width": 16}, "pruned", 0.4, 2, 0.5),
            TrialSummary(2, {"width": 32}, "failed", None, 1, 0.1, "the loss became nan"),
        ),
        best=0,
        sampler="TPE",
        pruner="median",
        seconds=2.6,
    )
