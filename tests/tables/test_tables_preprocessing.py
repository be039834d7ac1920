"""Features: values worked by hand, rounding, unknown values, and the same bits when restored."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from handgrad.errors import DataError
from handgrad.tables import Columns, Preprocessor, open_table, summarise
from handgrad.tables.encoders import MOST_DEVIATIONS

N = 24
y = np.array(["p", "q", "q"])[np.arange(N) % 3]


def fitted(column, **options):
    columns = Columns({"c": column, "y": y}, source="train.csv")
    return Preprocessor.fit(columns, summarise(columns, "y"), **options)


def features(preprocessor, column):
    return preprocessor.transform(Columns({"c": column}, source="new.csv"))


def test_numbers_by_hand():
    made = fitted(np.tile([2.0, 4.0, 4.0, 10.0], 6))  # mean 5, variance (9 + 1 + 1 + 25) / 4 = 9
    got = features(made, [2.0, 8.0, np.nan])
    np.testing.assert_allclose(got, [[-1], [1], [-1 / 3]], rtol=1e-6)  # missing: the median, 4
    assert made.feature_names == ("c",)


def test_a_missing_value_is_marked_where_training_had_some():
    column = np.tile([2.0, 4.0, np.nan, 6.0], 6)
    made = fitted(column)
    assert made.feature_names == ("c", "c (missing)")
    got = features(made, [4.0, np.nan, np.inf])
    np.testing.assert_allclose(got, [[0, 0], [0, 1], [0, 1]], atol=1e-7)


def test_a_column_of_1e8_and_1e_3_keeps_its_digits():
    wave = np.sin(np.arange(N))
    got = features(fitted(1e8 + 1e-3 * wave), 1e8 + 1e-3 * wave)[:, 0]
    # 1e8 has steps of 1.5e-8 in float64: 1.5e-5 of a deviation of 1e-3; float32 would have none.
    np.testing.assert_allclose(got, (wave - wave.mean()) / wave.std(), atol=1e-4)


@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e200, 1.7e308])
def test_sizes_at_float64s_ends(size):
    column = np.where(np.arange(N) % 2, size, -size)
    np.testing.assert_allclose(features(fitted(column), column)[:, 0], np.sign(column), rtol=1e-6)
    got = features(fitted(np.sin(np.arange(N))), [1e300, -1e300])
    assert got.tolist() == [[MOST_DEVIATIONS], [-MOST_DEVIATIONS]]


def test_constant_in_the_training_rows():
    columns = Columns({"c": np.where(np.arange(N) < 20, 0.3, 5.0), "y": y})
    made = Preprocessor.fit(columns.take(range(20)), summarise(columns, "y"))
    assert features(made, [0.3, 5.0, np.nan]).tolist() == [[0], [0], [0]]


def test_booleans_are_numbers_in_any_spelling():
    made = fitted(np.tile(["Yes", "no"], N // 2))
    np.testing.assert_allclose(features(made, ["YES", "no"]), [[1], [-1]])
    np.testing.assert_allclose(features(made, [1, 0]), [[1], [-1]])
    numeric = fitted(np.tile([0, 1], N // 2))
    np.testing.assert_allclose(features(numeric, ["True", "False"]), [[1], [-1]])


def test_categories_by_hand():
    made = fitted(["u"] * 12 + ["v"] * 6 + [None] * 4 + ["r", "s"])
    assert made.feature_names == ("c = u", "c = v", "c (other)", "c (missing)")
    shares = np.array([12, 6, 2, 4]) / N
    got = features(made, ["u", None, "r", "never seen"])
    expected = np.eye(4)[[0, 3, 2, 2]] - shares
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_an_unknown_category_is_the_mean_where_none_was_rare():
    made = fitted(np.tile(["u", "v"], N // 2))
    np.testing.assert_allclose(
        features(made, ["u", "v", "w", None]), [[0.5, -0.5], [-0.5, 0.5], [0, 0], [0, 0]]
    )


def test_many_categories():
    rng = np.random.default_rng(0)
    column = np.array([f"v{i}" for i in rng.zipf(1.3, 2000) % 300], object)
    columns = Columns({"c": column, "y": rng.integers(0, 2, 2000)})
    made = Preprocessor.fit(columns, summarise(columns, "y"))
    assert len(made.feature_names) == 52
    assert made.feature_names[-2:] == ("c (other)", "c (frequency)")
    got = made.transform(columns)
    np.testing.assert_allclose(got.mean(axis=0), 0, atol=1e-5)
    assert got[:, -1].std() == pytest.approx(1, abs=1e-5)
    assert np.isfinite(features(made, ["never seen"])).all()


def test_dates():
    days = np.datetime64("2020-01-01") + np.arange(N) * 31
    made = fitted(days)
    waves = tuple(f"c ({c} {w})" for c in ("year", "week") for w in ("sin", "cos"))
    assert made.feature_names == ("c (days)", *waves)
    got = features(made, days)
    assert np.ptp(np.diff(got[:, 0])) < 1e-5
    np.testing.assert_allclose(np.hypot(got[:, 1], got[:, 2]), 1, rtol=1e-6)
    missing = features(made, [None, "2020-05-01"])[0]
    assert missing[1:].tolist() == [0, 0, 0, 0]
    assert "c (day sin)" in fitted([f"2020-01-01 {i:02d}:00" for i in range(N)]).feature_names


@pytest.mark.parametrize(
    ("column", "new", "message"),
    [
        (
            np.sin(np.arange(N)),
            ["1.5", "x"],
            "row 2, column 'c' holds 'x', where the training",
        ),
        (np.tile(["u", "v"], N // 2), [3.0], "row 1, column 'c' holds the number 3, where the tr"),
        (np.tile(["yes", "no"], N // 2), ["maybe"], "holds 'maybe', where .* had true or false"),
        (np.datetime64("2020-01-01") + np.arange(N), ["1.2.2020"], "dates written as year-month-"),
        (np.datetime64("2020-01-01") + np.arange(N), [np.nan, 7.0], "row 2, .* the number 7, whe"),
    ],
)
def test_another_type_is_one_line(column, new, message):
    with pytest.raises(DataError, match=message) as caught:
        features(fitted(column), new)
    assert str(caught.value).startswith("new.csv: row ")
    assert "\n" not in str(caught.value)


def test_columns_by_name_in_any_order():
    columns = Columns(
        {"height": np.sin(np.arange(N)), "weight": np.cos(np.arange(N)), "y": y}, source="new.csv"
    )
    made = Preprocessor.fit(columns, summarise(columns, "y"))
    got = made.transform(columns)
    np.testing.assert_array_equal(got, made.transform(columns.select(["weight", "y", "height"])))
    renamed = Columns({"Height": columns["height"], "weight": columns["weight"]}, source="new.csv")
    with pytest.raises(DataError) as caught:
        made.transform(renamed)
    assert str(caught.value) == (
        "new.csv has no column 'height', which the model needs; did you mean 'Height'?"
    )
    with pytest.raises(DataError, match=r"no column 'height', which .* \(and 1 more of"):
        made.transform(Columns({"zzz": [1.0]}))


def test_a_leak_is_kept_only_when_asked_for():
    columns = Columns({"x": np.sin(np.arange(N)), "leak": y, "y": y})
    found = summarise(columns, "y")
    assert Preprocessor.fit(columns, found).names == ("x",)
    assert Preprocessor.fit(columns, found, keep=["leak"]).names == ("x", "leak")
    with pytest.raises(DataError, match="no column to learn y from"):
        Preprocessor.fit(columns, summarise(columns.without(["x"]).take([*range(N)] * 2), "y"))


def test_sparse_rows_lack_what_is_zero(tmp_path):
    path = tmp_path / "a.svm"
    path.write_text("".join(f"{i % 2} 1:{i} 3:{i * i % 7}\n" for i in range(N)))
    columns = open_table(path).read()
    made = Preprocessor.fit(columns, summarise(columns, "label"))
    assert made.names == ("x1", "x3")
    short = tmp_path / "b.svm"
    short.write_text("0 1:5 9:1\n")
    full = made.transform(Columns({"x1": [5], "x3": [0]}))
    np.testing.assert_array_equal(made.transform(open_table(short).read()), full)


texts = st.sampled_from(["u", "v", "w", "yes", "7", "", "ü"])
column = st.one_of(
    st.lists(st.one_of(st.none(), st.floats(width=64)), min_size=N, max_size=N),
    st.lists(st.one_of(st.none(), texts), min_size=N, max_size=N),
    st.lists(st.booleans(), min_size=N, max_size=N),
    st.lists(st.dates().map(lambda day: day.isoformat()), min_size=N, max_size=N),
)


@settings(max_examples=100, deadline=None)
@given(columns=st.lists(column, min_size=1, max_size=4))
def test_what_is_restored_gives_the_same_bits(columns):
    table = Columns({**{f"c{i}": np.array(each, object) for i, each in enumerate(columns)}, "y": y})
    try:
        found = summarise(table, "y")
    except DataError:  # texts among numbers, or nothing to learn from
        return
    keep = [each.name for each in found.columns]
    made = Preprocessor.fit(table, found, keep=keep)
    again = Preprocessor.restore(json.loads(json.dumps(made.to_header())), made.arrays())
    got = made.transform(table)
    assert got.dtype == np.float32
    assert got.shape == (N, len(made.feature_names))
    assert np.isfinite(got).all()
    assert again.transform(table).tobytes() == got.tobytes()
    assert again == made
    parts = [again.transform(table.take(np.arange(i, i + 6))) for i in range(0, N, 6)]
    assert np.concatenate(parts).tobytes() == got.tobytes()  # in chunks as at once


def test_a_chunk_takes_well_under_a_second():
    """65,536 rows of 40 numbers and 24 categories: 0.3 s; 2 s are allowed on a busy machine."""
    rng = np.random.default_rng(0)
    rows = 65536
    names = np.array(["u", "v", "w", "x"], object)
    columns = Columns(
        {
            **{f"n{i}": rng.normal(size=rows) for i in range(40)},
            **{f"c{i}": names[rng.integers(0, 4, rows)] for i in range(24)},
            "y": rng.integers(0, 2, rows),
        }
    )
    made = Preprocessor.fit(columns.take(range(500)), summarise(columns.take(range(500)), "y"))
    begun = time.process_time()
    assert made.transform(columns).shape == (rows, 40 + 24 * 4)
    assert time.process_time() - begun < 2
