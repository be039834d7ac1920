"""What makes two trainings the same: the content that was read, not its name or size."""

import numpy as np
from datasets_fakes import idx

from handgrad.own_data.request import fingerprint


def test_a_folder_is_its_content(tmp_path):
    folder = tmp_path / "data"
    (folder / "a").mkdir(parents=True)
    (folder / "a/one.png").write_bytes(b"1234")
    first = fingerprint(folder)
    (folder / "a/one.png").write_bytes(b"1235")
    second = fingerprint(folder)
    (folder / "a/one.png").rename(folder / "a/two.png")
    assert len({first, second, fingerprint(folder)}) == 3


def test_a_pair_is_its_images_and_its_labels(tmp_path):
    images, labels = tmp_path / "x-images-idx3-ubyte", tmp_path / "x-labels-idx1-ubyte"
    images.write_bytes(idx(np.zeros((2, 3, 3), np.uint8)))
    labels.write_bytes(idx(np.array([0, 1], np.uint8)))
    first = fingerprint(images)
    assert fingerprint(labels) == first  # names the same pair
    labels.write_bytes(idx(np.array([1, 0], np.uint8)))
    assert fingerprint(images) != first


def test_a_file_is_its_content(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "b.csv").write_bytes(b"a,b\n1,2\n")
    assert fingerprint(tmp_path / "a.csv") == fingerprint(tmp_path / "b.csv")
