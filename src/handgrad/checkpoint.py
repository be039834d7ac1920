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
    write_atomically(path, save(contiguous, {"handgrad": json.dumps(header)}))


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
    if "handgrad" not in metadata:
        raise CheckpointError(f"{path} was not written by handgrad; delete it or name another file")
    return arrays, json.loads(metadata["handgrad"])
