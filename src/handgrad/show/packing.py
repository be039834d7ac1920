"""Arrays as text in a page: bytes of equal weight side by side, deflated, in base64.

Of float32 weights the mantissas' bytes are noise, and those with sign and exponent are much alike;
deflate gains where these stand beside each other. ``page/content.mjs`` reads what this writes.
"""

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from handgrad.arrays import Array

DTYPES = ("float32", "float64", "int32", "uint8")
"""What a page holds; JavaScript has a typed array for each."""

_MANTISSA_BITS = 23


def pack(arrays: Mapping[str, Array]) -> tuple[dict[str, Any], str]:
    """Pack arrays of ``DTYPES`` into one text.

    Parameters
    ----------
    arrays : mapping of str to array
        Of any shape, memory and byte order.

    Returns
    -------
    layout : dict
        Name to ``{"dtype": ..., "shape": [...], "offset": ...}``, the offset in bytes after
        inflating.
    text : str
        base64 of a zlib stream. Inside it, array after array: of each, byte 0 (little-endian) of
        all its values in C order, then byte 1 of all, and so on.

    Raises
    ------
    ValueError
        For another dtype.

    Examples
    --------
    >>> layout, text = pack({"a": np.arange(3, dtype=np.uint8)})
    >>> layout["a"]
    {'dtype': 'uint8', 'shape': [3], 'offset': 0}
    """
    layout: dict[str, Any] = {}
    parts, offset = [], 0
    for name, given in arrays.items():
        if given.dtype.name not in DTYPES:
            raise ValueError(f"pack: {name} must be one of {', '.join(DTYPES)}; got {given.dtype}")
        array = np.ascontiguousarray(given, given.dtype.newbyteorder("<"))
        layout[name] = {"dtype": array.dtype.name, "shape": list(given.shape), "offset": offset}
        planes = array.reshape(-1, 1).view(np.uint8).T
        parts.append(planes.tobytes())
        offset += array.nbytes
    # Of what is mostly noise: a sixth of the time of level 9 without the strategy, and smaller.
    stream = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_FILTERED)
    deflated = stream.compress(b"".join(parts)) + stream.flush()
    return layout, base64.b64encode(deflated).decode("ascii")


def rounded(array: Array, dropped: int) -> Array:
    """Round float32 numbers to a mantissa that is ``dropped`` bits shorter, ties to even.

    Parameters
    ----------
    array : float32 array
        Finite.
    dropped : int
        0 to 22; the relative error is at most ``2 ** (dropped - 24)``.
    """
    if not 0 <= dropped < _MANTISSA_BITS:
        raise ValueError(f"rounded: dropped must be 0 to 22; got {dropped}")
    if dropped == 0:
        return array
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    half = np.uint32((1 << (dropped - 1)) - 1)
    even = (bits >> np.uint32(dropped)) & np.uint32(1)
    kept = ~np.uint32((1 << dropped) - 1)
    result = ((bits + half + even) & kept).view(np.float32).reshape(array.shape)
    return np.where(np.isfinite(result), result, array)  # beside the largest number there is
