"""The course's rows: found in order, repaired, verified; refused when bad; replaced when absent."""

from __future__ import annotations

import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from datasets_fakes import COURSE_FILE, course_rows, fake_course, isolate, python2_pickle

from handgrad.datasets import course, load_course
from handgrad.errors import DataError

X, Y = course_rows()
PINNED = "ab51827428c5f8bca73d93142c13f4fef9cd5ac80dbb3fb18ef46542298f440c"


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(tmp_path, monkeypatch)


@pytest.fixture
def real() -> Path:
    if not COURSE_FILE.is_file():
        pytest.skip("the course's data.pkl is not at ../shared/data/course")
    return COURSE_FILE.resolve()


def test_the_real_file_gives_the_three_parts_in_order(real: Path) -> None:
    data = load_course(real.parent)
    assert [len(part) for part in (data.X_train, data.X_val, data.X_test)] == [500, 250, 250]
    y = np.concatenate([data.y_train, data.y_val, data.y_test])
    assert (y == 0).sum() == 460
    assert (y == 1).sum() == 540
    assert data.X_train.dtype == np.float64
    assert data.y_train.dtype == np.int64
    # pickle.loads is the independent witness; the file's hash was checked just above.
    expected, labels = pickle.loads(real.read_bytes(), encoding="latin1")
    np.testing.assert_array_equal(data.X_train, expected[:500])
    np.testing.assert_array_equal(data.X_val, expected[500:750])
    np.testing.assert_array_equal(data.X_test, expected[750:])
    np.testing.assert_array_equal(y, labels)
    assert not data.stand_in
    assert data.notice is None
    assert dict(data.sha256) == {"data.pkl": course.FILE.sha256}


def test_windows_line_ends_of_the_real_file_are_repaired(real: Path, tmp_path: Path) -> None:
    (tmp_path / "data.pkl").write_bytes(real.read_bytes().replace(b"\n", b"\r\n"))
    damaged = load_course(tmp_path)
    np.testing.assert_array_equal(damaged.X_train, load_course(real.parent).X_train)
    assert damaged.source == "data.pkl from --data-dir, line endings repaired"
    assert dict(damaged.sha256) == {"data.pkl": course.FILE.sha256}


@pytest.mark.parametrize("place", ["", "course", "data", "data/course"])
def test_found_in_the_usual_folders_of_data_dir(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = fake_course(monkeypatch)
    folder = tmp_path / "given" / place
    folder.mkdir(parents=True)
    (folder / "data.pkl").write_bytes(raw)
    data = load_course(tmp_path / "given")
    assert data.source == "data.pkl from --data-dir"
    np.testing.assert_array_equal(data.X_test, X[750:])
    assert load_course(folder / "data.pkl").source == "data.pkl from --data-dir"


def test_the_order_is_data_dir_environment_here_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = fake_course(monkeypatch)
    folders = {
        "--data-dir": tmp_path / "given",
        "HANDGRAD_DATA": tmp_path / "environment",
        "the folder .": tmp_path / "work",
        "the folder data": tmp_path / "work/data",
        "the folder ../shared/data/course": tmp_path / "shared/data/course",
        "the cache": tmp_path / "cache/course",
    }
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data.pkl").write_bytes(raw)
    monkeypatch.setenv("HANDGRAD_DATA", str(folders["HANDGRAD_DATA"]))
    for label, folder in folders.items():
        assert load_course(tmp_path / "given").source == f"data.pkl from {label}"
        (folder / "data.pkl").unlink()
    assert load_course(tmp_path / "given").stand_in


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "the file is empty"),
        (python2_pickle(X, Y)[:30_000], "not a whole pickle .* truncated or corrupt"),
        (b"not a pickle at all", "not a whole pickle"),
        (b"cos\nsystem\n(S'touch owned'\ntR.", r"asks for os\.system, which is refused"),
        (python2_pickle(X[:999], Y), r"X must have shape \(1000, 20\); got \(999, 20\)"),
        (python2_pickle(X, Y[:999]), r"y must have shape \(1000,\), one label per row; got"),
        (python2_pickle(X, Y + 1), r"labels must be 0 or 1; row \d+ has 2"),
        (python2_pickle(np.where(X > 0.999, np.nan, X), Y), "X has NaN or infinite features in"),
        (pickle.dumps([1, 2]), r"does not hold a pair of arrays \(X, y\)"),
        (python2_pickle(X, Y), "well-formed, but not the course's data.pkl"),
    ],
    ids=[
        *("empty", "truncated", "foreign", "malicious", "rows"),
        *("labels", "range", "nan", "pair", "unknown"),
    ],
)
def test_a_bad_file_is_named_and_never_replaced_by_the_stand_in(raw: bytes, message: str) -> None:
    Path("data.pkl").write_bytes(raw)
    with pytest.raises(DataError, match=message) as caught:
        load_course()
    assert str(caught.value).startswith("data.pkl: ")
    assert "\n" not in str(caught.value)
    assert not Path("owned").exists()
    assert Path("data.pkl").read_bytes() == raw  # a user's file is left as it is


def test_a_mistyped_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"--data-dir: .*nowhere does not exist"):
        load_course(tmp_path / "nowhere")
    monkeypatch.setenv("HANDGRAD_DATA", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"HANDGRAD_DATA: .*gone does not exist"):
        load_course()


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named() -> None:
    Path("data.pkl").write_bytes(b"x")
    Path("data.pkl").chmod(0)
    with pytest.raises(DataError, match=r"data\.pkl: cannot be read"):
        load_course()


def test_the_stand_in_says_so_and_is_the_same_everywhere() -> None:
    data = load_course()
    assert data.stand_in
    assert data.source.startswith("stand-in")
    assert data.notice is not None
    assert data.notice.startswith("stand-in")
    assert "handgrad data import" in data.notice
    assert dict(data.sha256) == {"stand-in": PINNED}
    X_all = np.concatenate([data.X_train, data.X_val, data.X_test])
    y_all = np.concatenate([data.y_train, data.y_val, data.y_test])
    assert X_all.shape == (1000, 20)
    assert X_all.min() >= 0
    assert X_all.max() < 1.12
    assert np.bincount(y_all).tolist() == [460, 540]


def test_the_stand_in_is_nearly_linearly_separable() -> None:
    data = load_course()
    # Least squares on the training rows is the simplest linear classifier there is.
    design = np.column_stack([data.X_train, np.ones(500)])
    weights = np.linalg.lstsq(design, 2.0 * data.y_train - 1, rcond=None)[0]
    right = ((data.X_test @ weights[:-1] + weights[-1] > 0) == data.y_test).mean()
    assert 0.90 <= right <= 0.97


def test_two_loads_do_not_share_memory() -> None:
    first = load_course()
    first.y_train[:] = -1
    assert (load_course().y_train >= 0).all()


def test_somebody_elses_data_pkl_does_not_hide_the_courses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    raw = fake_course(monkeypatch)
    (tmp_path / "work").mkdir(exist_ok=True)
    (tmp_path / "work/data.pkl").write_bytes(b"junk")
    with pytest.raises(DataError, match="not a whole pickle"):  # nothing else is there
        load_course()
    (tmp_path / "cache/course").mkdir(parents=True)
    (tmp_path / "cache/course/data.pkl").write_bytes(raw)
    assert load_course().source == "data.pkl from the cache"
    assert "passed over: " in caplog.text


def test_a_good_file_in_a_usual_sub_folder_wins_over_a_bad_one_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    raw = fake_course(monkeypatch)
    (tmp_path / "given/course").mkdir(parents=True)
    (tmp_path / "given/data.pkl").write_bytes(b"junk")
    (tmp_path / "given/course/data.pkl").write_bytes(raw)
    assert load_course(tmp_path / "given").source == "data.pkl from --data-dir"
    assert f"passed over: {tmp_path / 'given/data.pkl'}: " in caplog.text
    with pytest.raises(DataError, match="not a whole pickle"):  # this very file was asked for
        load_course(tmp_path / "given/data.pkl")


def test_a_packed_file_is_read_and_not_called_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = fake_course(monkeypatch)
    (tmp_path / "data.pkl").write_bytes(gzip.compress(raw))
    data = load_course(tmp_path)
    assert data.source == "data.pkl from --data-dir"
    np.testing.assert_array_equal(data.X_test, X[750:])
