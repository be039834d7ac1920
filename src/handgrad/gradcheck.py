"""Is a backward pass right? Compare it with central differences, in float64, on random upstreams.

For a function f and a direction given by the upstream gradient dout, the scalar
L(x) = sum(f(x) * dout) has dL/dx[i] = (L(x + h e_i) - L(x - h e_i)) / 2h + O(h^2). A random dout
matters: with a dout of ones a batch-norm backward that returns zeros passes.

The error reported is abs(analytic - numeric), relative to the largest entry of that gradient (but
to 1e-3 at least: the rounding of L alone makes differences of about 1e-11, so a gradient that is
zero everywhere has no relative error). It is about 1e-10 at h = 1e-5. At a kink (ReLU at 0, a tie
in a max pool) differences mean nothing: check at points away from them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from handgrad.randomness import require_generator

Array = NDArray[Any]


class GradientMismatchError(AssertionError):
    """An analytic gradient disagrees with its central differences; the message says where."""


class Model(Protocol):
    """What check_model needs of a model: the assignment's ``params`` and ``loss(X, y)``."""

    params: dict[str, Array]

    def loss(self, X: Array, y: Array, /) -> tuple[float, dict[str, Array]]:
        """Return the loss and the gradients, keyed as params."""


def _differences(
    scalar: Callable[[], float], x: Array, indices: Sequence[int] | range, step: float
) -> Array:
    """Central differences of scalar() by the entries of x (changed in place and put back)."""
    flat = x.reshape(-1)  # a view: x is contiguous
    result = np.empty(len(indices))
    for position, i in enumerate(indices):
        kept = flat[i]
        try:
            flat[i] = kept + step
            above = scalar()
            flat[i] = kept - step
            below = scalar()
        finally:
            flat[i] = kept
        result[position] = (above - below) / (2 * step)
    return result


def numeric_gradient(
    f: Callable[[Array], Any], x: Array, dout: Array | float | None = None, step: float = 1e-5
) -> Array:
    """Gradient of sum(f(x) * dout) by central differences.

    Parameters
    ----------
    f : function of one array, returning an array or a number
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
    gradient = _differences(lambda: float(np.sum(f(x) * upstream)), x, range(x.size), step)
    return gradient.reshape(x.shape)


def _compare(
    name: str,
    analytic: Array,
    numeric: Array,
    tolerance: float,
    indices: Sequence[tuple[int, ...]] | None = None,
) -> float:
    """Return the largest error, or raise with the worst entry.

    With ``indices``, the arrays hold only these entries of the gradient, in this order.
    """
    analytic, numeric = np.asarray(analytic), np.asarray(numeric)
    if analytic.shape != numeric.shape:
        raise GradientMismatchError(
            f"the gradient of {name} has shape {analytic.shape}, but {name} has {numeric.shape}"
        )
    if analytic.size == 0:
        return 0.0
    scale = max(float(np.abs(numeric).max()), 1e-3)
    error = np.asarray(np.abs(analytic - numeric) / scale)
    error[np.isnan(error)] = np.inf
    worst = np.unravel_index(np.argmax(error), error.shape)
    if not error[worst] < tolerance:
        index = indices[int(worst[0])] if indices else tuple(int(i) for i in worst)
        raise GradientMismatchError(
            f"the gradient of {name} is wrong: at index {index} backward says "
            f"{analytic[worst]:.10g}, central differences say {numeric[worst]:.10g} "
            f"(error {error[worst]:.2g}, allowed {tolerance:.2g}; "
            f"{int(np.sum(~(error < tolerance)))} of {error.size} entries are off)"
        )
    return float(error[worst])


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
        Must be a function of its arguments alone: fix a dropout mask with a seed.
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
    """
    require_generator(rng, "check_gradients")
    arrays = [np.array(arg, dtype=np.float64, order="C") for arg in args]
    labels = list(names) if names is not None else [f"argument {i}" for i in range(len(arrays))]
    out, cache = forward(*arrays)
    dout = rng.standard_normal(np.shape(out))
    gradients = backward(dout, cache)
    if not isinstance(gradients, tuple):
        gradients = (gradients,)
    if len(gradients) != len(arrays):
        raise GradientMismatchError(
            f"backward returned {len(gradients)} gradients for {len(arrays)} arguments"
        )
    errors = {}
    for name, array, gradient in zip(labels, arrays, gradients, strict=True):
        if gradient is None:
            continue
        numeric = _differences(
            lambda: float(np.sum(forward(*arrays)[0] * dout)), array, range(array.size), step
        )
        numeric = numeric.reshape(array.shape)
        errors[name] = _compare(name, np.asarray(gradient), numeric, tolerance)
    if not errors:
        raise GradientMismatchError("backward returned no gradient at all: nothing was checked")
    return errors


def check_loss(
    loss: Callable[..., tuple[float, Array]],
    x: Array,
    *args: Any,
    tolerance: float = 1e-7,
    step: float = 1e-5,
) -> float:
    """Check the gradient of a loss, ``loss(x, *args) -> (value, dx)``, and return its error."""
    x = np.array(x, dtype=np.float64, order="C")
    _, dx = loss(x, *args)
    numeric = numeric_gradient(lambda z: loss(z, *args)[0], x, step=step)
    return _compare("x", np.asarray(dx), numeric, tolerance)


def check_model(
    model: Model,
    X: Array,
    y: Array,
    *,
    rng: np.random.Generator,
    tolerance: float = 1e-6,
    step: float = 1e-5,
    samples: int | None = None,
    before_each: Callable[[], None] | None = None,
) -> dict[str, float]:
    """Check the gradients of a whole model's loss by its parameters; leave the model as it was.

    Parameters
    ----------
    model : object with ``params`` (float64 arrays) and ``loss(X, y) -> (loss, grads)``
    X, y : a small batch
    rng : numpy.random.Generator
        Chooses which entries are checked.
    tolerance, step : floats
    samples : int, optional
        Check at most so many entries of each parameter; default all.
    before_each : function, optional
        Called before every evaluation: restores a random state, so that dropout draws the same
        mask each time.

    Returns
    -------
    dict
        The largest error of each parameter.

    Raises
    ------
    GradientMismatchError
        For a wrong gradient, or one that is missing.
    """

    def evaluate() -> tuple[float, Mapping[str, Array]]:
        if before_each is not None:
            before_each()
        return model.loss(X, y)

    require_generator(rng, "check_model")
    state = {name: array.copy() for name, array in getattr(model, "state", {}).items()}
    loss, gradients = evaluate()
    if evaluate()[0] != loss:
        raise ValueError(
            "check_model: the loss is another at every call (dropout?); pass before_each, a "
            "function that restores the random state"
        )
    if set(gradients) != set(model.params):
        raise GradientMismatchError(
            f"loss returned gradients for {sorted(gradients)}, the model has {sorted(model.params)}"
        )
    errors = {}
    for name in sorted(model.params):
        parameter = model.params[name]
        if parameter.dtype != np.float64:
            raise ValueError(
                f"check_model: parameters must be float64; got {name} of {parameter.dtype}"
            )
        if gradients[name].shape != parameter.shape:
            raise GradientMismatchError(
                f"the gradient of {name} has shape {gradients[name].shape}, "
                f"but {name} has {parameter.shape}"
            )
        count = parameter.size if samples is None else min(samples, parameter.size)
        indices = np.sort(rng.choice(parameter.size, size=count, replace=False))
        model.params[name] = np.ascontiguousarray(parameter)
        numeric = _differences(
            lambda: float(evaluate()[0]), model.params[name], indices.tolist(), step
        )
        analytic = np.asarray(gradients[name]).reshape(-1)[indices]
        places = [
            tuple(int(i) for i in np.unravel_index(index, parameter.shape)) for index in indices
        ]
        errors[name] = _compare(name, analytic, numeric, tolerance, places)
    if state:
        model.state.update(state)  # type: ignore[attr-defined]
    return errors
