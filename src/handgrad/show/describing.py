"""A model's inputs and outputs as the page's description has them (`handgrad.show.content`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.export.source import Inputs, RowInputs, Source
from handgrad.images import ImagePreprocessor
from handgrad.network import Network
from handgrad.tables.encoders import (
    CYCLE_DAYS,
    MOST_DEVIATIONS,
    CategoryEncoder,
    DateEncoder,
    NumberEncoder,
    Scale,
)
from handgrad.tables.preprocessing import AnyEncoder

Description = dict[str, Any]

_DRAWN = (1, 28, 28)
_DEVIATIONS = 3.0  # to either side: a slider's range where there are no rows to take it from


def output_names(source: Source) -> list[str]:
    """Name the classes, labels or targets; of a binary loss both classes."""
    if source.task == "classify":
        return [str(label) for label in source.labels.tolist()]
    if source.targets:
        return list(source.targets)
    count = source.network.output_shape[0]
    return [f"output {place}" for place in range(1, count + 1)]


def target_names(source: Source) -> tuple[str, ...]:
    """Name what is predicted: a column of a table, most often."""
    if source.targets:
        return source.targets
    if source.task == "regress":
        count = source.network.output_shape[0]
        return tuple(f"target {place}" for place in range(1, count + 1))
    return ("class",)


def of_target(source: Source) -> Description:
    """Describe what is predicted: names, and of a regression what brings a score into its units."""
    names = target_names(source)
    mean, scale = scaling_of(source)
    return {"names": list(names), "mean": mean.tolist(), "scale": scale.tolist()}


def scaling_of(source: Source) -> tuple[Array, Array]:
    """Give a regression's mean and scale, a number a target; both empty for another task."""
    if source.task != "regress" or source.mean.size:
        return source.mean, source.scale
    count = source.network.output_shape[0]
    return np.zeros(count), np.ones(count)


def of_inputs(inputs: Inputs, network: Network, seen: Sequence[Array]) -> Description:
    """Describe what makes the network's inputs of raw values.

    Parameters
    ----------
    inputs : RowInputs, Preprocessor or ImagePreprocessor
    network : Network
    seen : sequence of array (rows,)
        Of a table or of numbers, each column's raw values in rows that are there; may be empty:
        the sliders go from the smallest to the largest.
    """
    if isinstance(inputs, ImagePreprocessor):
        channels, height, width = inputs.input_shape
        return {
            "kind": "image",
            "channels": channels,
            "height": height,
            "width": width,
            "mean": inputs.mean.tolist(),
            "deviation": inputs.deviation.tolist(),
            "drawn": inputs.input_shape == _DRAWN,
        }
    if isinstance(inputs, RowInputs):
        return _of_rows(inputs, network, seen)
    columns = [
        _of_column(encoder, seen[place] if seen else np.zeros(0))
        for place, encoder in enumerate(inputs.encoders)
    ]
    return {"kind": "table", "most": MOST_DEVIATIONS, "days": dict(CYCLE_DAYS), "columns": columns}


def _of_rows(inputs: RowInputs, network: Network, seen: Sequence[Array]) -> Description:
    count = int(np.prod(network.input_shape))
    centre, deviation = (
        None if each is None else np.asarray(each, np.float64).reshape(-1).tolist()
        for each in (inputs.centre, inputs.deviation)
    )
    names = inputs.names or tuple(f"column {place}" for place in range(1, count + 1))
    if len(names) != count:
        names = tuple(f"value {place}" for place in range(1, count + 1))
    columns = []
    for place, name in enumerate(names):
        middle, width = 0.0, 1.0
        if centre is not None and deviation is not None:
            which = place * len(centre) // count
            middle, width = centre[which], deviation[which]
        own = seen[place] if seen else np.zeros(0)
        columns.append({"kind": "number", "name": name, **_range(own, middle, width, middle)})
    return {
        "kind": "numbers",
        "columns": columns,
        "centre": centre,
        "deviation": deviation,
        "far": inputs.far,
    }


def _of_column(encoder: AnyEncoder, seen: Array) -> Description:
    common = {"kind": encoder.kind, "name": encoder.name, "features": list(encoder.features)}
    if isinstance(encoder, CategoryEncoder):
        return {
            **common,
            "values": list(encoder.values),
            "start": encoder.values[0] if encoder.values else None,
            "shares": list(encoder.shares),
            "other": encoder.other,
            "missing": encoder.missing,
            "frequencies": [list(pair) for pair in encoder.frequencies.items()],
            "log_scale": _scale(encoder.log_scale),
        }
    scale = encoder.scaling
    made = {
        **common,
        **_range(seen, scale.center, scale.scale, scale.median),
        "scaling": _scale(scale),
        "indicator": encoder.indicator,
    }
    if isinstance(encoder, NumberEncoder):
        return made | {"words": encoder.words}
    assert isinstance(encoder, DateEncoder)
    return made | {"order": encoder.order, "cycles": list(encoder.cycles)}


def _scale(scale: Scale) -> Description:
    return {"median": scale.median, "center": scale.center, "scale": scale.scale}


def _range(seen: Array, middle: float, width: float, start: float) -> Description:
    """A slider's ends and beginning: those of rows, or some deviations about the middle."""
    finite = seen[np.isfinite(seen)]
    low, high = middle - _DEVIATIONS * width, middle + _DEVIATIONS * width
    if len(finite):
        low, high = float(finite.min()), float(finite.max())
    if not low < high:
        low, high = low - 1.0, high + 1.0
    return {"low": low, "high": high, "start": min(max(start, low), high)}
