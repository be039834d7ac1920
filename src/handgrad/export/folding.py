"""A network at prediction as a plain list of layers with their arrays: what every format writes.

Nothing random is left in it. Dropout is ``keep * x`` at prediction here (it is unscaled in
training), and the identity elsewhere, so ``keep`` goes into the weights that follow.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from handgrad.arrays import Array
from handgrad.descriptions_base import Shape, WithoutParameters
from handgrad.errors import ExportError
from handgrad.network import (
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Layer,
    LeakyReLU,
    MaxPool,
    Network,
    ReLU,
)

SCALE_GOES_THROUGH = (Flatten, MaxPool, AvgPool, GlobalAvgPool, ReLU, LeakyReLU)


@dataclass(frozen=True)
class Scale(WithoutParameters):
    """``factor * x``: a dropout that no weights could take in. No layer of a `Network`."""

    factor: float


@dataclass(frozen=True)
class Step:
    """One layer at prediction.

    Attributes
    ----------
    layer : Layer or Scale
        One of ``handgrad.network``'s; never Dropout. Where something was folded into it, it may
        differ from the network's (a Conv that has got a bias).
    position : int
        Its place in ``network.layers``; of a Scale that of its Dropout.
    arrays : dict
        Under the layer's own names: W and b; gamma, beta, running_mean and running_var. In the
        network's dtype.
    input_shape, output_shape : tuple of int
        Of one example.
    """

    layer: Layer | Scale
    position: int
    arrays: dict[str, Array]
    input_shape: Shape
    output_shape: Shape


def steps_of(
    network: Network, known: Collection[type], to: str, *, fold_batch_norm: bool = False
) -> list[Step]:
    """List a network's layers for prediction, dropout folded.

    Parameters
    ----------
    network : Network
    known : collection of types
        The layers that the format can write, by exact type (a subclass may do otherwise). Dropout
        need not be among them; `Scale` must be handled.
    to : str
        What messages call the format: 'ONNX'.
    fold_batch_norm : bool
        Whether a batch norm right behind a Dense or Conv goes into its weights. One that stands
        elsewhere stays.

    Raises
    ------
    ExportError
        Naming the layers that the format lacks, or an array that is not finite.
    """
    unknown = [
        f"{type(layer).__name__} (layer {position})"
        for position, layer in enumerate(network.layers)
        if type(layer) not in {*known, Dropout}
    ]
    if unknown:
        can = ", ".join(sorted(each.__name__ for each in {*known, Dropout} - {Scale}))
        raise ExportError(f"cannot write {', '.join(unknown)} as {to}, which can take {can}")
    steps: list[Step] = []
    shape = network.input_shape
    for position, (layer, names) in enumerate(network.named_layers):
        arrays = network.arrays_of(names)
        for own, array in arrays.items():
            if not np.isfinite(array).all():
                raise ExportError(
                    f"cannot write {names[own]} as {to}: it has values that are not finite; "
                    "train again"
                )
        after = layer.output_shape(shape)
        steps.append(Step(layer, position, arrays, shape, after))
        shape = after
    steps = _without_dropout(steps)
    return _without_batch_norm(steps) if fold_batch_norm else steps


def _without_dropout(steps: list[Step]) -> list[Step]:
    """Carry each dropout's factor to the next weights, or leave it as a Scale."""
    done: list[Step] = []
    waiting: Step | None = None  # the Scale that no weights have taken in yet
    for step in steps:
        if isinstance(step.layer, Dropout):
            factor = step.layer.keep * (_factor(waiting) if waiting else 1.0)
            waiting = replace(step, layer=Scale(factor))
            continue
        if waiting and not isinstance(step.layer, SCALE_GOES_THROUGH):
            if isinstance(step.layer, Dense | Conv | BatchNorm):
                step = _scaled(step, _factor(waiting))
            elif _factor(waiting) != 1:
                done.append(_standing(waiting, step.input_shape))
            waiting = None
        done.append(step)
    if waiting and _factor(waiting) != 1:
        done.append(_standing(waiting, done[-1].output_shape if done else waiting.output_shape))
    return done


def _standing(scale: Step, shape: Shape) -> Step:
    """Give a Scale that stands where examples have this shape."""
    return replace(scale, input_shape=shape, output_shape=shape)


def _factor(step: Step) -> float:
    assert isinstance(step.layer, Scale)
    return step.layer.factor


def _scaled(step: Step, factor: float) -> Step:
    """Give the layer that makes of x what this one makes of ``factor * x``."""
    arrays = dict(step.arrays)
    if isinstance(step.layer, BatchNorm):
        # gamma (p x - mean) = (p gamma) (x - mean / p)
        arrays["gamma"] = _times(arrays["gamma"], factor)
        arrays["running_mean"] = _times(arrays["running_mean"], 1 / factor)
    else:
        arrays["W"] = _times(arrays["W"], factor)
    return replace(step, arrays=arrays)


def _times(array: Array, factor: float) -> Array:
    return np.asarray(array.astype(np.float64) * factor, array.dtype)


def _without_batch_norm(steps: list[Step]) -> list[Step]:
    """Multiply batch norms into the Dense and Conv layers right before them."""
    done: list[Step] = []
    for step in steps:
        before = done[-1] if done else None
        if isinstance(step.layer, BatchNorm) and before and isinstance(before.layer, Dense | Conv):
            done[-1] = _joined(before, step)
        else:
            done.append(step)
    return done


def _joined(weighted: Step, norm: Step) -> Step:
    """Fold ``gamma (y - mean) / sqrt(var + eps) + beta`` into the layer that makes y."""
    layer, own = weighted.layer, {n: a.astype(np.float64) for n, a in norm.arrays.items()}
    assert isinstance(norm.layer, BatchNorm)
    w = weighted.arrays["W"]
    slope = own["gamma"] / np.sqrt(own["running_var"] + norm.layer.eps)
    b = weighted.arrays.get("b", np.zeros(len(slope)))
    arrays = {
        "W": w * (slope[:, None, None, None] if isinstance(layer, Conv) else slope),
        "b": (b - own["running_mean"]) * slope + own["beta"],
    }
    if isinstance(layer, Conv):
        layer = replace(layer, bias=True)
    cast = {name: np.asarray(array, w.dtype) for name, array in arrays.items()}
    return replace(weighted, layer=layer, arrays=cast)
