"""The losses: logistic, hinge (SVM) and softmax, each with its gradient."""

import numpy as np
from numpy.typing import ArrayLike

from handgrad.layers._checks import Array, floating, require, underflow_is_zero


def _refuse_unknown(function: str, rule: str, unknown: Array) -> None:
    """Raise an error that lists the unknown labels, if there are any."""
    if unknown.size:
        values = sorted({str(label) for label in unknown.ravel().tolist()})
        shown = ", ".join(values[:10]) + (", ..." if len(values) > 10 else "")
        raise ValueError(f"{function}: {rule}; got {shown}")


def _labels(function: str, y: ArrayLike) -> Array:
    """Return the labels as an array, refusing what are no numbers (strings, objects)."""
    y = np.asarray(y)
    if y.dtype.kind not in "biuf":
        raise ValueError(f"{function}: labels must be numbers; got an array of {y.dtype}")
    return y


def _signs(function: str, x: Array, y: ArrayLike) -> Array:
    """Check a binary loss's arguments and return the labels as -1 or +1, in x's shape and dtype.

    Each label is judged by itself (1 is positive, 0 and -1 are negative), by comparison and
    never by arithmetic: an unsigned 0 or 1 cannot wrap, and a batch of one class is no riddle.
    """
    y = _labels(function, y)
    require(
        x.ndim == 1 or (x.ndim == 2 and x.shape[1] == 1), function, "x must be (N,) or (N, 1)", x=x
    )
    require(len(x) > 0, function, "x must hold at least one example", x=x)
    one_each = y.size == len(x) and (y.ndim == 1 or y.shape == (len(x), 1))
    require(one_each, function, "y must be (N,), one label an example of x", x=x, y=y)
    positive = y == 1
    known = positive | (y == 0) | (y == -1)
    _refuse_unknown(function, "labels must be 0 and 1, or -1 and 1", y[~known])
    signs: Array = np.where(positive, x.dtype.type(1), x.dtype.type(-1))
    return signs.reshape(x.shape)


@underflow_is_zero
def logistic_loss(x: ArrayLike, y: ArrayLike) -> tuple[float, Array]:
    """Logistic loss of binary scores: the mean over examples of ln(1 + exp(-y x)), y in {-1, 1}.

    dx = -y * sigmoid(-y x) / N. Both are computed from exp(-abs(x)), which cannot overflow.
    Derived in theory/losses.md, formula logistic-gradient.

    Parameters
    ----------
    x : array (N,) or (N, 1)
        Scores (logits).
    y : array (N,)
        Labels in {0, 1} or {-1, 1}, of any integer, bool or float dtype; not modified.

    Returns
    -------
    loss : float, dx : array in x's shape

    Raises
    ------
    ValueError
        For another label (the message lists the values received) or a wrong shape.
    """
    x = floating(x)
    sign = _signs("logistic_loss", x, y)
    margin = sign * x
    small = np.exp(-np.abs(margin))  # in (0, 1]
    loss = (np.log1p(small) + np.maximum(-margin, 0)).mean()
    sigmoid = np.where(margin >= 0, small, 1) / (1 + small)  # sigmoid(-margin)
    dx = -sign * sigmoid / len(x)
    return float(loss), dx


@underflow_is_zero
def svm_loss(x: ArrayLike, y: ArrayLike) -> tuple[float, Array]:
    """Hinge loss of binary scores: the mean over examples of max(0, 1 - y x), y in {-1, 1}.

    dx = -y / N where y x < 1, else 0; at the kink y x = 1 we take 0. The mean is over all
    examples, not over those that violate the margin. Derived in theory/losses.md, formula hinge.

    Parameters, returns and errors are those of logistic_loss.
    """
    x = floating(x)
    sign = _signs("svm_loss", x, y)
    slack = 1 - sign * x
    loss = np.maximum(slack, 0).mean()
    dx = np.where(slack > 0, -sign, 0) / len(x)
    return float(loss), dx.astype(x.dtype, copy=False)


@underflow_is_zero
def softmax_loss(x: ArrayLike, y: ArrayLike) -> tuple[float, Array]:
    """Softmax loss: the mean over examples of -ln p[y], with p = exp(x) / sum(exp(x)) over classes.

    dx = (p - onehot(y)) / N. The largest score of each example is subtracted first: p does not
    change, and no exponential overflows. Derived in theory/losses.md, formula softmax-gradient.

    Parameters
    ----------
    x : array (N, C)
        Scores.
    y : array (N,)
        Labels, whole numbers in [0, C), of any integer, bool or float dtype; not modified.

    Returns
    -------
    loss : float, dx : array (N, C)

    Raises
    ------
    ValueError
        For a label outside [0, C) (the message lists those received) or a wrong shape.

    References
    ----------
    Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990.
    """
    x, y = floating(x), _labels("softmax_loss", y)
    require(
        x.ndim == 2 and x.size > 0,
        "softmax_loss",
        "x must be (N, C) with at least one example",
        x=x,
    )
    require(
        y.shape == x.shape[:1],
        "softmax_loss",
        "y must be (N,), one label an example of x",
        x=x,
        y=y,
    )
    N, C = x.shape
    with np.errstate(invalid="ignore"):  # a NaN label is refused below, by name
        labels = y.astype(np.intp)
    known = (labels == y) & (labels >= 0) & (labels < C)
    _refuse_unknown("softmax_loss", f"labels must be whole numbers in [0, {C})", y[~known])
    shifted = x - x.max(axis=1, keepdims=True)
    rows = np.arange(N)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)  # in [1, C]
    loss = (np.log(total[:, 0]) - shifted[rows, labels]).mean()
    dx = exponentials / total
    dx[rows, labels] -= 1
    dx /= N
    return float(loss), dx
