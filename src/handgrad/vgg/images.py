"""A whole split in memory: uint8 images that leave as augmented, normalised, ready batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from handgrad.errors import DataError
from handgrad.vgg.recipes import Recipe

SIDE = 32

EVALUATION_BATCH = 1000
"""Images that are judged at a time."""


class Split:
    """The images of one split on one device, stored as the loops want them.

    Pixels lie channels last, so that a batch of them is in PyTorch's channels_last format without
    another copy. With `padding`, each image is stored with a reflected frame, and a random crop is
    one indexed copy out of a strided view that holds every crop of every image.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, 3, 32, 32)
        Copied, never modified.
    labels : ndarray of int, shape (N,)
        Copied.
    device : torch.device
        Where the split lives.
    padding : int
        Width of the frame, 0 for none.

    Raises
    ------
    DataError
        If images and labels are not what a run needs; the message names the rule.
    """

    def __init__(
        self,
        images: npt.NDArray[np.generic],
        labels: npt.NDArray[np.integer],
        *,
        device: torch.device,
        padding: int = 0,
    ) -> None:
        _check(images, labels)
        pixels = torch.tensor(images, device=device)
        if padding:
            pixels = torch.cat([_frame(part, padding) for part in torch.split(pixels, 4096)])
        stored = pixels.permute(0, 2, 3, 1).contiguous()
        self.labels = torch.tensor(labels, dtype=torch.int64, device=device)
        self.padding = padding
        per_image, per_row, per_column, per_channel = stored.stride()
        shifts = 2 * padding + 1
        self._crops = stored.as_strided(
            (len(stored), shifts, shifts, SIDE, SIDE, 3),
            (per_image, per_row, per_column, per_row, per_column, per_channel),
        )

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def crop(self, rows: Tensor, down: Tensor, right: Tensor) -> Tensor:
        """Copy out crops: uint8, shape (len(rows), 32, 32, 3).

        Parameters
        ----------
        rows, down, right : Tensor of int64, shape (n,)
            Which image, and where its crop starts inside the frame: 0 <= down, right <= 2 padding.
        """
        return self._crops[rows, down, right]

    def centre(self, start: int, stop: int) -> Tensor:
        """Copy out the original images start..stop: uint8, shape (stop - start, 32, 32, 3)."""
        return self._crops[start:stop, self.padding, self.padding]

    def batches(
        self, normalize: Normalizer, start: int, stop: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Visit the images start..stop as they are, in order: (images, labels), as a loader would.

        Parameters
        ----------
        normalize : Normalizer
            Applied to each batch.
        start, stop : int
            The first row, and the first beyond the last.

        Yields
        ------
        (images, labels)
            float32 (n, 3, 32, 32) in channels_last, int64 (n,); n is at most EVALUATION_BATCH.
        """
        for first in range(start, stop, EVALUATION_BATCH):
            last = min(first + EVALUATION_BATCH, stop)
            yield normalize(self.centre(first, last)), self.labels[first:last]


class Normalizer:
    """Pixels to network input: (x - mean) / deviation per channel, channels_last.

    Parameters
    ----------
    training_images : ndarray of uint8, shape (N, 3, 32, 32)
        The rows whose statistics are used; never validation or test rows.
    recipe : Recipe
        With `normalize` off, pixels are only divided by 255.
    device : torch.device
        Where batches are.
    """

    def __init__(
        self, training_images: npt.NDArray[np.generic], recipe: Recipe, device: torch.device
    ) -> None:
        mean, deviation = np.zeros(3), np.full(3, 255.0)
        if recipe.normalize:
            levels = np.arange(256)
            for channel in range(3):
                counts = np.zeros(256, dtype=np.int64)
                for first in range(0, len(training_images), 4096):  # bincount widens its input
                    part = training_images[first : first + 4096, channel]
                    counts += np.bincount(part.reshape(-1), minlength=256)
                share = counts / counts.sum()
                mean[channel] = share @ levels
                deviation[channel] = max(1.0, np.sqrt(share @ (levels - mean[channel]) ** 2))
        self.mean = torch.tensor(mean, dtype=torch.float32, device=device)
        self.scale = torch.tensor(1 / deviation, dtype=torch.float32, device=device)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Turn uint8 (N, 32, 32, 3) into float32 (N, 3, 32, 32), channels_last."""
        return pixels.float().sub_(self.mean).mul_(self.scale).permute(0, 3, 1, 2)


def training_batches(
    split: Split,
    normalize: Normalizer,
    recipe: Recipe,
    epoch: int,
    generator: torch.Generator,
    *,
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Visit the training rows once, in a fresh order, augmented.

    Every process draws the order and the augmentation of the whole batch from the same generator
    state and keeps its own rows of it, so K processes together see exactly the images that one
    process would have seen.

    Parameters
    ----------
    split : Split
        Training images.
    normalize : Normalizer
        Applied after cropping and flipping, before cutout.
    recipe : Recipe
        Batch size and augmentation.
    epoch : int
        Counted from 0; its parity decides the side in "alternating" flips.
    generator : torch.Generator
        On the CPU; advanced by the same amount whatever the device or the number of processes.
    rank, ranks : int
        Which part of each batch to yield, of how many; ranks divides the batch size.

    Yields
    ------
    (images, labels)
        float32 (batch_size / ranks, 3, 32, 32) in channels_last, int64 (batch_size / ranks,).
    """
    device = split.labels.device
    size = recipe.batch_size
    order = torch.randperm(len(split), generator=generator)
    own = slice(rank * size // ranks, (rank + 1) * size // ranks)
    columns = torch.arange(SIDE, device=device)
    for first in range(0, len(split) - size + 1, size):
        rows = order[first : first + size]
        shifts = torch.randint(0, 2 * recipe.crop_padding + 1, (2, size), generator=generator)
        coins = torch.rand(size, generator=generator) < 0.5
        corners = torch.randint(0, SIDE, (2, size), generator=generator)
        if recipe.flip == "alternating":
            coins = (rows * 2654435761 % 4294967296 >= 2147483648) ^ (epoch % 2 == 1)

        rows, shifts = rows[own].to(device), shifts[:, own].to(device)
        pixels = split.crop(rows, shifts[0], shifts[1])
        if recipe.flip != "none":
            mirrored = coins[own].to(device)[:, None, None, None]
            pixels = torch.where(mirrored, pixels.flip(2), pixels)
        images = normalize(pixels)
        if recipe.cutout:
            middle = corners[:, own].to(device)[:, :, None]
            inside = (2 * (columns - middle) < recipe.cutout) & (
                2 * (columns - middle) >= -recipe.cutout
            )
            square = inside[0][:, :, None] & inside[1][:, None, :]
            images = images.masked_fill(square[:, None], 0.0)
        yield images, split.labels[rows]


def _check(images: npt.NDArray[np.generic], labels: npt.NDArray[np.integer]) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (3, SIDE, SIDE):
        raise DataError(
            "VGG: images must be uint8 of shape (N, 3, 32, 32); "
            f"got {images.dtype} of shape {images.shape}"
        )
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"VGG: {len(images)} images need as many integer labels; "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    if len(labels) == 0:
        raise DataError("VGG: a split must have at least one image; got none")
    if labels.min() < 0 or labels.max() > 9:
        raise DataError(f"VGG: labels must be in [0, 10); got {labels.min()} to {labels.max()}")


def _frame(pixels: Tensor, padding: int) -> Tensor:
    framed = F.pad(pixels.float(), (padding,) * 4, mode="reflect")
    return framed.to(torch.uint8)
