"""Arrays and a JSON header in one safetensors file, written atomically; never pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from handgrad.errors import CheckpointError
from handgrad.files import write_atomically

Array = NDArray[Any]


def write(path: Path, arrays: Mapping[str, Array], header: Mapping[str, Any]) -> None:
    """Write arrays and a JSON-able header to ``path``; a crash leaves the old file or the new."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    text = json.dumps(header, default=_plain)
    write_atomically(path, save(contiguous, {"handgrad": text}))


def _plain(value: Any) -> Any:
    """Turn what JSON lacks into what it has: some generators keep arrays in their state."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype)}
    raise TypeError(f"{type(value).__name__} does not go into a checkpoint's header")


def _unplain(value: dict[str, Any]) -> Any:
    return np.array(value["array"], value["dtype"]) if set(value) == {"array", "dtype"} else value


def read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read what ``write`` wrote; CheckpointError when the file is damaged or not ours."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({error}); delete it to start afresh"
        ) from None
    try:
        header = json.loads(metadata["handgrad"], object_hook=_unplain)
    except (KeyError, ValueError):
        header = None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} was not written by handgrad; delete it or name another file")
    return arrays, header
