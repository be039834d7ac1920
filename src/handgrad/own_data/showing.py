"""The page of `handgrad show` that a training leaves beside its report."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from handgrad import show
from handgrad.arrays import Array
from handgrad.own_data.folder import Folder
from handgrad.own_data.problem import Part, Problem
from handgrad.show.examples import Data, Examples
from handgrad.tables import Columns, Split

_MOST = 1000  # rows of a part, of which the page chooses


@dataclass(frozen=True)
class Sample:
    """Rows of one part, as the data has them.

    Attributes
    ----------
    places : int array (n,)
        Which rows of the part.
    raw : Columns, or uint8 array (n, C, H, W)
    names : list of str
    """

    places: Array
    raw: Columns | Array
    names: list[str]


def samples(
    parts: Split, raw: Columns | Array, names: list[str], seed: int
) -> Mapping[str, Sample]:
    """Take some rows of each part, at random, so that the page need not read the data again.

    Parameters
    ----------
    parts : Split
    raw : Columns, or uint8 array (N, C, H, W)
        All rows.
    names : list of str
        What to call each.
    seed : int
    """
    rng = np.random.default_rng(seed)
    found = {}
    for part in ("train", "val", "test"):
        rows = getattr(parts, part)
        places = np.sort(rng.permutation(len(rows))[:_MOST])
        own = rows[places]
        some = raw.take(own) if isinstance(raw, Columns) else raw[own]
        found[part] = Sample(places, some, [names[row] for row in own.tolist()])
    return found


def write_page(
    folder: Folder, problem: Problem, taken: Mapping[str, Sample], source: str
) -> str | None:
    """Write the page of the folder's model: test rows to look at, training rows to train on.

    Returns
    -------
    str or None
        What a user should know of the page.

    Raises
    ------
    ExportError, OutputError
        Where the model is too large for a page, or it cannot be written.
    """
    parts = {"train": problem.train, "val": problem.val, "test": problem.test}
    train, val, test = (_examples(parts[name], taken[name]) for name in ("train", "val", "test"))
    others = f"the training and validation rows of {source}"
    data = Data(test, train, val, f"the test rows of {source}", others)
    return show.too_large(show.write(folder.model, folder.show, data, force=True))


def _examples(part: Part, sample: Sample) -> Examples:
    return Examples(sample.raw, part.y[sample.places], sample.names)
