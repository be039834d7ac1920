"""What is recorded of a pass over the test rows, by hand; and that its pictures are PNGs."""

import base64
import json
import struct
import zlib

import numpy as np
import pytest

from handgrad import pictures
from handgrad.analysis import Analysis, analyse
from handgrad.errors import ResultsError
from handgrad.probabilities import logistic_pair, softmax

# Rows:          right, wrong, right (a tie: the first), right
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.85, 0.1, 0.05], [0.4, 0.4, 0.2], [0.05, 0.05, 0.9]])
LABELS = np.array([0, 1, 0, 2])
ABC = ("a", "b", "c")


def test_confusion_accuracy_and_mistakes_by_hand():
    analysis = analyse(LABELS, seed=3, classes=ABC, probabilities=PROBABILITIES)
    assert analysis.confusion == ((2, 0, 0), (1, 0, 0), (0, 0, 1))  # rows by truth
    assert analysis.class_accuracy == (1.0, 0.0, 1.0)
    assert (analysis.accuracy, analysis.rows, analysis.seed) == (0.75, 4, 3)
    (mistake,) = analysis.mistakes
    assert (mistake.row, mistake.truth, mistake.prediction) == (1, "b", "a")
    assert (mistake.confidence, mistake.score, mistake.png) == (0.85, None, None)
    assert analysis.histogram is None


def test_calibration_by_hand():
    calibration = analyse(LABELS, seed=0, classes=ABC, probabilities=PROBABILITIES).calibration
    found = {b.high: (b.count, b.confidence, b.accuracy) for b in calibration.bins if b.count}
    # A confidence on an edge belongs to the bin below it.
    assert found == {0.4: (1, 0.4, 1.0), 0.7: (1, 0.7, 1.0), 0.9: (2, pytest.approx(0.875), 0.5)}
    assert sum(b.count for b in calibration.bins) == 4
    # (0.6 + 0.3 + 2 * 0.375) / 4
    assert calibration.expected_error == pytest.approx(0.4125)


def test_scores_of_a_binary_model_by_hand():
    scores = np.array([-2.0, 0.0, 0.5, -3.0, 2.5])
    labels = np.array([0, 1, 0, 1, 1])
    analysis = analyse(labels, seed=0, classes=("0", "1"), scores=scores)
    assert analysis.confusion == ((1, 1), (2, 1))  # a score of 0 is class 0
    assert [m.row for m in analysis.mistakes] == [3, 2, 1]  # the largest |score| first
    assert [m.confidence for m in analysis.mistakes] == [None] * 3
    assert analysis.calibration is None
    edges, counts = analysis.histogram.edges, analysis.histogram.counts
    assert (edges[0], edges[len(edges) // 2], edges[-1]) == (-3.0, 0.0, 3.0)
    assert [sum(line) for line in counts] == [2, 3]


def test_at_most_two_dozen_mistakes_the_surest_first():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), 200)
    analysis = analyse(rng.integers(0, 3, 200), seed=0, classes=ABC, probabilities=probabilities)
    sureness = [m.confidence for m in analysis.mistakes]
    assert len(sureness) == 24
    assert sureness == sorted(sureness, reverse=True)


def test_a_class_without_rows_has_no_accuracy():
    analysis = analyse(np.array([0]), seed=0, classes=ABC, probabilities=PROBABILITIES[:1])
    assert analysis.class_accuracy == (1.0, None, None)


def test_probabilities_of_huge_scores_are_finite():
    assert softmax(np.array([[1e4, 0.0], [-1e4, 1e4]])).tolist() == [[1, 0], [0, 1]]
    assert logistic_pair(np.array([1e4, -1e4, 0.0])).tolist() == [[0, 1], [1, 0], [0.5, 0.5]]


def test_what_was_written_is_read_and_damage_is_named(tmp_path):
    images = np.arange(4 * 9, dtype=np.uint8).reshape(4, 1, 3, 3)
    sheet = pictures.signed(np.ones((2, 3, 3)), "Filters", "Two.", 2)
    analysis = analyse(
        LABELS, seed=0, classes=ABC, probabilities=PROBABILITIES, images=images, sheets=[sheet]
    )
    path = tmp_path / "analysis.json"
    analysis.write(path)
    assert Analysis.read(path) == analysis
    damaged = {k: v for k, v in json.loads(path.read_text()).items() if k != "confusion"}
    path.write_text(json.dumps(damaged))
    with pytest.raises(ResultsError, match=r"analysis.json is damaged \('confusion'\)"):
        Analysis.read(path)


# pictures ---------------------------------------------------------------------------------------


def decoded(png):
    """Read a PNG without filters by hand: header, palette, pixels."""
    file = base64.b64decode(png)
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    parts, at = {}, 8
    while at < len(file):
        (length,) = struct.unpack_from(">I", file, at)
        name, content = file[at + 4 : at + 8], file[at + 8 : at + 8 + length]
        (check,) = struct.unpack_from(">I", file, at + 8 + length)
        assert check == zlib.crc32(name + content)
        parts[name], at = content, at + 12 + length
    width, height, depth, kind = struct.unpack_from(">IIBB", parts[b"IHDR"])
    assert depth == 8
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[kind]
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not lines[:, 0].any()  # no filter
    pixels = lines[:, 1:].reshape(height, width, channels)
    if kind == 3:
        pixels = np.frombuffer(parts[b"PLTE"], np.uint8).reshape(-1, 3)[pixels[..., 0]]
    return pixels


def test_an_image_comes_back():
    rng = np.random.default_rng(0)
    for channels in (1, 3):
        pixels = rng.integers(0, 256, (channels, 5, 7)).astype(np.uint8)
        assert (decoded(pictures.image(pixels)) == pixels.transpose(1, 2, 0)).all()


def test_a_sheet_of_signed_numbers_is_white_at_zero_blue_below_orange_above():
    tiles = np.array([[[0.0, 2.0]], [[-2.0, -1.0]], [[1.0, 0.0]]])
    sheet = pictures.signed(tiles, "t", "c", 2)
    assert (sheet.width, sheet.height, sheet.tiles, sheet.columns) == (5, 3, 3, 2)
    assert (sheet.low, sheet.high) == (-2.0, 2.0)
    pixels = decoded(sheet.png)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 1].tolist() == [190, 80, 10]
    assert pixels[0, 3].tolist() == [33, 90, 168]
    assert pixels[2, 0, 0] > pixels[2, 0, 2]  # 1: some orange


def test_positive_and_coloured_sheets_span_their_scale():
    sheet = pictures.positive(np.array([[[1.0, 3.0]]]), "t", "c", 8)
    assert (sheet.low, sheet.high, sheet.columns) == (1.0, 3.0, 1)
    assert decoded(sheet.png)[0, :, 0].tolist() == [0, 255]
    colours = np.array([[[[1.0]], [[-1.0]], [[0.0]]]])
    assert decoded(pictures.coloured(colours, "t", "c", 8).png)[0, 0].tolist() == [255, 0, 128, 255]


def test_constant_numbers_have_a_picture_too():
    assert decoded(pictures.signed(np.zeros((1, 2, 2)), "t", "c", 1).png).min() == 255
    assert decoded(pictures.positive(np.full((1, 2, 2), 4.0), "t", "c", 1).png).max() == 0


def test_pixels_must_be_bytes():
    with pytest.raises(ValueError, match=r"png: pixels must be uint8 .* got float64"):
        pictures.png(np.zeros((2, 2)))
