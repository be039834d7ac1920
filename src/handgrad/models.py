"""A trained model as one file: network, preprocessing, names, metrics and versions; no pickle.

The file is a safetensors file, which `handgrad.checkpoint` writes. Its header has ``format``
(``handgrad model``), ``version`` (of this layout) and ``model``, JSON with network
(`network_spec.to_spec`), preprocessor, coder, metrics and about. Its arrays are named
``network/W1``, ``preprocessor/...`` and ``coder/...``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import handgrad
from handgrad import checkpoint, engine, network_spec
from handgrad.arrays import Array
from handgrad.errors import CheckpointError, HandgradError, ModelError
from handgrad.files import write_atomically
from handgrad.images import ImagePreprocessor
from handgrad.network import Network
from handgrad.probabilities import logistic, logistic_pair, softmax
from handgrad.tables import Columns, Preprocessor, TargetCoder

FORMAT, VERSION = "handgrad model", 1
_BATCH = 4096  # rows scored at a time


@dataclass(frozen=True)
class Model:
    """A network, what turns a user's data into its inputs, and its scores into answers.

    Attributes
    ----------
    network : Network
    preprocessor : Preprocessor or ImagePreprocessor
    coder : TargetCoder
    metrics : mapping
        Part ('validation', 'test') to model ('majority' or 'mean', 'linear', 'net') to the metrics
        of `training_record.METRICS`.
    about : mapping
        What else is known of the training, JSON values.
    """

    network: Network
    preprocessor: Preprocessor | ImagePreprocessor
    coder: TargetCoder
    metrics: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """'classify', 'multilabel' or 'regress'."""
        return self.coder.task

    @property
    def of_images(self) -> bool:
        """Whether it takes images, not a table."""
        return isinstance(self.preprocessor, ImagePreprocessor)

    def inputs(self, data: Columns | Array) -> Array:
        """Give what the network takes.

        Parameters
        ----------
        data : Columns of a table, or uint8 array (N, C, H, W) of images

        Raises
        ------
        DataError
            Where columns or image sizes are not those of the training.
        ModelError
            For a table in place of images, or images in place of a table.
        """
        if isinstance(self.preprocessor, ImagePreprocessor) == isinstance(data, Columns):
            wanted, got = ("images", "a table") if self.of_images else ("a table", "images")
            raise ModelError(f"the model takes {wanted}; got {got}")
        return np.asarray(self.preprocessor.transform(data))  # type: ignore[arg-type]

    def outputs(self, data: Columns | Array) -> Array:
        """Give probabilities (N, C) of the classes or (N, L) of the labels, or numbers.

        Numbers are (N,), of several targets (N, L), in the targets' units. Takes and raises what
        `inputs` does.
        """
        values = outputs(self.network, self.inputs(data), self.task)
        return self.coder.decode(values) if self.task == "regress" else values

    def predict(self, data: Columns | Array) -> Array:
        """Give labels (N,) as the training's file had them, 0 and 1 (N, L), or numbers."""
        return self.answers(self.outputs(data))

    def answers(self, given: Array) -> Array:
        """Turn what `outputs` gave into what `predict` gives."""
        if self.task == "classify":
            return self.coder.decode(given.argmax(axis=1))
        return (given > 0.5).astype(np.int64) if self.task == "multilabel" else given

    def save(self, path: Path) -> None:
        """Write the file; OSError where it cannot be written, and then nothing is changed."""
        write_atomically(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """Give the content of the file."""
        parts: dict[str, Mapping[str, Array]] = {
            "network": {**self.network.params, **self.network.state},
            "preprocessor": self.preprocessor.arrays(),
            "coder": self.coder.arrays(),
        }
        model = {
            "network": network_spec.to_spec(self.network),
            "preprocessor": self.preprocessor.to_header(),
            "coder": self.coder.to_header(),
            "metrics": self.metrics,
            "about": {**self.about, "handgrad": handgrad.__version__},
        }
        text = json.dumps(model, allow_nan=False, default=_plain)
        arrays = {
            f"{part}/{name}": array for part, own in parts.items() for name, array in own.items()
        }
        return checkpoint.encode(arrays, {"format": FORMAT, "version": VERSION, "model": text})


def outputs(network: Network, X: Array, task: str) -> Array:
    """Give a network's probabilities or numbers of inputs (N, ...), some thousand rows at a time.

    Softmax makes probabilities of a classification's scores (N, C), the logistic function those of
    labels (N, L) and, (N, 2), of a binary loss; in float64. A regression's scores stay what they
    are.
    """
    if not len(X):
        shape = network.output_shape
        if shape == (1,) and task != "multilabel":
            return np.zeros(0 if task == "regress" else (0, 2))
        return np.zeros((0, *shape))
    scores = np.concatenate(
        [engine.scores(network, X[start : start + _BATCH]) for start in range(0, len(X), _BATCH)]
    )
    if task == "classify":
        return softmax(scores) if scores.ndim == 2 else logistic_pair(scores)
    if task == "multilabel":
        return logistic(scores)
    return scores


def load(path: Path) -> Model:
    """Read a model; of a folder of `handgrad train` the one in it.

    Raises
    ------
    ModelError
        Naming the file: it is not there, damaged, a pickle, not handgrad's, or of a newer version.
    """
    path = path / "model.safetensors" if path.is_dir() else path
    arrays, header = _read(path)
    if header.get("format") != FORMAT:
        what = "a checkpoint or weights" if header else "nothing"
        raise ModelError(f"{path} holds {what} of handgrad, not a model of handgrad train")
    if header.get("version") != VERSION:
        raise ModelError(
            f"{path} is a model of layout {header.get('version')}; this handgrad "
            f"({handgrad.__version__}) reads {VERSION}: update handgrad, or train again"
        )
    try:
        model = json.loads(header["model"])
        network = network_spec.from_spec(model["network"])
        fill(network, _under("network/", arrays))
        of_images = model["preprocessor"].get("kind") == "images"
        kind = ImagePreprocessor if of_images else Preprocessor
        preprocessor = kind.restore(model["preprocessor"], _under("preprocessor/", arrays))
        coder = TargetCoder.restore(model["coder"], _under("coder/", arrays))
        _require_fit(network, preprocessor, coder)
        return Model(network, preprocessor, coder, model["metrics"], model["about"])
    except CheckpointError as error:
        raise ModelError(f"{path} cannot be used: {error}") from None
    except HandgradError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ModelError(
            f"{path} is damaged ({type(error).__name__}: {error}); train again"
        ) from None


def _read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read arrays and header; each way in which a file is none of ours has its line."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise ModelError(f"there is no model to read at {path} ({error.strerror})") from None
    try:
        return checkpoint.read(path)
    except CheckpointError as error:
        if "not written by handgrad" in str(error):
            raise ModelError(f"{path} is a safetensors file, but no model of handgrad") from None
    # Only now, as a safetensors file begins with its header's length, whose bytes may be any.
    if start[:1] == b"\x80" or start[:2] == b"PK":
        kind = "a zip file, as PyTorch's or Keras' are" if start[:2] == b"PK" else "a pickle"
        raise ModelError(
            f"{path} is {kind}; handgrad reads models in safetensors files, and never a pickle"
        )
    raise ModelError(f"{path} is damaged, or no model of handgrad; train again")


def fill(network: Network, arrays: Mapping[str, Array]) -> None:
    """Put a file's parameters and statistics into a network, all of them and no others.

    Raises CheckpointError, naming the array, where one is missing, of no layer, of another shape or
    dtype, or not finite.
    """
    for own in (network.params, network.state):
        for name, array in own.items():
            found = arrays.get(name)
            if found is None or found.shape != array.shape or found.dtype != array.dtype:
                got = "none" if found is None else f"{found.dtype} {found.shape}"
                raise CheckpointError(f"{name} must be {array.dtype} {array.shape}; got {got}")
            if not np.isfinite(found).all():
                raise CheckpointError(f"{name} has a value that is not finite")
            own[name] = found
    if extra := sorted(arrays.keys() - network.params.keys() - network.state.keys()):
        raise CheckpointError(f"it has arrays of no layer: {', '.join(extra[:5])}")


def _require_fit(
    network: Network, preprocessor: Preprocessor | ImagePreprocessor, coder: TargetCoder
) -> None:
    """Refuse parts that are not of one model."""
    if isinstance(preprocessor, ImagePreprocessor):
        shape: tuple[int, ...] = preprocessor.input_shape
    else:
        shape = (len(preprocessor.feature_names),)
    if network.input_shape != tuple(shape):
        raise CheckpointError(f"its network takes {network.input_shape}, its inputs are {shape}")
    named = coder.names if coder.task == "regress" else coder.classes
    binary = coder.task == "classify" and network.output_shape == (1,)
    wanted = 1 if binary and len(named) == 2 else len(named)
    if network.output_shape != (wanted,) or network.task != coder.task:
        what = "targets" if coder.task == "regress" else "classes"
        raise CheckpointError(
            f"its network has {network.output_shape[0]} outputs for {len(named)} {what}"
        )


def _under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays whose names start with a prefix, without it."""
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _plain(value: object) -> Any:
    """What JSON lacks, as what it has."""
    if isinstance(value, np.generic):
        return value.item()
    raise CheckpointError(f"a model's header holds JSON values; got {type(value).__name__}")
