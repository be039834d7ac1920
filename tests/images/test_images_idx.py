"""IDX pairs: MNIST's cousins by name and by content, what their labels mean, bad pairs by name."""

import gzip
import struct

import numpy as np
import pytest
from datasets_fakes import idx

from handgrad.datasets.idx import idx_dimensions, open_idx, write_idx
from handgrad.errors import DataError
from handgrad.images import cousins, holds_images, iter_images, open_images


def images_of(rows, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, 7, 5), np.uint8)


def put(folder, prefix, rows=12, labels=None, packed=False, seed=0):
    """Write a pair with MNIST's names after the prefix; give the images file."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.arange(rows, dtype=np.uint8) % 10 if labels is None else labels
    for name, values in ((f"{prefix}images-idx3-ubyte", images_of(rows, seed)),
                         (f"{prefix}labels-idx1-ubyte", labels)):  # fmt: skip
        raw = idx(values)
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(raw) if packed else raw)
    return folder / f"{prefix}images-idx3-ubyte{'.gz' if packed else ''}"


def refused(path):
    with pytest.raises(DataError) as caught:
        open_images(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_with_its_parts(tmp_path, packed):
    folder = tmp_path / "MNIST/raw"
    put(folder, "train-", 12, packed=packed)
    put(folder, "t10k-", 10, packed=packed, seed=1)
    (folder / "notes.txt").write_text("not IDX")
    for path in (folder, folder.parent):  # torchvision's root, too
        images = open_images(path)
        np.testing.assert_array_equal(images.X[:12, 0], images_of(12))
        np.testing.assert_array_equal(images.X[12:, 0], images_of(10, 1))
        assert images.labels == [str(row % 10) for row in range(12)] + list("0123456789")
        assert images.names[0] == "train row 1"
        assert images.names[-1] == "test row 10"
        assert {name: list(rows) for name, rows in images.parts.items()} == {
            "train": list(range(12)), "test": list(range(12, 22)),
        }  # fmt: skip
        assert images.recognised.startswith(
            f"MNIST (IDX{', gzip' if packed else ''}), 22 pictures, 7 x 5 pixels, grey, 10 classes"
        )
        assert images.recognised.endswith("; train 12, test 10")
        assert holds_images(path)


def test_one_file_is_its_pair_alone(tmp_path):
    train = put(tmp_path, "train-", 12)
    put(tmp_path, "t10k-", 10)
    for path in (train, tmp_path / "train-labels-idx1-ubyte"):
        images = open_images(path)
        assert len(images.X) == 12
        assert not images.parts
        assert images.names[3] == "row 4"
        assert holds_images(path)


def test_a_plain_file_comes_before_its_packed_copy_unless_that_is_named(tmp_path):
    put(tmp_path, "train-", 12)
    packed = put(tmp_path, "train-", 12, packed=True)
    assert open_images(tmp_path).recognised.startswith("IDX files (IDX), 12")
    assert open_images(packed).recognised.startswith("IDX files (IDX, gzip), 12")


def test_emnists_letters_are_turned_upright_and_begin_at_a(tmp_path):
    labels = (np.arange(52, dtype=np.uint8) % 26) + 1
    put(tmp_path, "emnist-letters-train-", 52, labels, packed=True)
    images = open_images(tmp_path)
    np.testing.assert_array_equal(images.X[:, 0], images_of(52).transpose(0, 2, 1))
    assert images.X.shape == (52, 1, 5, 7)
    assert images.X.flags.c_contiguous
    assert "".join(images.labels[:26]) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert images.recognised.startswith("EMNIST letters (IDX, gzip), 52 pictures")
    assert images.recognised.endswith("; transposed to stand upright; labels 1 to 26 named A to Z")
    (batch,) = iter_images(tmp_path, (1, 5, 7))
    np.testing.assert_array_equal(batch.X, images.X)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("byclass", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
        ("bymerge", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
        ("balanced", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
        ("digits", "0123456789"),
        ("mnist", "0123456789"),
    ],
)
def test_emnists_other_sets(tmp_path, name, classes):
    rows = len(classes)
    put(tmp_path, f"emnist-{name}-test-", rows, np.arange(rows, dtype=np.uint8))
    images = open_images(tmp_path)
    assert "".join(images.labels) == classes
    assert images.recognised.startswith(f"EMNIST {name} (IDX)")
    np.testing.assert_array_equal(images.X[:, 0], images_of(rows).transpose(0, 2, 1))


def test_emnist_under_another_name_is_known_by_its_number_of_rows(tmp_path, monkeypatch):
    letters = cousins.Cousin("EMNIST letters", tuple("AB"), 1, True, (12,))
    monkeypatch.setitem(cousins._EMNIST, "letters", letters)
    labels = np.arange(12, dtype=np.uint8) % 2 + 1
    assert open_images(put(tmp_path / "mine", "train-", 12, labels)).labels[:2] == ["A", "B"]
    assert "EMNIST letters" in open_images(put(tmp_path / "EMNIST", "a-", 12, labels)).recognised
    assert "but which of its sets?" in refused(put(tmp_path / "EMNIST", "b-", 13))
    assert 124_800 in cousins.recognise(tmp_path / "emnist-letters-x", 0).rows


def test_qmnists_labels_are_column_0_of_eight_int32(tmp_path):
    (tmp_path / "qmnist-train-images-idx3-ubyte").write_bytes(idx(images_of(12)))
    columns = np.random.default_rng(1).integers(0, 3000, (12, 8)).astype(">i4")
    columns[:, 0] = np.arange(12) % 10
    raw = struct.pack(">4I", 0x0C02, 12, 8, 0)[:12] + columns.tobytes()
    (tmp_path / "qmnist-train-labels-idx2-int.gz").write_bytes(gzip.compress(raw))
    images = open_images(tmp_path)
    assert images.labels == [str(row % 10) for row in range(12)]
    assert images.recognised.startswith("QMNIST (IDX), 12 pictures")
    assert images.recognised.endswith("; column 0 of eight is the label")


@pytest.mark.parametrize(
    ("folder", "title", "first", "last"),
    [
        ("FashionMNIST/raw", "Fashion-MNIST", "T-shirt/top", "Ankle boot"),
        ("KMNIST/raw", "KMNIST", "o", "wo"),
        ("Kuzushiji", "KMNIST", "o", "wo"),
        ("mnist", "MNIST", "0", "9"),
        ("some", "IDX files", "0", "9"),
    ],
)
def test_cousins_with_mnists_file_names_are_known_by_their_folder(
    tmp_path, folder, title, first, last
):
    put(tmp_path / folder, "train-", 10)
    images = open_images(tmp_path / folder)
    assert images.recognised.startswith(f"{title} (IDX)")
    assert (images.labels[0], images.labels[9]) == (first, last)
    named = f"; labels 0 to 9 named {first} to {last}"
    assert images.recognised.endswith(named) is (first != "0")


def test_kannadas_names_are_a_pair(tmp_path):
    (tmp_path / "X_kannada_MNIST_train-idx3-ubyte").write_bytes(idx(images_of(10)))
    (tmp_path / "y_kannada_MNIST_train-idx1-ubyte").write_bytes(idx(np.arange(10, dtype=np.uint8)))
    assert open_images(tmp_path).recognised.startswith("Kannada-MNIST (IDX), 10 pictures")


def test_predictions_stream_without_labels(tmp_path):
    path = put(tmp_path, "t10k-", 10)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    for source in (path, tmp_path):
        batches = list(iter_images(source, (3, 7, 5), rows=4))
        assert [batch.names[0] for batch in batches] == ["row 1", "row 5", "row 9"]
        X = np.concatenate([batch.X for batch in batches])
        np.testing.assert_array_equal(X, np.repeat(images_of(10)[:, None], 3, axis=1))
    with pytest.raises(DataError, match=r"has pictures of 7 x 5 .* takes 28 x 28 pixels"):
        next(iter_images(path, (1, 28, 28)))
    put(tmp_path, "train-", 12)
    with pytest.raises(DataError, match="holds 2 images files; name the one to predict"):
        next(iter_images(tmp_path, (1, 7, 5)))


def test_bad_pairs_are_refused_in_one_line(tmp_path):
    path = put(tmp_path / "a", "train-", 12)
    labels = tmp_path / "a/train-labels-idx1-ubyte"
    labels.write_bytes(idx(np.arange(11, dtype=np.uint8)))
    assert "holds 12 images and train-labels-idx1-ubyte 11 labels" in refused(path)
    labels.unlink()
    assert "train-images-idx3-ubyte has no labels file beside it" in refused(tmp_path / "a")
    path.rename(tmp_path / "a/gone.bin")
    labels.write_bytes(idx(np.arange(12, dtype=np.uint8)))
    assert "has no images file beside it" in refused(labels)
    put(tmp_path / "b", "emnist-letters-train-")
    assert "row 1 has the label 0; those of EMNIST letters" in refused(tmp_path / "b")
    put(tmp_path / "b", "emnist-digits-train-")
    assert "holds 2 sets of IDX files (emnist-digits, emnist-letters)" in refused(tmp_path / "b")
    put(tmp_path / "c", "train-", 12, np.zeros(12, np.uint8))
    assert refused(tmp_path / "c").startswith("there is one class (0)")
    put(tmp_path / "d", "train-")
    (tmp_path / "d/t10k-images-idx3-ubyte").write_bytes(idx(images_of(10)[:, :4]))
    (tmp_path / "d/t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(10, dtype=np.uint8)))
    assert "its parts have images of different shapes" in refused(tmp_path / "d")
    put(tmp_path / "e", "train-")
    wide = idx(np.zeros((12, 3), np.uint8))
    (tmp_path / "e/train-labels-idx1-ubyte").write_bytes(wide)
    assert "its shape is (12, 3)" in refused(tmp_path / "e")


@pytest.mark.parametrize("packed", [False, True])
def test_idx_of_every_type_and_damaged(tmp_path, packed):
    path = tmp_path / "file"

    def write(raw):
        path.write_bytes(gzip.compress(raw) if packed else raw)

    for code, kind in ((8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")):
        values = np.arange(6, dtype=kind).reshape(2, 3)
        raw = bytes([0, 0, code, 2]) + struct.pack(">2I", 2, 3) + values.tobytes()
        write(raw)
        assert idx_dimensions(path) == 2
        read = open_idx(path)
        assert read.dtype == np.dtype(kind)
        np.testing.assert_array_equal(read, values)
        for wrong, said in (
            (raw[:-1], "wrong row count"), (raw + b"x", "there are more"), (raw[:9], "truncated"),
        ):  # fmt: skip
            write(wrong)
            with pytest.raises(DataError, match=said) as caught:
                open_idx(path)
            assert str(caught.value).startswith(f"{path}: ")
    for foreign in (b"", b"\0\0\x08", b"\x89PNG....", bytes([0, 0, 10, 1, 0, 0, 0, 0])):
        write(foreign)
        assert idx_dimensions(path) == 0
        with pytest.raises(DataError, match="no IDX file"):
            open_idx(path)
    write(write_idx(images_of(3)))
    np.testing.assert_array_equal(open_idx(path), images_of(3))
