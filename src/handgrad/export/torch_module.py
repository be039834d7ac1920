"""A trained model as PyTorch: a state_dict in a safetensors file and a module of plain PyTorch.

The module imports torch and safetensors, nothing of handgrad, and loads the file with
``strict=True``. Writing both needs no torch. `torch_text` writes the module's text.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

import handgrad
from handgrad import network_spec
from handgrad.arrays import Array
from handgrad.errors import ExportError
from handgrad.export.folding import Scale, Step, steps_of
from handgrad.export.source import Exportable, Source, source_of
from handgrad.export.torch_inputs import inputs_of
from handgrad.export.torch_text import Module, text_of
from handgrad.export.writing import require_free, write_files
from handgrad.network import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    Network,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)

_KNOWN = (
    Dense, Conv, BatchNorm, LayerNorm, ReLU, LeakyReLU, Sigmoid, Tanh, GELU, SiLU, MaxPool, AvgPool,
    GlobalAvgPool, Flatten, Scale,
)  # fmt: skip
_NAMES = {
    "W": "weight", "b": "bias", "gamma": "weight", "beta": "bias",
    "running_mean": "running_mean", "running_var": "running_var",
}  # fmt: skip

NORM_NOTE = (
    "PyTorch's momentum is 1 minus handgrad's, and PyTorch accumulates the unbiased variance where "
    "handgrad accumulates the biased one: predictions are equal, further training is not."
)


def to_torch(model: Exportable, out: str | Path, *, force: bool = False) -> Path:
    """Write a model's weights as a state_dict, and beside it a module that loads them.

    Parameters
    ----------
    model : Network, estimator, Model, or path of a model's file
    out : path
        ``NAME.py`` or ``NAME.safetensors``: both are written.
    force : bool, default False
        Whether files that exist are replaced.

    Returns
    -------
    pathlib.Path
        ``out``.

    Raises
    ------
    ExportError
        For a layer that PyTorch lacks (named), a file that exists, or another ending.
    OutputError
        Where a file cannot be written.

    Notes
    -----
    Linear weights are (out, in), convolutions (O, I, H, W), a flattened image has our order.
    Dropout of ``keep`` is ``nn.Dropout(1 - keep)``, which scales in training where ours scales at
    prediction: ``keep`` is multiplied into the weights that follow, or stands as a factor where
    none can take it in.
    """
    out = Path(out)
    if out.suffix not in (".py", ".safetensors"):
        raise ExportError(f"a PyTorch export is NAME.py and NAME.safetensors; got {out}")
    paths = [out.with_suffix(".py"), out.with_suffix(".safetensors")]
    require_free(paths, force=force)
    source = source_of(model)
    text, weights = module_and_weights(source)
    write_files({paths[0]: text, paths[1]: weights}, force=force)
    return out


def module_and_weights(source: Source) -> tuple[str, bytes]:
    """Give the text of the Python module and the content of its safetensors file."""
    network = source.network
    inputs = inputs_of(source.inputs, network)
    lines, state = [], dict(inputs.buffers)
    for index, (line, arrays) in enumerate(_lines(network)):
        lines.append(line)
        state.update({f"layers.{index}.{name}": array for name, array in arrays.items()})
    if len(source.mean):
        state |= {"target_mean": source.mean, "target_scale": source.scale}
    buffers = [name for name in state if not name.startswith("layers.")]
    norms = any(isinstance(layer, BatchNorm) for layer in network.layers)
    text = text_of(Module(source, inputs, lines, NORM_NOTE if norms else ""))
    metadata = {
        "format": "pt",
        "handgrad": handgrad.__version__,
        "network": json.dumps(network_spec.to_spec(network)),
        "classes": json.dumps(source.labels.tolist()),
        "targets": json.dumps(list(source.targets)),
        "buffers": " ".join(buffers),
    } | ({"batch_norm": NORM_NOTE} if norms else {})
    ready = {name: np.asarray(array, order="C") for name, array in state.items()}
    return text, bytes(save(ready, metadata))


@dataclass(frozen=True)
class _Pending:
    """A dropout whose place is before the first step behind it."""

    position: int
    keep: float


def _lines(network: Network) -> Iterator[tuple[str, dict[str, Array]]]:
    """Give each module of the sequence as code, with its own part of the state_dict."""
    pending = [
        _Pending(position, layer.keep)
        for position, layer in enumerate(network.layers)
        if isinstance(layer, Dropout)
    ]
    for step in steps_of(network, _KNOWN, "a PyTorch module"):
        while pending and pending[0].position <= step.position:
            yield _dropout(pending.pop(0)), {}
        code = _code(step.layer, step)
        for line in code[:-1]:
            yield line, {}
        yield code[-1], _state(step)
    for each in pending:
        yield _dropout(each), {}


def _dropout(pending: _Pending) -> str:
    return f"nn.Dropout({_number(1 - pending.keep)})"


def _state(step: Step) -> dict[str, Array]:
    """Give a layer's part of the state_dict, in PyTorch's names and layout."""
    state = {_NAMES[own]: array for own, array in step.arrays.items()}
    if isinstance(step.layer, Dense):
        state["weight"] = state["weight"].T
    if isinstance(step.layer, BatchNorm):
        state["num_batches_tracked"] = np.zeros((), np.int64)
    return state


def _code(layer: Layer | Scale, step: Step) -> list[str]:
    """Give the code of a layer; what has parameters comes last."""
    simple: dict[type, str] = {ReLU: "ReLU()", Sigmoid: "Sigmoid()", Tanh: "Tanh()", SiLU: "SiLU()"}
    if type(layer) in simple:
        return [f"nn.{simple[type(layer)]}"]
    first, last = step.input_shape[0], step.output_shape[0]
    match layer:
        case Dense():
            return [f"nn.Linear({first}, {last})"]
        case Conv():
            settings = f"stride={layer.stride}, padding={layer.padding}, bias={layer.bias}"
            return [f"nn.Conv2d({first}, {last}, {layer.size}, {settings})"]
        case BatchNorm():
            dimensions = 2 if len(step.input_shape) == 3 else 1
            momentum = _number(1 - layer.momentum)
            settings = f"eps={_number(layer.eps)}, momentum={momentum}"
            return [f"nn.BatchNorm{dimensions}d({first}, {settings})"]
        case LayerNorm():
            one = step.input_shape if len(step.input_shape) > 1 else first
            return [f"nn.LayerNorm({one}, eps={_number(layer.eps)})"]
        case LeakyReLU():
            return [f"nn.LeakyReLU({_number(layer.slope)})"]
        case GELU():
            return ['nn.GELU(approximate="tanh")' if layer.approximate else "nn.GELU()"]
        case MaxPool() | AvgPool():
            kind = "Max" if isinstance(layer, MaxPool) else "Avg"
            stride = layer.size if layer.stride is None else layer.stride
            return [f"nn.{kind}Pool2d({layer.size}, stride={stride})"]
        case GlobalAvgPool():
            return ["nn.AdaptiveAvgPool2d(1)", "nn.Flatten()"]
        case Flatten():
            return ["nn.Flatten()"]
        case Scale():
            return [f"Scale({_number(layer.factor)})"]
    raise AssertionError(f"steps_of lets no {layer} through")


def _number(value: float) -> str:
    """Write a setting without the rounding of 1 - 0.9."""
    return repr(float(f"{value:.12g}"))
