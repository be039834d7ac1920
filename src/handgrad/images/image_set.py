"""Pictures with labels and names, as every source gives them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from handgrad.errors import DataError
from handgrad.images.pixels import Pixels, Size

Rows = npt.NDArray[np.intp]
Progress = Callable[[int, int], None]
"""Called with how many pictures are read, and how many there are."""

# What a folder or an array may be called that is one part of a set, and which part it is.
PARTS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "t10k"), "test"),
}
_SHOWN = 5  # classes, at most, in the line for people
_LARGEST_SHARE = 0.5  # of the machine's memory: pictures as float32 are four times as large


@dataclass(frozen=True)
class ImageSet:
    """Labelled pictures of one size.

    Attributes
    ----------
    X : uint8 array (N, C, H, W)
        C is 1 (grey) or 3.
    labels : list of str
        The class of each.
    names : list of str
        A file's path below the folder, or its row.
    recognised : str
        One line for people: what was found.
    skipped : list of str
        A line for each file that does not decode and was left out.
    parts : mapping of "train", "val", "test" to array of int
        The rows of each part that came apart; empty where all came together.
    resized : bool
        Whether sizes were made equal; pictures to predict then are, too.
    """

    X: Pixels
    labels: list[str]
    names: list[str]
    recognised: str
    skipped: list[str] = field(default_factory=list)
    parts: Mapping[str, Rows] = field(default_factory=dict)
    resized: bool = False

    def __post_init__(self) -> None:
        """Check that a classifier can learn from it."""
        classes = self.classes
        if len(classes) < 2:
            raise DataError(
                f"there is one class ({classes[0]}); a classifier learns to tell two or more apart"
            )
        if (train := self.parts.get("train")) is None:
            return
        known = {self.labels[row] for row in train}
        for part, rows in self.parts.items():
            for row in rows:
                if self.labels[row] not in known:
                    raise DataError(
                        f"{part} has the class {self.labels[row]} ({self.names[row]}), "
                        f"of which train has no picture; train has {shown(sorted(known))}"
                    )

    @property
    def classes(self) -> list[str]:
        """The classes there are, sorted."""
        return sorted(set(self.labels))


@dataclass(frozen=True)
class ImageBatch:
    """Some pictures to predict, in the order of their source.

    Attributes
    ----------
    X : uint8 array (n, C, H, W)
    names : list of str
    skipped : list of str
        A line for each file that came before these, does not decode and was left out.
    """

    X: Pixels
    names: list[str]
    skipped: list[str] = field(default_factory=list)


def rows_of_parts(parts: Sequence[str]) -> dict[str, Rows]:
    """Give each part's rows, in the order of training, validation and test."""
    held = np.array(parts)
    names = [name for name in ("train", "val", "test") if name in parts]
    return {name: np.flatnonzero(held == name) for name in names}


def shown(words: Sequence[str]) -> str:
    """List some words, and how many more there are."""
    more = f" and {len(words) - _SHOWN:,} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def summary(X: Pixels, labels: Sequence[str], parts: Mapping[str, Rows]) -> str:
    """Say how many pictures there are, of which size and colours, in which classes and parts."""
    counts = Counter(labels)
    classes = shown([f"{name} {counts[name]:,}" for name in sorted(counts)])
    of_parts = "".join(
        f"{', ' if place else '; '}{name} {len(rows):,}"
        for place, (name, rows) in enumerate(parts.items())
    )
    return (
        f"{len(X):,} pictures, {in_words(X.shape[2:])}, "
        f"{'grey' if X.shape[1] == 1 else 'in colours'}, "
        f"{len(counts)} classes ({classes}){of_parts}"
    )


def in_words(size: Sequence[int]) -> str:
    """Say a size, (height, width)."""
    return f"{size[0]} x {size[1]} pixels"


def room_for(shape: tuple[int, int, int, int], where: Path) -> Pixels:
    """Give an array for so many pixels; DataError where they would fill the memory."""
    needed = int(np.prod(shape, dtype=object))
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on every system
        memory = needed * 4
    if needed > _LARGEST_SHARE * memory:
        raise DataError(
            f"{where}: {shape[0]:,} pictures of {in_words(shape[2:])} take {needed / 1e9:.0f} GB, "
            "more than half of this machine's memory; give a smaller size with resize (--resize)"
        )
    return np.empty(shape, np.uint8)


def checked_size(resize: Size | None) -> Size | None:
    """Take (height, width); ValueError unless both are whole numbers from 1."""
    if resize is None:
        return None
    height, width = resize
    if not (height == int(height) > 0 and width == int(width) > 0):
        raise ValueError(f"resize must be (height, width), both from 1; got {tuple(resize)}")
    return int(height), int(width)
