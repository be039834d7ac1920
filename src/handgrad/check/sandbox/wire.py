"""Values as bytes, between the checker and its child: data only, never code, sizes bounded.

A message is a length, a JSON header of at most MAX_HEADER bytes, and the arrays' raw bytes. What
is neither a number, a string, None, a list, a tuple, a dict nor an array of numbers travels as the
name of its type. Imports nothing of handgrad: the child loads this file by its path.
"""

import json
import math
from typing import Any

import numpy as np

MAX_HEADER = 4 * 2**20
MAX_TEXT = 2000
MAX_ITEMS = 200_000
MAX_DEPTH = 12


class WireError(ValueError):
    """A message is not one: truncated, oversized or malformed."""


def encode(value: Any) -> bytes:
    """Give a value as one message."""
    blobs: list[bytes] = []
    header = json.dumps(_pack(value, blobs, 0)).encode()
    if len(header) > MAX_HEADER:
        raise WireError(f"a header of {len(header)} bytes")
    return b"".join([len(header).to_bytes(8, "little"), header, *blobs])


def _pack(value: Any, blobs: list[bytes], depth: int) -> Any:
    if value is None or type(value) in (bool, int):
        return value if abs(value or 0) < 2**63 else {"o": "int"}
    if type(value) is float:
        return value if math.isfinite(value) else {"f": repr(value)}
    if type(value) is str:
        return value[:MAX_TEXT]
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        if value.dtype.itemsize <= 8:
            blob = np.ascontiguousarray(value)
            blobs.append(blob.astype(blob.dtype.newbyteorder("<"), copy=False).tobytes())
            tag = "a" if isinstance(value, np.ndarray) else "g"
            return {tag: [value.dtype.str.replace(">", "<"), list(value.shape)]}
        return {"o": str(value.dtype)}
    if depth < MAX_DEPTH and isinstance(value, list | tuple) and len(value) <= MAX_ITEMS:
        tag = "l" if isinstance(value, list) else "t"
        return {tag: [_pack(item, blobs, depth + 1) for item in value]}
    if depth < MAX_DEPTH and isinstance(value, dict) and len(value) <= MAX_ITEMS:
        named = [(key, item) for key, item in value.items() if type(key) is str]
        return {"d": [[key[:MAX_TEXT], _pack(item, blobs, depth + 1)] for key, item in named]}
    return {"o": type(value).__name__[:100]}


class Foreign(str):
    """What was no data: the name of its type."""


def decode(message: bytes) -> Any:
    """Read one message; raise WireError for anything that ``encode`` would not write."""
    size = int.from_bytes(message[:8], "little")
    if len(message) < 8 or size > MAX_HEADER or len(message) < 8 + size:
        raise WireError("truncated or oversized")
    try:
        header = json.loads(message[8 : 8 + size])
        value, end = _unpack(header, message, 8 + size)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError) as error:
        raise WireError(f"malformed: {type(error).__name__}") from None
    if end != len(message):
        raise WireError("bytes left over")
    return value


def _unpack(node: Any, message: bytes, at: int) -> tuple[Any, int]:
    if not isinstance(node, dict):
        if isinstance(node, list):
            raise ValueError("a bare list")
        return node, at
    ((tag, body),) = node.items()
    if tag == "f":
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[body], at
    if tag == "o":
        return Foreign(body), at
    if tag in "ag":
        code, shape = body
        dtype = np.dtype(str(code))
        if dtype.kind not in "biuf" or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("not numbers")
        count = math.prod(shape)
        end = at + count * dtype.itemsize
        if len(shape) > 16 or end > len(message):
            raise ValueError("truncated array")
        array = np.frombuffer(message, dtype, count, at).reshape(shape).copy()
        return (array if tag == "a" else array[()]), end
    if tag == "d":
        result = {}
        for key, item in body:
            result[str(key)], at = _unpack(item, message, at)
        return result, at
    items = []
    for item in {"l": body, "t": body}[tag]:
        unpacked, at = _unpack(item, message, at)
        items.append(unpacked)
    return (items if tag == "l" else tuple(items)), at
