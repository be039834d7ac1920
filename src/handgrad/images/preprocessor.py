"""What a network takes of pictures: standardised float32 of one shape, and its restoring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from handgrad.arrays import Array
from handgrad.errors import CheckpointError, DataError
from handgrad.images.image_set import ImageBatch, ImageSet, Rows, in_words
from handgrad.images.opening import iter_images
from handgrad.images.pixels import Pixels, as_channels

_LEVELS = np.arange(256, dtype=np.float64)
Header = dict[str, int | bool | str]


@dataclass(frozen=True)
class ImagePreprocessor:
    """Subtract a mean from each channel and divide by a deviation, those of the training rows.

    Attributes
    ----------
    input_shape : tuple of int
        (channels, height, width) of what the network takes.
    mean, deviation : float64 array (channels,)
        In levels, 0 to 255; a channel in which all pixels are equal has deviation 1.
    resized : bool
        Whether pictures were resized to this size, and pictures to predict are.
    """

    input_shape: tuple[int, int, int]
    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    resized: bool = False

    @classmethod
    def fit(cls, images: ImageSet, rows: Rows | None = None) -> Self:
        """Take mean and deviation from a set's training rows.

        They are exact: sums over how often each of the 256 levels occurs.

        Parameters
        ----------
        images : ImageSet
        rows : array of int, optional
            The training rows; all, where they are not given.

        Raises
        ------
        ValueError
            If there are no rows.
        """
        X = images.X if rows is None else images.X[rows]
        if not X.size:
            raise ValueError("ImagePreprocessor.fit: there must be training rows; got none")
        counts = np.array(
            [np.bincount(X[:, channel].ravel(), minlength=256) for channel in range(X.shape[1])]
        )
        shares = counts / counts.sum(axis=1, keepdims=True)
        mean = shares @ _LEVELS
        deviation = np.sqrt((shares * np.square(_LEVELS - mean[:, None])).sum(axis=1))
        constant = (counts > 0).sum(axis=1) == 1
        shape = (int(X.shape[1]), int(X.shape[2]), int(X.shape[3]))
        return cls(shape, mean, np.where(constant, 1.0, deviation), images.resized)

    def transform(self, X: Pixels) -> npt.NDArray[np.float32]:
        """Standardise pictures, grey or in colours.

        Parameters
        ----------
        X : uint8 array (N, 1 or 3, H, W)

        Returns
        -------
        float32 array (N, channels, H, W)
            (X - mean) / deviation, computed in float64 and rounded once.

        Raises
        ------
        DataError
            If the pictures have another size.
        ValueError
            If X is not such an array.
        """
        X = np.asarray(X)
        if X.dtype != np.uint8 or X.ndim != 4 or X.shape[1] not in (1, 3):
            raise ValueError(
                "ImagePreprocessor.transform: X must be uint8 (N, 1 or 3, H, W); "
                f"got {X.dtype} {X.shape}"
            )
        size = self.input_shape[1:]
        if X.shape[2:] != size:
            raise DataError(
                f"the model takes pictures of {in_words(size)} (height x width); these have "
                f"{in_words(X.shape[2:])}"
            )
        X = as_channels(X, self.input_shape[0])
        table = ((_LEVELS - self.mean[:, None]) / self.deviation[:, None]).astype(np.float32)
        out = np.empty(X.shape, np.float32)
        for channel, levels in enumerate(table):
            out[:, channel] = levels[X[:, channel]]
        return out

    def stream(
        self, path: Path, *, skip_bad: bool = False, rows: int = 256
    ) -> Iterator[ImageBatch]:
        """Stream pictures to predict, in this shape and resized as those of the training were."""
        return iter_images(
            path, self.input_shape, resize=self.resized, skip_bad=skip_bad, rows=rows
        )

    def to_header(self) -> Header:
        """Give what a model's header keeps; `arrays` has the rest."""
        channels, height, width = self.input_shape
        return {
            "kind": "images",
            "channels": channels,
            "height": height,
            "width": width,
            "resized": self.resized,
        }

    def arrays(self) -> dict[str, Array]:
        """Give what a model's arrays keep."""
        return {"mean": self.mean, "deviation": self.deviation}

    @classmethod
    def restore(cls, header: Mapping[str, object], arrays: Mapping[str, Array]) -> Self:
        """Make the preprocessor again of `to_header` and `arrays`.

        Raises
        ------
        CheckpointError
            If something is missing or of another kind.
        """
        sizes = [header.get(name) for name in ("channels", "height", "width")]
        shape = tuple(size for size in sizes if type(size) is int and size > 0)
        resized, mean, deviation = (
            header.get("resized"),
            arrays.get("mean"),
            arrays.get("deviation"),
        )
        if (
            header.get("kind") != "images"
            or len(shape) != 3
            or shape[0] not in (1, 3)
            or type(resized) is not bool
            or any(each is None or each.shape != shape[:1] for each in (mean, deviation))
        ):
            raise CheckpointError(
                "the preprocessing of pictures is damaged: it needs channels, height, width, "
                f"resized, and a mean and deviation a channel; got {dict(header)}"
            )
        assert mean is not None
        assert deviation is not None
        return cls(shape, mean.astype(np.float64), deviation.astype(np.float64), resized)
