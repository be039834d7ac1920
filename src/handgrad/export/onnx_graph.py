"""An ONNX graph under construction: nodes and arrays, each with a name of its own."""

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from handgrad.arrays import Array

ML = "ai.onnx.ml"


class Graph:
    """Nodes in the order of their computing, and the constants that they take.

    A node gives one output, which has the node's name.
    """

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._taken: set[str] = set()

    def constant(self, name: str, array: Array | np.generic) -> str:
        """Keep an array, of float32, float64, int64, bool or of texts; give its name."""
        name, array = self.free(name), np.asarray(array)
        if array.dtype == object:
            texts = [text.encode("utf-8", "replace") for text in array.tolist()]
            tensor = helper.make_tensor(name, TensorProto.STRING, array.shape, texts)
        else:
            tensor = numpy_helper.from_array(np.asarray(array, order="C"), name)
        self.constants.append(tensor)
        return name

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        name: str,
        *,
        domain: str = "",
        **attributes: int | float | Sequence[int] | Sequence[float] | Sequence[str],
    ) -> str:
        """Append a node; give the name of its output."""
        name = self.free(name)
        node = helper.make_node(op, list(inputs), [name], name, domain=domain)
        node.attribute.extend(helper.make_attribute(*each) for each in attributes.items())
        self.nodes.append(node)
        return name

    def cast(self, x: str, to: int, name: str) -> str:
        """Append a Cast to a type of TensorProto."""
        return self.add("Cast", [x], name, to=to)

    def free(self, name: str) -> str:
        """Give a name that nothing has yet: this, or this with a number behind it."""
        found, count = name, 1
        while found in self._taken:
            count += 1
            found = f"{name}_{count}"
        self._taken.add(found)
        return found
