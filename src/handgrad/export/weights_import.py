"""Weights of another library's file put into a network of the same shape, each tensor named.

`torch_import` and `keras_import` read their files into groups, one for each layer with weights;
what follows is the same for both.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from handgrad.arrays import Array
from handgrad.descriptions_base import Shape
from handgrad.errors import ExportError
from handgrad.export.folding import SCALE_GOES_THROUGH
from handgrad.network import BatchNorm, Conv, Dense, Dropout, Flatten, Layer, LayerNorm, Network

_DEFAULTS = {"b": 0.0, "gamma": 1.0, "beta": 0.0}
_SHOWN = 6  # tensors that one line names


@dataclass(frozen=True)
class Group:
    """The tensors of one layer of a file.

    Attributes
    ----------
    name : str
        What the tensors' names begin with.
    family : type
        The layer that has such tensors.
    tensors : mapping
        Our own names (W, b, gamma, ...) to the tensor's name in the file and its array as it is
        there.
    """

    name: str
    family: type[Layer]
    tensors: Mapping[str, tuple[str, Array]]


@dataclass(frozen=True)
class Layout:
    """How a library lays weights out.

    Attributes
    ----------
    library : str
    shape : function
        Our shape of a parameter to the file's.
    array : function
        The file's array to ours.
    channels_last : bool
        Whether a flattened image is in the order (H, W, C).
    """

    library: str
    shape: Callable[[str, Shape], Shape]
    array: Callable[[str, Array], Array]
    channels_last: bool = False


@dataclass(frozen=True)
class Found:
    """A file's groups.

    Attributes
    ----------
    groups : sequence of Group
    ordered : bool
        Whether they are in the order of the model; else names and shapes decide.
    scaled : bool
        Whether a dropout's factor that no weights take in stands in the file's module, too.
    """

    path: Path
    groups: Sequence[Group]
    ordered: bool
    scaled: bool = False


@dataclass(frozen=True)
class Report:
    """What went where.

    Attributes
    ----------
    placed : tuple of (str, str)
        A tensor of the file, and the parameter or running statistic that it has become, with what
        was done to it.
    notes : tuple of str
        What the file does not say and its reader should know.
    """

    path: Path
    placed: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Give a line for each tensor, then the notes."""
        width = max((len(source) for source, _ in self.placed), default=0)
        lines = [f"{source:<{width}}  ->  {target}" for source, target in self.placed]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


@dataclass
class _Way:
    """What the layers before have done to what comes in."""

    kept: float = 1.0  # product of the dropouts that no weights have taken in
    order: Array | None = None  # of our flattened features, where the file has each
    placed: list[tuple[str, str]] = field(default_factory=list)
    ready: dict[str, Array] = field(default_factory=dict)


def fill(
    network: Network, found: Found, layout: Layout, layers: Sequence[str] | None
) -> tuple[tuple[str, str], ...]:
    """Put a file's weights into a network, all or none; return what went where.

    Raises
    ------
    ExportError
        Naming the tensor that does not fit, with the shape wanted and found.
    """
    weighted = [position for position, (_, names) in enumerate(network.named_layers) if names]
    groups = _matched(network, weighted, found, layout, layers)
    way, shape = _Way(), network.input_shape
    for position, (layer, names) in enumerate(network.named_layers):
        if isinstance(layer, Dropout):
            way.kept *= layer.keep
        elif isinstance(layer, Flatten) and layout.channels_last and len(shape) == 3:
            C, H, W = shape
            way.order = np.arange(C * H * W).reshape(H, W, C).transpose(2, 0, 1).ravel()
        if names:
            _place(way, f"layer {position}, {layer}", layer, names, groups[position],
                   network, found, layout)  # fmt: skip
        elif way.kept != 1 and not isinstance(layer, (Dropout, *SCALE_GOES_THROUGH)):
            _leave(way, found, layout, f"layer {position}, {layer},")
        shape = layer.output_shape(shape)
    if way.kept != 1:
        _leave(way, found, layout, "the end")
    if way.order is not None:
        raise ExportError(
            f"{found.path}: {layout.library} flattens images in the order (H, W, C), and no Dense "
            "follows whose weights could be reordered: end the network in a Dense"
        )
    for name, array in way.ready.items():
        (network.params if name in network.params else network.state)[name] = array
    return tuple(way.placed)


def _leave(way: _Way, found: Found, layout: Layout, before: str) -> None:
    """Leave a dropout's factor where the file's module has it, too; else refuse."""
    if not found.scaled:
        raise ExportError(
            f"{found.path}: a Dropout before {before} multiplies by {way.kept:g} at prediction in "
            f"handgrad and by 1 in {layout.library}, and no weights follow that could make up for "
            "it: leave that Dropout out of the network"
        )
    way.kept = 1.0


def _place(
    way: _Way,
    where: str,
    layer: Layer,
    names: Mapping[str, str],
    group: Group,
    network: Network,
    found: Found,
    layout: Layout,
) -> None:
    """Check and convert one layer's tensors."""
    if isinstance(layer, LayerNorm) and way.kept != 1:
        _leave(way, found, layout, where + ",")
    own = {
        own: _own(own, name, where, group, network, found, layout) for own, name in names.items()
    }
    done = dict.fromkeys(names, "")
    if way.order is not None:
        for each in own:
            if not (isinstance(layer, Dense) and each == "b"):
                own[each], done[each] = own[each][way.order], ", rows reordered to (C, H, W)"
        way.order = None if isinstance(layer, Dense) else way.order
    if way.kept != 1:
        for each, factor in _made_up_for(layer, way.kept).items():
            own[each] = np.asarray(own[each].astype(np.float64) * factor, network.dtype)
            done[each] += f", times {factor:g} for the Dropout before"
        way.kept = 1.0
    for each, name in names.items():
        way.ready[name] = np.ascontiguousarray(own[each])
        source = group.tensors[each][0] if each in group.tensors else f"({group.name} has none)"
        way.placed.append((source, f"{name} {own[each].shape}{done[each]}"))
    if extra := [name for each, (name, _) in group.tensors.items() if each not in names]:
        raise ExportError(
            f"{found.path}: {where} has no parameter for {', '.join(extra)}"
            + ("; give it bias=True" if isinstance(layer, Conv) else "")
        )


def _made_up_for(layer: Layer, kept: float) -> dict[str, float]:
    """Give the factors that undo ``kept * x`` coming in."""
    return {"gamma": 1 / kept, "running_mean": kept} if isinstance(layer, BatchNorm) else {
        "W": 1 / kept
    }  # fmt: skip


def _own(
    own: str, name: str, where: str, group: Group, network: Network, found: Found, layout: Layout
) -> Array:
    """Give one parameter in our layout and dtype, or its default where the file has none."""
    ours = (network.params if name in network.params else network.state)[name]
    if own not in group.tensors:
        if own not in _DEFAULTS:
            raise ExportError(f"{found.path}: {where} needs {own}, which {group.name} has not")
        return np.full(ours.shape, _DEFAULTS[own], network.dtype)
    source, array = group.tensors[own]
    wanted = layout.shape(own, ours.shape)
    if array.shape != wanted:
        raise ExportError(
            f"{found.path}: {source} does not fit {where}: wanted {wanted}, found {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ExportError(f"{found.path}: {source} has a value that is not finite")
    return np.asarray(layout.array(own, array), network.dtype)


def _matched(
    network: Network,
    weighted: Sequence[int],
    found: Found,
    layout: Layout,
    layers: Sequence[str] | None,
) -> dict[int, Group]:
    """Give each layer with parameters its group: as named, in order, or by shapes."""
    if layers is not None:
        return _as_named(network, weighted, found, layers)
    matched: dict[int, Group] = {}
    for family in (Dense, Conv, BatchNorm, LayerNorm):
        positions = [p for p in weighted if type(network.layers[p]) is family]
        groups = [group for group in found.groups if group.family is family]
        if len(positions) != len(groups):
            names = ", ".join(group.name for group in groups[:_SHOWN])
            raise ExportError(
                f"{found.path}: the network has {len(positions)} {family.__name__} layers, the "
                f"file has {len(groups)}{f' ({names})' if names else ''}"
            )
        if not (found.ordered or _numbered(groups)):
            groups = _by_shapes(network, positions, groups, found, layout)
        matched.update(zip(positions, groups, strict=True))
    return matched


def _as_named(
    network: Network, weighted: Sequence[int], found: Found, layers: Sequence[str]
) -> dict[int, Group]:
    by_name = {group.name: group for group in found.groups}
    if len(layers) != len(weighted) or set(layers) != set(by_name):
        raise ExportError(
            f"{found.path}: layers must name, once and in the network's order, the "
            f"{len(weighted)} of {', '.join(by_name)}; got {', '.join(layers)}"
        )
    matched = {p: by_name[name] for p, name in zip(weighted, layers, strict=True)}
    for position, group in matched.items():
        if type(network.layers[position]) is not group.family:
            raise ExportError(
                f"{found.path}: {group.name} has the tensors of a {group.family.__name__}; layer "
                f"{position} is {network.layers[position]}"
            )
    return matched


def natural(name: str) -> list[tuple[int, int, str]]:
    """Give a key that sorts layers.2 before layers.10."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def _numbered(groups: Sequence[Group]) -> bool:
    """Whether names differ in numbers alone, which then are the order; conv2d is conv2d_0."""
    return len({re.sub(r"_?\d+", "", group.name) for group in groups}) <= 1


def _by_shapes(
    network: Network, positions: Sequence[int], groups: list[Group], found: Found, layout: Layout
) -> list[Group]:
    """Give the groups in the order that their shapes admit; there must be just one."""
    shape, shapes = network.input_shape, []
    for layer in network.layers:
        shapes.append(
            {own: layout.shape(own, s) for own, s in layer.parameter_shapes(shape).items()}
        )
        shape = layer.output_shape(shape)
    ordered = []
    for position in positions:
        first = "gamma" if "gamma" in shapes[position] else "W"
        fitting = [
            group for group in groups
            if first in group.tensors and group.tensors[first][1].shape == shapes[position][first]
        ]  # fmt: skip
        if len(fitting) != 1:
            what = "none fits" if not fitting else "each of these fits"
            names = ", ".join(
                f"{g.name} {g.tensors[first][1].shape}"
                for g in (fitting or groups)[:_SHOWN]
                if first in g.tensors
            )
            raise ExportError(
                f"{found.path}: the names do not tell the layers' order, and for layer {position}, "
                f"{network.layers[position]} of {shapes[position][first]}, {what}: {names}; give "
                "layers=[...], the file's names in the network's order"
            )
        ordered.append(fitting[0])
    return ordered
