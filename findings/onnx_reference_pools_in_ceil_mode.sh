#!/usr/bin/env bash
# onnx 1.23.2, the reference evaluator (opset 21, Python 3.11): pools with ceil_mode=1 give other
# numbers, and of MaxPool another shape, than the operators' definitions, onnx's own shape
# inference and onnxruntime 1.32.0. No error, no warning. Who judges an exporter by it alone blames
# the exporter.
#
# Seen:
#   MaxPool 3x3, stride 1, one pixel of padding, of a 5x5 image: the evaluator gives 7x7, the last
#     two rows and columns zeros. Shape inference and onnxruntime: 5x5, where ceil has nothing to
#     round.
#   LpPool (p = 2) 3x3, stride 2, of a 4x4 image of ones: the norms of windows that hang over the
#     edge, of 6 and of 4 ones, come out as 3, the norm of nine; by definition and in onnxruntime
#     they are sqrt(6) and 2.
#   AveragePool 3x3, stride 3, padding 1 at the left and at the bottom alone, of 1 to 30 in 5x6:
#     the first mean is 7, by definition and in onnxruntime 7.5. The same with padding at the top
#     and at the right is right.
#
# Exits 0 while this is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  "onnx==1.23.2" "onnxruntime==1.32.0"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(3)


def by_both(operator, image, **attributes):
    """Return what onnxruntime and the reference evaluator give, and the inferred shape."""
    image = image.astype(np.float32)[None, None]
    node = helper.make_node(operator, ["x"], ["y"], ceil_mode=1, **attributes)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, image.shape)
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c", "d"])
    graph = helper.make_graph([node], "pool", [given], [made])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    onnx.checker.check_model(model, full_check=True)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    runtime = session.run(None, {"x": image})[0][0, 0]
    reference = ReferenceEvaluator(model).run(None, {"x": image})[0][0, 0]
    return runtime, reference, tuple(size.dim_value for size in inferred.dim[2:])


square = np.arange(1.0, 26.0).reshape(5, 5)
runtime, reference, inferred = by_both(
    "MaxPool", square, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1]
)
print("MaxPool:", runtime.shape, reference.shape, inferred)
largest = (
    runtime.shape == inferred == (5, 5)
    and reference.shape == (7, 7)
    and not reference[5:].any()
    and not reference[:, 5:].any()
)

runtime, reference, _ = by_both("LpPool", np.ones((4, 4)), kernel_shape=[3, 3], strides=[2, 2])
print("LpPool:", runtime.tolist(), reference.tolist())
norms = np.allclose(runtime, [[3, 6**0.5], [6**0.5, 2]]) and np.allclose(reference, 3)

oblong = np.arange(1.0, 31.0).reshape(5, 6)
runtime, reference, _ = by_both(
    "AveragePool", oblong, kernel_shape=[3, 3], pads=[0, 1, 1, 0], strides=[3, 3]
)
first = oblong[:3, :2].mean()
print("AveragePool:", runtime[0, 0], reference[0, 0], "by definition", first)
means = runtime[0, 0] == first == 7.5 and reference[0, 0] == 7
same, also, _ = by_both(
    "AveragePool", oblong, kernel_shape=[3, 3], pads=[1, 0, 0, 1], strides=[3, 3]
)
sys.exit(0 if largest and norms and means and np.allclose(same, also) else 1)
PYTHON
