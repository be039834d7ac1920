"""What becomes of one picture: channels, alpha, palettes, 16 bits, EXIF, sizes, damaged files."""

import contextlib

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image", reason="Pillow (the extra 'images') is not installed")

from pictures_fakes import pixels, save  # noqa: E402

from handgrad.errors import DataError  # noqa: E402
from handgrad.images.pictures import look, read_picture, resized  # noqa: E402
from handgrad.images.pixels import as_channels, as_pixels, over_white  # noqa: E402


def read(path, resize=None):
    seen, values = look(path), read_picture(path, resize)
    assert values.dtype == np.uint8
    assert values.shape == (1 if seen.grey else 3, *(resize or seen.size))
    return values


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".gif", ".webp", ".ppm"])
def test_lossless_colours_and_greys_come_back(tmp_path, suffix):
    options = {"lossless": True} if suffix == ".webp" else {}
    grey = save(tmp_path / f"grey{suffix}", pixels(1, channels=1), **options)
    if suffix != ".webp":  # which has no greys
        np.testing.assert_array_equal(read(grey), pixels(1, channels=1)[None])
    if suffix != ".gif":  # which has 256 colours
        colours = save(tmp_path / f"colours{suffix}", pixels(2), **options)
        np.testing.assert_array_equal(read(colours), pixels(2).transpose(2, 0, 1))


def test_jpeg_comes_near(tmp_path):
    smooth = np.add.outer(np.arange(16) * 8, np.arange(16) * 4).astype(np.uint8)
    path = save(tmp_path / "smooth.jpg", smooth, quality=95)
    # At quality 95 the largest quantisation step of a low frequency is 2 levels, of the highest 10.
    assert np.abs(read(path)[0].astype(int) - smooth).max() <= 4


def test_16_bits_become_the_nearest_of_256_levels(tmp_path):
    # Worked by hand, v * 255 / 65535 = v / 257: 128 -> 0.498 and 129 -> 0.502; 65406 -> 254.498.
    deep = np.array([[0, 128, 129, 257], [65535, 65406, 65407, 32768]], np.uint16)
    path = save(tmp_path / "deep.png", deep)
    assert read(path)[0].tolist() == [[0, 0, 1, 1], [255, 254, 255, 128]]


def test_palettes_of_greys_are_grey_and_of_colours_coloured(tmp_path):
    for name, colours in (("grey", [[0, 0, 0], [90, 90, 90]]), ("red", [[0, 0, 0], [200, 10, 0]])):
        picture = Image.new("P", (2, 1))
        picture.putpalette([*colours[0], *colours[1]])
        picture.putdata([0, 1])
        picture.save(tmp_path / f"{name}.png")
    assert read(tmp_path / "grey.png").tolist() == [[[0, 90]]]
    assert read(tmp_path / "red.png")[:, 0, 1].tolist() == [200, 10, 0]


def test_what_is_transparent_is_laid_over_white(tmp_path):
    # Worked by hand: half of 100 over white is (100 * 128 + 255 * 127) / 255 = 177.2.
    clear = np.array([[[100, 0, 0, 255], [100, 0, 0, 128], [100, 0, 0, 0]]], np.uint8)
    values = read(save(tmp_path / "clear.png", clear))
    assert values[0].tolist() == [[100, 177, 255]]
    assert values[1].tolist() == [[0, 127, 255]]
    np.testing.assert_array_equal(over_white(clear.transpose(2, 0, 1)[None])[0], values)
    with_grey = Image.fromarray(clear[..., [0, 3]])
    with_grey.save(tmp_path / "grey.png")
    assert read(tmp_path / "grey.png").tolist() == [[[100, 177, 255]]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 9, 9, 7, 8, 9])
    palette.putdata([0, 1])
    palette.save(tmp_path / "palette.png", transparency=0)
    assert read(tmp_path / "palette.png")[:, 0].tolist() == [[255, 7], [255, 8], [255, 9]]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_exif_says(tmp_path, orientation, suffix):
    corner = np.zeros((16, 24), np.uint8)
    corner[:8, :8] = 255  # bright in the upper left corner as it is stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"turned{suffix}", corner, exif=exif)
    values = read(path)[0]
    # EXIF 2.3, table 4: where row 0 and column 0 of what is stored are seen.
    top_left = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0)}
    place = {**top_left, 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}[orientation]
    assert values.shape == ((16, 24) if orientation <= 4 else (24, 16))
    corners = {(row, column): values[row, column] for row in (0, -1) for column in (0, -1)}
    assert corners.pop(place) > 200
    assert max(corners.values()) < 50


def test_bilevel_cmyk_and_animations(tmp_path):
    bits = Image.fromarray(np.array([[True, False]]))
    assert bits.mode == "1"
    bits.save(tmp_path / "bits.png")
    assert read(tmp_path / "bits.png").tolist() == [[[255, 0]]]
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "print.jpg")
    assert np.abs(read(tmp_path / "print.jpg")[:, 0, 0] - np.array([255, 0, 0])).max() <= 3
    frames = [Image.new("L", (2, 2), value) for value in (10, 200)]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    assert read(tmp_path / "moves.gif").tolist() == [[[10, 10], [10, 10]]]


def test_resize_stretches_to_height_and_width(tmp_path):
    half = np.zeros((4, 8), np.uint8)
    half[:, 4:] = 200
    path = save(tmp_path / "half.png", half)
    assert read(path, (2, 4))[0].shape == (2, 4)
    # Antialiased: a column of the result averages its neighbourhood, also across the edge.
    row = read(path, (2, 4))[0][0]
    assert row[0] == 0
    assert 0 < row[1] < row[2] < 200
    assert row[3] == 200
    np.testing.assert_array_equal(resized(half[None, None], (2, 4))[0], read(path, (2, 4)))
    same = pixels(3).transpose(2, 0, 1)[None]
    assert resized(same, (6, 5)) is same


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.png", b"", "no PNG, JPEG, GIF, BMP, TIFF, WebP or PPM"),
        ("text.jpg", b"not a picture at all", "no PNG, JPEG"),
        ("vector.svg", b"<svg/>", "a format that is not read; convert it to PNG or JPEG"),
        ("photo.heic", b"\0\0\0 ftypheic", "a format that is not read"),
    ],
)
def test_what_does_not_decode_is_named_in_one_line(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    for take in (look, read_picture):
        with pytest.raises(DataError) as caught:
            take(path)
        assert str(caught.value).startswith(f"{path} does not decode as a picture (")
        assert said in str(caught.value)
        assert "--skip-bad" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".tif", ".bmp", ".webp"])
def test_a_file_that_is_cut_short_or_damaged_is_an_error_or_a_picture(tmp_path, suffix):
    whole = save(tmp_path / f"whole{suffix}", pixels(5, 40, 40)).read_bytes()
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="does not decode"):
        read_picture(path)
    rng = np.random.default_rng(6)
    for _ in range(60):  # any byte changed: never another exception
        broken = bytearray(whole)
        for place in rng.integers(0, min(len(broken), 400), 3):
            broken[place] = rng.integers(256)
        path.write_bytes(broken)
        with contextlib.suppress(DataError):
            look(path)
            assert read_picture(path).dtype == np.uint8


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "large.png", pixels(7, 20, 20))
    for limit in (300, 100):  # Pillow warns from its limit on and refuses from twice that on
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match="more than 89 million"):
            read_picture(path)


def test_grey_and_colours_are_turned_into_each_other():
    grey = pixels(8, channels=1)[None, None]
    colours = as_channels(grey, 3)
    assert colours.shape == (1, 3, 6, 5)
    np.testing.assert_array_equal(as_channels(colours, 1), grey)  # the weights sum to 1
    assert as_channels(grey, 1) is grey
    # ITU-R BT.601, by hand: 0.299 * 255 = 76.2, 0.587 * 255 = 149.7, 0.114 * 255 = 29.1.
    primaries = np.zeros((3, 3, 1, 1), np.uint8)
    primaries[range(3), range(3)] = 255
    assert as_channels(primaries, 1).ravel().tolist() == [76, 150, 29]
    random = pixels(9, 50, 50)
    theirs = np.asarray(Image.fromarray(random).convert("L"))
    np.testing.assert_array_equal(as_channels(random.transpose(2, 0, 1)[None], 1)[0, 0], theirs)


def test_arrays_of_any_layout_and_type_become_pixels():
    values = np.arange(2 * 6 * 5 * 3, dtype=np.uint8).reshape(2, 6, 5, 3)
    expected = values.transpose(0, 3, 1, 2)
    for given in (values, expected, values.astype(np.int64), values.astype(np.float32)):
        np.testing.assert_array_equal(as_pixels(given, "f"), expected)
    shares = values / 255
    np.testing.assert_array_equal(as_pixels(shares, "f"), expected)
    assert as_pixels(values[..., 0], "f").shape == (2, 1, 6, 5)
    assert as_pixels(np.array([[[True, False]]]), "f").tolist() == [[[[255, 0]]]]
    assert as_pixels(np.full((1, 2, 2), 65535, np.uint16), "f").max() == 255
    clear = np.zeros((1, 2, 2, 4), np.uint8)
    assert as_pixels(clear, "f").tolist() == np.full((1, 3, 2, 2), 255).tolist()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((5, 4)), r"f: pictures are \(rows, height, width\).*shape \(5, 4\) is neither"),
        (np.zeros((5, 8, 8, 2)), "is neither"),
        (np.zeros((5, 3, 8, 3)), "can be read both ways"),
        (np.zeros((0, 8, 8)), r"f holds no pictures: its shape is \(0, 1, 8, 8\)"),
        (np.full((2, 3, 3), "a"), "f: pictures are numbers"),
        (np.full((2, 3, 3), 1j), "f: pictures are numbers"),
        (np.where(np.arange(18).reshape(2, 3, 3) == 12, np.nan, 1.0), "row 2 has nan"),
        (np.where(np.arange(18).reshape(2, 3, 3) == 12, 256, 1), "row 2 has 256"),
        (np.where(np.arange(18).reshape(2, 3, 3) == 2, -0.5, 1.0), "row 1 has -0.5"),
        (np.where(np.arange(18).reshape(2, 3, 3) == 2, np.inf, 1.0), "row 1 has inf"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused_by_name(values, said):
    with pytest.raises(DataError, match=said):
        as_pixels(values, "f")
