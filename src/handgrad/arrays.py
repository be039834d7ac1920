"""Numbers at a boundary: any array argument as the arithmetic takes it."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]

# Decorates functions and wraps blocks: a product or an exponential that is too small for its dtype
# is 0, the right answer, whatever the caller's np.seterr says of underflow.
underflow_is_zero = np.errstate(under="ignore")


def floating(x: ArrayLike, dtype: DTypeLike | None = None) -> Array:
    """Return x as an array of ``dtype``, or of float32 or float64; no copy where it is one already.

    A function's first argument decides its precision; its other arguments follow it: parameters,
    and what a backward pass is given. float32 and float64 stay what they are, in this machine's
    byte order; every other type of number becomes float64.
    """
    x = np.asarray(x)
    if dtype is None:
        single = x.dtype.kind == "f" and x.dtype.itemsize == 4
        dtype = np.float32 if single else np.float64
    return x.astype(dtype, copy=False)
