"""A network's layers as ONNX nodes, in float32."""

import math
from collections.abc import Callable

import numpy as np

from handgrad.arrays import Array
from handgrad.errors import ExportError
from handgrad.export.folding import Scale, Step, steps_of
from handgrad.export.onnx_graph import Graph
from handgrad.network import (
    GELU,
    AvgPool,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    Network,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)


def add_network(graph: Graph, network: Network, x: str, *, check_finite: bool) -> str:
    """Append a network's layers behind x (N, *input_shape); give the name of the scores (N, C).

    Parameters
    ----------
    graph : Graph
    network : Network
    x : str
        The name of its float32 inputs.
    check_finite : bool
        Whether an example that meets a number that is not finite, at the input or before a max
        pool, gets NaN for each score: what a pool makes of it depends on the runtime.

    Raises
    ------
    ExportError
        For a layer that ONNX files cannot have here, or a weight that float32 cannot hold.
    """
    checks = [_zero_or_nan(graph, x, len(network.input_shape))] if check_finite else []
    for step in steps_of(network, _WRITERS, "ONNX"):
        if check_finite and isinstance(step.layer, MaxPool):
            checks.append(_zero_or_nan(graph, x, 3))
        names = network.named_layers[step.position][1]
        arrays = {
            own: graph.constant(names[own], _single(names[own], array))
            for own, array in step.arrays.items()
        }
        x = _WRITERS[type(step.layer)](graph, step, x, arrays)
    for check in checks:
        x = graph.add("Add", [x, check], "scores_checked")
    return x


def _zero_or_nan(graph: Graph, x: str, axes: int) -> str:
    """Give (N, 1): 0 for an example of finite numbers, else NaN, as 0 times infinity is."""
    flat = x if axes == 1 else graph.add("Flatten", [x], "check_flat", axis=1)
    zeros = graph.add("Mul", [flat, graph.constant("zero", np.float32(0))], "check_zeros")
    axis = graph.constant("check_axis", np.array([1], np.int64))
    return graph.add("ReduceSum", [zeros, axis], "check", keepdims=1)


def _single(name: str, array: Array) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        cast = array.astype(np.float32)
    if not np.isfinite(cast).all():
        raise ExportError(f"cannot write {name} as ONNX: float32 does not hold its values")
    return cast


_Arrays = dict[str, str]  # a layer's own names to the constants'
_Writer = Callable[[Graph, Step, str, _Arrays], str]


def _name(step: Step) -> str:
    return f"layer{step.position}_{type(step.layer).__name__}"


def _dense(graph: Graph, step: Step, x: str, own: _Arrays) -> str:
    if len(step.input_shape) > 1:
        x = graph.add("Flatten", [x], f"{_name(step)}_rows", axis=1)
    return graph.add("Gemm", [x, own["W"], own["b"]], _name(step))


def _conv(graph: Graph, step: Step, x: str, own: _Arrays) -> str:
    layer = step.layer
    assert isinstance(layer, Conv)
    return graph.add(
        "Conv", [x, *own.values()], _name(step), kernel_shape=[layer.size] * 2,
        strides=[layer.stride] * 2, pads=[layer.padding] * 4,
    )  # fmt: skip


def _batch_norm(graph: Graph, step: Step, x: str, own: _Arrays) -> str:
    assert isinstance(step.layer, BatchNorm)
    order = ("gamma", "beta", "running_mean", "running_var")
    arrays = [own[name] for name in order]
    return graph.add("BatchNormalization", [x, *arrays], _name(step), epsilon=step.layer.eps)


def _layer_norm(graph: Graph, step: Step, x: str, own: _Arrays) -> str:
    """Centre first: a runtime may take E[x^2] - E[x]^2 for the variance."""
    assert isinstance(step.layer, LayerNorm)
    axes = list(range(1, len(step.input_shape) + 1))
    mean = graph.add("ReduceMean", [x], f"{_name(step)}_mean", axes=axes)
    centred = graph.add("Sub", [x, mean], f"{_name(step)}_centred")
    return graph.add(
        "LayerNormalization", [centred, own["gamma"], own["beta"]], _name(step), axis=1,
        epsilon=step.layer.eps,
    )  # fmt: skip


def _leaky_relu(graph: Graph, step: Step, x: str, own: _Arrays) -> str:
    assert isinstance(step.layer, LeakyReLU)
    return graph.add("LeakyRelu", [x], _name(step), alpha=step.layer.slope)


def _number(graph: Graph, step: Step, value: float) -> str:
    return graph.constant(f"{_name(step)}_number", np.float32(value))


def _gelu(graph: Graph, step: Step, x: str, own: _Arrays) -> str:
    """Compose it, in either form: opset 17 has no GELU of its own."""
    assert isinstance(step.layer, GELU)

    def add(op: str, *inputs: str | float) -> str:
        names = [i if isinstance(i, str) else _number(graph, step, i) for i in inputs]
        return graph.add(op, names, _name(step))

    if step.layer.approximate:
        cubic = add("Mul", 0.044715, add("Mul", x, add("Mul", x, x)))
        bent = add("Tanh", add("Mul", math.sqrt(2 / math.pi), add("Add", x, cubic)))
    else:
        bent = add("Erf", add("Mul", x, math.sqrt(0.5)))
    return add("Mul", add("Mul", x, 0.5), add("Add", bent, 1.0))


def _silu(graph: Graph, step: Step, x: str, own: _Arrays) -> str:
    return graph.add(
        "Mul", [x, graph.add("Sigmoid", [x], f"{_name(step)}_sigmoid")], _name(step)
    )  # fmt: skip


def _pool(graph: Graph, step: Step, x: str, own: _Arrays) -> str:
    layer = step.layer
    assert isinstance(layer, MaxPool | AvgPool)
    stride = layer.size if layer.stride is None else layer.stride
    op = "MaxPool" if isinstance(layer, MaxPool) else "AveragePool"
    return graph.add(
        op, [x], _name(step), kernel_shape=[layer.size] * 2, strides=[stride] * 2
    )  # fmt: skip


def _global_avg_pool(graph: Graph, step: Step, x: str, own: _Arrays) -> str:
    averages = graph.add("GlobalAveragePool", [x], f"{_name(step)}_images")
    return graph.add("Flatten", [averages], _name(step), axis=1)


def _flatten(graph: Graph, step: Step, x: str, own: _Arrays) -> str:
    return graph.add("Flatten", [x], _name(step), axis=1)


def _scale(graph: Graph, step: Step, x: str, own: _Arrays) -> str:
    assert isinstance(step.layer, Scale)
    return graph.add("Mul", [x, _number(graph, step, step.layer.factor)], _name(step))


def _plain(op: str) -> _Writer:
    return lambda graph, step, x, own: graph.add(op, [x], _name(step))


_WRITERS: dict[type, _Writer] = {
    Dense: _dense,
    Conv: _conv,
    BatchNorm: _batch_norm,
    LayerNorm: _layer_norm,
    ReLU: _plain("Relu"),
    LeakyReLU: _leaky_relu,
    Sigmoid: _plain("Sigmoid"),
    Tanh: _plain("Tanh"),
    GELU: _gelu,
    SiLU: _silu,
    MaxPool: _pool,
    AvgPool: _pool,
    GlobalAvgPool: _global_avg_pool,
    Flatten: _flatten,
    Scale: _scale,
}
