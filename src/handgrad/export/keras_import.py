"""The weights of a Keras 3 file, .weights.h5 or .keras, into a network."""

import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.descriptions_base import Shape
from handgrad.errors import ExportError, need
from handgrad.export.weights_import import Found, Group, Layout, Report, fill, natural
from handgrad.network import BatchNorm, Conv, Dense, Layer, LayerNorm, Network

_BATCH_NORM = ("gamma", "beta", "running_mean", "running_var")


def _shape(own: str, shape: Shape) -> Shape:
    if own == "W" and len(shape) == 4:
        return (shape[2], shape[3], shape[1], shape[0])  # (F, C, H, W) to (H, W, C, F)
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def _array(own: str, array: Array) -> Array:
    if own == "W" and array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.transpose(2, 0, 1) if array.ndim == 3 else array


_LAYOUT = Layout("Keras", _shape, _array, channels_last=True)


def from_keras(
    path: str | Path, network: Network, *, layers: Sequence[str] | None = None
) -> Report:
    """Put the weights of a Keras 3 model into a network of the same shape.

    Convolutions (H, W, I, O) become (O, I, H, W); the weights behind a Flatten are reordered, as
    Keras flattens (H, W, C) and handgrad (C, H, W). Keras scales dropout in training, handgrad at
    prediction: weights behind a Dropout of ``keep`` are divided by it. The network takes images
    (C, H, W); predictions are then equal up to rounding.

    Parameters
    ----------
    path : path
        What ``model.save_weights("x.weights.h5")`` or ``model.save("x.keras")`` wrote, with
        channels last. Needs h5py, which the extra ``keras`` brings.
    network : Network
        Its parameters and running statistics are replaced, all or none. Keras' activations
        ``Dense(10, activation="relu")`` are layers of their own here.
    layers : sequence of str, optional
        The file's groups with weights ('layers/dense', ...), in the network's order, where models
        within models leave the order open.

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
        Where h5py is not installed.

    Notes
    -----
    Keras' BatchNormalization has epsilon 1e-3 and momentum 0.99 by default, BatchNorm here 1e-5
    and 0.9: give the network Keras' values, as the file of weights lacks them.
    """
    need("h5py", "keras", "reading Keras' weights")
    path = Path(path)
    groups = sorted(_groups(path), key=lambda group: natural(_zeroth(group.name)))
    placed = fill(network, Found(path, groups, ordered=False), _LAYOUT, layers)
    return Report(path, placed, tuple(_notes(network)))


def _zeroth(name: str) -> str:
    """Keras' first layer of a class has no number: dense, dense_1, dense_2."""
    return re.sub(r"(?<![0-9])(?=/|$)", "_0", name)


def _notes(network: Network) -> list[str]:
    notes = []
    norms = [layer for layer in network.layers if isinstance(layer, BatchNorm | LayerNorm)]
    if norms:
        values = ", ".join(sorted({f"{layer.eps:g}" for layer in norms}))
        notes.append(f"the weights do not hold epsilon; the network has {values}, Keras 0.001")
    convs = [layer for layer in network.layers if isinstance(layer, Conv) and layer.padding]
    if any(conv.stride > 1 or conv.size % 2 == 0 for conv in convs):
        notes.append(
            'padding="same" with a stride above 1 or an even filter pads more at the bottom and '
            "right in Keras, and evenly here: compare predictions"
        )
    return notes


def _groups(path: Path) -> list[Group]:
    """Read each layer's variables."""
    import h5py

    groups: list[Group] = []

    def visit(name: str, item: Any) -> None:
        layer, _, last = name.rpartition("/")
        if last != "vars" or "seed_generator" in name or name.startswith("optimizer"):
            return
        if isinstance(item, h5py.Group) and len(item):
            variables = [
                (f"{name}/{key}", np.asarray(item[key])) for key in sorted(item, key=natural)
            ]
            groups.append(_group(path, layer, variables))

    try:
        with h5py.File(_content(path), "r") as file:
            file.visititems(visit)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ExportError(
            f"{path} is no .weights.h5 or .keras file of Keras 3 ({reason})"
        ) from None
    if not groups:
        raise ExportError(f"{path} has no variables as Keras 3 writes them (layers/NAME/vars/0)")
    return groups


def _content(path: Path) -> str | io.BytesIO:
    """Give what h5py opens: the file, or the weights in a .keras archive."""
    if not zipfile.is_zipfile(path):
        return str(path)
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(archive.read("model.weights.h5"))


def _group(path: Path, name: str, variables: list[tuple[str, Array]]) -> Group:
    """Tell a layer by its variables, and by its class, which its name begins with."""
    kind, shapes = name.rpartition("/")[2], [array.ndim for _, array in variables]
    family: type[Layer]
    if kind.startswith("batch_normalization") and len(variables) in (2, 4):
        family, own = BatchNorm, _BATCH_NORM[-len(variables) :]
    elif len(variables) <= 2 and shapes[0] in (2, 4) and all(n == 1 for n in shapes[1:]):
        family, own = (Dense if shapes[0] == 2 else Conv), ("W", "b")[: len(variables)]
    elif len(variables) == 2 and shapes[0] == shapes[1]:
        family, own = LayerNorm, ("gamma", "beta")
    elif len(variables) == 4 and set(shapes) == {1}:
        family, own = BatchNorm, _BATCH_NORM
    else:
        found = ", ".join(f"{each} {array.shape}" for each, array in variables)
        raise ExportError(f"{path}: no layer of handgrad has such weights: {found}")
    return Group(name, family, dict(zip(own, variables, strict=True)))
