"""`handgrad data import` goes by content: any name, gzip or not, any archive, Theano's pickle."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from datasets_fakes import (
    fake_cifar10,
    fake_course,
    fake_mnist,
    isolate,
    sha,
    theano_pickle,
    write_all,
    write_tar,
    write_zip,
)

from handgrad.datasets import load_mnist, mnist_files, mnist_pickle
from handgrad.datasets.idx import read_idx
from handgrad.datasets.importing import import_path
from handgrad.errors import DataError


class Fakes:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.course = {"data.pkl": fake_course(monkeypatch)}
        self.mnist = fake_mnist(monkeypatch)
        self.cifar10 = fake_cifar10(monkeypatch)
        self.all = {"course": self.course, "mnist": self.mnist, "cifar10": self.cifar10}


@pytest.fixture(autouse=True)
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    isolate(tmp_path, monkeypatch)
    return Fakes(monkeypatch)


def cached(tmp_path: Path, dataset: str) -> dict[str, bytes]:
    folder = tmp_path / "cache" / dataset
    files = (path for path in folder.iterdir() if path.name != ".lock")
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ending", ["", ".gz", ".bin", ".pkl", " (1).txt"])
@pytest.mark.parametrize("dataset", ["course", "mnist", "cifar10"])
def test_content_decides_whatever_the_ending(
    dataset: str, ending: str, packed: bool, tmp_path: Path, fakes: Fakes
) -> None:
    name, raw = next(iter(fakes.all[dataset].items()))
    for stem in (name, "download"):
        path = tmp_path / f"{stem}{ending}"
        path.write_bytes(gzip.compress(raw) if packed else raw)
        [imported] = import_path(path)
        assert (imported.dataset, imported.name) == (dataset, name)
        assert cached(tmp_path, dataset) == {name: raw}
        path.unlink()


def cifar10_pickle(raw: bytes) -> bytes:
    records = np.frombuffer(raw, np.uint8).reshape(-1, 3073)
    return pickle.dumps({"data": records[:, 1:].copy(), "labels": records[:, 0].tolist()}, 4)


@pytest.mark.parametrize("name", ["data_batch_3", "data_batch_3.bin", "data_batch_3.gz", "x (2)"])
def test_a_pickled_batch_is_known_by_its_rows(name: str, tmp_path: Path, fakes: Fakes) -> None:
    raw = fakes.cifar10["data_batch_3.bin"]
    path = tmp_path / name
    path.write_bytes(gzip.compress(cifar10_pickle(raw)))
    import_path(path)
    assert cached(tmp_path, "cifar10") == {"data_batch_3.bin": raw}


def keras_bytes(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> bytes:
    arrays = [read_idx(raw, 3 if "images" in name else 1) for name, raw in fakes.mnist.items()]
    buffer = io.BytesIO()
    keys = ("x_train", "y_train", "x_test", "y_test")
    np.savez(buffer, **dict(zip(keys, arrays, strict=True)))
    monkeypatch.setattr(mnist_files, "KERAS_SHA256", sha(buffer.getvalue()))
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["mnist.npz", "mnist(1).zip", "mnist"])
def test_keras_file_is_known_by_its_content(
    name: str, tmp_path: Path, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_bytes(keras_bytes(fakes, monkeypatch))
    assert {each.form for each in import_path(path)} == {"Keras's mnist.npz"}
    assert cached(tmp_path, "mnist") == fakes.mnist


# archives ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["all.tar.gz", "all.zip", "all.tar", "all", "all.gz"])
@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_an_archive_is_known_by_its_content(
    dataset: str, kind: str, name: str, tmp_path: Path, fakes: Fakes
) -> None:
    members = {f"some/folder/{name}": raw for name, raw in fakes.all[dataset].items()}
    path = tmp_path / name
    if kind == "zip":
        write_zip(path, members)
    else:
        packed = write_tar(tmp_path / "packed", members)
        if kind != "tar.gz":
            plain = gzip.decompress(packed.read_bytes())
            packed.write_bytes(plain)
        if kind == "tar.xz":
            with tarfile.open(packed) as old, tarfile.open(path, "w:xz") as new:
                for member in old:
                    new.addfile(member, old.extractfile(member))
        else:
            packed.replace(path)
    assert {each.origin for each in import_path(path)} == {path}
    assert cached(tmp_path, dataset) == fakes.all[dataset]


def test_members_are_known_by_size_and_content_when_their_names_say_nothing(
    tmp_path: Path, fakes: Fakes
) -> None:
    everything = [*fakes.course.values(), *fakes.mnist.values(), *fakes.cifar10.values()]
    path = write_zip(tmp_path / "x", {f"{i}/file": raw for i, raw in enumerate(everything)})
    assert len(import_path(path)) == 11
    for dataset, files in fakes.all.items():
        assert cached(tmp_path, dataset) == files


def test_a_folder_and_a_file_of_one_name_inside_a_zip(tmp_path: Path, fakes: Fakes) -> None:
    # As Kaggle gives MNIST: each file twice, with a dot and inside a folder of its own name.
    members = {name.replace("-idx", ".idx"): raw for name, raw in fakes.mnist.items()}
    members |= {f"{name}/{name}": raw for name, raw in fakes.mnist.items()}
    import_path(write_zip(tmp_path / "archive.zip", members))
    assert cached(tmp_path, "mnist") == fakes.mnist


def test_a_zip_cannot_write_outside_its_folder(tmp_path: Path, fakes: Fakes) -> None:
    raw = next(iter(fakes.mnist.values()))
    members = {"../../escaped.gz": gzip.compress(raw), "/etc/evil.gz": b"", "x/..": raw}
    import_path(write_zip(tmp_path / "evil.zip", members))
    assert [path.name for path in tmp_path.rglob("*escaped*")] == []
    assert {path.name for path in (tmp_path / "cache/import").iterdir()} == {".lock"}


def test_a_bad_member_is_named_with_its_archive(tmp_path: Path, fakes: Fakes) -> None:
    path = write_zip(tmp_path / "a.zip", {"x/train-labels-idx1-ubyte": b"\0\0\x08\x01"})
    with pytest.raises(DataError, match="train-labels-idx1-ubyte: truncated") as caught:
        import_path(path)
    assert str(caught.value).startswith(f"{path}: train-labels-idx1-ubyte: ")


# one good copy is enough ------------------------------------------------------------------------


def test_a_bad_copy_beside_a_good_one_is_passed_over(
    tmp_path: Path, fakes: Fakes, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "Downloads"
    write_all(folder, {f"{name}.gz": gzip.compress(raw) for name, raw in fakes.mnist.items()})
    write_all(folder, {"train-images-idx3-ubyte": b"\0\0", "other.tar.gz": b"junk"})
    assert len(import_path(folder)) == 4
    assert cached(tmp_path, "mnist") == fakes.mnist
    assert f"passed over: {folder / 'train-images-idx3-ubyte'}: truncated" in caplog.text
    assert f"passed over: {folder / 'other.tar.gz'}: truncated or corrupt" in caplog.text


@pytest.mark.parametrize("bad", ["data_batch_1", "cifar-10-python.tar.gz"])
def test_bad_data_that_nothing_else_gives_is_an_error_after_the_good_is_imported(
    bad: str, tmp_path: Path, fakes: Fakes
) -> None:
    folder = write_all(tmp_path / "Downloads", {bad: b"junk", **fakes.mnist})
    with pytest.raises(DataError, match=rf"{bad}: .*4 good files were imported"):
        import_path(folder)
    assert cached(tmp_path, "mnist") == fakes.mnist


# mnist.pkl.gz -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mnist.pkl.gz", "mnist.pkl", "x.dat"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_the_pickle_of_the_theano_tutorials_is_rebuilt(
    name: str,
    packed: bool,
    large: bool,
    tmp_path: Path,
    fakes: Fakes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if large:  # unpacked the real one is larger than what is read into memory at once
        monkeypatch.setattr("handgrad.datasets.importing._LIMIT", 10_000)
    raw = theano_pickle(fakes.mnist)
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if packed else raw)
    imported = import_path(path)
    assert [each.name for each in imported] == list(fakes.mnist)
    assert {each.form for each in imported} == {mnist_pickle.FORM}
    assert cached(tmp_path, "mnist") == fakes.mnist
    assert load_mnist(offline=True).source == "IDX files in the cache"


def test_rows_that_are_not_mnists_are_refused_with_the_reason(tmp_path: Path, fakes: Fakes) -> None:
    path = tmp_path / "mnist.pkl.gz"
    first = "train-images-idx3-ubyte"
    wrong = {**fakes.mnist, first: fakes.mnist[first][:-1] + b"\7"}
    path.write_bytes(gzip.compress(theano_pickle(wrong)))
    with pytest.raises(DataError, match=f"but the {first} that this gives is not MNIST's") as got:
        import_path(path)
    assert str(got.value).startswith(f"{path}: it is a mnist.pkl of the Theano tutorials")
    assert not (tmp_path / "cache/mnist").exists()


def test_pixels_divided_by_another_number_are_refused(tmp_path: Path, fakes: Fakes) -> None:
    path = tmp_path / "mnist.pkl.gz"
    path.write_bytes(gzip.compress(theano_pickle(fakes.mnist, divisor=255)))
    with pytest.raises(DataError, match="training images must be whole pixels, 0 to 255, divided"):
        import_path(path)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"cos\nsystem\n(S'touch owned'\ntR.", r"it asks for os\.system, which is refused"),
        (pickle.dumps([1, 2, 3]), "it does not hold three pairs"),
        (b"\x80\x02junk", "it is not a whole pickle"),
        (b"", "it is not a whole pickle"),
    ],
)
def test_another_pickle_of_that_name_is_refused(raw: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mnist.pkl.gz"
    path.write_bytes(gzip.compress(raw))
    with pytest.raises(DataError, match=message):
        import_path(path)
    assert not Path("owned").exists()


def test_pixels_and_labels_out_of_range() -> None:
    X = np.zeros((3, 784), np.float32)
    y = np.array([0, 10, 3])
    with pytest.raises(DataError, match=r"x: its training labels must be 0 to 9; row 1 has 10"):
        mnist_pickle.rebuild([[X, y]] * 3, "x")
    X[2, 5] = np.nan
    with pytest.raises(DataError, match=r"x: its training images .* row 2 holds other numbers"):
        mnist_pickle.rebuild([[X, y]] * 3, "x")


def test_more_bytes_than_a_mnist_pickle_are_refused(
    tmp_path: Path, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist_pickle, "LIMIT", 50_000)
    path = tmp_path / "mnist.pkl"
    path.write_bytes(theano_pickle(fakes.mnist))
    with pytest.raises(DataError, match="larger than 50,000 bytes"):
        mnist_pickle.load(path)
