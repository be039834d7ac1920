"""What was found in a table or in images, as the record of a training keeps it."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from handgrad.images import ImageSet
from handgrad.own_data.request import Request
from handgrad.tables import Columns, TableSummary, TargetCoder
from handgrad.tables.values import as_numbers, missing_in
from handgrad.training_record import ClassShare, ColumnRecord, DataSummary, TargetRange


def steps(data: DataSummary, inputs: int) -> tuple[str, ...]:
    """Say what the preprocessing does, of the kinds of columns that there are."""
    used = {each.kind for each in data.columns if each.use == "input"}
    steps = []
    if used & {"number", "boolean", "constant"}:
        steps.append(
            "numbers: a missing one is the median of the training rows, with an input that says "
            "so; then less the mean, over the deviation"
        )
    if used & {"category", "identifier", "text"}:
        steps.append("categories: an input a value; unknown and rare ones share one")
    if "date" in used:
        steps.append("dates: days, and the place in the year, the week and the day")
    return (*steps, f"{inputs} inputs in all")


def of_table(
    request: Request,
    recognised: str,
    columns: Columns,
    summary: TableSummary,
    groups: Mapping[str, slice],
) -> DataSummary:
    """Describe a table; ``groups`` has the inputs that are made of each column."""
    aim = summary.target
    return DataSummary(
        name=request.data.name,
        recognised=recognised,
        kind="table",
        rows=summary.rows,
        targets=aim.names,
        columns=tuple(_column(name, request, columns, summary, groups) for name in columns.names),
        image_shape=None,
        skipped=(),
        classes=tuple(
            ClassShare(name, count, share)
            for name, count, share in zip(aim.classes, aim.counts, aim.shares, strict=True)
        ),
        ranges=tuple(
            TargetRange(name, low, high, mean, float(np.std(as_numbers(columns[name])[0])))
            for name, low, high, mean in zip(
                aim.names, aim.lowest, aim.highest, aim.mean, strict=True
            )
        )
        if aim.task == "regress"
        else (),
        leaking=tuple(leak.name for leak in summary.leaking),
        duplicates=summary.duplicates,
        warnings=summary.warnings,
    )


def _column(
    name: str,
    request: Request,
    columns: Columns,
    summary: TableSummary,
    groups: Mapping[str, slice],
) -> ColumnRecord:
    if name in summary.target.names or name in (request.group, request.time_column):
        use = "target" if name in summary.target.names else "group"
        use = "time" if name == request.time_column else use
        column = columns[name]
        missing = missing_in(column)
        kind = "category" if column.dtype == object else "number"
        if use == "target":
            kind = "number" if summary.target.task == "regress" else "category"
        distinct = len(set(column[~missing].tolist()))
        aim, low, high, mean = summary.target, None, None, None
        if use == "target" and aim.task == "regress":
            place = aim.names.index(name)
            low, high, mean = aim.lowest[place], aim.highest[place], aim.mean[place]
        return ColumnRecord(name, kind, use, int(missing.sum()), distinct, 0, low, high, mean)
    found = summary.column(name)
    inputs = groups.get(name, slice(0, 0))
    return ColumnRecord(
        name=name,
        kind=found.kind,
        use="input" if found.used else f"left out: {found.note}",
        missing=found.missing,
        distinct=found.distinct,
        inputs=inputs.stop - inputs.start,
        low=found.lowest,
        high=found.highest,
        mean=found.mean,
    )


def of_images(request: Request, images: ImageSet, coder: TargetCoder) -> DataSummary:
    """Describe images."""
    counts = Counter(images.labels)
    return DataSummary(
        name=request.data.resolve().name,
        recognised=images.recognised,
        kind="images",
        rows=len(images.X),
        targets=coder.names,
        columns=(),
        image_shape=tuple(images.X.shape[1:]),
        skipped=tuple(images.skipped),
        classes=tuple(
            ClassShare(name, counts[name], counts[name] / len(images.X)) for name in coder.classes
        ),
        ranges=(),
        leaking=(),
        duplicates=0,
        warnings=(),
    )
