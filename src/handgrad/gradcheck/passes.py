"""Is a backward pass right? Compare it with central differences, in float64, on random upstreams.

For a function f and a direction given by the upstream gradient dout, the scalar
L(x) = sum(f(x) * dout) has dL/dx[i] = (L(x + h e_i) - L(x - h e_i)) / 2h + O(h^2). A random dout
matters: with a dout of ones a batch-norm backward that returns zeros passes.

The error reported is abs(analytic - numeric), relative to the largest entry of that gradient (but
to 1e-3 at least: the rounding of L alone makes differences of about 1e-11, so a gradient that is
zero everywhere has no relative error). It is about 1e-10 at h = 1e-5.

At a kink (ReLU at 0, a tie in a max pool) differences mean nothing. Where an entry disagrees, it is
looked at again (`handgrad.kinks`): with smaller steps, from either side, and beside the point. An
entry that is right on both sides of what is perhaps a kink passes, with a UserWarning that counts
such entries, and its error is that of the sides; but where they are more than half of all entries,
the check fails: take a point away from the kinks (larger weights, other data).

Every function under test is given copies: it may work in place. A UserWarning says which argument
it changed, since a network that needs the argument later would find other numbers in it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from handgrad import kinks
from handgrad.arrays import Array
from handgrad.gradcheck.copies import copied
from handgrad.gradcheck.judging import Check, GradientMismatchError
from handgrad.randomness import require_generator


def numeric_gradient(
    f: Callable[[Array], Any], x: Array, dout: Array | float | None = None, step: float = 1e-5
) -> Array:
    """Gradient of sum(f(x) * dout) by central differences.

    Parameters
    ----------
    f : function of one array, returning an array or a number
        Given a copy of its own at each call: it may work in place.
    x : array of any shape
        Copied to float64; not modified.
    dout : array in the shape of f(x), default ones
    step : float, default 1e-5
        h above. The truncation error grows as h^2, the rounding error as 1e-16 / h.

    Returns
    -------
    array in x's shape, float64
    """
    x = np.array(x, dtype=np.float64, order="C")
    upstream: Any = 1.0 if dout is None else dout
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        value = kinks.along(x, index, lambda: float(np.sum(f(x.copy()) * upstream)))
        gradient[index] = kinks.central(value, 0.0, step)
    return gradient


def check_gradients(
    forward: Callable[..., tuple[Array, Any]],
    backward: Callable[[Array, Any], Any],
    args: Sequence[Any],
    *,
    rng: np.random.Generator,
    names: Sequence[str] | None = None,
    tolerance: float = 1e-7,
    step: float = 1e-5,
) -> dict[str, float]:
    """Check every gradient that a backward function returns.

    Parameters
    ----------
    forward : ``forward(*args) -> (out, cache)``
        Must be a function of its arguments alone: fix a dropout mask with a seed. It and
        ``backward`` get copies.
    backward : ``backward(dout, cache) -> gradient or tuple of gradients``
        One gradient an argument, in order; None skips that argument.
    args : arrays
        Copied to float64.
    rng : numpy.random.Generator
        Draws the upstream gradient, standard normal.
    names : names of the arguments for the messages, default 'argument 0', ...
    tolerance, step : floats

    Returns
    -------
    dict
        The largest error of each argument that was checked.

    Raises
    ------
    GradientMismatchError
        With the argument, the worst index, the analytic and the numeric value.

    Warns
    -----
    UserWarning
        For entries that are perhaps at a kink, and for arguments that were changed in place.
    """
    require_generator(rng, "check_gradients")
    arrays = [np.array(arg, dtype=np.float64, order="C") for arg in args]
    labels = list(names) if names is not None else [f"argument {i}" for i in range(len(arrays))]
    check = Check("check_gradients", tolerance, step)

    def run() -> tuple[Array, Any, dict[str, Array]]:
        given = [array.copy() for array in arrays]
        out, cache = forward(*given)
        named = dict(zip(labels, given, strict=True))
        check.note_changes("forward", named, dict(zip(labels, arrays, strict=True)))
        return out, cache, named

    def gradients() -> Sequence[Any]:
        _, cache, given = run()
        kept = {"dout": dout, **{name: array.copy() for name, array in given.items()}}
        handed = {"dout": dout.copy(), **given}
        found = backward(handed["dout"], cache)
        check.note_changes("backward", handed, kept)
        return found if isinstance(found, tuple) else (found,)

    def value() -> float:
        return float(np.sum(run()[0] * dout))

    def gradient_of(position: int) -> Array:
        return np.asarray(gradients()[position])

    dout = np.asarray(rng.standard_normal(np.shape(run()[0])))
    first = [copied(gradient) for gradient in gradients()]
    if len(first) != len(arrays):
        raise GradientMismatchError(
            f"backward returned {len(first)} gradients for {len(arrays)} arguments"
        )
    errors = {}
    for i, (name, array) in enumerate(zip(labels, arrays, strict=True)):
        if first[i] is not None:
            again = functools.partial(gradient_of, i)
            errors[name] = check.judge(name, array, first[i], value, again)
    if not errors:
        raise GradientMismatchError("backward returned no gradient at all: nothing was checked")
    check.tally()
    return errors


def check_loss(
    loss: Callable[..., tuple[float, Array]],
    x: Array,
    *args: Any,
    tolerance: float = 1e-7,
    step: float = 1e-5,
    **options: Any,
) -> float:
    """Check the gradient of ``loss(x, *args, **options) -> (value, dx)``, and return its error.

    Options are a loss's own: sample_weight, delta, label_smoothing. Raises and warns as
    `check_gradients`; the arguments are called x, argument 1, ...

    Examples
    --------
    >>> import numpy as np
    >>> from handgrad.layers import huber_loss
    >>> x, y = np.array([0.2, 3.0]), np.array([0.0, 1.0])
    >>> check_loss(huber_loss, x, y, delta=0.5, sample_weight=np.array([1.0, 2.0])) < 1e-9
    True
    """
    x = np.array(x, dtype=np.float64, order="C")
    kept = {"x": x, **{f"argument {i}": arg for i, arg in enumerate(args, start=1)}}
    check = Check("check_loss", tolerance, step)

    def evaluate() -> tuple[float, Array]:
        given = {name: copied(value) for name, value in kept.items()}
        value, dx = loss(*given.values(), **options)
        check.note_changes("loss", given, kept)
        return value, dx

    error = check.judge(
        "x", x, evaluate()[1], lambda: float(evaluate()[0]), lambda: np.asarray(evaluate()[1])
    )
    check.tally()
    return error
