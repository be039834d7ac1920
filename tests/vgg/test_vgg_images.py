"""Images in memory: what leaves as a batch, and that every rank gets its own part."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vgg_generated import generated, tiny

from handgrad.errors import DataError
from handgrad.vgg.images import Normalizer, Split, training_batches

CPU = torch.device("cpu")
PLAIN = tiny(crop_padding=0, flip="none", normalize=False)


@pytest.fixture(scope="module")
def data():
    return generated()


def batches(data, recipe, *, epoch=0, seed=0, **ranks):
    split = Split(data.X_train, data.y_train, device=CPU, padding=recipe.crop_padding)
    normalize = Normalizer(data.X_train, recipe, CPU)
    generator = torch.Generator().manual_seed(seed)
    return list(training_batches(split, normalize, recipe, epoch, generator, **ranks))


def rows_of(images, data):
    """Find which training row each unaugmented, unnormalised image is."""
    known = {image.tobytes(): row for row, image in enumerate(data.X_train)}
    pixels = (images * 255).round().to(torch.uint8)
    return [known[image.contiguous().numpy().tobytes()] for image in pixels]


def test_an_epoch_visits_every_row_once_with_its_label(data):
    got = batches(data, PLAIN)
    rows = [row for images, _ in got for row in rows_of(images, data)]
    assert sorted(rows) == list(range(200))
    assert rows != list(range(200))
    assert torch.cat([labels for _, labels in got]).tolist() == data.y_train[rows].tolist()


def test_batches_are_channels_last_float32(data):
    images, labels = batches(data, tiny())[0]
    assert images.shape == (20, 3, 32, 32)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.dtype == torch.int64


def test_rows_that_fill_no_batch_are_left_out(data):
    assert len(batches(data, replace(PLAIN, batch_size=60))) == 3


def test_normalised_channels_have_mean_0_and_deviation_1(data):
    got = batches(data, replace(PLAIN, normalize=True))
    images = torch.cat([images for images, _ in got])
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    deviation = images.std((0, 2, 3), correction=0)
    torch.testing.assert_close(deviation, torch.ones(3), atol=1e-4, rtol=0)


def test_crops_are_windows_of_the_reflected_image(data):
    split = Split(data.X_train, data.y_train, device=CPU, padding=4)
    framed = np.pad(data.X_train, ((0, 0), (0, 0), (4, 4), (4, 4)), mode="reflect")
    rows, down, right = torch.tensor([[3, 7, 7], [0, 4, 8], [8, 4, 1]])
    got = split.crop(rows, down, right).permute(0, 3, 1, 2).numpy()
    for image, row, y, x in zip(got, [3, 7, 7], [0, 4, 8], [8, 4, 1], strict=True):
        np.testing.assert_array_equal(image, framed[row, :, y : y + 32, x : x + 32])
    centre = split.centre(5, 9).permute(0, 3, 1, 2).numpy()
    np.testing.assert_array_equal(centre, data.X_train[5:9])


def test_flips_mirror_about_half_of_the_images(data):
    images = torch.cat([images for images, _ in batches(data, replace(PLAIN, flip="random"))])
    originals = torch.cat([images for images, _ in batches(data, PLAIN)])
    mirrored = (images != originals).flatten(1).any(1)
    assert 70 < mirrored.sum() < 130
    assert torch.equal(images[mirrored].flip(3), originals[mirrored])


def test_alternating_flips_show_both_sides_in_two_epochs(data):
    recipe = replace(PLAIN, flip="alternating")
    first = torch.cat([images for images, _ in batches(data, recipe, epoch=0)])
    second = torch.cat([images for images, _ in batches(data, recipe, epoch=1)])
    originals = torch.cat([images for images, _ in batches(data, PLAIN)])
    assert torch.equal(first.flip(3), second)
    assert 70 < (first == originals).flatten(1).all(1).sum() < 130


def test_cutout_paints_a_square_with_the_mean_colour(data):
    recipe = replace(PLAIN, normalize=True)
    before = torch.cat([images for images, _ in batches(data, recipe)])
    after = torch.cat([images for images, _ in batches(data, replace(recipe, cutout=6))])
    painted = (before != after).any(1)
    assert (after[painted[:, None].expand_as(after)] == 0).all()
    # 6 x 6 inside the image; less where the square hangs over the edge
    assert int((after == 0).all(1).flatten(1).sum(1).max()) == 36
    assert int((after == 0).all(1).flatten(1).sum(1).min()) >= 9


def test_ranks_share_each_batch_and_miss_nothing(data):
    recipe = tiny(cutout=4)
    whole = batches(data, recipe)
    parts = [batches(data, recipe, rank=rank, ranks=4) for rank in range(4)]
    for number, (images, labels) in enumerate(whole):
        assert torch.equal(torch.cat([part[number][0] for part in parts]), images)
        assert torch.equal(torch.cat([part[number][1] for part in parts]), labels)


def test_the_seed_decides_order_and_augmentation(data):
    one, same, other = (batches(data, tiny(), seed=seed)[0][0] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("images", "labels", "text"),
    [
        (np.zeros((2, 3, 32, 32)), np.zeros(2, int), "must be uint8 .*; got float64"),
        (np.zeros((2, 1, 28, 28), np.uint8), np.zeros(2, int), r"got uint8 of shape \(2, 1, 28"),
        (np.zeros((2, 3, 32, 32), np.uint8), np.zeros(3, int), "2 images need as many integer"),
        (np.zeros((2, 3, 32, 32), np.uint8), np.zeros(2), "got float64 of shape"),
        (np.zeros((2, 3, 32, 32), np.uint8), np.array([0, 10]), r"in \[0, 10\); got 0 to 10"),
        (np.zeros((0, 3, 32, 32), np.uint8), np.zeros(0, int), "at least one image; got none"),
    ],
)
def test_other_data_are_refused(images, labels, text):
    with pytest.raises(DataError, match=text):
        Split(images, labels, device=CPU)
