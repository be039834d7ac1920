"""The preprocessor: exact statistics of training rows, one rounding, and its way through a file."""

import numpy as np
import pytest

from handgrad import checkpoint
from handgrad.errors import CheckpointError, DataError
from handgrad.images import ImagePreprocessor, ImageSet

RNG = np.random.default_rng(0)


def image_set(X, **options):
    return ImageSet(
        X, ["a", "b"] * (len(X) // 2), [f"row {i}" for i in range(len(X))], "", **options
    )


COLOURS = image_set(RNG.integers(0, 256, (8, 3, 5, 4), np.uint8))


def test_training_rows_have_mean_0_and_deviation_1_a_channel():
    rows = np.array([0, 2, 3, 5])
    made = ImagePreprocessor.fit(COLOURS, rows)
    assert made.input_shape == (3, 5, 4)
    # The reference sums 80 numbers in another order: a few roundings of float64.
    np.testing.assert_allclose(made.mean, COLOURS.X[rows].mean(axis=(0, 2, 3)), rtol=1e-14)
    np.testing.assert_allclose(made.deviation, COLOURS.X[rows].std(axis=(0, 2, 3)), rtol=1e-13)
    out = made.transform(COLOURS.X[rows])
    assert out.dtype == np.float32
    expected = (COLOURS.X[rows] - made.mean[:, None, None]) / made.deviation[:, None, None]
    np.testing.assert_array_equal(out, expected.astype(np.float32))
    assert not np.allclose(made.mean, ImagePreprocessor.fit(COLOURS).mean, rtol=1e-3)


def test_a_constant_channel_becomes_0():
    X = COLOURS.X.copy()
    X[:, 1] = 77
    made = ImagePreprocessor.fit(image_set(X))
    assert (made.mean[1], made.deviation[1]) == (77.0, 1.0)
    assert not made.transform(X)[:, 1].any()


def test_greys_and_colours_follow_the_packages_rules():
    colours = ImagePreprocessor.fit(COLOURS)
    grey = RNG.integers(0, 256, (2, 1, 5, 4), np.uint8)
    np.testing.assert_array_equal(
        colours.transform(grey), colours.transform(np.repeat(grey, 3, axis=1))
    )
    of_grey = ImagePreprocessor.fit(image_set(grey))
    assert of_grey.transform(COLOURS.X).shape == (8, 1, 5, 4)
    white = np.full((1, 3, 5, 4), 255, np.uint8)
    np.testing.assert_array_equal(of_grey.transform(white), of_grey.transform(white[:, :1]))


def test_another_size_and_other_arrays_are_refused():
    made = ImagePreprocessor.fit(COLOURS)
    with pytest.raises(DataError, match=r"takes pictures of 5 x 4 pixels .* have 4 x 5 pixels"):
        made.transform(COLOURS.X.transpose(0, 1, 3, 2))
    for wrong in (COLOURS.X[0], COLOURS.X.astype(np.float32), COLOURS.X[:, :2]):
        with pytest.raises(ValueError, match="X must be uint8"):
            made.transform(wrong)
    with pytest.raises(ValueError, match="there must be training rows"):
        ImagePreprocessor.fit(COLOURS, np.array([], int))


def test_it_comes_back_from_a_file(tmp_path):
    made = ImagePreprocessor.fit(image_set(COLOURS.X, resized=True))
    checkpoint.write(tmp_path / "p", made.arrays(), made.to_header())
    arrays, header = checkpoint.read(tmp_path / "p")
    again = ImagePreprocessor.restore(header, arrays)
    assert again.input_shape == made.input_shape
    assert again.resized
    np.testing.assert_array_equal(again.transform(COLOURS.X), made.transform(COLOURS.X))


@pytest.mark.parametrize(
    ("header", "arrays"),
    [
        ({"kind": "table"}, {}), ({"channels": 2}, {}), ({"height": "5"}, {}), ({"width": 0}, {}),
        ({"height": True}, {}), ({"resized": None}, {}), ({}, {"mean": np.zeros(1)}),
        ({}, {"deviation": None}),
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_one_is_refused(header, arrays):
    made = ImagePreprocessor.fit(COLOURS)
    changed = {k: v for k, v in {**made.arrays(), **arrays}.items() if v is not None}
    with pytest.raises(CheckpointError, match="the preprocessing of pictures is damaged"):
        ImagePreprocessor.restore({**made.to_header(), **header}, changed)


def test_stream_resizes_as_the_training_did(tmp_path):
    pytest.importorskip("PIL.Image", reason="Pillow (the extra 'images') is not installed")
    np.savez(tmp_path / "x.npz", X=RNG.integers(0, 256, (3, 9, 9), np.uint8))
    (batch,) = ImagePreprocessor.fit(image_set(COLOURS.X, resized=True)).stream(tmp_path / "x.npz")
    assert batch.X.shape == (3, 3, 5, 4)
    with pytest.raises(DataError, match="trained without resize"):
        next(ImagePreprocessor.fit(COLOURS).stream(tmp_path / "x.npz"))
