#!/usr/bin/env bash
# GridSample (opset 21), mode "cubic", padding_mode "border": the reference evaluator of onnx 1.23.2
# and onnxruntime 1.32.0 differ wherever a location lies outside the image by less than two pixels.
#
# onnxruntime (as PyTorch's grid_sample, from which the operator was taken) weighs four neighbours,
# those outside replaced by the border's pixel, with weights of the location where it is. The
# evaluator first moves the location to the border. With weights of both signs that is not the
# same: of a row 0, 1, 2, 3 the one overshoots below the smallest pixel, the other gives exactly 0.
# Farther outside, inside, and for "linear" anywhere they agree.
#
# Seen (align_corners=1, the row 0, 1, 2, 3):
#   at -0.5        onnxruntime -0.09375   reference 0
#   at -2.5        onnxruntime  0         reference 0
#   at  1.5        onnxruntime  1.5       reference 1.5
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

PLACES = np.array([-0.5, -2.5, 1.5])  # in pixels, from the first one's centre
ROW = np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4)
GRID = np.zeros((1, 1, 3, 2), np.float32)
GRID[..., 0] = PLACES / 1.5 - 1  # -1 and 1 are the first and the last pixel's centre


def by_both(mode):
    node = helper.make_node(
        "GridSample", ["x", "grid"], ["y"], mode=mode, padding_mode="border", align_corners=1
    )
    given = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ROW.shape),
        helper.make_tensor_value_info("grid", TensorProto.FLOAT, GRID.shape),
    ]
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c", "d"])
    graph = helper.make_graph([node], "sample", given, [made])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feed = {"x": ROW, "grid": GRID}
    runtime = session.run(None, feed)[0].ravel()
    return runtime, ReferenceEvaluator(model).run(None, feed)[0].ravel()


runtime, reference = by_both("cubic")
for place, one, other in zip(PLACES, runtime, reference):
    print(f"at {place:4.1f}   onnxruntime {one:8.5f}   reference {other:8.5f}")
linear = by_both("linear")
expected = (
    np.allclose(runtime, [-0.09375, 0, 1.5], atol=1e-5)
    and np.allclose(reference, [0, 0, 1.5], atol=1e-5)
    and np.allclose(*linear, atol=1e-5)
)
sys.exit(0 if expected else 1)
PYTHON
