"""What makes a network's inputs of raw rows, as a PyTorch module's code and its buffers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from handgrad.arrays import Array
from handgrad.export.source import Inputs, RowInputs
from handgrad.images import ImagePreprocessor
from handgrad.network import Network
from handgrad.tables import Preprocessor
from handgrad.tables.encoders import MOST_DEVIATIONS, NumberEncoder


@dataclass(frozen=True)
class InputCode:
    """A class ``Inputs`` of a generated module.

    Attributes
    ----------
    takes : str
        What is given to the model, in words.
    body : str
        The statements of its forward, which turn ``x`` into what is returned; '' where x is
        given as the network takes it.
    buffers : mapping
        'inputs.NAME' to arrays.
    names : tuple of str
        Of the columns, in their order; may be empty.
    """

    takes: str
    body: str = ""
    buffers: Mapping[str, Array] = field(default_factory=dict)
    names: tuple[str, ...] = ()


def inputs_of(inputs: Inputs, network: Network) -> InputCode:
    """Give the code for what a model is given."""
    if isinstance(inputs, ImagePreprocessor):
        return _images(inputs)
    if isinstance(inputs, Preprocessor):
        return _table(inputs)
    return _rows(inputs, network)


def _images(inputs: ImagePreprocessor) -> InputCode:
    per_channel = (len(inputs.mean), 1, 1)
    return InputCode(
        f"uint8 images (N, {', '.join(map(str, inputs.input_shape))}), levels 0 to 255",
        "return (x.double() - self.mean) / self.deviation",
        {
            "inputs.mean": inputs.mean.reshape(per_channel),
            "inputs.deviation": inputs.deviation.reshape(per_channel),
        },
    )


def _rows(inputs: RowInputs, network: Network) -> InputCode:
    shape = ", ".join(map(str, inputs.shape))
    takes = f"numbers (N, {shape})"
    steps, buffers = [], {}
    if inputs.layout == "HWC":
        steps.append("x = x.movedim(-1, 1)")
    if inputs.layout != "same" or tuple(inputs.shape) != network.input_shape:
        sizes = ", ".join(map(str, network.input_shape))
        steps.append(f"x = x.reshape(len(x), {sizes})")
    if inputs.centre is not None and inputs.deviation is not None:
        buffers = {"inputs.centre": inputs.centre, "inputs.deviation": inputs.deviation}
        scaled = "(x.double() - self.centre) / self.deviation"
        if inputs.far is None:
            steps.append(f"return {scaled}")
        else:
            steps += [f"z = {scaled}", f"return z / (1 + (z / {inputs.far}) ** 2).sqrt()"]
    elif steps:
        steps.append("return x")
    return InputCode(takes, "\n".join(steps), buffers, inputs.names)


def _table(inputs: Preprocessor) -> InputCode:
    """Of numbers alone the raw columns; where there are texts or dates, the features."""
    encoders = [each for each in inputs.encoders if isinstance(each, NumberEncoder)]
    features = inputs.feature_names
    if len(encoders) < len(inputs.encoders):
        takes = (
            f"the features (N, {len(features)}) that handgrad's preprocessing makes of a table "
            "with texts or dates (an ONNX export takes such rows themselves)"
        )
        return InputCode(takes, names=features)
    scales = [each.scaling for each in encoders]
    constant = np.array([each.scale == 0 for each in scales])
    order = []  # of the features in [standardised columns, marks of missing values]
    for index, encoder in enumerate(encoders):
        order += [index, len(encoders) + index] if encoder.indicator else [index]
    buffers = {
        "inputs.median": np.array([each.median for each in scales]),
        "inputs.centre": np.array([each.center for each in scales]),
        "inputs.scale": np.array([each.scale for each in scales]),
        "inputs.order": np.array(order, np.int64),
    }
    # A constant column gives 0: infinitely many deviations would be a NaN.
    buffers["inputs.scale"][constant] = np.inf
    body = (
        "missing = ~x.isfinite()\n"
        "x = torch.where(missing, self.median, x.double())\n"
        "z = ((x - self.centre) / self.scale)"
        f".clamp({-MOST_DEVIATIONS}, {MOST_DEVIATIONS})\n"
        "return torch.cat([z, missing.double()], dim=1)[:, self.order]"
    )
    takes = (
        f"numbers (N, {len(encoders)}), the columns in the order of FEATURES, a missing one NaN, a "
        "truth 0 or 1"
    )
    return InputCode(takes, body, buffers, inputs.names)
