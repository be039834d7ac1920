"""What the page's download needs to write a model file that `handgrad predict` reads."""

import json
from typing import Any

import numpy as np

from handgrad.arrays import Array
from handgrad.export.source import RowInputs, Source
from handgrad.models import Model
from handgrad.show.describing import output_names, scaling_of, target_names
from handgrad.tables import Preprocessor, TargetCoder
from handgrad.tables.encoders import NumberEncoder, Scale
from handgrad.tables.values import label_text

PREFIX = "file/"
NETWORK_HERE = "the network of the page"
"""What ``page/model_file.mjs`` replaces in the header."""

_NETWORK = "network/"
_LENGTH = 8  # bytes of the header's length, with which a safetensors file begins
_DTYPES: dict[str, Any] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}


def template(source: Source) -> tuple[dict[str, Any] | None, dict[str, Array]]:
    """Describe the model file, and give its arrays that are no parameters of the network.

    Returns
    -------
    description : dict or None
        As `handgrad.show.content` says; None where no model file holds such inputs: those of an
        estimator, which are bounded.
    arrays : dict
        Named ``file/...``.
    """
    model = as_model(source)
    if model is None:
        return None, {}
    content = model.to_bytes()
    start = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    header = json.loads(content[_LENGTH:start])
    metadata = header.pop("__metadata__")
    entries: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {}
    for name, entry in header.items():
        if name.startswith(_NETWORK):
            continue
        first, last = entry["data_offsets"]
        kept = np.frombuffer(content[start + first : start + last], _DTYPES[str(entry["dtype"])])
        arrays[PREFIX + name] = kept.reshape(entry["shape"])
        entries.append({"name": name, "dtype": entry["dtype"], "shape": entry["shape"]})
    return {"header": _without_network(metadata["handgrad"]), "arrays": entries}, arrays


def _without_network(text: str) -> str:
    """Put a place into a file's header where the page writes the description of its network."""
    header = json.loads(text)
    header["model"] = json.dumps({**json.loads(header["model"]), "network": NETWORK_HERE})
    return json.dumps(header)


def as_model(source: Source) -> Model | None:
    """Make a Model of whatever it was, for a network that is trained further in the page.

    It has no metrics: those of the model that the page was made of are another network's.
    """
    inputs = source.inputs
    if isinstance(inputs, RowInputs):
        made = _of_rows(inputs, source)
        if made is None:
            return None
        inputs = made
    about = {key: json.loads(json.dumps(value)) for key, value in source.about.items()}
    about["written"] = "by the page of handgrad show, in which it may have been trained further"
    return Model(source.network, inputs, coder_of(source), {}, about)


def _of_rows(inputs: RowInputs, source: Source) -> Preprocessor | None:
    """Give columns of numbers as a table's; None for what a table has not."""
    centre, deviation = inputs.centre, inputs.deviation
    flat = len(source.network.input_shape) == 1
    if not flat or inputs.far is not None or centre is None or deviation is None:
        return None
    names = inputs.names or tuple(f"column {place}" for place in range(1, centre.size + 1))
    scales = zip(names, centre.reshape(-1).tolist(), deviation.reshape(-1).tolist(), strict=True)
    return Preprocessor(
        tuple(
            NumberEncoder(name, Scale(mean, mean, scale), indicator=False, words=False)
            for name, mean, scale in scales
        )
    )


def coder_of(source: Source) -> TargetCoder:
    """Give what turns labels and targets into the numbers of the network's loss, and back."""
    names = target_names(source)
    none, one = np.zeros(len(names)), np.ones(len(names))
    if source.task == "regress":
        return TargetCoder("regress", names, (), False, *scaling_of(source))
    outputs = output_names(source)
    if source.task == "multilabel":
        return TargetCoder("multilabel", tuple(outputs), tuple(outputs), False, none, one)
    numeric = source.labels.dtype.kind in "if"
    if numeric:
        outputs = [str(label_text(float(label))) for label in source.labels.tolist()]
    return TargetCoder("classify", names, tuple(outputs), numeric, none, one)
