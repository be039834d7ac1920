"""Arrays and a JSON header in one safetensors file, written atomically; never pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from handgrad.arrays import Array
from handgrad.errors import CheckpointError
from handgrad.files import write_atomically

# What safetensors keeps of NumPy's dtypes, and gives back.
_INTEGERS = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_DTYPES = (*_INTEGERS, "float16", "float32", "float64", "complex64")
_NUMBERS = _DTYPES[:-1]  # JSON has no complex ones


def write(path: Path, arrays: Mapping[str, Array], header: Mapping[str, Any]) -> None:
    """Write arrays and a header to ``path``; a crash leaves the old file or the new.

    What ``encode`` cannot keep is a CheckpointError, and nothing is written.
    """
    write_atomically(path, encode(arrays, header))


def encode(arrays: Mapping[str, Array], header: Mapping[str, Any]) -> bytes:
    """Give the content of a file: ``read`` finds the same values, shapes, dtypes and types in it.

    Parameters
    ----------
    arrays : mapping
        Of any shape, memory order and byte order (which comes back as this machine's), and of a
        dtype that safetensors has.
    header : mapping
        Of names to numbers, strings, booleans, None, arrays, and lists, tuples and mappings of
        names to such values.

    Raises
    ------
    CheckpointError
        Naming what cannot be kept.
    """
    ready = {name: _ready(name, array) for name, array in arrays.items()}
    text = json.dumps({name: _plain(value, name) for name, value in header.items()})
    return bytes(save(ready, {"handgrad": text}))


def _ready(name: str, array: Array) -> Array:
    """In C order, of which safetensors writes the bytes; `numpy.asarray` keeps shape ()."""
    array = np.asarray(array)
    if array.dtype.name not in _DTYPES:
        raise CheckpointError(
            f"a checkpoint holds arrays of {', '.join(_DTYPES)}; got {name} of {array.dtype}"
        )
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def _plain(value: Any, name: str) -> Any:
    """Turn what JSON lacks into what it has, so that `_unplain` gives it back.

    Some generators keep arrays in their state, rules of one's own tuples and NumPy's numbers.
    """
    if isinstance(value, np.generic | np.ndarray) and value.dtype.name in _NUMBERS:
        kind = "array" if isinstance(value, np.ndarray) else "number"
        return {kind: value.tolist(), "dtype": value.dtype.name}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, tuple):
        return {"tuple": [_plain(item, name) for item in value]}
    if isinstance(value, list):
        return [_plain(item, name) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(item, f"{name}/{key}") for key, item in value.items()}
    raise CheckpointError(
        "a checkpoint's header holds numbers, strings, and lists, tuples and mappings of names to "
        f"such; got {name} of type {type(value).__name__}"
    )


def _unplain(value: dict[str, Any]) -> Any:
    if set(value) == {"array", "dtype"}:
        return np.array(value["array"], value["dtype"])
    if set(value) == {"number", "dtype"}:
        return np.dtype(value["dtype"]).type(value["number"])
    return tuple(value["tuple"]) if set(value) == {"tuple"} else value


def read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read what ``write`` wrote; CheckpointError when the file is damaged or not ours."""
    try:
        with safe_open(path, framework="numpy") as file:
            header = _header((file.metadata() or {}).get("handgrad", ""))
            if header is None:  # others' dtypes may be none of NumPy's
                raise CheckpointError(
                    f"{path} was not written by handgrad; delete it or name another file"
                )
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({error}); delete it to start afresh"
        ) from None
    return arrays, header


def _header(text: str) -> dict[str, Any] | None:
    """Parse what ``encode`` wrote; None for anything else."""
    try:
        header = json.loads(text, object_hook=_unplain)
    except (ValueError, TypeError):
        return None
    return header if isinstance(header, dict) else None
