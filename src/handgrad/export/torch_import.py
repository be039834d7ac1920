"""A PyTorch state_dict into a network: a safetensors file, or a .pt file read without pickle."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from handgrad.arrays import Array
from handgrad.descriptions_base import Shape
from handgrad.errors import ExportError, need
from handgrad.export.weights_import import Found, Group, Layout, Report, fill, natural
from handgrad.network import BatchNorm, Conv, Dense, Layer, LayerNorm, Network

MARK = "handgrad"  # the key of the metadata that `torch_module` writes
_PARTS = ("weight", "bias", "running_mean", "running_var")
_INSIDE = ("state_dict", "model_state_dict", "model", "net")  # where a checkpoint keeps it


def _shape(own: str, shape: Shape) -> Shape:
    return shape[::-1] if own == "W" and len(shape) == 2 else shape


def _array(own: str, array: Array) -> Array:
    return array.T if own == "W" and array.ndim == 2 else array


_LAYOUT = Layout("PyTorch", _shape, _array)


def from_torch(
    path: str | Path, network: Network, *, layers: Sequence[str] | None = None
) -> Report:
    """Put the weights of a PyTorch state_dict into a network of the same shape.

    Linear (out, in) is transposed, Conv2d (O, I, H, W) and the order of a flattened image are the
    same. PyTorch scales dropout in training, handgrad at prediction: weights behind a Dropout of
    ``keep`` are divided by it. Predictions are then equal up to rounding.

    Parameters
    ----------
    path : path
        A safetensors file, or what ``torch.save(module.state_dict(), ...)`` wrote (needs torch),
        alone or in a checkpoint under ``state_dict`` or ``model``.
    network : Network
        Its parameters and running statistics are replaced, all or none.
    layers : sequence of str, optional
        The file's modules with weights ('conv1', 'head', ...), in the network's order. Needed
        where a safetensors file, which does not keep the order, has names that do not tell it.

    Returns
    -------
    report : Report
        What went where; ``print(report)`` shows it.

    Raises
    ------
    ExportError
        For a file that cannot be read, and a tensor that does not fit: which, what shape was
        wanted and found.
    MissingExtraError
        For a .pt file where torch is not installed.

    Notes
    -----
    PyTorch's running variance is the unbiased one and its ``momentum`` is 1 minus ours: in
    prediction both are the same, in further training the running statistics move a little
    differently. ``eps`` must be given to the network as the module has it; a state_dict lacks it.
    """
    path = Path(path)
    tensors, ordered, metadata = _read(path)
    ignored = set(metadata.get("buffers", "").split())
    named: dict[str, dict[str, tuple[str, Array]]] = {}
    for name, array in tensors.items():
        group, _, part = name.rpartition(".")
        if part == "num_batches_tracked" or name in ignored:
            continue
        if part not in _PARTS:
            raise ExportError(
                f"{path}: {name} {array.shape} is no weight, bias or running statistic that a "
                "layer of handgrad has"
            )
        named.setdefault(group, {})[part] = (name, array)
    groups = [_group(path, group, parts) for group, parts in named.items()]
    if not ordered:
        groups.sort(key=lambda group: natural(group.name))
    placed = fill(network, Found(path, groups, ordered, bool(metadata)), _LAYOUT, layers)
    return Report(path, placed, tuple(_notes(network, bool(metadata))))


def _notes(network: Network, ours: bool) -> list[str]:
    norms = [layer for layer in network.layers if isinstance(layer, BatchNorm | LayerNorm)]
    if ours or not norms:
        return []
    values = ", ".join(sorted({f"{layer.eps:g}" for layer in norms}))
    return [f"a state_dict does not hold eps; the network's norms have {values}, PyTorch's 1e-05"]


def _group(path: Path, name: str, parts: Mapping[str, tuple[str, Array]]) -> Group:
    """Tell a module by its tensors."""
    weight = parts["weight"][1] if "weight" in parts else None
    family: type[Layer]
    if "running_mean" in parts:
        family = BatchNorm
    elif weight is not None and "bias" in parts and parts["bias"][1].shape == weight.shape:
        family = LayerNorm
    elif weight is not None and weight.ndim in (2, 4):
        family = Dense if weight.ndim == 2 else Conv
    elif weight is not None and weight.ndim == 1:
        family = LayerNorm
    else:
        shapes = ", ".join(f"{each} {array.shape}" for each, array in parts.values())
        raise ExportError(f"{path}: no layer of handgrad has such weights: {shapes}")
    norm = family in (BatchNorm, LayerNorm)
    ours = {"weight": "gamma", "bias": "beta"} if norm else {"weight": "W", "bias": "b"}
    return Group(name or "(top)", family, {ours.get(p, p): found for p, found in parts.items()})


def _read(path: Path) -> tuple[dict[str, Array], bool, dict[str, str]]:
    """Give the tensors, whether they are in the module's order, and handgrad's own metadata."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error.strerror})") from None
    if start[:2] == b"PK" or (start[:1] == b"\x80" and start[8:9] != b"{"):
        return _read_pt(path), True, {}
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, AttributeError) as error:
        raise ExportError(
            f"{path} is no safetensors file of float tensors that NumPy has ({error})"
        ) from None
    if MARK in metadata and metadata.get("format") != "pt":
        raise ExportError(f"{path} is handgrad's own file, no state_dict: it needs no import")
    return tensors, False, metadata if MARK in metadata else {}


def _read_pt(path: Path) -> dict[str, Array]:
    """Read what torch.save wrote, by weights_only: data, never code."""
    need("torch", "torch", f"reading {path.name}")
    import torch

    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, some of them torch's own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(
            f"{path} holds no plain state_dict ({reason[:120]}); save module.state_dict()"
        ) from None
    inside = [content] if isinstance(content, Mapping) else []
    inside += [content[key] for key in _INSIDE if inside and isinstance(content.get(key), Mapping)]
    for each in inside:
        if each and all(isinstance(value, torch.Tensor) for value in each.values()):
            floats = {n: t.float() if t.dtype == torch.bfloat16 else t for n, t in each.items()}
            return {name: np.asarray(tensor.numpy()) for name, tensor in floats.items()}
    raise ExportError(f"{path} holds no state_dict (names to tensors); save module.state_dict()")
