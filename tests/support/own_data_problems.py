"""A problem of random rows, without files."""

import numpy as np

from handgrad.own_data.problem import Part, Problem


def a_problem(task="classify", rows=300, seed=0):
    """Give rows of four inputs; a class of three, two labels, or a number follows from them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 4)).astype(np.float32)
    if task == "classify":
        y, outputs = (X[:, 0] > 0.4).astype(np.int64) + (X[:, 1] > 0), 3
    elif task == "multilabel":
        y, outputs = (X[:, :2] > 0).astype(np.int64), 2
    else:
        y, outputs = (X[:, 0] - 2 * X[:, 1]).astype(np.float32), 1
    ends = [int(0.7 * rows), int(0.85 * rows)]
    parts = [Part(X[r], y[r], r) for r in np.split(np.arange(rows), ends)]
    return Problem(task, outputs, *parts)
