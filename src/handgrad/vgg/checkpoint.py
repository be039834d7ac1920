"""Checkpoints: written whole or not at all, read without pickle, refused when they do not fit."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from handgrad.errors import CheckpointError
from handgrad.files import write_atomically
from handgrad.vgg.net import VGG

FORMAT = "handgrad-vgg-1"


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Save tensors, numbers, strings and containers of them, atomically."""
    stream = io.BytesIO()
    torch.save({"format": FORMAT, **content}, stream)
    write_atomically(path, stream.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, onto the CPU.

    Raises
    ------
    CheckpointError
        If the file is truncated, holds anything but data, or is another program's.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({reason[:120]}); delete it to train afresh"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of this program ({FORMAT})")
    return content


def load_weights(net: VGG, content: dict[str, Any], path: Path, *, part: str = "net") -> None:
    """Copy a checkpoint's weights and running statistics into a network.

    Parameters
    ----------
    net : VGG
        Changed in place.
    content : dict
        From `load_checkpoint`.
    path : Path
        Named in errors.
    part : str
        "net" for the weights that are being trained, "averaged" for the ones to use.

    Raises
    ------
    CheckpointError
        If the checkpoint belongs to another architecture; both are named.
    """
    theirs, ours = content.get("architecture"), net.architecture
    if theirs != ours:
        said = _differences(theirs if isinstance(theirs, dict) else {}, ours)
        raise CheckpointError(f"{path}: the checkpoint is of another architecture: {said}")
    try:
        net.load_state_dict(content[part])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path}: the checkpoint's weights do not fit the network") from error


def check_same_run(theirs: object, ours: dict[str, Any], path: Path) -> None:
    """Refuse to go on with a checkpoint of another recipe, seed or number of processes.

    Raises
    ------
    CheckpointError
        Naming every difference.
    """
    if theirs == ours:
        return
    said = "it does not say which"
    if isinstance(theirs, dict):
        said = _differences({**theirs, **theirs.get("recipe", {})}, {**ours, **ours["recipe"]})
    raise CheckpointError(
        f"{path}: another run's checkpoint ({said}); choose another folder or delete this one"
    )


def _differences(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    return "; ".join(
        f"{key} is {theirs.get(key)!r} there and {ours.get(key)!r} here"
        for key in sorted({*theirs, *ours} - {"recipe"})
        if theirs.get(key) != ours.get(key)
    )
