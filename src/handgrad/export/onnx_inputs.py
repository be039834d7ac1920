"""Raw rows to a network's float32 inputs as ONNX nodes, in float64 as the training did it."""

import math
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from handgrad.arrays import Array
from handgrad.export.onnx_graph import ML, Graph
from handgrad.export.source import RowInputs
from handgrad.images import ImagePreprocessor
from handgrad.tables import Preprocessor
from handgrad.tables.encoders import (
    MOST_DEVIATIONS,
    CategoryEncoder,
    DateEncoder,
    NumberEncoder,
    Scale,
)
from handgrad.tables.kinds import BOOLEANS
from handgrad.tables.values import MISSING_WORDS

FLOAT, DOUBLE, STRING, UINT8 = (
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.STRING, TensorProto.UINT8,
)  # fmt: skip
DAYS = {"year": 365.2425, "week": 7.0, "day": 1.0}


@dataclass(frozen=True)
class Input:
    """An input of the graph: name, type (of TensorProto), shape of an example, what it holds."""

    name: str
    kind: int
    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()


def add_rows(graph: Graph, inputs: RowInputs, shape: tuple[int, ...]) -> tuple[list[Input], str]:
    """Append what makes a network's inputs (N, *shape) of rows or images of numbers."""
    kind = DOUBLE if inputs.exact else FLOAT
    x = graph.free("X")
    given = [Input(x, kind, inputs.shape, inputs.names)]
    if inputs.layout == "HWC":
        x = graph.add("Transpose", [x], "channels_first", perm=[0, 3, 1, 2])
    elif inputs.layout == "HW":
        axis = graph.constant("channel_axis", np.array([1], np.int64))
        x = graph.add("Unsqueeze", [x, axis], "channels_first")
    if inputs.centre is not None and inputs.deviation is not None:
        x = _standardised(graph, x, inputs.centre, inputs.deviation)
        if inputs.far is not None:
            far = graph.constant("far", np.float64(inputs.far))
            part = graph.add("Div", [x, far], "squash_part")
            square = graph.add("Mul", [part, part], "squash_square")
            more = graph.add("Add", [square, graph.constant("one", np.float64(1))], "squash_more")
            x = graph.add("Div", [x, graph.add("Sqrt", [more], "squash_root")], "squashed")
    return given, x if x == "X" and kind == FLOAT else graph.cast(x, FLOAT, "features")


def _standardised(graph: Graph, x: str, centre: Array, deviation: Array) -> str:
    centre, deviation = np.asarray(centre, np.float64), np.asarray(deviation, np.float64)
    less = graph.add("Sub", [x, graph.constant("centre", centre)], "centred")
    return graph.add("Div", [less, graph.constant("deviation", deviation)], "standardised")


def add_images(
    graph: Graph, inputs: ImagePreprocessor, shape: tuple[int, ...]
) -> tuple[list[Input], str]:
    """Append what makes a network's inputs (N, *shape) of bytes (N, C, H, W)."""
    given = [Input(graph.free("images"), UINT8, inputs.input_shape)]
    x = graph.cast("images", DOUBLE, "levels")
    channels = (-1, 1, 1)
    mean, deviation = inputs.mean.reshape(channels), inputs.deviation.reshape(channels)
    x = graph.cast(_standardised(graph, x, mean, deviation), FLOAT, "features")
    return given, x if len(shape) == 3 else graph.add("Flatten", [x], "rows", axis=1)


def add_table(graph: Graph, inputs: Preprocessor) -> tuple[list[Input], str]:
    """Append what makes features of a table's columns.

    ``numbers`` (N, K) float64 holds the columns of numbers, and dates as days since 1970-01-01
    (UTC), NaN where one is missing; ``texts`` (N, M) the categories, and truths that were words,
    empty where one is missing. A word that is no truth is taken for a missing one.
    """
    table = _Table(graph, inputs)
    given = []
    if table.numbers:
        given.append(Input(graph.free("numbers"), DOUBLE, (len(table.numbers),), table.numbers))
    if table.texts:
        given.append(Input(graph.free("texts"), STRING, (len(table.texts),), table.texts))
    return given, table.features()


class _Table:
    """The nodes of one table's preprocessing; all numbers are scaled together."""

    def __init__(self, graph: Graph, inputs: Preprocessor) -> None:
        self.graph, self.encoders = graph, inputs.encoders
        self.numbers = tuple(e.name for e in inputs.encoders if not _is_text(e))
        self.texts = tuple(e.name for e in inputs.encoders if _is_text(e))
        self._blocks: list[str] = []
        # Column of the table and which of its features, to their place side by side.
        self._places: dict[tuple[str, int], int] = {}

    def features(self) -> str:
        """Give the name of the features (N, F), float32, in the preprocessor's order."""
        scaled = [e for e in self.encoders if isinstance(e, NumberEncoder | DateEncoder)]
        scaled.sort(key=_is_text)  # words of truths come behind the numbers
        if scaled:
            self._scaled(scaled)
        for encoder in self.encoders:
            if isinstance(encoder, CategoryEncoder):
                self._category(encoder)
        joined = self._blocks[0]
        if len(self._blocks) > 1:
            joined = self.graph.add("Concat", self._blocks, "unordered", axis=1)
        order = np.array(
            [self._places[e.name, i] for e in self.encoders for i in range(len(e.features))],
            np.int64,
        )
        if np.array_equal(order, np.arange(len(order))):
            return joined
        return self._columns(joined, order, "features")

    def _put(self, block: str, features: list[tuple[str, int]]) -> None:
        """Take a block (N, F) of features."""
        start = len(self._places)
        self._blocks.append(block)
        self._places.update({each: start + index for index, each in enumerate(features)})

    def _columns(self, x: str, columns: Array, name: str) -> str:
        places = self.graph.constant(f"{name}_columns", np.asarray(columns, np.int64))
        return self.graph.add("Gather", [x, places], name, axis=1)

    def _scaled(self, encoders: list[NumberEncoder | DateEncoder]) -> None:
        graph = self.graph
        parts = ["numbers"] * bool(self.numbers)
        parts += [self._truth(e) for e in encoders if isinstance(e, NumberEncoder) and e.words]
        x = parts[0] if len(parts) == 1 else graph.add("Concat", parts, "values", axis=1)
        bad = graph.add("Or", [graph.add("IsNaN", [x], "nan"), graph.add("IsInf", [x], "infinite")],
                        "missing")  # fmt: skip
        scales = [e.scaling for e in encoders]
        z = _scaled(graph, x, bad, scales)
        self._put(graph.cast(z, FLOAT, "scaled"), [(e.name, 0) for e in encoders])
        marked = [index for index, e in enumerate(encoders) if e.indicator]
        if marked:
            marks = graph.cast(
                self._columns(bad, np.array(marked), "missing_marked"), FLOAT, "marks"
            )
            last = [(encoders[i].name, len(encoders[i].features) - 1) for i in marked]
            self._put(marks, last)
        for index, encoder in enumerate(encoders):
            if isinstance(encoder, DateEncoder) and encoder.cycles:
                self._cycles(encoder, x, bad, index)

    def _cycles(self, encoder: DateEncoder, x: str, bad: str, index: int) -> None:
        """Places in the year, week and day, as sines and cosines; 0 of a missing date."""
        graph, one = self.graph, np.array([index])
        days, gone = self._columns(x, one, "days"), self._columns(bad, one, "no_day")
        zero = graph.constant("zero", np.float64(0))
        for place, cycle in enumerate(encoder.cycles):
            turns = graph.add("Div", [days, graph.constant("length", np.float64(DAYS[cycle]))],
                              "turns")  # fmt: skip
            part = graph.add("Sub", [turns, graph.add("Floor", [turns], "whole_turns")], "part")
            angle = graph.add("Mul", [part, graph.constant("turn", np.float64(math.tau))], "angle")
            for feature, op in enumerate(("Sin", "Cos"), 1 + 2 * place):
                wave = graph.add("Where", [gone, zero, graph.add(op, [angle], op)], "wave")
                self._put(graph.cast(wave, FLOAT, "wave_feature"), [(encoder.name, feature)])

    def _text(self, name: str) -> str:
        place = self.graph.constant("text_column", np.array([self.texts.index(name)], np.int64))
        return self.graph.add("Gather", ["texts", place], "text", axis=1)

    def _truth(self, encoder: NumberEncoder) -> str:
        """Words as 1.0, 0.0 or NaN (N, 1), whatever their case; numbers as they are."""
        words = {"1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
        for word, value in BOOLEANS.items():
            words |= dict.fromkeys((word, word.capitalize(), word.upper()), value)
        number = self._looked_up(self._text(encoder.name), words, math.nan)
        return self.graph.cast(number, DOUBLE, "truth")

    def _looked_up(self, text: str, table: dict[str, float], other: float) -> str:
        """A float32 for each text."""
        return self.graph.add(
            "LabelEncoder", [text], "looked_up", domain=ML, keys_strings=list(table),
            values_floats=list(table.values()), default_float=other,
        )  # fmt: skip

    def _category(self, encoder: CategoryEncoder) -> None:
        """A row of a table for each value: 0 or 1 less the shares, and 0 for what is not known."""
        graph, width = self.graph, len(encoder.shares)
        text = self._text(encoder.name)
        if width:
            rows = np.eye(width, dtype=np.float32) - np.array(encoder.shares, np.float32)
            rows = np.concatenate([rows, np.zeros((1, width), np.float32)])
            other = len(encoder.values) if encoder.other else width
            nothing = len(encoder.values) + encoder.other if encoder.missing else other
            codes = dict.fromkeys(sorted(MISSING_WORDS), nothing)
            codes |= {value: index for index, value in enumerate(encoder.values)}
            code = graph.add(
                "LabelEncoder", [text], "code", domain=ML, keys_strings=list(codes),
                values_int64s=list(codes.values()), default_int64=other,
            )  # fmt: skip
            flat = graph.constant("flat", np.array([-1], np.int64))
            code = graph.add("Reshape", [code, flat], "codes")
            block = graph.add("Gather", [graph.constant("values", rows), code], "category", axis=0)
            self._put(block, [(encoder.name, index) for index in range(width)])
        if encoder.frequencies:
            counts = np.log1p(np.array([*encoder.frequencies.values(), 0], np.float64))
            logs = encoder.log_scale.apply(counts).astype(np.float32).tolist()
            known = dict(zip(encoder.frequencies, logs[:-1], strict=True))
            self._put(self._looked_up(text, known, logs[-1]), [(encoder.name, width)])


def _is_text(encoder: object) -> bool:
    return isinstance(encoder, CategoryEncoder) or (
        isinstance(encoder, NumberEncoder) and encoder.words
    )


def _scaled(graph: Graph, x: str, bad: str, scales: list[Scale]) -> str:
    """``Scale.apply`` of each column; one of scale 0 is bounded to 0."""
    median, center, scale = np.array([(s.median, s.center, s.scale) for s in scales]).T
    bound = np.where(scale == 0, 0.0, MOST_DEVIATIONS)
    filled = graph.add("Where", [bad, graph.constant("median", median), x], "filled")
    z = _standardised(graph, filled, center, np.where(scale == 0, 1.0, scale))
    low = graph.add("Max", [z, graph.constant("lowest", -bound)], "bounded_below")
    return graph.add("Min", [low, graph.constant("highest", bound)], "bounded")
