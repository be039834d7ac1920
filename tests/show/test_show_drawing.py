"""A drawing becomes a picture as MNIST's: in Node, against a reference and real digits."""

import numpy as np
import pytest
from node import in_node, version

from handgrad.datasets import load_mnist

pytestmark = pytest.mark.skipif(version() < 18, reason="Node 18 is not installed")

READS = 'import { Sketch, centred, shrunk } from "handgrad-page/drawing";\n'
BY_HAND = {
    "one": [[(0.52, 0.1), (0.5, 0.9)]],
    "seven": [[(0.2, 0.15), (0.8, 0.15), (0.4, 0.9)]],
    "dot": [[(0.3, 0.3)]],
    "cross": [[(0.1, 0.5), (0.9, 0.5)], [(0.5, 0.1), (0.5, 0.9)]],
}
DRAWN = """
const sketch = new Sketch();
for (const stroke of given.strokes) {
  stroke.forEach(([x, y], i) => i ? sketch.to(x, y) : sketch.begin(x, y));
}
"""


def reference(picture):
    """The same by the definition, with NumPy: box, mean over areas, centre of mass."""
    rows, columns = np.flatnonzero(picture.any(1)), np.flatnonzero(picture.any(0))
    cut = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float64)
    scale = 20 / max(cut.shape)
    size = [max(1, int(np.floor(side * scale + 0.5))) for side in cut.shape]
    fitted = np.rint(np.kron(cut, np.ones(size)).reshape(
        size[0], cut.shape[0], size[1], cut.shape[1]).mean(axis=(1, 3)))  # fmt: skip
    y, x = np.indices(fitted.shape) + 0.5
    shift = [int(np.floor(14.5 - (axis * fitted).sum() / fitted.sum() + 0.5)) for axis in (y, x)]
    top, left = (min(max(s, 0), 28 - side) for s, side in zip(shift, fitted.shape, strict=True))
    out = np.zeros((28, 28), np.uint8)
    out[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
    return out


def centred(pictures):
    found = in_node(
        READS,
        "return given.map(({levels, width, height}) => [...centred(levels, width, height)]);",
        [
            {"levels": p.ravel().tolist(), "width": p.shape[1], "height": p.shape[0]}
            for p in pictures
        ],
    )
    return np.array(found).reshape(-1, 28, 28)


def mass(picture):
    """The centre of mass, (row, column)."""
    return np.array([(axis * picture).sum() / picture.sum() for axis in np.indices((28, 28)) + 0.5])


def test_pictures_of_any_size_against_the_reference():
    rng = np.random.default_rng(0)
    pictures = []
    for height, width in [(28, 28), (40, 25), (9, 64), (100, 100), (5, 5)]:
        picture = (rng.random((height, width)) < 0.3) * rng.integers(1, 256, (height, width))
        pictures.append(picture.astype(np.uint8))
    for got, picture in zip(centred(pictures), pictures, strict=True):
        # A half may be rounded either way.
        assert np.abs(got.astype(int) - reference(picture)).max() <= 1


def test_real_digits_stay_as_they_are():
    digits = np.rint(load_mnist(offline=True).X_test[:200, 0] * 255).astype(np.uint8)
    padded = [np.pad(digit, ((3, 30), (17, 2))) for digit in digits]
    np.testing.assert_array_equal(centred(padded), digits)


def drawn(strokes):
    found = in_node(READS, DRAWN + "return [...sketch.image()];", {"strokes": strokes})
    return np.array(found).reshape(28, 28)


@pytest.mark.parametrize("name", BY_HAND)
def test_strokes_fill_the_box_and_are_centred(name):
    got = drawn(BY_HAND[name])
    assert np.abs(mass(got) - 14.5).max() <= 0.5
    assert got.max() > 240
    extent = np.ptp(np.nonzero(got), axis=1) + 1
    if name == "dot":
        assert extent.max() <= 4
    else:
        assert extent.max() == 20


def test_where_and_how_large_it_is_drawn_does_not_matter():
    strokes = BY_HAND["seven"]
    large = drawn(strokes)
    small = drawn([[(0.05 + x / 3, 0.6 + y / 3) for x, y in stroke] for stroke in strokes])
    assert np.abs(large.astype(int) - small).mean() < 2
    share = (large > 0).mean()
    assert 0.05 < share < 0.2  # as MNIST's sevens, of whose pixels a seventh is not 0


def test_a_link_holds_what_was_drawn():
    body = DRAWN + (
        "const text = sketch.text(); const again = Sketch.read(text);"
        "return [text, [...sketch.image()], [...again.image()], again.text(),"
        " Sketch.read('?<b>').empty, Sketch.read('AAA').empty, Sketch.read(undefined).empty,"
        " (sketch.undo(), sketch.strokes.length), (sketch.clear(), sketch.empty)];"
    )
    text, image, again, text_again, *others = in_node(READS, body, {"strokes": BY_HAND["cross"]})
    assert (image, text) == (again, text_again)
    assert len(text) == 4 * 4 + 1
    assert others == [True, True, True, 1, True]


def test_nothing_drawn_is_a_blank_picture():
    assert not drawn([]).any()
    assert not centred([np.zeros((3, 4), np.uint8)])[0].any()
