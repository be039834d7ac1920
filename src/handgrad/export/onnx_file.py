"""A trained model as one ONNX file: raw rows in, labels and probabilities out."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

import handgrad
from handgrad.errors import ExportError
from handgrad.export.onnx_graph import ML, Graph
from handgrad.export.onnx_inputs import (
    DOUBLE,
    FLOAT,
    STRING,
    Input,
    add_images,
    add_rows,
    add_table,
)
from handgrad.export.onnx_layers import add_network
from handgrad.export.source import Exportable, RowInputs, Source, source_of
from handgrad.export.writing import require_free, write_files
from handgrad.images import ImagePreprocessor

OPSET, ML_OPSET, IR_VERSION = 17, 3, 8
"""What is written, stamped explicitly: runtimes in the field refuse newer files than themselves."""

_KINDS = {"i": TensorProto.INT64, "f": DOUBLE, "b": TensorProto.BOOL, "O": STRING}
Output = tuple[str, int, tuple[int | str, ...]]


def to_onnx(
    model: Exportable,
    out: Path,
    *,
    logits: bool = False,
    check_finite: bool = False,
    force: bool = False,
) -> Path:
    """Write a trained model as an ONNX file.

    Inputs: of a model of a table ``numbers`` (N, K) float64 and ``texts`` (N, M), or one of them,
    with their columns in the metadata; of images ``images`` (N, C, H, W) uint8; of an
    estimator ``X`` float64, of a Network ``X`` float32. N is free.

    Outputs: ``label`` (N,) and ``probabilities`` (N, C) of classes; ``labels`` and
    ``probabilities`` (N, L) of several labels; ``prediction`` of a regression. A network that ends
    in the SVM's loss has no probabilities, but ``logits``.

    Parameters
    ----------
    model : Network, estimator, Model, or path of a model's file or folder
    out : Path
    logits : bool
        Whether the scores are an output, too: ``logits``.
    check_finite : bool
        Whether an example that meets a NaN or an infinity, in the network's inputs or before a
        max pool, gets NaN for all numbers; else a runtime's max pool may lose it.
    force : bool
        Whether a file that exists is replaced.

    Raises
    ------
    ExportError
        For a layer that this format lacks, or a file that exists.
    """
    require_free([out], force=force)
    content = to_model(source_of(model), logits=logits, check_finite=check_finite)
    write_files({out: content.SerializeToString()}, force=force)
    return out


def to_model(source: Source, *, logits: bool, check_finite: bool) -> onnx.ModelProto:
    """Build the model, infer all shapes, and let onnx's checker judge it."""
    graph = Graph()
    network = source.network
    if isinstance(source.inputs, RowInputs):
        given, x = add_rows(graph, source.inputs, network.input_shape)
    elif isinstance(source.inputs, ImagePreprocessor):
        given, x = add_images(graph, source.inputs, network.input_shape)
    else:
        given, x = add_table(graph, source.inputs)
    scores = add_network(graph, network, x, check_finite=check_finite)
    outputs = _outputs(graph, source, scores, logits)
    names = [each.name for each in given]
    made = helper.make_graph(
        graph.nodes,
        "handgrad",
        [_value(i.name, i.kind, ("N", *i.shape), ", ".join(i.columns)) for i in given],
        [_value(name, kind, shape) for name, kind, shape in outputs],
        graph.constants,
        doc_string=f"{network.task} by {len(network.layers)} layers; inputs: {', '.join(names)}",
    )
    domains = {"": OPSET} | ({ML: ML_OPSET} if any(n.domain == ML for n in graph.nodes) else {})
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid(name, version) for name, version in domains.items()],
        ir_version=IR_VERSION,
        producer_name="handgrad",
        producer_version=handgrad.__version__,
    )
    helper.set_model_props(model, _metadata(source, given))
    if model.ByteSize() >= 2**31:
        raise ExportError("cannot write the model as ONNX: a file holds less than 2 GB")
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model


def _value(
    name: str, kind: int, shape: tuple[int | str, ...], doc: str = ""
) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape, doc)


def _outputs(graph: Graph, source: Source, scores: str, logits: bool) -> list[Output]:
    """Append what makes answers of scores (N, C); give the graph's outputs."""
    network = source.network
    outputs: list[Output] = []
    count = network.output_shape[0]
    column = len(network.as_scores(np.zeros((1, count))).shape) == 1
    if source.task == "regress":
        if logits:
            raise ExportError("a regression has no logits: its scores are what it predicts")
        return _regression(graph, source, scores, column)
    if source.task == "multilabel":
        above = graph.add("Greater", [scores, graph.constant("border", np.float32(0))], "above")
        graph.cast(above, TensorProto.INT64, "labels")
        graph.add("Sigmoid", [scores], "probabilities")
        outputs += [("labels", TensorProto.INT64, ("N", count))]
        outputs += [("probabilities", FLOAT, ("N", count))]
    else:
        outputs.append(("label", _KINDS[source.labels.dtype.kind], ("N",)))
        labels = graph.constant("classes", source.labels)
        if column:
            above = graph.add("Greater", [scores, graph.constant("border", np.float32(0))], "above")
            number = graph.cast(above, TensorProto.INT64, "above_number")
            index = _flat(graph, number, "class")
        else:
            index = graph.add("ArgMax", [scores], "class", axis=1, keepdims=0)
        graph.add("Gather", [labels, index], "label", axis=0)
        if network.loss_name == "logistic":
            against = graph.add("Neg", [scores], "against")
            both = graph.add("Concat", [against, scores], "both", axis=1)
            graph.add("Sigmoid", [both], "probabilities")
            outputs.append(("probabilities", FLOAT, ("N", 2)))
        elif network.loss_name == "softmax":
            graph.add("Softmax", [scores], "probabilities", axis=1)
            outputs.append(("probabilities", FLOAT, ("N", count)))
    if logits or network.loss_name == "svm":
        _named(graph, scores, "logits", column)
        outputs.append(("logits", FLOAT, ("N",) if column else ("N", count)))
    return outputs


def _regression(graph: Graph, source: Source, scores: str, column: bool) -> list[Output]:
    shape: tuple[int | str, ...] = ("N",) if column else ("N", source.network.output_shape[0])
    if not len(source.mean):
        _named(graph, scores, "prediction", column)
        return [("prediction", FLOAT, shape)]
    exact = graph.cast(scores, DOUBLE, "exact_scores")
    wide = graph.add("Mul", [exact, graph.constant("target_scale", source.scale)], "unshifted")
    _named(
        graph, graph.add("Add", [wide, graph.constant("target_mean", source.mean)], "in_units"),
        "prediction", column,
    )  # fmt: skip
    return [("prediction", DOUBLE, shape)]


def _named(graph: Graph, x: str, name: str, column: bool) -> str:
    """Give (N, C), or of a column (N,), the name of an output."""
    return _flat(graph, x, name) if column else graph.add("Identity", [x], name)


def _flat(graph: Graph, x: str, name: str) -> str:
    shape = graph.constant(f"{name}_shape", np.array([-1], np.int64))
    return graph.add("Reshape", [x, shape], name)


def _metadata(source: Source, given: list[Input]) -> dict[str, str]:
    """Give the names, and where the model comes from, as the texts that metadata_props holds."""
    about = {
        "handgrad": handgrad.__version__,
        "onnx": onnx.__version__,
        "task": source.task,
        "classes": json.dumps(source.labels.tolist()),
        "targets": json.dumps(list(source.targets)),
        "layers": json.dumps([repr(layer) for layer in source.network.layers]),
        "about": json.dumps(dict(source.about)),
    }
    columns = {f"columns of {each.name}": each.columns for each in given if each.columns}
    return about | {name: json.dumps(list(value)) for name, value in columns.items()}
