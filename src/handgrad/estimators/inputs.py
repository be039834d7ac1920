"""What an estimator is given, as arrays: tables, frames, targets and weights, checked.

Plain NumPy arrays are checked here. Everything else, and everything that is wrong, goes to
scikit-learn's own checks, whose messages its users know; frames of pandas, polars and pyarrow are
read by narwhals, column by column, so that an error can name the column.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from handgrad.arrays import Array
from handgrad.estimators.scikit import sklearn_part

if TYPE_CHECKING:
    from handgrad.estimators.base import Estimator


def _is_plain(X: object, dimensions: int) -> bool:
    """Whether X is an array of finite numbers that nothing need be said of."""
    return (
        type(X) is np.ndarray
        and X.ndim == dimensions
        and X.dtype.kind in "biuf"
        and X.size > 0
        and (X.dtype.kind != "f" or bool(np.isfinite(X).all()))
    )


def table(estimator: "Estimator", X: Any, *, reset: bool) -> Array:
    """Give X (n, D) as an array of real numbers.

    Parameters
    ----------
    estimator : Estimator
        Keeps ``n_features_in_`` and ``feature_names_in_``, which later X must agree with.
    X : array-like or frame (n, D)
    reset : bool
        Whether X is the first that is seen.

    Raises
    ------
    ValueError
        If X is no table of finite numbers, or has other columns than the first.
    """
    known = vars(estimator)
    if _is_plain(X, 2) and (
        reset or ("feature_names_in_" not in known and X.shape[1] == known["n_features_in_"])
    ):
        if reset:
            known.pop("feature_names_in_", None)
            estimator.n_features_in_ = X.shape[1]
        return np.asarray(X)
    validate = sklearn_part("utils.validation").validate_data
    frame = _frame(X)
    if frame is None or 0 in frame.shape:
        return np.asarray(validate(estimator, X, reset=reset))
    validate(estimator, X, reset=reset, skip_check_array=True)
    return _numbers(frame, type(estimator).__name__)


def _frame(X: Any) -> Any:
    """Give a narwhals DataFrame of a frame, None of anything else."""
    if isinstance(X, np.ndarray | list | tuple):
        return None
    try:
        import narwhals.stable.v2 as narwhals
    except ImportError:  # scikit-learn before 1.9 comes without it, and reads pandas itself
        return None
    frame = narwhals.from_native(X, eager_only=True, pass_through=True)
    return frame if isinstance(frame, narwhals.DataFrame) else None


def _numbers(frame: Any, name: str) -> Array:
    """Give a frame's columns side by side, float32 where all are, else float64."""
    columns = []
    for column in frame.iter_columns():
        label = column.name
        missing = int(column.null_count())
        values = column.to_numpy()
        if values.dtype.kind not in "biuf":
            try:
                values = values.astype(np.float64)
            except (TypeError, ValueError):
                shown = next((repr(v) for v in values.tolist() if v is not None), "nothing")
                raise ValueError(
                    f"{name}: column {label!r} of X holds {column.dtype}, as {shown}, no numbers: "
                    "encode it (OneHotEncoder in a pipeline), or leave it out"
                ) from None
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            count = missing or int((~np.isfinite(values)).sum())
            raise ValueError(
                f"{name}: column {label!r} of X contains NaN, missing or infinite values in "
                f"{count} of {len(values)} rows: impute them (SimpleImputer in a pipeline), or "
                "leave them out"
            )
        columns.append(values)
    single = all(values.dtype == np.float32 for values in columns)
    return np.column_stack(columns).astype(np.float32 if single else np.float64, copy=False)


def labels(estimator: "Estimator", y: Any) -> Array:
    """Give a classifier's y as an array: labels (n,), or 0 and 1 (n, L) for several at once.

    Raises
    ------
    ValueError
        If y is missing, or cannot be labels.
    """
    _require_given(estimator, y)
    if type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in "biuU" and y.size:
        return y
    multiclass = sklearn_part("utils.multiclass")
    validation = sklearn_part("utils.validation")
    y = _array(y)
    if multiclass.type_of_target(y).startswith("multilabel"):
        return np.asarray(validation.check_array(y, input_name="y"))
    y = validation.column_or_1d(y, warn=True)
    if y.dtype.kind == "f":
        y = validation.check_array(y, ensure_2d=False, input_name="y")
    multiclass.check_classification_targets(y)
    return np.asarray(y)


def numbers(estimator: "Estimator", y: Any) -> Array:
    """Give a regressor's y as an array of float64, (n,) or (n, outputs).

    Raises
    ------
    ValueError
        If y is missing, or not of finite numbers.
    """
    _require_given(estimator, y)
    if _is_plain(y, 1) or _is_plain(y, 2):
        return np.asarray(y, np.float64)
    check = sklearn_part("utils.validation").check_array
    y = check(_array(y), dtype=np.float64, ensure_2d=False, input_name="y", allow_nd=True)
    if np.ndim(y) not in (1, 2):
        raise ValueError(
            f"{type(estimator).__name__}: y must be (n,) or (n, outputs); got shape {np.shape(y)}"
        )
    return np.asarray(y)


def _array(y: Any) -> Any:
    """Give a series or frame as an array; scikit-learn's checks take the rest."""
    return y if isinstance(y, list | tuple) or hasattr(y, "toarray") else np.asarray(y)


def _require_given(estimator: "Estimator", y: object) -> None:
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None"
        )


def require_rows(estimator: "Estimator", X: Array, y: Array) -> None:
    """Refuse X and y of different numbers of rows."""
    if len(X) != len(y):
        raise ValueError(
            f"{type(estimator).__name__}: X and y must have as many rows; got inconsistent numbers "
            f"of samples: {len(X)} and {len(y)}"
        )


def weights(estimator: "Estimator", sample_weight: Any, rows: int) -> Array | None:
    """Give sample weights (n,) in float64; None for none.

    Raises
    ------
    ValueError
        Unless there is one finite weight from 0 a row, and one above 0.
    """
    if sample_weight is None:
        return None
    found = np.asarray(sample_weight, np.float64)
    name = type(estimator).__name__
    if found.shape != (rows,):
        raise ValueError(
            f"{name}: sample_weight must have one weight a row, shape ({rows},); got {found.shape}"
        )
    if not (np.isfinite(found).all() and (found >= 0).all()):
        raise ValueError(f"{name}: sample_weight must be finite and at least 0")
    if not found.any():
        raise ValueError(f"{name}: sample_weight must not be zero for all samples")
    return found
