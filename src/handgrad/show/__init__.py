"""A trained model as one offline page, on which its forward and backward pass can be walked.

`build` gives the page, `write` a file of it. ``page/`` holds the page's own parts: HTML, style and
JavaScript modules, whose arithmetic is held to handgrad's by tests.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from handgrad.arrays import Array
from handgrad.errors import ExportError
from handgrad.export.source import Source, source_of
from handgrad.export.writing import require_free, write_files
from handgrad.network import Network
from handgrad.show.bundle import assembled
from handgrad.show.content import Content, content_of
from handgrad.show.examples import (
    Data,
    inputs_of,
    of_dataset,
    of_file,
    of_reproduction,
    scores_of,
)
from handgrad.show.packing import rounded
from handgrad.show.theory import NEEDED as FORMULAS_NEED

if TYPE_CHECKING:
    from handgrad.export.source import Exportable

__all__ = ["FORMULAS_NEED", "MOST_BYTES", "Data", "build", "of_dataset", "too_large", "write"]

MOST_BYTES = 3_000_000
"""What a page should take; weights are rounded for it, as far as the scores allow."""

_MOST_CHANGE = 5e-5  # of a score, by rounding
_MOST_PARAMETERS = 20_000_000
_MOST_DROPPED = 12  # bits of a mantissa's 23


def build(
    model: Exportable,
    data: Path | str | Data | None = None,
    *,
    report: str | None = None,
    name: str | None = None,
) -> str:
    """Give the page of a model.

    Parameters
    ----------
    model : Network, estimator, Model, Source, or path
        A path is of what `handgrad train` or `handgrad reproduce` left, a file or its folder.
    data : path or Data, optional
        Labelled rows or images to show and to train on. Default: of a model of `handgrad reproduce`
        the assignment's, of others none.
    report : str, optional
        The address of the report beside the page, for links to its derivations.
    name : str, optional
        What to call the model; default its file's name.

    Returns
    -------
    str
        HTML that makes no request; the same for the same arguments.

    Raises
    ------
    ExportError
        For what is no model, or one of more than 20 million parameters.
    ModelError, CheckpointError, DataError
        For a damaged file, or data that does not fit the model.
    """
    source = source_of(model)
    count = sum(array.size for array in source.network.params.values())
    if count > _MOST_PARAMETERS:
        raise ExportError(
            f"a page holds networks of up to {_MOST_PARAMETERS:,} parameters; this one has "
            f"{count:,}"
        )
    if isinstance(data, Data):
        examples: Data | None = data
    else:
        examples = of_reproduction(source) if data is None else of_file(source, Path(data))
    if name is None:
        name = Path(model).name if isinstance(model, str | Path) else type(model).__name__
    return _smallest(source, content_of(source, examples, name, report))


def write(
    model: Exportable,
    out: Path | str,
    data: Path | str | Data | None = None,
    *,
    force: bool = False,
    report: str | None = None,
    name: str | None = None,
) -> Path:
    """Write the page of a model to a file; return where.

    Takes and raises what `build` does; ExportError too where the file exists, without ``force``,
    and OutputError where it cannot be written.
    """
    path = Path(out)
    require_free([path], force=force)
    write_files({path: build(model, data, report=report, name=name)}, force=force)
    return path


def too_large(page: Path) -> str | None:
    """Say of a page's file that it is larger than ``MOST_BYTES``; None where it is not."""
    size = page.stat().st_size
    if size <= MOST_BYTES:
        return None
    return f"{page} has {size:,} bytes, more than {MOST_BYTES:,}: it may open slowly"


def _smallest(source: Source, content: Content) -> str:
    """Assemble the page with the most exact weights that it has room for."""
    network = source.network
    own = {**network.params, **network.state}
    count = sum(network.params[name].size for name in network.penalised)
    X = None if content.shown is None else inputs_of(source, content.shown.raw)
    page, dropped = "", 0
    while dropped <= _MOST_DROPPED:
        weights = {
            name: rounded(array.astype(np.float32), dropped if name in network.penalised else 0)
            for name, array in own.items()
        }
        change = 0.0 if X is None else _change(network, weights, X)
        if page and change > _MOST_CHANGE:
            return page
        rounding = {"bits": dropped, "scores": change}
        description = {**content.description, "rounding": rounding}
        page = assembled(str(description["title"]), description, content.arrays | weights)
        excess = len(page.encode()) - MOST_BYTES
        if excess <= 0:
            return page
        # A bit of each weight is an eighth of a byte, which base64 makes a sixth of.
        dropped += max(1, math.ceil(excess / (count / 6)))
    return page


def _change(network: Network, weights: dict[str, Array], X: Array) -> float:
    """Give the largest change of a score that rounded weights make."""
    other = copy.copy(network)
    other.params, other.state = (
        {name: weights[name].astype(network.dtype) for name in arrays}
        for arrays in (network.params, network.state)
    )
    return float(np.abs(scores_of(network, X) - scores_of(other, X)).max())
