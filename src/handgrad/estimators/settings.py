"""An estimator's parameters, checked, and what they mean for a network and a Solver."""

import math
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from handgrad import optim
from handgrad.estimators.scikit import sklearn_part
from handgrad.solver_inputs import without_a_lone_row

if TYPE_CHECKING:
    from handgrad.estimators.base import Estimator

# The penalty of alpha="auto" is this / (2 n): of 3, 5, 6 and 12 the best on validation rows of the
# tables in benchmarks/tables.py, whose n is 130 to 60,000.
_PRIOR = 5.0

SCHEDULES: dict[str, Callable[[], optim.Schedule]] = {
    "constant": optim.constant,
    "cosine": optim.cosine,
    "one_cycle": optim.one_cycle,
}


def check(estimator: "Estimator") -> None:
    """Refuse parameters that mean nothing, each with its name and what was received.

    Those of the layers (``hidden_layer_sizes``, ``activation``, ``dropout``) are refused where
    `handgrad.architectures` reads them.

    Raises
    ------
    ValueError
    """
    rules: dict[str, tuple[Callable[[Any], bool], str]] = {
        "alpha": (lambda v: v == "auto" or (_number(v) and v >= 0), "'auto' or a number from 0"),
        "solver": (lambda v: v in optim.RULES, f"one of {', '.join(optim.RULES)}"),
        "learning_rate_init": (lambda v: _number(v) and v > 0, "a number above 0"),
        "schedule": (
            lambda v: callable(v) or v in SCHEDULES,
            f"one of {', '.join(SCHEDULES)}, or a function of the progress",
        ),
        "batch_size": (lambda v: v == "auto" or _count(v), "'auto' or a whole number from 1"),
        "max_iter": (lambda v: v == "auto" or _count(v), "'auto' or a whole number from 1"),
        "validation_fraction": (lambda v: _number(v) and 0 < v < 1, "between 0 and 1"),
        "n_iter_no_change": (lambda v: v is None or _count(v), "None or a whole number from 1"),
        "tol": (lambda v: _number(v) and v >= 0, "a number from 0"),
        "max_norm": (lambda v: v is None or (_number(v) and v > 0), "None or a number above 0"),
        "averaging": (lambda v: v is None or (_number(v) and 0 < v < 1), "None or in (0, 1)"),
        "dtype": (lambda v: v in ("float32", "float64"), "'float32' or 'float64'"),
    }
    for name, (holds, rule) in rules.items():
        value = getattr(estimator, name)
        if not holds(value):
            raise ValueError(f"{type(estimator).__name__}: {name} must be {rule}; got {value!r}")


def _number(value: object) -> bool:
    number = isinstance(value, int | float | np.integer | np.floating)
    return number and not isinstance(value, bool) and math.isfinite(value)  # type: ignore[arg-type]


def _count(value: object) -> bool:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and bool(value >= 1)  # type: ignore[operator]


def sizes(estimator: "Estimator") -> tuple[int, ...]:
    """Give ``hidden_layer_sizes`` as a tuple; one number is one layer."""
    given = estimator.hidden_layer_sizes
    return (given,) if isinstance(given, int | np.integer) else tuple(given)


def batch_rows(estimator: "Estimator", rows: int) -> int:
    """Give the rows of a batch: for 'auto' a 32nd of all, as a power of two from 32 to 256."""
    if estimator.batch_size != "auto":
        return min(int(estimator.batch_size), rows)
    chosen = min(256, max(32, 1 << round(math.log2(max(1, rows / 32)))))
    return without_a_lone_row(chosen, rows)  # of which a batch norm can make nothing


def epochs(estimator: "Estimator", rows: int) -> int:
    """Give the number of epochs: for 'auto' 100 up to 3,600 rows, then fewer, 20 at least."""
    if estimator.max_iter != "auto":
        return int(estimator.max_iter)
    return min(100, max(20, round(6000 / math.sqrt(rows))))


def penalty(estimator: "Estimator", rows: int, weight: float, batch: int) -> float:
    """Give what the network's ``reg`` is, so that alpha means what its docstring says.

    rows: of the training; weight: their mean; batch: rows of a batch.
    """
    if estimator.alpha == "auto":
        return _PRIOR / (rows * weight)
    return float(estimator.alpha) / (batch * weight)


def schedule(estimator: "Estimator") -> optim.Schedule:
    """Give the schedule as a function of the progress."""
    given = estimator.schedule
    return given if callable(given) else SCHEDULES[given]()


def seeds(random_state: Any) -> np.random.SeedSequence:
    """Give the seed that ``random_state`` stands for, as scikit-learn reads it.

    An int is itself; a RandomState or Generator is drawn from, so that a second fit is another;
    None draws from NumPy's global generator.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    if isinstance(random_state, int | np.integer) and random_state >= 0:
        return np.random.SeedSequence(int(random_state))
    if isinstance(random_state, np.random.Generator):
        return np.random.SeedSequence(random_state.integers(2**31, size=4).tolist())
    if random_state is None:
        random_state = np.random.mtrand._rand
    if not isinstance(random_state, np.random.RandomState):
        raise ValueError(
            "random_state must be an int from 0, a numpy.random.RandomState or Generator, or None; "
            f"got {random_state!r}"
        )
    return np.random.SeedSequence(random_state.randint(2**31 - 1, size=4).tolist())


def warn_unconverged(estimator: "Estimator") -> None:
    """Say that the training stopped while it still made progress, as scikit-learn does."""
    # Who filters this category has imported scikit-learn.
    category: type[Warning] = UserWarning
    if "sklearn" in sys.modules:
        category = sklearn_part("exceptions").ConvergenceWarning
    warnings.warn(
        f"{type(estimator).__name__}: max_iter={estimator.max_iter!r} epochs are over and the "
        "training loss still falls: raise max_iter or learning_rate_init, or take "
        "schedule='cosine'",
        category,
        stacklevel=4,
    )
