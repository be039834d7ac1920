"""Which training rows are held out to validate on."""

import math

import numpy as np

from handgrad.arrays import Array


def held_out(
    rows: int, fraction: float, rng: np.random.Generator, classes: Array | None = None
) -> Array:
    """Mark ceil(fraction * rows) rows, of each class its share.

    Shares are rounded so that the numbers add up (largest remainders); of each class at least one
    row stays to train on, so a class of one row is never held out.

    Parameters
    ----------
    rows : int
    fraction : float
    rng : numpy.random.Generator
    classes : array (rows,) of int, optional
        Codes from 0; None draws from all rows alike.

    Returns
    -------
    array (rows,) of bool

    Raises
    ------
    ValueError
        If nothing could be held out, or nothing be left.
    """
    count = math.ceil(fraction * rows)
    codes = np.zeros(rows, np.int64) if classes is None else np.asarray(classes)
    sizes = np.bincount(codes)
    room = np.maximum(sizes - 1, 0)
    shares = np.minimum(sizes * count / max(1, rows), room)
    taken = np.floor(shares).astype(np.int64)
    while taken.sum() < min(count, room.sum()):  # the largest remainder that has room is next
        rest = np.where(taken < room, shares - taken, -np.inf)
        taken[int(rest.argmax())] += 1
    if taken.sum() < 1:
        raise ValueError(
            f"early stopping needs rows to validate on: of {rows} none can be held out with each "
            "class still trained on; give more rows, or X_val and y_val"
        )
    mask = np.zeros(rows, bool)
    for code in np.flatnonzero(taken):
        mask[rng.permutation(np.flatnonzero(codes == code))[: taken[code]]] = True
    return mask
