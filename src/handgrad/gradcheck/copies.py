"""Values kept aside, and whether they are still the same."""

from typing import Any

import numpy as np


def copied(value: Any) -> Any:
    """A copy of an array; other values as they are."""
    return value.copy() if isinstance(value, np.ndarray) else value


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same; of what is no array, whether they are one object."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return (
            one.shape == other.shape
            and one.dtype == other.dtype
            and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
        )
    return one is other
