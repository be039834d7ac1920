"""What a Solver's checkpoint holds, and how a run goes on from it to the same bits.

A solver is only known here by its attributes: this room lies below the Solver's.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handgrad import checkpoint as checkpoints
from handgrad.errors import CheckpointError

Array = NDArray[Any]


def save(solver: Any, path: Path) -> None:
    """Write parameters, optimizer and random states, the best snapshot and the histories."""
    arrays: dict[str, Array] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for name, config in solver.optim_configs.items():
        scalars[name] = {}
        for key, value in config.items():
            if isinstance(value, np.ndarray):
                arrays[f"optim/{name}/{key}"] = value
            else:
                scalars[name][key] = value
    for kind, group in _array_groups(solver).items():
        arrays.update({f"{kind}/{name}": array for name, array in group.items()})
    header = {
        "settings": _settings(solver),
        "epoch": solver.epoch,
        "loss_history": solver.loss_history,
        "history": solver.history,
        "best_val_acc": solver.best_val_acc,
        "optim": scalars,
        "rngs": [rng.bit_generator.state for rng in _rngs(solver)],
    }
    checkpoints.write(path, arrays, header)


def resume(solver: Any, path: Path) -> None:
    """Put a solver and its model where ``save`` found them.

    Raises CheckpointError for a file that cannot be read, or of another run; it names what differs.
    """
    arrays, header = checkpoints.read(path)
    settings = json.loads(json.dumps(_settings(solver)))
    found = header.get("settings")
    if not isinstance(found, dict) or "rngs" not in header:
        raise CheckpointError(
            f"{path} is not a Solver's checkpoint; delete it or name another file"
        )
    rngs = [rng.bit_generator.state["bit_generator"] for rng in _rngs(solver)]
    settings["random generators"] = rngs
    found["random generators"] = [state["bit_generator"] for state in header["rngs"]]
    different = [name for name in settings if found.get(name) != settings[name]]
    if different:
        raise CheckpointError(
            f"{path} is the checkpoint of another run: its {', '.join(different)} differ; "
            "delete it, or train with the settings it was made with"
        )
    for kind, group in _array_groups(solver).items():
        group.update(_under(f"{kind}/", arrays))
    for name in solver.optim_configs:
        state = _under(f"optim/{name}/", arrays)
        solver.optim_configs[name] = {**header["optim"][name], **state}
    solver.epoch = header["epoch"]
    solver.loss_history = header["loss_history"]
    solver.history = header["history"]
    solver.best_val_acc = header["best_val_acc"]
    for rng, rng_state in zip(_rngs(solver), header["rngs"], strict=True):
        rng.bit_generator.state = rng_state


def _settings(solver: Any) -> dict[str, Any]:
    """What must be the same for a checkpoint to be this run's."""
    model = solver.model
    rows = (solver.X_train, solver.y_train, solver.X_val, solver.y_val)
    return {
        "rule": getattr(solver.rule, "__name__", repr(solver.rule)),
        "optim_config": {name: repr(value) for name, value in solver.optim_config.items()},
        "schedule": [float(solver.schedule(i / 16)) for i in range(16)],
        "batch_size": solver.batch_size,
        "num_epochs": solver.num_epochs,
        "num_train_samples": solver.num_train_samples,
        "augment": solver.augment is not None,
        "model": [type(model).__name__, getattr(model, "loss_name", None)],
        "layers": [repr(layer) for layer in getattr(model, "layers", ())],
        "reg": getattr(model, "reg", None),
        "params": {name: [str(a.dtype), list(a.shape)] for name, a in model.params.items()},
        "data": [_fingerprint(array) for array in rows],
    }


def _array_groups(solver: Any) -> dict[str, dict[str, Array]]:
    return {
        "params": solver.model.params,
        "state": getattr(solver.model, "state", {}),
        "best_params": solver.best_params,
        "best_state": solver.best_state,
    }


def _rngs(solver: Any) -> list[np.random.Generator]:
    """The generators whose state a run depends on: the shuffling's and the model's."""
    model_rng = getattr(solver.model, "rng", None)
    return [solver.rng, model_rng] if isinstance(model_rng, np.random.Generator) else [solver.rng]


def _under(prefix: str, arrays: dict[str, Array]) -> dict[str, Array]:
    """The arrays whose names start with a prefix, without it."""
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _fingerprint(array: Array) -> str:
    """Hash an array's shape, dtype and about 4,000 of its entries: enough to tell data apart."""
    flat = array.reshape(-1)
    sample = np.ascontiguousarray(flat[:: max(1, flat.size // 4096)])
    digest = hashlib.sha256(repr((array.shape, str(array.dtype))).encode())
    digest.update(sample.tobytes())
    return digest.hexdigest()[:16]
