"""Frames of pandas, polars and pyarrow: columns by name, and errors that name one."""

import numpy as np
import pytest

from handgrad.estimators import HandgradClassifier, HandgradRegressor

pytest.importorskip("sklearn", reason="needs scikit-learn")
QUICK = {"max_iter": 5, "n_iter_no_change": None, "random_state": 0}
RNG = np.random.default_rng(0)
COLUMNS = {
    "size": RNG.normal(size=60),
    "count": RNG.integers(0, 9, size=60),
    "on": RNG.random(60) > 0.5,
}
LABELS = np.where(COLUMNS["size"] > 0, "big", "small")


def pandas_frame(columns):
    return pytest.importorskip("pandas", reason="needs pandas").DataFrame(columns)


def polars_frame(columns):
    return pytest.importorskip("polars", reason="needs polars").DataFrame(columns)


def arrow_table(columns):
    return pytest.importorskip("pyarrow", reason="needs pyarrow").table(columns)


FRAMES = [pandas_frame, polars_frame, arrow_table]


@pytest.mark.parametrize("frame", FRAMES)
def test_a_frame_is_its_columns_side_by_side(frame):
    X = np.column_stack([np.asarray(column, float) for column in COLUMNS.values()])
    model = HandgradClassifier(**QUICK).fit(frame(COLUMNS), LABELS)
    assert model.feature_names_in_.tolist() == ["size", "count", "on"]
    assert model.n_features_in_ == 3
    plain = HandgradClassifier(**QUICK).fit(X, LABELS)
    assert "feature_names_in_" not in vars(plain)
    np.testing.assert_array_equal(plain._scores(X), model._scores(frame(COLUMNS)))


@pytest.mark.parametrize("frame", FRAMES[:2])
def test_targets_may_be_series_and_frames(frame):
    target = frame({"label": LABELS, "a": COLUMNS["size"], "b": COLUMNS["size"] ** 2})
    model = HandgradClassifier(**QUICK).fit(frame(COLUMNS), target["label"])
    assert model.classes_.tolist() == ["big", "small"]
    assert model.score(frame(COLUMNS), target["label"]) > 0.5
    both = HandgradRegressor(**QUICK).fit(frame(COLUMNS), target[["a", "b"]])
    assert both.predict(frame(COLUMNS)).shape == (60, 2)


@pytest.mark.parametrize("frame", FRAMES[:2])
def test_other_names_are_refused(frame):
    model = HandgradClassifier(**QUICK).fit(frame(COLUMNS), LABELS)
    renamed = {"length" if name == "size" else name: v for name, v in COLUMNS.items()}
    with pytest.raises(ValueError, match="length"):
        model.predict(frame(renamed))
    with pytest.raises(ValueError, match="order"):
        model.predict(frame(dict(reversed(COLUMNS.items()))))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(np.zeros((2, 3)))


@pytest.mark.parametrize("frame", FRAMES)
def test_a_column_that_is_no_number_is_named(frame):
    with pytest.raises(ValueError, match=r"column 'city' of X holds .* as 'Ulm', no numbers"):
        HandgradClassifier(**QUICK).fit(frame({**COLUMNS, "city": ["Ulm"] * 60}), LABELS)


@pytest.mark.parametrize("frame", FRAMES)
def test_a_column_with_missing_values_is_named(frame):
    ages = [None, *range(59)]
    with pytest.raises(ValueError, match=r"column 'age' of X contains NaN.* in 1 of 60 rows"):
        HandgradClassifier(**QUICK).fit(frame({**COLUMNS, "age": ages}), LABELS)


def test_columns_without_names_are_numbered():
    frame = pandas_frame(COLUMNS)
    frame.columns = range(3)
    assert "feature_names_in_" not in vars(HandgradClassifier(**QUICK).fit(frame, LABELS))
