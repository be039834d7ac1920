"""NPZ files: which array is what, labels of any kind, parts, and bad files by name."""

import numpy as np
import pytest

from handgrad.errors import DataError
from handgrad.images import holds_images, iter_images, open_images

X = np.random.default_rng(0).integers(0, 256, (6, 7, 8, 3), np.uint8)
Y = np.array([0, 1, 2, 0, 1, 2])


def saved(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "set.npz"


def refused(path):
    with pytest.raises(DataError) as caught:
        open_images(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize(
    "names", [("X", "y"), ("x", "y"), ("images", "labels"), ("data", "target")]
)
def test_pictures_and_labels(path, names):
    saved(path, **dict(zip(names, (X, Y), strict=True)), extra=np.zeros(3))
    assert holds_images(path)
    images = open_images(path)
    np.testing.assert_array_equal(images.X, X.transpose(0, 3, 1, 2))
    assert images.labels == ["0", "1", "2", "0", "1", "2"]
    assert images.names[5] == "row 6"
    assert images.recognised == (
        f"NPZ ({names[0]}), 6 pictures, 7 x 8 pixels, in colours, 3 classes (0 2, 1 2, 2 2)"
    )
    (batch,) = iter_images(path, (3, 7, 8))
    np.testing.assert_array_equal(batch.X, images.X)
    assert batch.names[1] == "row 2"


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),  # Keras
        ("train_images", "train_labels", "test_images", "test_labels"),  # MedMNIST
        ("X_train", "Y_train", "X_valid", "Y_valid"),
    ],
)
def test_parts(path, names):
    arrays = (X[:4], Y[:4, None], X[4:], Y[4:, None])
    images = open_images(saved(path, **dict(zip(names, arrays, strict=True))))
    other = "val" if "valid" in names[2] else "test"
    assert {name: list(rows) for name, rows in images.parts.items()} == {
        "train": [0, 1, 2, 3], other: [4, 5],
    }  # fmt: skip
    assert images.names[4] == f"{other} row 1"
    assert images.labels == ["0", "1", "2", "0", "1", "2"]
    with pytest.raises(DataError, match="holds several arrays of pictures"):
        next(iter_images(path, (3, 7, 8)))


@pytest.mark.parametrize(
    ("y", "first"),
    [
        (np.array(list("abcabc")), "a"),
        (np.array(list("abcabc"), "S1"), "a"),
        (np.array([7.0, 8.0] * 3), "7"),
        (np.array([True, False] * 3), "True"),
        (np.array([-1, 1] * 3, np.int8), "-1"),
    ],
)
def test_labels_of_any_kind_become_text(path, y, first):
    assert open_images(saved(path, X=X, y=y)).labels[0] == first


def test_resize(path):
    pytest.importorskip("PIL.Image", reason="Pillow (the extra 'images') is not installed")
    images = open_images(saved(path, X=X, y=Y), resize=(4, 4))
    assert images.X.shape == (6, 3, 4, 4)
    (batch,) = iter_images(path, (3, 4, 4), resize=True)
    np.testing.assert_array_equal(batch.X, images.X)


def test_bad_files_are_refused_in_one_line(path, tmp_path):
    assert "holds X without labels" in refused(saved(path, X=X))
    assert "holds no array of pictures (a, y)" in refused(saved(path, a=X, y=Y))
    assert "X and images could both be the pictures" in refused(saved(path, X=X, images=X, y=Y))
    assert "must be one label a picture, (6,); its shape is (5,)" in refused(
        saved(path, X=X, y=Y[:5])
    )
    assert "must be one label a picture" in refused(saved(path, X=X, y=np.eye(6)))
    assert "row 3 has 0.5, which is none" in refused(saved(path, X=X, y=[0, 1, 0.5, 0, 1, 0]))
    assert "row 1 has nan" in refused(saved(path, X=X, y=[np.nan, 1, 0, 0, 1, 0]))
    pickled = np.array(["a", None] * 3, object)
    assert "holds y, Python objects, which are never unpickled" in refused(
        saved(path, X=X, y=pickled)
    )
    assert "(6, 20) is neither" in refused(saved(path, X=np.zeros((6, 20)), y=Y))
    assert not holds_images(path)  # a table
    saved(path, X=X, y=Y)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert "cannot be read as NPZ" in refused(path)
    assert not holds_images(path)
    damaged = bytearray(whole)
    damaged[200] ^= 255
    path.write_bytes(damaged)
    assert "cannot be read as NPZ" in refused(path)
    np.save(path.with_suffix(".npy"), X)
    assert "cannot be read as NPZ" in refused(path.with_suffix(".npy"))
    path.write_text("X,y\n1,2\n")
    assert "cannot be read as NPZ" in refused(path)
    assert not holds_images(path)
    assert not holds_images(tmp_path / "nowhere")
