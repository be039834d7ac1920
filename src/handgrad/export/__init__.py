"""A trained model outside handgrad: as an ONNX file, a PyTorch module, or C source.

`export` takes any Network, estimator, Model or path of a model's file. What a format needs is
imported when it is asked for.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handgrad.errors import ExportError, need
from handgrad.export.keras_import import from_keras
from handgrad.export.torch_import import from_torch

if TYPE_CHECKING:
    from handgrad.export.source import Exportable

__all__ = ["FORMATS", "export", "from_keras", "from_torch"]

FORMATS = {
    "onnx": ("onnx_file", "to_onnx"),
    "torch": ("torch_module", "to_torch"),
    "c": ("c_source", "to_c"),
}
"""Each format's module here and the function in it, which takes (model, out, *, force, ...)."""


def export(model: "Exportable", to: str, out: Path | str, **options: Any) -> Path:
    """Write a trained model for other programs.

    Parameters
    ----------
    model : Network, estimator of handgrad.estimators, Model, or path
        A path is of a file that `handgrad train` or `handgrad reproduce` left, or of its folder.
    to : 'onnx', 'torch' or 'c'
    out : path
        The file to write; what goes beside it has its name with another ending.
    **options
        ``force``: replace what exists. The others are the format's: `onnx_file.to_onnx`,
        `torch_module.to_torch`, `c_source.to_c`.

    Returns
    -------
    pathlib.Path
        ``out``.

    Raises
    ------
    ExportError
        For a layer that the format lacks (named), a file that exists, or an option it needs.
    ModelError
        For a file that is no model, or damaged.
    MissingExtraError
        If a library that the format needs is not installed.
    """
    if to not in FORMATS:
        raise ExportError(f"a model can be exported to {', '.join(FORMATS)}; got {to!r}")
    if to == "onnx":
        need("onnx", "onnx", "an export to ONNX")
    module, function = FORMATS[to]
    write = getattr(importlib.import_module(f"handgrad.export.{module}"), function)
    path: Path = write(model, Path(out), **options)
    return path
