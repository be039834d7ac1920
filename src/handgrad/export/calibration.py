"""Rows of a file as a network takes them: what int8's scales are chosen by."""

from pathlib import Path

import numpy as np

from handgrad.arrays import Array
from handgrad.errors import ExportError
from handgrad.export.source import Source
from handgrad.images import ImagePreprocessor, holds_images
from handgrad.tables import Preprocessor, open_table

MOST = 10_000
"""Rows that are taken, the first of a file."""


def network_inputs(source: Source, path: Path) -> Array:
    """Read rows of a table or images, and preprocess them.

    Returns
    -------
    array (n, *network.input_shape), in the network's dtype, at most `MOST` rows

    Raises
    ------
    DataError
        Where they are none that the model takes.
    ExportError
        For images where it takes a table, or the other way round, or no rows.
    """
    inputs = source.inputs
    images = isinstance(inputs, ImagePreprocessor)
    if images != (path.is_dir() or holds_images(path)):
        wanted = "images" if images else "a table"
        raise ExportError(f"the model takes {wanted}; {path} holds something else")
    parts: list[Array] = []
    rows = 0
    if isinstance(inputs, ImagePreprocessor):
        for batch in inputs.stream(path):
            parts.append(inputs.transform(batch.X))
            rows += len(parts[-1])
            if rows >= MOST:
                break
    else:
        text = inputs.text_columns if isinstance(inputs, Preprocessor) else ()
        table = open_table(path)
        for columns in table.chunks(MOST, text=[n for n in text if n in table.names]):
            if isinstance(inputs, Preprocessor):
                parts.append(inputs.transform(columns))
            else:
                X = np.stack([columns.find(name) for name in inputs.names or columns.names], axis=1)
                parts.append(inputs.transform(X, source.network))
            break
    if not sum(map(len, parts)):
        raise ExportError(f"{path} holds no rows to calibrate by")
    found = np.concatenate(parts)[:MOST].astype(source.network.dtype)
    return found.reshape(len(found), *source.network.input_shape)
