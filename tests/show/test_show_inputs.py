"""The page's preprocessing in Node against handgrad's own, to 1e-6; its arrays, to the bit."""

import json

import numpy as np
import pytest
from node import in_node, version

from handgrad.estimators.scaling import FAR
from handgrad.export.source import RowInputs
from handgrad.images import ImagePreprocessor
from handgrad.network import Dense, Flatten, Network
from handgrad.show import content, describing
from handgrad.show.packing import pack, rounded
from handgrad.tables import Columns, Preprocessor, summarise

pytestmark = pytest.mark.skipif(version() < 18, reason="Node 18 is not installed")

READS = """
import { Inputs } from "handgrad-page/inputs";
import { bytesOf, inflate, unpack } from "handgrad-page/content";
"""


def encoded(description, rows, raw=None):
    """What Node makes of some rows."""
    body = (
        "const inputs = new Inputs(given.inputs);"
        "return { names: inputs.names, all: [...inputs.encodeAll(given.rows, given.raw && "
        "Float64Array.from(given.raw))] };"
    )
    given = {"inputs": description, "rows": rows, "raw": raw}
    found = in_node(READS, body, json.loads(json.dumps(given)))
    return found["names"], np.array(found["all"], np.float64).reshape(rows["count"], -1)


def table_of(rows=400):
    """Every kind of column, with missing values, and what training rows do not have."""
    rng = np.random.default_rng(3)
    days = np.datetime64("2023-11-20T06:00") + rng.integers(0, 900, rows) * np.timedelta64(11, "h")
    towns = np.array([f"town {i}" for i in range(80)])[rng.zipf(1.4, rows) % 80].astype(object)
    colours = np.array(["red", "blue", "__proto__", "rare"], object)
    colour = colours[rng.choice(4, rows, p=[0.5, 0.3, 0.195, 0.005])]
    colour[::29] = None
    size = rng.normal(5, 2, rows)
    size[::13] = np.nan
    size[7] = 1e6  # bounded
    when = np.array([str(day) for day in days], object)
    when[::31] = None
    return {
        "size": size,
        "height": rng.normal(0, 1e-3, rows) + 1e8,
        "colour": colour,
        "town": towns,
        "when": when,
        "open": np.array(["yes", "no"], object)[rng.integers(0, 2, rows)],
        "y": rng.integers(0, 2, rows).astype(float),
    }


def test_a_table_of_every_kind_of_column():
    table = Columns(table_of())
    train, others = table.take(np.arange(300)), table.take(np.arange(300, 400))
    inputs = Preprocessor.fit(train, summarise(train, ("y",)))
    assert {type(each).kind for each in inputs.encoders} == {"number", "category", "date"}
    assert any(getattr(each, "frequencies", None) for each in inputs.encoders)
    network = Network([Dense(2)], (len(inputs.feature_names),))
    for rows in (train, others, Columns(unseen())):
        cells = [content.plain(column) for column in inputs.cells(rows).values()]
        values = [list(row) for row in zip(*cells, strict=True)]
        seen = list(inputs.cells(rows).values())
        described = describing.of_inputs(inputs, network, seen)
        names, got = encoded(described, {"count": rows.rows, "values": values})
        assert names == list(inputs.feature_names)
        np.testing.assert_allclose(got, inputs.transform(rows), rtol=0, atol=1e-6)


def unseen():
    """What no training row had."""
    return {
        "size": [np.inf, np.nan, -1e300],
        "height": [0.0, 1e8, np.nan],
        "colour": np.array(["green", None, "constructor"], object),
        "town": np.array(["nowhere", None, "town 1"], object),
        "when": np.array(["1901-02-03", None, "2051-01-01T23:59:59"], object),
        "open": np.array([None, "yes", "no"], object),
    }


def test_a_sliders_ends_are_those_of_the_rows():
    a = [1.0, 5.0, 2.0, np.nan] * 8
    table = Columns({"a": a, "y": [0.0, 1.0] * 16})
    inputs = Preprocessor.fit(table, summarise(table, ("y",)))
    network = Network([Dense(2)], (len(inputs.feature_names),))
    with_rows = describing.of_inputs(inputs, network, list(inputs.cells(table).values()))
    assert {k: with_rows["columns"][0][k] for k in ("low", "high", "start")} == {
        "low": 1.0, "high": 5.0, "start": 2.0,
    }  # fmt: skip
    # Mean 8/3, deviation sqrt(26/9): three of these to either side.
    (column,) = describing.of_inputs(inputs, network, [])["columns"]
    assert column["low"] == pytest.approx(8 / 3 - 26**0.5)
    assert column["high"] == pytest.approx(8 / 3 + 26**0.5)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures(channels):
    rng = np.random.default_rng(0)
    shape = (channels, 5, 7)
    inputs = ImagePreprocessor(shape, rng.uniform(30, 90, channels), rng.uniform(20, 80, channels))
    X = rng.integers(0, 256, (6, *shape), np.uint8)
    network = Network([Flatten(), Dense(2)], shape)
    described = describing.of_inputs(inputs, network, [])
    _, got = encoded(described, {"count": 6}, X.ravel().tolist())
    np.testing.assert_allclose(got, inputs.transform(X).reshape(6, -1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("far", [None, FAR])
@pytest.mark.parametrize("scaled", [False, True])
def test_rows_of_numbers(far, scaled):
    rng = np.random.default_rng(0)
    X = rng.normal(3, 9, (8, 4))
    centre, deviation = (rng.normal(size=4), rng.uniform(0.1, 2, 4)) if scaled else (None, None)
    inputs = RowInputs((4,), True, centre, deviation, far)
    network = Network([Dense(2)], (4,), dtype="float32")
    _, got = encoded(describing.of_inputs(inputs, network, []), {"count": 8}, X.ravel().tolist())
    np.testing.assert_allclose(got, inputs.transform(X, network), rtol=1e-6, atol=1e-6)


def test_arrays_come_through_to_the_bit():
    rng = np.random.default_rng(0)
    arrays = {
        "weights": rng.standard_normal((7, 5)).astype(np.float32),
        "turned": rng.standard_normal((4, 6)).T,
        "labels": np.array([-3, 2**31 - 1], ">i4"),
        "pixels": rng.integers(0, 256, (2, 3, 3), np.uint8),
        "one": np.float32(2.5).reshape(()),
        "none": np.zeros((0, 3), np.float32),
    }
    layout, text = pack(arrays)
    body = (
        "const found = unpack(given.layout, await inflate(bytesOf(given.text)));"
        "return Object.fromEntries(Object.entries(found).map(([name, a]) => "
        "[name, [a.constructor.name, a.shape, [...a]]]));"
    )
    found = in_node(READS, body, {"layout": layout, "text": text})
    kinds = {"weights": "Float32Array", "turned": "Float64Array", "labels": "Int32Array",
             "pixels": "Uint8Array", "one": "Float32Array", "none": "Float32Array"}  # fmt: skip
    for name, array in arrays.items():
        kind, shape, values = found[name]
        assert (kind, shape) == (kinds[name], list(array.shape))
        np.testing.assert_array_equal(np.array(values, array.dtype).reshape(array.shape), array)


def test_rounding_drops_bits_and_is_near():
    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    for dropped in (0, 1, 8, 12):
        got = rounded(values, dropped)
        assert (np.abs(got - values) <= np.abs(values) * 2.0 ** (dropped - 24)).all()
        assert not (got.view(np.uint32) & ((1 << dropped) - 1)).any()
    # 1 + 2^-23 lies a half above 1: to even; 1 + 3 * 2^-23 a half above 1 + 2^-22: to even, up.
    halves = np.array([1 + 2**-23, 1 + 3 * 2**-23], np.float32)
    np.testing.assert_array_equal(rounded(halves, 1), np.float32([1, 1 + 2**-21]))
    largest = np.finfo(np.float32).max
    assert rounded(np.float32([largest]), 12)[0] == largest
    with pytest.raises(ValueError, match="0 to 22"):
        rounded(values, 23)
    with pytest.raises(ValueError, match="int64"):
        pack({"a": np.zeros(2, np.int64)})
