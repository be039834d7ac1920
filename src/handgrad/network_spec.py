"""A network as JSON and back: which layers with which settings, never their code.

What a file names is looked up among the layers of `handgrad.network`, so that a file can only build
what handgrad has.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

import numpy as np

from handgrad import network as networks
from handgrad.errors import CheckpointError
from handgrad.network import Layer, Network
from handgrad.results import LayerRecord, settings_text

_SETTINGS = ("input_shape", "loss", "loss_options", "reg", "weight_scale", "dtype")

KINDS: Mapping[str, type[Layer]] = {
    name: getattr(networks, name) for name in networks.__all__ if name not in ("Layer", "Network")
}
"""Each layer description by its name."""


def to_spec(network: Network) -> dict[str, Any]:
    """Describe a network, without its parameters, as JSON has it.

    Raises
    ------
    CheckpointError
        For a layer that is none of handgrad's.

    Examples
    --------
    >>> from handgrad.network import Dense, Dropout
    >>> spec = to_spec(Network([Dropout(0.8), Dense(3)], (4,), rng=np.random.default_rng(0)))
    >>> spec["layers"]
    [{'kind': 'Dropout', 'keep': 0.8}, {'kind': 'Dense', 'units': 3}]
    >>> from_spec(spec)
    Network((4,) -> (3,), 15 parameters)
    """
    return {
        "layers": [_layer_spec(layer) for layer in network.layers],
        "input_shape": list(network.input_shape),
        "loss": network.loss_name,
        "loss_options": dict(getattr(network, "loss_options", None) or {}),
        "reg": network.reg,
        "weight_scale": network.weight_scale,
        "dtype": network.dtype.name,
    }


def _layer_spec(layer: Layer) -> dict[str, Any]:
    kind = type(layer).__name__
    if KINDS.get(kind) is not type(layer):
        raise CheckpointError(
            f"a file holds networks of handgrad's own layers ({', '.join(sorted(KINDS))}); got "
            f"{layer!r}"
        )
    return {"kind": kind, **{field.name: getattr(layer, field.name) for field in fields(layer)}}  # type: ignore[arg-type]


def from_spec(spec: Mapping[str, Any], *, rng: np.random.Generator | None = None) -> Network:
    """Build the network that ``to_spec`` described.

    Parameters
    ----------
    spec : mapping
    rng : numpy.random.Generator, optional
        Draws the weights, then dropout's masks. Default: seeded with 0, for weights that are
        replaced at once.

    Raises
    ------
    CheckpointError
        Where the description is damaged, or names what this version of handgrad has not.
    """
    if not isinstance(spec, Mapping) or _missing(spec, ("layers", *_SETTINGS)):
        raise CheckpointError(
            "the description of a network must have layers, "
            f"{', '.join(_SETTINGS)}; got {_shortened(spec)}"
        )
    options = {"loss_options": spec["loss_options"]} if spec["loss_options"] else {}
    try:
        return Network(
            [_layer(entry) for entry in spec["layers"]],
            tuple(spec["input_shape"]),
            loss=spec["loss"],
            reg=spec["reg"],
            weight_scale=spec["weight_scale"],
            dtype=spec["dtype"],
            rng=np.random.default_rng(0) if rng is None else rng,
            **options,
        )
    except (ValueError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"the description of a network is damaged: {error}") from None


def _missing(spec: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    """List the names that a mapping lacks."""
    return [name for name in names if name not in spec]


def _layer(entry: Any) -> Layer:
    kind = str(entry.get("kind")) if isinstance(entry, Mapping) else "None"
    if kind not in KINDS:
        raise CheckpointError(
            f"this version of handgrad has no layer {kind[:80]}; it has "
            f"{', '.join(sorted(KINDS))}: a newer one may"
        )
    settings = {name: value for name, value in entry.items() if name != "kind"}
    known = {field.name: field for field in fields(KINDS[kind])}  # type: ignore[arg-type]
    unknown = sorted(settings.keys() - known.keys())
    needed = [name for name, field in known.items() if field.default is MISSING]
    if unknown or _missing(settings, tuple(needed)):
        raise CheckpointError(
            f"{kind} has the settings {', '.join(known) or 'none'} in this version of handgrad; "
            f"got {', '.join(settings) or 'none'}"
        )
    if any(isinstance(v, float) and not math.isfinite(v) for v in settings.values()):
        raise CheckpointError(f"{kind}'s settings must be finite; got {_shortened(settings)}")
    return KINDS[kind](**settings)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."


def layers_of(network: Network) -> tuple[LayerRecord, ...]:
    """List a network's layers with their output shapes and parameter counts."""
    found, shape = [], tuple(network.input_shape)
    for layer in network.layers:
        parameters = sum(math.prod(size) for size in layer.parameter_shapes(shape).values())
        shape = tuple(layer.output_shape(shape))
        settings = settings_text(_shown(asdict(layer)))  # type: ignore[call-overload]
        found.append(LayerRecord(type(layer).__name__, settings, shape, parameters))
    return tuple(found)


def _shown(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings that are given, of fractions the digits that people read."""
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in settings.items()
        if value is not None
    }
