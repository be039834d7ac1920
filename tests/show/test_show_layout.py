"""Where a number lies on the page, and which number lies at a place: each the other's inverse."""

import numpy as np
import pytest
from node import in_node, version

pytestmark = pytest.mark.skipif(version() < 18, reason="Node 18 is not installed")

SHAPES = [
    ([7], {}), ([33], {}), ([4, 20], {}), ([3, 300], {}), ([2, 3, 5, 4], {}), ([6, 2, 3, 3], {}),
    ([12, 5], {"weights": True}), ([200, 3], {"weights": True}),
    ([18, 4], {"weights": True, "image": [2, 3, 3]}), ([2, 18], {"image": [2, 3, 3]}),
]  # fmt: skip

PLACES = """
import { indexAt, layoutOf, placeOf } from "handgrad-page/views/layout";
"""
EVERY = """
return given.map(([shape, options]) => {
  const layout = layoutOf(shape, options);
  const size = shape.reduce((a, b) => a * b, 1);
  const back = Array.from({ length: size }, (_, index) => indexAt(layout, placeOf(layout, index)));
  const seen = [];
  for (let tile = 0; tile < layout.tiles; tile++) {
    for (let row = 0; row < layout.rows; row++) {
      for (let col = 0; col < layout.cols; col++) seen.push(indexAt(layout, { tile, row, col }));
    }
  }
  const beyond = [[layout.tiles, 0, 0], [-1, 0, 0], [0, -1, 0], [0, 0, layout.cols]];
  const outside = beyond.map(([tile, row, col]) => indexAt(layout, { tile, row, col }));
  return { back, seen: seen.filter((index) => index >= 0).sort((a, b) => a - b), outside };
});
"""


def test_every_number_has_one_place():
    for (shape, options), found in zip(SHAPES, in_node(PLACES, EVERY, SHAPES), strict=True):
        every = list(range(int(np.prod(shape))))
        assert found["back"] == every, (shape, options)
        assert found["seen"] == every, (shape, options)
        assert found["outside"] == [-1] * 4


def test_a_units_weights_are_a_picture():
    """Unit 3's tile of channel 1 is W[9:18, 3] as 3 x 3."""
    code = """
    const layout = layoutOf([18, 4], { weights: true, image: [2, 3, 3] });
    return [0, 1, 2].map((row) => [0, 1, 2].map((col) => indexAt(layout, { tile: 7, row, col })));
    """
    W = np.arange(72).reshape(18, 4)
    np.testing.assert_array_equal(in_node(PLACES, code), W[9:, 3].reshape(3, 3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1, 2, 3", {"index": 23}),
        (" (1 2 3) ", {"index": 23}),
        ("[1,2,3]", {"index": 23}),
        ("1, 2", {"error": "Give 3 numbers, one for each axis of (2, 3, 4)."}),
        ("1, 3, 0", {"error": "Axis 1 goes from 0 to 2; got 3."}),
        ("1, x, 0", {"error": "Axis 1 goes from 0 to 2; got x."}),
        ("-1, 0, 0", {"error": "Axis 0 goes from 0 to 1; got -1."}),
    ],
)
def test_an_index_is_read_or_refused_in_a_sentence(text, expected):
    imports = 'import { parseCoordinates } from "handgrad-page/views/layout";'
    assert in_node(imports, "return parseCoordinates([2, 3, 4], given);", text) == expected


def test_numbers_are_written_as_by_hand():
    values = [0, 1, -2.5, 1 / 3, 1e-5, 123456.789, 1.5e9, 0.99999, 1234567]
    written = ["0", "1", "−2.500", "0.3333", "1.000e−5", "123500", "1.500e9", "1.000", "1235000"]
    imports = 'import { number } from "handgrad-page/views/text";'
    assert in_node(imports, "return given.map((value) => number(value));", values) == written
    assert in_node(imports, "return [NaN, Infinity, -Infinity, null].map((v) => number(v));") == [
        "nan", "inf", "−inf", "missing",
    ]  # fmt: skip
