"""Are the gradients of a whole model's loss right, by its parameters?"""

import functools
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from handgrad.arrays import Array
from handgrad.gradcheck.copies import copied, same
from handgrad.gradcheck.judging import Check, GradientMismatchError
from handgrad.randomness import require_generator


class Model(Protocol):
    """What check_model needs of a model: the assignment's ``params`` and ``loss(X, y)``."""

    params: dict[str, Array]

    def loss(self, X: Array, y: Array, /) -> tuple[float, dict[str, Array]]:
        """Return the loss and the gradients, keyed as params."""


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

    Warns
    -----
    UserWarning
        For entries that are perhaps at a kink, and where loss changed X or y in place.
    """
    require_generator(rng, "check_model")
    state = {name: array.copy() for name, array in getattr(model, "state", {}).items()}
    check = Check("check_model", tolerance, step)
    try:
        errors = _check_model(check, model, X, y, rng, samples, before_each)
    finally:
        if state:
            model.state.update(state)  # type: ignore[attr-defined]
    check.tally()
    return errors


def _check_model(
    check: Check,
    model: Model,
    X: Array,
    y: Array,
    rng: np.random.Generator,
    samples: int | None,
    before_each: Callable[[], None] | None,
) -> dict[str, float]:
    def evaluate() -> tuple[float, Mapping[str, Array]]:
        if before_each is not None:
            before_each()
        given = {"X": copied(X), "y": copied(y)}
        found = model.loss(given["X"], given["y"])
        check.note_changes("loss", given, {"X": X, "y": y})
        return found

    def value() -> float:
        return float(evaluate()[0])

    def gradient_of(name: str) -> Array:
        return np.asarray(evaluate()[1][name])

    _require_float64(model.params)
    before = {name: (array, array.copy()) for name, array in model.params.items()}
    loss, found = evaluate()
    gradients = {name: copied(gradient) for name, gradient in found.items()}
    _require_left_alone(model.params, before)
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
        count = parameter.size if samples is None else min(samples, parameter.size)
        chosen = np.sort(rng.choice(parameter.size, size=count, replace=False))
        places = [tuple(int(i) for i in np.unravel_index(k, parameter.shape)) for k in chosen]
        again = functools.partial(gradient_of, name)
        errors[name] = check.judge(name, parameter, gradients[name], value, again, places)
    return errors


def _require_float64(params: Mapping[str, Array]) -> None:
    for name, parameter in params.items():
        if not isinstance(parameter, np.ndarray) or parameter.dtype.newbyteorder("=") != np.float64:
            kind = getattr(parameter, "dtype", type(parameter).__name__)
            raise ValueError(f"check_model: parameters must be float64; got {name} of {kind}")


def _require_left_alone(
    params: dict[str, Array], before: Mapping[str, tuple[Array, Array]]
) -> None:
    """Refuse a loss that moves the parameters: every difference would be of another point."""
    moved = [name for name, (_, kept) in before.items() if not same(params.get(name), kept)]
    if not moved:
        return
    for name in moved:
        array, kept = before[name]
        array[...] = kept
        params[name] = array
    raise ValueError(
        f"check_model: loss must leave the parameters as they are; it changed {', '.join(moved)}"
    )
