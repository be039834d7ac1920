"""What every layer does at its boundary: numbers in, and the house's errors."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


def floating(x: ArrayLike, dtype: np.dtype[Any] | None = None) -> Array:
    """Return x as an array of ``dtype``, or of float32 or float64; no copy where it is one already.

    A layer's first argument decides its precision; its parameters follow it.
    """
    x = np.asarray(x)
    if dtype is not None:
        return x.astype(dtype, copy=False)
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)


def require(condition: bool, function: str, rule: str, **received: Any) -> None:
    """Raise the house's ValueError: the function, the rule, what was received."""
    if condition:
        return
    shown = ", ".join(
        f"{name} of shape {value.shape}" if isinstance(value, np.ndarray) else f"{name} = {value!r}"
        for name, value in received.items()
    )
    raise ValueError(f"{function}: {rule}; got {shown}")
