"""The losses of classifiers: logistic, hinge (SVM), multi-label, softmax, and their gradients."""

import numpy as np
from numpy.typing import ArrayLike

from handgrad.layers._checks import Array, floating, require, underflow_is_zero
from handgrad.layers._weights import mean_over_examples


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
def logistic_loss(
    x: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """Logistic loss of binary scores: the mean over examples of ln(1 + exp(-y x)), y in {-1, 1}.

    dx = -y * sigmoid(-y x) / N. Both are computed from exp(-abs(x)), which cannot overflow.
    Derived in theory/losses.md, formula logistic-gradient.

    Parameters
    ----------
    x : array (N,) or (N, 1)
        Scores (logits).
    y : array (N,)
        Labels in {0, 1} or {-1, 1}, of any integer, bool or float dtype; not modified.
    sample_weight : array (N,), optional
        Finite, at least 0: the mean is then sum(w * loss) / sum(w), and dx likewise; 0 where all
        weights are 0 (theory/weighted_losses.md, formula weighted-gradient).

    Returns
    -------
    loss : float, dx : array in x's shape

    Raises
    ------
    ValueError
        For another label (the message lists the values received), a wrong shape, or a weight that
        is negative, infinite or NaN.
    """
    x = floating(x)
    sign = _signs("logistic_loss", x, y)
    losses, slopes = _logistic(sign, x)
    return mean_over_examples("logistic_loss", losses.reshape(len(x)), slopes, sample_weight)


def _logistic(sign: Array, x: Array) -> tuple[Array, Array]:
    """Give ln(1 + exp(-sign x)) and its derivative by x, entry by entry."""
    margin = sign * x
    small = np.exp(-np.abs(margin))  # in (0, 1]
    sigmoid = np.where(margin >= 0, small, 1) / (1 + small)  # sigmoid(-margin)
    return np.log1p(small) + np.maximum(-margin, 0), -sign * sigmoid


@underflow_is_zero
def svm_loss(
    x: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """Hinge loss of binary scores: the mean over examples of max(0, 1 - y x), y in {-1, 1}.

    dx = -y / N where y x < 1, else 0; at the kink y x = 1 we take 0. The mean is over all
    examples, not over those that violate the margin. Derived in theory/losses.md, formula hinge.

    Parameters, returns and errors are those of logistic_loss.
    """
    x = floating(x)
    sign = _signs("svm_loss", x, y)
    slack = 1 - sign * x
    losses = np.maximum(slack, 0).reshape(len(x))
    slopes = np.where(slack > 0, -sign, x.dtype.type(0))
    return mean_over_examples("svm_loss", losses, slopes, sample_weight)


@underflow_is_zero
def multilabel_loss(
    x: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, Array]:
    """Logistic loss of L labels that an example has or has not, each for itself.

    With y in {0, 1} the mean over examples and labels of ln(1 + exp(x)) - y x, which is the
    logistic loss of each label, and dx = (sigmoid(x) - y) / (N L). Computed as logistic_loss.
    Derived in theory/weighted_losses.md, formula multilabel-gradient.

    Parameters
    ----------
    x : array (N, L)
        Scores (logits).
    y : array (N, L)
        0 or 1, of any integer, bool or float dtype; not modified.
    sample_weight : array (N,), optional
        As logistic_loss takes it: of an example, with all its labels.

    Returns
    -------
    loss : float, dx : array (N, L)

    Raises
    ------
    ValueError
        For another label, a wrong shape or a wrong weight.
    """
    x, y = floating(x), _labels("multilabel_loss", y)
    rule = "x must be (N, L) with at least one example and one label"
    require(x.ndim == 2 and x.size > 0, "multilabel_loss", rule, x=x)
    rule = "y must be (N, L), of x's shape: 1 for each label that an example has, else 0"
    require(y.shape == x.shape, "multilabel_loss", rule, x=x, y=y)
    _refuse_unknown("multilabel_loss", "labels must be 0 and 1", y[(y != 0) & (y != 1)])
    losses, slopes = _logistic(np.where(y == 1, x.dtype.type(1), x.dtype.type(-1)), x)
    slopes /= x.shape[1]
    return mean_over_examples("multilabel_loss", losses.mean(axis=1), slopes, sample_weight)


@underflow_is_zero
def softmax_loss(
    x: ArrayLike,
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
) -> tuple[float, Array]:
    """Softmax loss: the mean over examples of -ln p[y], with p = exp(x) / sum(exp(x)) over classes.

    dx = (p - onehot(y)) / N. The largest score of each example is subtracted first: p does not
    change, and no exponential overflows. Derived in theory/losses.md, formula softmax-gradient.

    With label smoothing s the label is taken for q = (1 - s) * onehot(y) + s / C: the loss is the
    mean of -sum(q * ln p) and dx = (p - q) / N. Derived in theory/weighted_losses.md, formula
    smoothing-gradient.

    Parameters
    ----------
    x : array (N, C)
        Scores.
    y : array (N,)
        Labels, whole numbers in [0, C), of any integer, bool or float dtype; not modified.
    sample_weight : array (N,), optional
        As logistic_loss takes it.
    label_smoothing : float in [0, 1), default 0
        s above.

    Returns
    -------
    loss : float, dx : array (N, C)

    Raises
    ------
    ValueError
        For a label outside [0, C) (the message lists those received), a wrong shape, a wrong
        weight, or label smoothing outside [0, 1).

    References
    ----------
    Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990;
    Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, for label smoothing.
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
    smoothing = "label_smoothing must be in [0, 1)"
    require(0 <= label_smoothing < 1, "softmax_loss", smoothing, label_smoothing=label_smoothing)
    N, C = x.shape
    with np.errstate(invalid="ignore"):  # a NaN label is refused below, by name
        labels = y.astype(np.intp)
    known = (labels == y) & (labels >= 0) & (labels < C)
    _refuse_unknown("softmax_loss", f"labels must be whole numbers in [0, {C})", y[~known])
    shifted = x - x.max(axis=1, keepdims=True)
    rows = np.arange(N)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)  # in [1, C]
    said = shifted[rows, labels]
    slopes = exponentials / total
    slopes[rows, labels] -= 1
    if label_smoothing:
        s = x.dtype.type(label_smoothing)
        said = (1 - s) * said + s * shifted.mean(axis=1)
        slopes[rows, labels] += s
        slopes -= s / x.dtype.type(C)
    losses = np.log(total[:, 0]) - said
    return mean_over_examples("softmax_loss", losses, slopes, sample_weight)
