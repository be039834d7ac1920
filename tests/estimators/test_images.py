"""Images in each layout an array of them may have."""

import numpy as np
import pytest

from handgrad.estimators import HandgradImageClassifier

QUICK = {"max_iter": 2, "n_iter_no_change": None, "random_state": 0, "filters": (4,)}
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, size=(40, 6, 8)).astype(np.uint8)
COLOUR = RNG.random((40, 3, 6, 8))
LABELS = np.where(np.arange(40) % 3, "cat", "dog")


def test_grey_images_and_their_rows_are_the_same():
    model = HandgradImageClassifier(**QUICK).fit(GREY, LABELS)
    assert model.input_shape_ == (1, 6, 8)
    assert model.n_features_in_ == 48
    rows = GREY.reshape(40, 48)
    np.testing.assert_array_equal(model._scores(rows), model._scores(GREY))
    again = HandgradImageClassifier(input_shape=(6, 8), **QUICK).fit(rows, LABELS)
    np.testing.assert_array_equal(again._scores(GREY), model._scores(GREY))
    # Without the shape a row is a strip, or a square.
    assert HandgradImageClassifier(**QUICK).fit(rows, LABELS).input_shape_ == (1, 1, 48)
    square = HandgradImageClassifier(**QUICK).fit(rows[:, :36], LABELS)
    assert square.input_shape_ == (1, 6, 6)


def test_channels_first_and_last_are_told_apart():
    first = HandgradImageClassifier(**QUICK).fit(COLOUR, LABELS)
    last = HandgradImageClassifier(**QUICK).fit(np.moveaxis(COLOUR, 1, -1), LABELS)
    assert first.input_shape_ == last.input_shape_ == (3, 6, 8)
    np.testing.assert_array_equal(first._scores(COLOUR), last._scores(np.moveaxis(COLOUR, 1, -1)))
    told = HandgradImageClassifier(input_shape=(6, 8, 3), **QUICK)
    told.fit(np.moveaxis(COLOUR, 1, -1).reshape(40, -1), LABELS)
    np.testing.assert_array_equal(told._scores(np.moveaxis(COLOUR, 1, -1)), first._scores(COLOUR))


def test_each_channel_is_standardised():
    images = COLOUR * np.array([1.0, 100.0, 1e-3]).reshape(3, 1, 1)
    model = HandgradImageClassifier(**QUICK).fit(images, LABELS)
    np.testing.assert_allclose(
        model.scaling_.centre.reshape(3), images.mean(axis=(0, 2, 3)), rtol=1e-12
    )
    np.testing.assert_allclose(
        model.scaling_.deviation.reshape(3), images.std(axis=(0, 2, 3)), rtol=1e-12
    )
    # A weight of two is the image twice.
    weight = np.where(np.arange(40) < 10, 2, 1)
    twice = np.repeat(images, weight, axis=0)
    weighted = HandgradImageClassifier(**QUICK).fit(images, LABELS, sample_weight=weight)
    np.testing.assert_allclose(
        weighted.scaling_.deviation.reshape(3), twice.std(axis=(0, 2, 3)), rtol=1e-12
    )


def test_it_learns_where_a_bar_lies():
    rng = np.random.default_rng(1)
    images, labels = rng.normal(size=(300, 8, 8)), np.arange(300) % 2
    for image, label in zip(images, labels, strict=True):
        at = rng.integers(8)
        image[slice(None) if label else at, at if label else slice(None)] += 3
    model = HandgradImageClassifier(max_iter=10, random_state=0, n_iter_no_change=None)
    model.set_params(learning_rate_init=3e-3)
    model.fit(images[:200], labels[:200])
    assert model.score(images[200:], labels[200:]) > 0.9


def test_what_is_no_image_of_the_same_shape_is_refused():
    model = HandgradImageClassifier(**QUICK).fit(GREY, LABELS)
    with pytest.raises(ValueError, match=r"must have the shape \(6, 8\); got X of shape"):
        model.predict(GREY[:, :5])
    with pytest.raises(ValueError, match="has 48 numbers; X has rows of 36"):
        HandgradImageClassifier(input_shape=(6, 8), **QUICK).fit(
            GREY[:, 0, :].repeat(5, 1)[:, :36], LABELS
        )
    with pytest.raises(ValueError, match=r"input_shape must be \(H, W\), .*got \(48,\)"):
        HandgradImageClassifier(input_shape=(48,), **QUICK).fit(GREY, LABELS)
    spoiled = COLOUR.copy()
    spoiled[3, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        HandgradImageClassifier(**QUICK).fit(spoiled, LABELS)
