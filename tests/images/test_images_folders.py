"""A folder of pictures: classes, parts, what is ignored, and each kind of bad folder by name."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("PIL.Image", reason="Pillow (the extra 'images') is not installed")

from pictures_fakes import class_folder, pixels, save

from handgrad.errors import DataError
from handgrad.images import holds_images, image_set, iter_images, open_images


def refused(path, **options):
    with pytest.raises(DataError) as caught:
        open_images(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_a_class(tmp_path):
    images = open_images(class_folder(tmp_path / "pets"))
    assert images.X.shape == (6, 3, 6, 5)
    assert images.X.dtype == np.uint8
    np.testing.assert_array_equal(images.X[4], pixels(11).transpose(2, 0, 1))
    assert images.labels == ["cat"] * 3 + ["dog"] * 3
    assert images.classes == ["cat", "dog"]
    assert images.names == [f"{name}/{row}.png" for name in ("cat", "dog") for row in range(3)]
    assert images.recognised == (
        "folder of pictures, 6 pictures, 6 x 5 pixels, in colours, 2 classes (cat 3, dog 3)"
    )
    assert (images.skipped, dict(images.parts), images.resized) == ([], {}, False)
    assert holds_images(tmp_path / "pets")
    seen = []
    open_images(tmp_path / "pets", progress=lambda done, of: seen.append((done, of)))
    assert seen == [(done, 6) for done in range(1, 7)]


def test_greys_alone_are_grey_and_among_colours_have_three_equal_channels(tmp_path):
    root = class_folder(tmp_path, channels=1)
    assert open_images(root).X.shape == (6, 1, 6, 5)
    save(root / "dog/9.png", pixels(1))
    X = open_images(root).X
    assert X.shape == (7, 3, 6, 5)
    np.testing.assert_array_equal(X[0], np.repeat(pixels(0, channels=1)[None], 3, axis=0))


def test_what_is_hidden_or_no_picture_is_ignored_and_said(tmp_path):
    root = class_folder(tmp_path)
    for name in (".DS_Store", "Thumbs.db", "cat/Thumbs.db", "cat/.hidden.png", "dog/desktop.ini"):
        (root / name).write_bytes(b"x")
    for folder in ("__MACOSX", ".ipynb_checkpoints", "cat/@eaDir"):
        save(root / folder / "1.png", pixels(1))
    (root / "dog/notes.txt").write_text("three dogs")
    (root / "licence").mkdir()
    (root / "licence/LICENSE.md").write_text("free")
    images = open_images(root)
    assert len(images.X) == 6
    assert images.recognised.endswith("; other files: 2 (notes.txt, LICENSE.md)")


def test_folders_inside_a_class_belong_to_it(tmp_path):
    root = class_folder(tmp_path)
    save(root / "cat/more/deep/1.png", pixels(1))
    images = open_images(root)
    assert images.names[:4] == ["cat/0.png", "cat/1.png", "cat/2.png", "cat/more/deep/1.png"]
    assert images.labels[:4] == ["cat"] * 4


def test_train_and_test_are_parts(tmp_path):
    class_folder(tmp_path / "Train", count=3)
    class_folder(tmp_path / "valid", count=1)
    class_folder(tmp_path / "test", count=2)
    images = open_images(tmp_path)
    assert images.classes == ["cat", "dog"]
    assert {name: len(rows) for name, rows in images.parts.items()} == {
        "train": 6, "val": 2, "test": 4,
    }  # fmt: skip
    for name, folder in (("train", "Train"), ("val", "valid"), ("test", "test")):
        assert all(images.names[row].startswith(f"{folder}/") for row in images.parts[name])
    assert images.recognised.endswith("; train 6, val 2, test 4")


def test_train_may_be_a_class(tmp_path):
    images = open_images(class_folder(tmp_path, ("bus", "train")))
    assert images.classes == ["bus", "train"]
    assert not images.parts


def test_the_folder_that_an_archive_was_unpacked_to_is_entered(tmp_path):
    class_folder(tmp_path / "flowers/flowers", ("daisy", "rose"))
    assert open_images(tmp_path).names[0] == "flowers/flowers/daisy/0.png"
    class_folder(tmp_path / "set/set/train", ("daisy", "rose"))
    assert set(open_images(tmp_path / "set").parts) == {"train"}


def test_resize_makes_one_size(tmp_path):
    root = class_folder(tmp_path)
    save(root / "dog/9.png", pixels(1, 20, 30))
    said = refused(root)
    assert said == (
        f"{root}: cat/0.png has 6 x 5 pixels (height x width) and dog/9.png 20 x 30 pixels; "
        "give one size with resize (--resize)"
    )
    assert refused(root, skip_bad=True) == said
    images = open_images(root, resize=(8, 4))
    assert images.X.shape == (7, 3, 8, 4)
    assert images.resized
    for wrong in ((0, 4), (4, -1), (4.5, 4)):
        with pytest.raises(ValueError, match="resize must be"):
            open_images(root, resize=wrong)


def test_a_picture_that_does_not_decode_is_named_and_left_out_on_request(tmp_path):
    root = class_folder(tmp_path)
    whole = (root / "cat/1.png").read_bytes()
    (root / "cat/1.png").write_bytes(whole[: len(whole) // 2])  # its header is whole
    assert refused(root).startswith(f"{root / 'cat/1.png'} does not decode as a picture (")
    (root / "dog/0.png").write_bytes(b"")
    assert refused(root).startswith(f"{root / 'dog/0.png'} does not decode")  # headers come first
    images = open_images(root, skip_bad=True)
    assert images.names == ["cat/0.png", "cat/2.png", "dog/1.png", "dog/2.png"]
    np.testing.assert_array_equal(images.X[1], pixels(2).transpose(2, 0, 1))
    assert [line.split(" does")[0] for line in images.skipped] == [
        str(root / "dog/0.png"), str(root / "cat/1.png"),
    ]  # fmt: skip
    assert "left out, as they do not decode: 2" in images.recognised


def test_none_that_decodes_and_a_class_that_is_all_bad(tmp_path):
    root = class_folder(tmp_path)
    for path in (root / "dog").iterdir():
        path.write_bytes(b"")
    assert "one class (cat)" in refused(root, skip_bad=True)
    for path in (root / "cat").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    assert "none of its 6 pictures decodes" in refused(root, skip_bad=True)
    for path in (root / "cat").iterdir():
        path.write_bytes(b"")
    assert "none of its 6 files decodes" in refused(root, skip_bad=True)


def test_folders_that_cannot_be_learnt_from_are_refused_in_one_line(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refused(empty) == (
        f"{empty} holds no pictures (it is empty); name a folder with PNG or JPEG files"
    )
    (empty / "readme.txt").write_text("x")
    assert "holds no pictures (only readme.txt)" in refused(empty)
    one = class_folder(tmp_path / "one", ("cat",))
    assert refused(one).startswith("there is one class (cat)")
    flat = tmp_path / "flat"
    save(flat / "1.png", pixels(1))
    assert refused(flat).startswith(f"{flat / '1.png'} lies without folders of classes")
    beside = class_folder(tmp_path / "beside")
    save(beside / "loose.png", pixels(1))
    assert refused(beside).startswith(f"{beside / 'loose.png'} lies beside the folders of the cl")
    no_classes = class_folder(tmp_path / "kaggle", ("train", "test"))
    assert "test, train hold no folders of classes" in refused(no_classes)
    mixed = class_folder(tmp_path / "mixed/train").parent
    save(mixed / "birds/1.png", pixels(1))
    assert "birds lies beside train, which is a part" in refused(mixed)
    loose = class_folder(tmp_path / "loose/train").parent
    save(loose / "test/1.png", pixels(1))
    assert "1.png has no class: test is a part of the set" in refused(loose)
    strange = class_folder(tmp_path / "strange/train").parent
    save(strange / "test/cow/1.png", pixels(1))
    assert refused(strange) == (
        "test has the class cow (test/cow/1.png), of which train has no picture; train has cat, dog"
    )
    assert refused(save(tmp_path / "single.png", pixels(1))).endswith(
        "is one picture; name the folder that holds a folder of pictures a class"
    )
    assert refused(tmp_path / "nowhere").endswith("nowhere: no such file or folder")


def test_more_pixels_than_the_memory_takes_are_refused(tmp_path, monkeypatch):
    root = class_folder(tmp_path)
    monkeypatch.setattr(os, "sysconf", lambda name: 1 if "PAGES" in name else 500)
    assert "more than half of this machine's memory" in refused(root)
    monkeypatch.setattr(image_set, "_LARGEST_SHARE", 2.0)
    assert len(open_images(root).X) == 6


def test_predictions_stream_in_the_shape_of_the_model(tmp_path):
    root = class_folder(tmp_path)
    batches = list(iter_images(root, (3, 6, 5), rows=4))
    assert [len(batch.X) for batch in batches] == [4, 2]
    assert [name for batch in batches for name in batch.names] == open_images(root).names
    np.testing.assert_array_equal(np.concatenate([b.X for b in batches]), open_images(root).X)
    (grey,) = iter_images(root, (1, 6, 5))
    assert grey.X.shape == (6, 1, 6, 5)
    (one,) = iter_images(root / "dog/1.png", (3, 6, 5))
    assert one.names == ["1.png"]
    (stretched,) = iter_images(root, (3, 9, 9), resize=True)
    np.testing.assert_array_equal(stretched.X, open_images(root, resize=(9, 9)).X)


def test_predictions_refuse_another_size_and_name_what_is_bad(tmp_path):
    root = class_folder(tmp_path)
    with pytest.raises(DataError) as caught:
        list(iter_images(root, (3, 9, 9), skip_bad=True))
    assert str(caught.value) == (
        f"{root / 'cat/0.png'} has 6 x 5 pixels (height x width), not 9 x 9 pixels; "
        "pictures of another size need resize (--resize when training)"
    )
    (root / "cat/2.png").write_bytes(b"")
    (root / "dog/2.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"cat/2\.png does not decode"):
        list(iter_images(root, (3, 6, 5)))
    batches = list(iter_images(root, (3, 6, 5), skip_bad=True, rows=2))
    assert [batch.names for batch in batches] == [
        ["cat/0.png", "cat/1.png"], ["dog/0.png", "dog/1.png"], [],
    ]  # fmt: skip
    assert [len(batch.skipped) for batch in batches] == [0, 1, 1]
    assert batches[2].X.shape == (0, 3, 6, 5)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        list(iter_images(tmp_path / "nothing", (3, 6, 5)))


def test_without_pillow_one_line_says_what_to_install(tmp_path):
    root = class_folder(tmp_path)
    script = (
        "import sys; sys.modules['PIL'] = None\n"
        "from pathlib import Path\n"
        "from handgrad.errors import MissingExtraError\n"
        "from handgrad.images import iter_images, open_images\n"
        "def first(path): return next(iter_images(path, (3, 6, 5)))\n"
        "for read in (open_images, first):\n"
        "    try:\n"
        "        read(Path(sys.argv[1]))\n"
        "    except MissingExtraError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == 2 * [
        "reading pictures needs PIL, which is not installed; `pip install 'handgrad[images]'` "
        "brings it"
    ]
