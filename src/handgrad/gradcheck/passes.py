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
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from handgrad import kinks
from handgrad.arrays import Array
from handgrad.randomness import require_generator


class GradientMismatchError(AssertionError):
    """An analytic gradient disagrees with its central differences; the message says where."""


class Model(Protocol):
    """What check_model needs of a model: the assignment's ``params`` and ``loss(X, y)``."""

    params: dict[str, Array]

    def loss(self, X: Array, y: Array, /) -> tuple[float, dict[str, Array]]:
        """Return the loss and the gradients, keyed as params."""


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


class _Check:
    """The arrays of one check, one after the other: what is wrong, what is perhaps a kink.

    ``tally`` ends it: it says what a passing check has to say.
    """

    def __init__(self, function: str, tolerance: float, step: float) -> None:
        self.function, self.tolerance, self.step = function, tolerance, step
        self.changes: dict[str, None] = {}  # as an ordered set
        self.bent: dict[str, int] = {}
        self.entries = 0

    def note_changes(self, who: str, given: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
        """Remember which arguments a function has changed."""
        for name, array in given.items():
            if not _same(array, kept[name]):
                self.changes[f"{who} changed {name}"] = None

    def judge(
        self,
        name: str,
        array: Array,
        gradient: Array,
        value: Callable[[], float],
        gradient_again: Callable[[], Array],
        places: Sequence[kinks.Index] | None = None,
    ) -> float:
        """Return the largest error of a gradient, or raise with the worst entry.

        Parameters
        ----------
        name, array : the argument; its entries are moved and put back
        gradient : what the backward pass says
        value, gradient_again : functions
            Evaluate with the array as it is then.
        places : indices, optional
            The entries to judge; default all.
        """
        gradient = np.array(gradient)
        if gradient.shape != array.shape:
            raise GradientMismatchError(
                f"the gradient of {name} has shape {gradient.shape}, but {name} has {array.shape}"
            )
        if gradient.dtype.kind not in "biuf":
            raise GradientMismatchError(
                f"the gradient of {name} must be of real numbers; got {gradient.dtype}"
            )
        places = list(np.ndindex(array.shape)) if places is None else places
        self.entries += len(places)
        if not places:
            return 0.0
        said = np.array([gradient[index] for index in places])
        found = kinks.judge(
            array, places, said, value, gradient_again, step=self.step, tolerance=self.tolerance
        )
        if found.wrong is not None and found.look is not None:
            i = found.wrong
            raise GradientMismatchError(
                f"the gradient of {name} is wrong: at index {places[i]} backward says "
                f"{said[i]:.10g}, central differences say {found.differences[i]:.10g} (error "
                f"{found.errors[i]:.2g}, allowed {self.tolerance:.2g}; {found.off} of "
                f"{len(places)} entries are off){self._notes(found.look)}"
            )
        if found.kinks:
            self.bent[name] = found.kinks
        return float(found.errors.max())

    def _notes(self, look: kinks.Look) -> str:
        """Say after a mismatch what may help to understand it."""
        notes = list(self.changes)
        if look.bends:
            notes.append(
                f"perhaps a kink (differences to the left {look.left:.10g}, to the right "
                f"{look.right:.10g}), but it is wrong beside it, too"
            )
        return "".join(f"; {note}" for note in notes)

    def tally(self) -> None:
        """Warn of kinks and of changed arguments; refuse to pass what was mostly kinks."""
        where = ", ".join(f"{count} of {name}" for name, count in self.bent.items())
        total = sum(self.bent.values())
        if 2 * total > self.entries:
            raise GradientMismatchError(
                f"{self.function}: perhaps a kink at {total} of {self.entries} entries ({where}), "
                "more than half: little is proved; check at a point away from kinks"
            )
        if total:
            text = (
                f"{self.function}: perhaps a kink at {total} of {self.entries} entries ({where}): "
                "differences mean little there; on both sides of it the gradient is right"
            )
            warnings.warn(text, UserWarning, stacklevel=3)
        if self.changes:
            text = (
                f"{self.function}: {', '.join(self.changes)} in place; the gradients are right, "
                "but whoever needs the argument afterwards finds other numbers in it"
            )
            warnings.warn(text, UserWarning, stacklevel=3)


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _same(one: Any, other: Any) -> bool:
    """Whether an array is what it was; what is no array is taken at its word."""
    if not isinstance(other, np.ndarray):
        return True
    return np.array_equal(one, other, equal_nan=other.dtype.kind in "fc")


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
    check = _Check("check_gradients", tolerance, step)

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
    first = [_copy(gradient) for gradient in gradients()]
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
    check = _Check("check_loss", tolerance, step)

    def evaluate() -> tuple[float, Array]:
        given = {name: _copy(value) for name, value in kept.items()}
        value, dx = loss(*given.values(), **options)
        check.note_changes("loss", given, kept)
        return value, dx

    error = check.judge(
        "x", x, evaluate()[1], lambda: float(evaluate()[0]), lambda: np.asarray(evaluate()[1])
    )
    check.tally()
    return error


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
    check = _Check("check_model", tolerance, step)
    try:
        errors = _check_model(check, model, X, y, rng, samples, before_each)
    finally:
        if state:
            model.state.update(state)  # type: ignore[attr-defined]
    check.tally()
    return errors


def _check_model(
    check: _Check,
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
        given = {"X": _copy(X), "y": _copy(y)}
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
    gradients = {name: _copy(gradient) for name, gradient in found.items()}
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
    moved = [name for name, (_, kept) in before.items() if not _same(params.get(name), kept)]
    if not moved:
        return
    for name in moved:
        array, kept = before[name]
        array[...] = kept
        params[name] = array
    raise ValueError(
        f"check_model: loss must leave the parameters as they are; it changed {', '.join(moved)}"
    )
