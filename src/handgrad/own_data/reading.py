"""From a table or images on disk to rows that a net trains on, and what to say of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from handgrad.arrays import Array
from handgrad.errors import DataError
from handgrad.images import ImagePreprocessor, ImageSet, holds_images, open_images
from handgrad.own_data import metrics
from handgrad.own_data.describing import of_images, of_table, steps
from handgrad.own_data.problem import Part, Problem
from handgrad.own_data.request import Request
from handgrad.own_data.showing import Sample, samples
from handgrad.own_data.watching import Watcher
from handgrad.tables import (
    Columns,
    Preprocessor,
    Split,
    TargetCoder,
    open_table,
    split,
    summarise,
    time_values,
)
from handgrad.training_record import DataSummary, Metrics, SplitSizes

FEWEST_IMAGES = 20
IMAGES_TARGET = "class"


@dataclass(frozen=True)
class Ready:
    """Rows ready to train on, and all that a model and a record keep of the data.

    Attributes
    ----------
    data : DataSummary
    sizes : SplitSizes
    problem : Problem
    preprocessor : Preprocessor or ImagePreprocessor
    preprocessing : tuple of str
        What it does, a sentence a step.
    coder : TargetCoder
    numbers : int array (N,)
        Each row's number in the data, for people.
    groups : mapping of str to slice
        Each column's inputs; empty for images.
    pixels : uint8 array (N, C, H, W), or None for a table
    names : list of str
        Of the images; empty for a table.
    samples : mapping of str to Sample
        Some rows of each part as the data has them.
    """

    data: DataSummary
    sizes: SplitSizes
    problem: Problem
    preprocessor: Preprocessor | ImagePreprocessor
    preprocessing: tuple[str, ...]
    coder: TargetCoder
    numbers: Array
    groups: Mapping[str, slice] = field(default_factory=dict)
    pixels: Array | None = None
    names: list[str] = field(default_factory=list)
    samples: Mapping[str, Sample] = field(default_factory=dict)

    def in_units(self, values: Array) -> Array:
        """Give standardised targets in their own units; labels and probabilities as they are."""
        return self.coder.decode(values) if self.problem.task == "regress" else values

    def metrics(self, part: Part, predict: Callable[[Array], Array]) -> Metrics:
        """Measure predictions on a part, numbers in their own units."""
        return metrics.of(self.problem.task, self.truth(part), self.in_units(predict(part.X)))

    def truth(self, part: Part) -> Array:
        """Give a part's labels, or its targets as the data has them."""
        return part.y if part.amounts is None else part.amounts


def prepared(request: Request, watcher: Watcher) -> Ready:
    """Read what was asked for, tell what was found, split, and make inputs of it.

    Raises
    ------
    DataError
        In one line: what is wrong with the data, and where.
    """
    if holds_images(request.data):
        return _images(request, watcher)
    return _table(request, watcher)


def _table(request: Request, watcher: Watcher) -> Ready:
    table = open_table(request.data)
    targets = request.targets or tuple(table.targets)
    if not targets:
        raise DataError(
            f"name the column to predict with --target; {request.data} has {_some(table.names)}"
        )
    if request.resize is not None or request.skip_bad:
        raise DataError(f"--resize and --skip-bad are for images; {request.data} is a table")
    columns = table.read()
    beside = [name for name in (request.group, request.time_column) if name is not None]
    for name in (*targets, *beside, *request.keep):
        columns.find(name)
    if both := {*targets, *beside} & set(request.keep):
        raise DataError(f"{both.pop()!r} is the target, or steers the split; --keep is for others")
    if both := set(targets) & set(beside):
        raise DataError(f"{both.pop()!r} cannot be the target and steer the split as well")
    summary = summarise(columns.without(beside), targets, request.task, keep=request.keep)
    coder = TargetCoder.fit(columns, summary)
    y = coder.encode(columns)
    parts, how = _split(request, columns, None if coder.task == "regress" else y)
    if coder.task == "regress":  # its scale is that of the training rows
        coder = TargetCoder.fit(columns.take(parts.train), summary)
        y = coder.encode(columns)
    preprocessor = Preprocessor.fit(columns.take(parts.train), summary)
    groups = _groups(preprocessor)
    data = of_table(request, table.recognised, columns, summary, groups)
    if coder.task != "regress":
        said = _never_trained_on(columns.source, coder, y[parts.train])
        data = replace(data, warnings=(*data.warnings, *said))
    watcher.found(data, coder.task)
    outputs = len(coder.names) if coder.task == "regress" else len(coder.classes)
    X = preprocessor.transform(columns)
    amounts = coder.amounts(columns) if coder.task == "regress" else None
    problem = _problem(coder.task, outputs, X, y, parts, amounts)
    return Ready(
        data=data,
        sizes=_sizes(parts, how),
        problem=problem,
        preprocessor=preprocessor,
        preprocessing=steps(data, X.shape[1]),
        coder=coder,
        numbers=columns.numbers,
        groups=groups,
        samples=samples(
            parts, columns, [f"row {number}" for number in columns.numbers.tolist()], request.seed
        ),
    )


def _images(request: Request, watcher: Watcher) -> Ready:
    beside = {
        "--target": request.targets or None,
        "--group": request.group,
        "--time-column": request.time_column,
        "--keep": request.keep or None,
    }
    if given := [name for name, value in beside.items() if value is not None]:
        raise DataError(f"{given[0]} is for tables; {request.data} holds images")
    if request.task == "regress":
        raise DataError(f"--task regress is for tables; {request.data} holds images in classes")
    images = open_images(request.data, resize=request.resize, skip_bad=request.skip_bad)
    if len(images.X) < FEWEST_IMAGES:
        raise DataError(
            f"{request.data} has {len(images.X)} images: too few to train on and to judge by; at "
            f"least {FEWEST_IMAGES} are needed"
        )
    coder = image_coder(images.classes)
    code = {name: index for index, name in enumerate(coder.classes)}
    y = np.array([code[label] for label in images.labels], np.int64)
    parts, how = _image_parts(images, y, request.seed)
    preprocessor = ImagePreprocessor.fit(images, parts.train)
    data = of_images(request, images, coder)
    watcher.found(data, coder.task)
    X = preprocessor.transform(images.X)
    return Ready(
        data=data,
        sizes=_sizes(parts, how),
        problem=_problem("classify", len(coder.classes), X, y, parts),
        preprocessor=preprocessor,
        preprocessing=(
            "each channel less its mean, over its deviation, both of all pixels of the training "
            "images",
        ),
        coder=coder,
        numbers=np.arange(1, len(y) + 1),
        pixels=images.X,
        names=images.names,
        samples=samples(parts, images.X, images.names, request.seed),
    )


def image_coder(classes: list[str]) -> TargetCoder:
    """Number the classes of images, by size where all are numbers."""
    numeric = all(name.isdecimal() for name in classes)
    ordered = sorted(classes, key=lambda name: (int(name), name)) if numeric else sorted(classes)
    return TargetCoder("classify", (IMAGES_TARGET,), tuple(ordered), False, np.zeros(1), np.ones(1))


def _split(request: Request, columns: Columns, y: Array | None) -> tuple[Split, str]:
    if request.group is not None and request.time_column is not None:
        raise DataError("--group and --time-column cannot both steer the split; give one")
    if request.group is not None:
        groups = columns[request.group]
        return (
            split(y, groups=groups, seed=request.seed, rows=columns.rows),
            f"each {request.group!r} as a whole in one part",
        )
    if request.time_column is not None:
        times = time_values(columns, request.time_column)
        return (
            split(times=times, seed=request.seed, rows=columns.rows),
            f"by time: the last rows by {request.time_column!r} are for testing",
        )
    how = "at random" if y is None else "at random, each class alike"
    return split(y, seed=request.seed, rows=columns.rows), how


def _never_trained_on(source: str, coder: TargetCoder, y: Array) -> list[str]:
    """Name the classes, or labels, without training rows: they cannot be learnt.

    Raises
    ------
    DataError
        Where the training rows have one class alone.
    """
    rows = y.sum(axis=0) if y.ndim > 1 else np.bincount(y, minlength=len(coder.classes))
    lacking = [name for name, count in zip(coder.classes, rows, strict=True) if not count]
    if y.ndim == 1 and len(coder.classes) - len(lacking) < 2:
        raise DataError(
            f"{source}: the split leaves one class in the training rows, none of "
            f"{_listed(lacking)}; split by something else, or at random"
        )
    if not lacking:
        return []
    what = "labels" if y.ndim > 1 else "classes"
    return [
        f"{len(lacking)} of {len(coder.classes)} {what} have no training rows, and are never "
        f"predicted: {_listed(lacking)}"
    ]


def _image_parts(images: ImageSet, y: Array, seed: int) -> tuple[Split, str]:
    """Take the parts that the images came in, and split off those they lack."""
    given = {name: np.asarray(rows, np.int64) for name, rows in images.parts.items()}
    train = given.get("train")
    if train is None or not given.keys() - {"train"}:
        return split(y, seed=seed), "at random, each class alike"
    if len(given) == 3:
        return Split(train, given["val"], given["test"]), "as the images came"
    lacking = "val" if "test" in given else "test"
    halves = split(y[train], fractions=(0.85, 0.15, 0.0), seed=seed)
    given |= {"train": train[halves.train], lacking: train[halves.val]}
    words = {"val": "validation", "test": "test"}
    how = f"as the images came, {words[lacking]} rows at random from those for training"
    return Split(given["train"], given["val"], given["test"]), how


def _problem(
    task: str, outputs: int, X: Array, y: Array, parts: Split, amounts: Array | None = None
) -> Problem:
    train, val, test = (
        Part(X[rows], y[rows], rows, None if amounts is None else amounts[rows])
        for rows in (parts.train, parts.val, parts.test)
    )
    return Problem(task, outputs, train, val, test)


def _sizes(parts: Split, how: str) -> SplitSizes:
    return SplitSizes(len(parts.train), len(parts.val), len(parts.test), how)


def _groups(preprocessor: Preprocessor) -> dict[str, slice]:
    """Find which inputs are made of each column."""
    groups, place = {}, 0
    for encoder in preprocessor.encoders:
        groups[encoder.name] = slice(place, place + len(encoder.features))
        place += len(encoder.features)
    return groups


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(repr(name) for name in names[:5]) + more


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:10])
    return f"the columns {shown}" + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")
