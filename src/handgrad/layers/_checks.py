"""What every layer does at its boundary: numbers in, and errors of one form."""

from typing import Any

import numpy as np

from handgrad.arrays import (
    Array as Array,
    floating as floating,
    underflow_is_zero as underflow_is_zero,
)


def require(condition: bool, function: str, rule: str, **received: Any) -> None:
    """Raise a ValueError of one form: the function, the rule, what was received."""
    if condition:
        return
    shown = ", ".join(
        f"{name} of shape {value.shape}" if isinstance(value, np.ndarray) else f"{name} = {value!r}"
        for name, value in received.items()
    )
    raise ValueError(f"{function}: {rule}; got {shown}")
