"""The text of a module of plain PyTorch, laid out as Black and Ruff lay code out."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import handgrad
from handgrad.export.source import Source
from handgrad.export.torch_inputs import InputCode
from handgrad.network_losses import LOSSES

_WIDTH = 88  # of Black's and Ruff's lines


@dataclass(frozen=True)
class Module:
    """What goes into the text.

    Attributes
    ----------
    source : Source
    inputs : InputCode
    layers : sequence of str
        The code of each layer.
    note : str
        Of batch norms; may be empty.
    """

    source: Source
    inputs: InputCode
    layers: Sequence[str]
    note: str


def text_of(module: Module) -> str:
    """Write the module."""
    parts = [f"{_head(module)}\n\n{_constants(module)}"]
    if module.inputs.body:
        parts.append(_inputs_class(module.inputs))
    if any(line.startswith("Scale(") for line in module.layers):
        parts.append(_SCALE)
    parts += [_model_class(module), _LOAD]
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _head(module: Module) -> str:
    source = module.source
    said = [
        f"Its model takes {module.inputs.takes}; it gives {_given(source)}.",
        "The weights are in the safetensors file of this file's name, beside it.",
    ]
    if module.note:
        said.append(module.note)
    paragraphs = "\n\n".join(textwrap.fill(each, _WIDTH - 1) for each in said)
    return f'''"""A network that handgrad {handgrad.__version__} has trained, as plain PyTorch.

{paragraphs}
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn'''


def _given(source: Source) -> str:
    shape = source.network.output_shape
    if source.task == "regress":
        return "predictions (N,)" if shape == (1,) else f"predictions (N, {shape[0]})"
    return "scores (N,)" if LOSSES[source.network.loss_name].letter == "1" else (
        f"scores (N, {shape[0]})"
    )  # fmt: skip


def _constants(module: Module) -> str:
    lines = ['WEIGHTS = Path(__file__).with_suffix(".safetensors")']
    labels = module.source.labels.tolist()
    targets = module.source.targets
    if labels:
        lines.append(_assigned("CLASSES", labels))
    if targets:
        lines.append(
            _assigned("LABELS" if module.source.task == "multilabel" else "TARGETS", targets)
        )
    if module.inputs.names:
        lines.append(_assigned("FEATURES", module.inputs.names))
    return "\n".join(lines)


def _assigned(name: str, values: Sequence[object]) -> str:
    """Assign a tuple, in one line where it fits."""
    written = [_literal(value) for value in values]
    inside = ", ".join(written) + ("," if len(written) == 1 else "")
    line = f"{name} = ({inside})"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{name} = (", *(f"    {each}," for each in written), ")"])


def _literal(value: object) -> str:
    """Write a value, texts in double quotes where they hold none."""
    text = repr(value)
    if isinstance(value, str) and text.startswith("'") and '"' not in value:
        text = f'"{text[1:-1]}"'
    return text


def _inputs_class(inputs: InputCode) -> str:
    names = [name.removeprefix("inputs.") for name in inputs.buffers]
    buffers = "".join(
        f'        self.register_buffer("{name}", {_empty(inputs.buffers["inputs." + name])})\n'
        for name in names
    )
    init = f"""
    def __init__(self) -> None:
        super().__init__()
{buffers}"""
    return f'''class Inputs(nn.Module):
    """What the network takes of raw rows; the arithmetic is in float64."""
{init if buffers else ""}
    def forward(self, x: Tensor) -> Tensor:
{textwrap.indent(inputs.body, " " * 8)}'''


def _empty(array: np.ndarray) -> str:
    """Give a tensor of this shape, for a buffer that the file fills."""
    kind = "int64" if array.dtype == np.int64 else "float64"
    shape = array.shape if array.ndim > 1 else f"{array.size}"
    return f"torch.zeros({shape}, dtype=torch.{kind})"


_SCALE = '''
class Scale(nn.Module):
    """A dropout's factor at prediction, which no weights could take in."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x
'''


def _model_class(module: Module) -> str:
    source = module.source
    network, targets = source.network, len(source.mean)
    binary = LOSSES[network.loss_name].letter == "1"
    column = binary or (source.task == "regress" and network.output_shape == (1,))
    dtype = network.dtype.name
    layers = "\n".join(f"            {line}," for line in module.layers)
    init = [f"self.layers = nn.Sequential(\n{layers}\n        )"]
    if dtype == "float64":
        init.append("self.layers.double()")
    if module.inputs.body:
        init.insert(0, "self.inputs = Inputs()")
    for name in ("target_mean", "target_scale") if targets else ():
        init.append(f'self.register_buffer("{name}", torch.zeros({targets}, dtype=torch.float64))')
    x = "self.inputs(x)" if module.inputs.body else "x"
    scores = f"self.layers({x}.to(torch.{dtype}))"
    forward, bare = [], scores
    if targets:
        forward.append(f"scores = {scores}")
        bare = "scores * self.target_scale + self.target_mean"
        scores = f"({bare})"
    forward.append(f"return {scores}.squeeze(1)" if column else f"return {bare}")
    return f'''class Network(nn.Module):
    """The layers, as handgrad has trained them."""

    def __init__(self) -> None:
        super().__init__()
        {(chr(10) + " " * 8).join(init)}

    def forward(self, x: Tensor) -> Tensor:
        """Give {_given(source)}."""
        {(chr(10) + " " * 8).join(forward)}
{_answers(source, binary)}'''.rstrip()


def _answers(source: Source, binary: bool) -> str:
    """Give the methods that make answers of scores."""
    if source.task == "regress":
        return ""
    parts = []
    if source.network.loss_name != "svm":
        what = "softmax(1)" if source.task == "classify" and not binary else "sigmoid()"
        of = {"softmax(1)": "the classes"}.get(what, "class 1" if binary else "the labels")
        parts.append(f'''
    def probabilities(self, x: Tensor) -> Tensor:
        """Give the probabilities of {of}."""
        return self(x).{what}
''')
    if source.task == "classify":
        how = "(self(x) > 0).long()" if binary else "self(x).argmax(1)"
        said = "the index in CLASSES of each row's class"
    else:
        how, said = "(self(x) > 0).long()", "1 for each label that a row has, else 0"
    parts.append(f'''
    def predict(self, x: Tensor) -> Tensor:
        """Give {said}."""
        return {how}
''')
    return "".join(parts)


_LOAD = '''
def load(weights: Path = WEIGHTS) -> Network:
    """Give the network with its weights, in evaluation mode."""
    network = Network()
    network.load_state_dict(load_file(weights), strict=True)
    return network.eval()
'''
