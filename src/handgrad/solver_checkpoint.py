"""What a Solver's checkpoint holds, and how a run goes on from it to the same bits.

A solver is only known here by its attributes: this file lies below the Solver.
"""

import functools
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from reprlib import recursive_repr
from typing import Any

import numpy as np

from handgrad import checkpoint as checkpoints
from handgrad.arrays import Array
from handgrad.errors import CheckpointError
from handgrad.randomness import require_generator

_LONGEST = 1000  # characters of a setting that are kept as they are


def require_ready(solver: Any, path: Path) -> None:
    """Refuse before any training what could not be written after the first epoch.

    Raises CheckpointError where there is no folder for it or the model or optim_config holds what
    a file cannot keep, and ValueError for a model whose ``rng`` is of NumPy's older kind.
    """
    if not Path(os.path.realpath(path)).parent.is_dir():
        raise CheckpointError(f"the folder of the checkpoint {path} does not exist; make it first")
    model_rng = getattr(solver.model, "rng", None)
    if isinstance(model_rng, np.random.RandomState):
        require_generator(model_rng, "Solver", "with a checkpoint, the model's rng")
    checkpoints.encode(*content(solver))


def save(solver: Any, path: Path) -> None:
    """Write parameters, optimizer and random states, the best snapshot and the histories."""
    checkpoints.write(path, *content(solver))


def content(solver: Any) -> tuple[dict[str, Array], dict[str, Any]]:
    """Give the arrays and the header of a solver as it is now; its arrays are not copied."""
    arrays: dict[str, Array] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for name, config in solver.optim_configs.items():
        scalars[name] = {}
        for key, value in config.items():
            if isinstance(value, np.ndarray):
                arrays[f"optim/{name}/{key}"] = value
            elif not _given(solver, key, value):
                scalars[name][key] = value
    for kind, group in _array_groups(solver).items():
        arrays.update({f"{kind}/{name}": array for name, array in group.items()})
    header = {
        "settings": _settings(solver),
        "epoch": solver.epoch,
        "loss_history": solver.loss_history,
        "history": solver.history,
        "best_val_acc": solver.best_val_acc,
        "stopped_early": solver.stopped_early,
        "optim": scalars,
        "rngs": [rng.bit_generator.state for rng in _rngs(solver)],
    }
    return arrays, header


def _given(solver: Any, key: str, value: Any) -> bool:
    """Whether a value is a function of optim_config: no state, and there when a run goes on."""
    return callable(value) and key in solver.optim_config


def resume(solver: Any, path: Path) -> None:
    """Put a solver and its model where ``save`` found them.

    Raises CheckpointError for a file that cannot be read, or of another run; it names what differs.
    """
    arrays, header = checkpoints.read(path)
    settings = _settings(solver)
    found = header.get("settings")
    if not isinstance(found, dict) or "rngs" not in header:
        raise CheckpointError(
            f"{path} is not a Solver's checkpoint; delete it or name another file"
        )
    rngs = [rng.bit_generator.state["bit_generator"] for rng in _rngs(solver)]
    settings["random generators"] = rngs
    found["random generators"] = [state["bit_generator"] for state in header["rngs"]]
    both = {**settings, **found}
    different = [name for name in both if _text(found.get(name)) != _text(settings.get(name))]
    if different:
        raise CheckpointError(
            f"{path} is the checkpoint of another run: its {', '.join(different)} differ; "
            "delete it, or train with the settings it was made with"
        )
    for kind, group in _array_groups(solver).items():
        group.update(_under(f"{kind}/", arrays))
    for name in solver.optim_configs:
        own = solver.optim_configs[name]
        given = {key: value for key, value in own.items() if _given(solver, key, value)}
        state = _under(f"optim/{name}/", arrays)
        solver.optim_configs[name] = {**given, **header["optim"][name], **state}
    solver.epoch = header["epoch"]
    solver.loss_history = header["loss_history"]
    solver.history = header["history"]
    solver.best_val_acc = header["best_val_acc"]
    solver.stopped_early = header.get("stopped_early", False)  # files of version 0.2 lack it
    for rng, rng_state in zip(_rngs(solver), header["rngs"], strict=True):
        rng.bit_generator.state = rng_state


def _settings(solver: Any) -> dict[str, Any]:
    """What must be the same, by value, for a checkpoint to be this run's."""
    model = solver.model
    rows = [solver.X_train, solver.y_train]
    if solver.X_val is not None:
        rows += [solver.X_val, solver.y_val]
    settings = {
        "rule": _written(solver.rule),
        "optim_config": {name: _written(value) for name, value in solver.optim_config.items()},
        "schedule": [float(solver.schedule(i / 16)) for i in range(16)],
        "batch_size": solver.batch_size,
        "num_epochs": solver.num_epochs,
        "num_train_samples": solver.num_train_samples,
        "augment": solver.augment is not None,
        "model": [type(model).__name__, _text(getattr(model, "loss_name", None))],
        "layers": [_written(layer) for layer in getattr(model, "layers", ())],
        "reg": _written(getattr(model, "reg", None)),
        "params": {name: [_dtype(a), list(a.shape)] for name, a in model.params.items()},
        "data": [_fingerprint(array) for array in rows],
    }
    return settings | _optional_settings(solver)


def _optional_settings(solver: Any) -> dict[str, Any]:
    """Those of the settings that are given: a checkpoint from before they existed lacks them."""
    data = solver.data
    weights = {
        "sample_weight": [data.train.sample_weight, data.val and data.val.sample_weight],
        "class_weight": [data.train_weights, data.val_weights],
    }
    optional: dict[str, Any] = {
        name: [None if array is None else _fingerprint(array) for array in arrays]
        for name, arrays in weights.items()
        if any(array is not None for array in arrays)
    }
    # As a label_smoothing of 0 is: the loss as it was before it had that setting.
    options = getattr(solver.model, "loss_options", None)
    if isinstance(options, Mapping) and any(options.values()):
        optional["loss_options"] = _written(options)
    if solver.n_iter_no_change is not None:
        optional["n_iter_no_change"] = solver.n_iter_no_change
        optional["tol"] = _written(solver.tol)
    if solver.max_norm is not None:
        optional["max_norm"] = _written(solver.max_norm)
    if solver.average is not None:
        optional["averaging"] = _written(solver.average.decay)
    if solver.metrics:
        optional["metrics"] = _written(solver.metrics)
    return optional


def _text(value: Any) -> str:
    """A setting as text; what is text already was written down before."""
    return value if isinstance(value, str) else _written(value)


@recursive_repr()
def _written(value: Any) -> str:
    """Write a setting down: equal values have equal texts, of whatever type, in any process.

    1, 1.0 and numpy.float32(1) are equal, and so are a tuple, a list and an array of the same
    entries. Functions go by their names.
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        text = str(int(value)) if value.is_integer() else float.__repr__(value)
    elif isinstance(value, Mapping):
        pairs = sorted((_written(key), _written(item)) for key, item in value.items())
        text = f"{{{', '.join(f'{key}: {item}' for key, item in pairs)}}}"
    elif isinstance(value, list | tuple):
        text = f"[{', '.join(map(_written, value))}]"
    elif isinstance(value, set | frozenset):
        text = f"{{{', '.join(sorted(map(_written, value)))}}}"
    elif isinstance(value, functools.partial):
        text = _call(f"partial {_written(value.func)}", enumerate(value.args), value.keywords)
    elif is_dataclass(value) and not isinstance(value, type):
        shown = {field.name: getattr(value, field.name) for field in fields(value) if field.repr}
        text = _call(type(value).__qualname__, (), shown)
    elif callable(value) and hasattr(value, "__name__"):
        text = value.__name__
    elif repr(value) == object.__repr__(value):
        text = _call(type(value).__qualname__, (), getattr(value, "__dict__", {}))
    else:
        text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # another in each process
    if len(text) > _LONGEST:
        text = f"{text[:40]}... {hashlib.sha256(text.encode()).hexdigest()}"
    return text


def _call(name: str, args: Iterable[tuple[int, Any]], keywords: Mapping[str, Any]) -> str:
    """Write down what has been given to something: name(0=..., key=...)."""
    given = [*args, *keywords.items()]
    return f"{name}({', '.join(f'{key}={_written(value)}' for key, value in given)})"


def _array_groups(solver: Any) -> dict[str, dict[str, Array]]:
    return {
        "params": solver.model.params,
        "state": getattr(solver.model, "state", {}),
        "best_params": solver.best_params,
        "best_state": solver.best_state,
        "average": getattr(solver.average, "params", {}),
        "average_state": getattr(solver.average, "state", {}),
    }


def _rngs(solver: Any) -> list[np.random.Generator]:
    """The generators whose state a run depends on: the shuffling's and the model's."""
    model_rng = getattr(solver.model, "rng", None)
    return [solver.rng, model_rng] if isinstance(model_rng, np.random.Generator) else [solver.rng]


def _under(prefix: str, arrays: dict[str, Array]) -> dict[str, Array]:
    """The arrays whose names start with a prefix, without it."""
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _dtype(array: Array) -> str:
    """Name an array's dtype, whatever its byte order."""
    return str(array.dtype.newbyteorder("="))


def _fingerprint(array: Array) -> str:
    """Hash an array's shape, dtype and about 4,000 of its entries: enough to tell data apart."""
    flat = array.reshape(-1)
    sample = flat[:: max(1, flat.size // 4096)]
    digest = hashlib.sha256(repr((array.shape, _dtype(array))).encode())
    digest.update(sample.astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:16]
