"""MNIST: decoding, splitting, the order of the search, and each kind of bad file by name."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from datasets_fakes import fake_mnist, idx, isolate, sha, write_all

from handgrad.datasets import load_mnist, mnist, mnist_files
from handgrad.datasets.dataset import every_tenth
from handgrad.datasets.idx import read_idx
from handgrad.datasets.known import KnownFile
from handgrad.datasets.mnist_files import MNIST
from handgrad.errors import DataError

TRAIN, TRAIN_LABELS, TEST, TEST_LABELS = MNIST.files


@pytest.fixture(autouse=True)
def raws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    isolate(tmp_path, monkeypatch)
    return fake_mnist(monkeypatch)


def test_every_tenth_row_is_validation() -> None:
    # Worked by hand: of 0..29 the rows 9, 19 and 29.
    assert np.flatnonzero(every_tenth(30)).tolist() == [9, 19, 29]
    assert every_tenth(60_000).sum() == 6_000


def test_decodes_splits_and_scales(tmp_path: Path, raws: dict[str, bytes]) -> None:
    data = load_mnist(write_all(tmp_path / "given", raws))
    pixels = np.frombuffer(raws[TRAIN][16:], np.uint8).reshape(30, 1, 28, 28)
    rows = [row for row in range(30) if row % 10 != 9]
    np.testing.assert_array_equal(data.X_train, (pixels[rows] / 255).astype(np.float32))
    np.testing.assert_array_equal(data.X_val, (pixels[9::10] / 255).astype(np.float32))
    np.testing.assert_array_equal(data.y_train, np.array(rows) % 10)
    assert data.y_val.tolist() == [9, 9, 9]
    assert data.y_test.tolist() == list(range(10))
    assert data.X_train.dtype == np.float32
    assert data.y_train.dtype == np.int64
    assert data.X_train.max() <= 1.0
    assert dict(data.sha256) == {name: sha(raw) for name, raw in raws.items()}
    assert (data.name, data.stand_in, data.notice) == ("mnist", False, None)


def test_float64_on_request(tmp_path: Path, raws: dict[str, bytes]) -> None:
    data = load_mnist(write_all(tmp_path / "given", raws), dtype=np.float64)
    assert data.X_test.dtype == np.float64
    assert set(np.unique(np.rint(data.X_test * 255))) <= set(range(256))


@pytest.mark.parametrize("place", ["", "mnist", "MNIST/raw", "raw", "data/MNIST/raw"])
@pytest.mark.parametrize("packed", [False, True])
def test_found_in_the_usual_folders_plain_or_gzip(
    place: str, packed: bool, tmp_path: Path, raws: dict[str, bytes]
) -> None:
    if packed:
        raws = {f"{name}.gz": gzip.compress(raw, 1) for name, raw in raws.items()}
    write_all(tmp_path / "given" / place, raws)
    assert load_mnist(tmp_path / "given").source == "IDX files from --data-dir"


def test_file_names_with_a_dot_are_known(tmp_path: Path, raws: dict[str, bytes]) -> None:
    dotted = {name.replace("-idx", ".idx"): raw for name, raw in raws.items()}
    assert not load_mnist(write_all(tmp_path / "given", dotted)).stand_in


def keras_file(path: Path, raws: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    keys = ("x_train", "y_train", "x_test", "y_test")
    arrays = [read_idx(raws[n], 3 if "images" in n else 1) for n in MNIST.files]
    buffer = io.BytesIO()
    np.savez(buffer, **dict(zip(keys, arrays, strict=True)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    monkeypatch.setattr(mnist_files, "KERAS_SHA256", sha(buffer.getvalue()))
    return path


def test_the_order_is_data_dir_environment_torchvision_keras_cache_sample(
    tmp_path: Path, raws: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, environment = tmp_path / "given", tmp_path / "environment"
    torchvision = tmp_path / "work/data/MNIST/raw"
    for folder in (given, environment, torchvision, tmp_path / "cache/mnist"):
        write_all(folder, raws)
    keras = keras_file(tmp_path / "keras/datasets/mnist.npz", raws, monkeypatch)
    monkeypatch.setenv("HANDGRAD_DATA", str(environment))

    def source() -> str:
        return load_mnist(given, offline=True).source

    def empty(folder: Path) -> None:
        for name in raws:
            (folder / name).unlink()

    assert source() == "IDX files from --data-dir"
    empty(given)
    assert source() == "IDX files from HANDGRAD_DATA"
    empty(environment)
    assert source() == "IDX files from torchvision"
    empty(torchvision)
    assert source() == "mnist.npz from Keras"
    keras.unlink()
    assert source() == "IDX files in the cache"
    empty(tmp_path / "cache/mnist")
    assert source() == "sample of 1,500 digits shipped with handgrad"


def test_keras_rows_equal_the_idx_rows(
    tmp_path: Path, raws: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    keras_file(tmp_path / "keras/datasets/mnist.npz", raws, monkeypatch)
    from_keras = load_mnist(offline=True)
    from_files = load_mnist(write_all(tmp_path / "given", raws))
    np.testing.assert_array_equal(from_keras.X_train, from_files.X_train)
    np.testing.assert_array_equal(from_keras.y_test, from_files.y_test)


def images(rows: int) -> bytes:
    return idx(np.zeros((rows, 28, 28), np.uint8))


BAD = {
    "empty": (TRAIN, b"", "the file is empty"),
    "truncated header": (TEST, b"\0\0\x08\x03", "truncated: 4 bytes, less than the 16"),
    "truncated": (TRAIN, images(30)[:5000], "wrong row count: the header says 30 rows, which need"),
    "magic": (TEST_LABELS, images(10), "wrong magic number 0x00000803, expected 0x00000801"),
    "html": (TRAIN, b"<!DOCTYPE html><p>gone</p>", "wrong magic number 0x3c21444f, expected 0x000"),
    "rows": (TEST, images(9), "wrong row count: 9 rows, expected 10"),
    "label": (TEST_LABELS, idx(np.arange(1, 11, dtype=np.uint8)), "out of range: row 9 has 10"),
    "corrupt": (TRAIN, images(30), "corrupt or foreign: SHA-256"),
    "too long": (TEST, images(10) + b"x", "wrong row count: the header says 10 rows, which need"),
}


@pytest.mark.parametrize(("name", "bad", "message"), BAD.values(), ids=BAD)
def test_a_bad_file_the_user_gave_is_named_and_left_alone(
    name: str, bad: bytes, message: str, tmp_path: Path, raws: dict[str, bytes]
) -> None:
    folder = write_all(tmp_path / "given", {**raws, name: bad})
    with pytest.raises(DataError, match=message) as caught:
        load_mnist(folder)
    assert str(caught.value).startswith(f"{folder / name}: ")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in folder.iterdir()) == sorted(raws)
    assert (folder / name).read_bytes() == bad


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda packed: packed[:-20], "the gzip stream ends early; the file is truncated"),
        (lambda packed: b"PK" + packed, "wrong magic number 0x504b1f8b"),
        (lambda packed: packed[:50] + b"\0\0\0\0" + packed[54:], "not a whole gzip file|corrupt"),
        (lambda packed: b"", "the file is empty"),
    ],
)
def test_a_bad_gzip_file_is_named(
    spoil: object, message: str, tmp_path: Path, raws: dict[str, bytes]
) -> None:
    assert callable(spoil)
    packed = {f"{name}.gz": gzip.compress(raw) for name, raw in raws.items()}
    packed[f"{TRAIN}.gz"] = spoil(packed[f"{TRAIN}.gz"])
    folder = write_all(tmp_path / "given", packed)
    with pytest.raises(DataError, match=f"{TRAIN}.gz: .*({message})"):
        load_mnist(folder)


def test_content_decides_over_the_ending(tmp_path: Path, raws: dict[str, bytes]) -> None:
    given = {f"{TRAIN}.gz": raws[TRAIN], TRAIN_LABELS: gzip.compress(raws[TRAIN_LABELS])}
    given |= {TEST: raws[TEST], f"{TEST_LABELS}.gz": gzip.compress(raws[TEST_LABELS])}
    assert load_mnist(write_all(tmp_path / "given", given)).source == "IDX files from --data-dir"


@pytest.mark.parametrize("stray", ["plain", "packed"])
def test_a_good_copy_wins_over_a_bad_one_beside_it(
    stray: str, tmp_path: Path, raws: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    # A gunzip that was interrupted leaves part of the plain file beside the packed one.
    packed = {f"{name}.gz": gzip.compress(raw) for name, raw in raws.items()}
    bad = raws[TRAIN][:5000]
    both = {**packed, TRAIN: bad} if stray == "plain" else {**raws, f"{TRAIN}.gz": bad}
    folder = write_all(tmp_path / "given", both)
    data = load_mnist(folder)
    assert data.source == "IDX files from --data-dir"
    assert len(data.X_train) == 27
    assert (f"passed over: {folder / TRAIN}: " in caplog.text) == (stray == "plain")
    assert (folder / TRAIN).read_bytes() == both.get(TRAIN)


@pytest.mark.parametrize("stray", [TEST_LABELS, f"{TRAIN}.gz"])
def test_a_whole_set_in_a_sub_folder_wins_over_a_stray_file_above(
    stray: str, tmp_path: Path, raws: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    write_all(tmp_path / "given", {stray: b"junk"})
    write_all(tmp_path / "given/MNIST/raw", raws)
    assert load_mnist(tmp_path / "given").source == "IDX files from --data-dir"
    assert f"passed over: {tmp_path / 'given' / stray}: " in caplog.text
    with pytest.raises(DataError, match=stray):  # not that of HANDGRAD_DATA
        load_mnist(write_all(tmp_path / "other", {stray: b"junk"}))


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path, raws: dict[str, bytes]) -> None:
    bomb = gzip.compress(raws[TRAIN] + bytes(50_000_000))
    packed = {**raws, f"{TRAIN}.gz": bomb}
    del packed[TRAIN]
    with pytest.raises(DataError, match="there are more"):
        load_mnist(write_all(tmp_path / "given", packed))


def test_a_missing_file_beside_the_others_is_named(tmp_path: Path, raws: dict[str, bytes]) -> None:
    del raws[TEST_LABELS]
    with pytest.raises(DataError, match=f"{TEST_LABELS} is missing beside"):
        load_mnist(write_all(tmp_path / "given", raws))


def test_a_mistyped_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data-dir: .*nowhere does not exist"):
        load_mnist(tmp_path / "nowhere")


def test_a_bad_file_in_another_programs_folder_is_passed_over_and_said(
    tmp_path: Path, raws: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    bad = write_all(tmp_path / "work/data/MNIST/raw", {**raws, TRAIN: b"junk"})
    write_all(tmp_path / "cache/mnist", raws)
    assert load_mnist(offline=True).source == "IDX files in the cache"
    assert f"passed over: {Path('data/MNIST/raw') / TRAIN}: truncated" in caplog.text
    assert (bad / TRAIN).read_bytes() == b"junk"


def test_a_foreign_keras_file_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "keras/datasets").mkdir()
    (tmp_path / "keras/datasets/mnist.npz").write_bytes(b"PK\3\4")
    data = load_mnist(offline=True)
    assert data.stand_in
    assert data.notice is not None
    assert "mnist.npz: corrupt or foreign" in data.notice
    assert "mnist.npz: corrupt or foreign" in caplog.text


def test_a_bad_file_in_the_cache_is_kept_aside_and_never_used(
    tmp_path: Path, raws: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    cache = write_all(tmp_path / "cache/mnist", {**raws, TEST: b"first"})
    assert load_mnist(offline=True).stand_in
    assert (cache / f"{TEST}.corrupt-1").read_bytes() == b"first"
    assert not (cache / TEST).exists()
    assert f"{TEST}: truncated" in caplog.text
    assert f"kept as {TEST}.corrupt-1" in caplog.text
    (cache / TEST).write_bytes(b"second")
    assert load_mnist(offline=True).stand_in
    assert (cache / f"{TEST}.corrupt-2").read_bytes() == b"second"
    (cache / TEST).write_bytes(raws[TEST])
    assert not load_mnist(offline=True).stand_in


def test_the_shipped_sample_is_real_balanced_and_announced() -> None:
    data = load_mnist(offline=True)
    assert data.stand_in
    assert data.notice is not None
    assert "1,500 real digits" in data.notice
    assert "handgrad data fetch" in data.notice
    assert [len(p) for p in (data.X_train, data.X_val, data.X_test)] == [900, 100, 500]
    labels = np.concatenate([data.y_train, data.y_val])
    assert np.bincount(labels).tolist() == [100] * 10
    assert np.bincount(data.y_test).tolist() == [50] * 10
    assert data.X_train.shape[1:] == (1, 28, 28)
    # Real digits: the mean of the full training set is 0.1307, and a nearest-mean classifier,
    # which reaches 82 % when it sees all of MNIST, is far above the 10 % of noise.
    assert abs(data.X_train.mean() - 0.1307) < 0.01
    flat, test = data.X_train.reshape(900, -1), data.X_test.reshape(500, -1)
    means = np.array([flat[data.y_train == digit].mean(axis=0) for digit in range(10)])
    nearest = ((test[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == data.y_test).mean() > 0.7


def test_a_damaged_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {n: KnownFile(n, k.size, "0" * 64) for n, k in mnist.SAMPLE_FILES.items()}
    monkeypatch.setattr(mnist, "SAMPLE_FILES", wrong)
    with pytest.raises(DataError, match=r"sample.*train-images-idx3-ubyte\.gz: corrupt"):
        load_mnist(offline=True)


def test_the_sample_names_its_authors_and_licence() -> None:
    text = (Path(mnist.__file__).parent / "sample/README.md").read_text()
    for words in ("LeCun", "Cortes", "Burges", "Attribution-ShareAlike 3.0"):
        assert words in text
