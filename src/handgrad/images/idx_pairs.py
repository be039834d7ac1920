"""Pairs of IDX files, images and labels, plain or gzip, as MNIST and its cousins come."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handgrad.arrays import Array
from handgrad.datasets.idx import idx_dimensions, open_idx
from handgrad.errors import DataError
from handgrad.images.cousins import QMNIST, Cousin, label_column, names_of, recognise, remarks
from handgrad.images.image_set import (
    PARTS,
    ImageSet,
    rows_of_parts,
    shown,
    summary,
)
from handgrad.images.pictures import resized
from handgrad.images.pixels import Pixels, Size, as_pixels

_KIND = re.compile(r"(?:^|[-_. ])(images?|imgs?|labels?|x|y)(?=[-_. ]|$)")
_FORMAT = re.compile(r"[-_. ]?idx\d.*$")


@dataclass
class _Pair:
    """The files of one key: what is left of their names without images, labels and the format."""

    key: str
    images: Path | None = None
    labels: Path | None = None

    @property
    def part(self) -> str | None:
        """Which part of a set the name says it is."""
        words = re.split(r"[-_. ]", self.key)
        return next((PARTS[word] for word in words if word in PARTS), None)

    @property
    def set_name(self) -> str:
        """What the name says without the part."""
        return "-".join(word for word in re.split(r"[-_. ]", self.key) if word not in PARTS)


def is_idx_folder(folder: Path) -> bool:
    """Tell whether a folder, or its folder raw, holds IDX files."""
    return bool(_pairs(_holding(folder)))


def read_pairs(path: Path, resize: Size | None) -> ImageSet:
    """Read the pair that a file is of, or the pair or pairs (train, test) of a folder.

    Raises
    ------
    DataError
        Naming the file: its partner is missing, truncated or of another length, or a label is none
        of the set's; or the folder: several sets are in it.
    """
    pairs = _wanted(path)
    parts = [_read(pair) for pair in pairs]
    sizes = {part.X.shape[1:] for part in parts}
    if len(sizes) > 1:
        raise DataError(
            f"{path}: its parts have images of different shapes, {shown(sorted(map(str, sizes)))}"
        )
    X = np.concatenate([part.X for part in parts]) if len(parts) > 1 else parts[0].X
    if resize is not None:
        X = resized(X, resize)
    labels = [label for part in parts for label in part.labels]
    of_parts, names = {}, [f"row {row}" for row in range(1, len(X) + 1)]
    if len(parts) > 1:
        known = [pair.part or "" for pair in pairs]
        of_parts = rows_of_parts(
            [name for name, part in zip(known, parts, strict=True) for _ in part.labels]
        )
        names = [
            f"{name} row {row}"
            for name, rows in of_parts.items()
            for row in range(1, len(rows) + 1)
        ]
    cousin, packed = parts[0].cousin, ", gzip" if parts[0].packed else ""
    qmnist = ["column 0 of eight is the label"] if parts[0].columns == 8 else []
    return ImageSet(
        X=X,
        labels=labels,
        names=names,
        recognised=f"{cousin.title} (IDX{packed}), {summary(X, labels, of_parts)}"
        f"{remarks(cousin, qmnist)}",
        parts=of_parts,
        resized=resize is not None,
    )


def files_of_pair(path: Path) -> list[Path]:
    """Name the files that `read_pairs` reads of a file's pair."""
    (pair,) = _wanted(path)
    return [file for file in (pair.images, pair.labels) if file is not None]


def images_alone(path: Path) -> Pixels:
    """Read an images file, or a folder's only one, without its labels; (N, C, H, W), upright."""
    if path.is_dir():
        found = [pair for pair in _pairs(_holding(path)).values() if pair.images]
        if len(found) != 1:
            raise DataError(f"{path} holds {len(found)} images files; name the one to predict")
        path = found[0].images or path
    return _upright(path)[0]


@dataclass(frozen=True)
class _Part:
    """What a pair of files holds."""

    X: Pixels
    labels: list[str]
    cousin: Cousin
    packed: bool
    columns: int


def _read(pair: _Pair) -> _Part:
    assert pair.images is not None
    assert pair.labels is not None
    X, cousin = _upright(pair.images)
    values = open_idx(pair.labels)
    columns = values.shape[1] if values.ndim > 1 else 1
    labels = label_column(values, pair.labels)
    if columns == 8:
        cousin = QMNIST
    if len(labels) != len(X):
        raise DataError(
            f"{pair.images} holds {len(X):,} images and {pair.labels.name} {len(labels):,} labels; "
            "they are no pair"
        )
    with pair.images.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return _Part(X, names_of(labels, cousin, pair.labels), cousin, packed, columns)


def _upright(path: Path) -> tuple[Pixels, Cousin]:
    """Read an images file and turn what lies on its side."""
    values: Array = open_idx(path)
    cousin = recognise(path, len(values))
    X = as_pixels(values, str(path))
    return (np.ascontiguousarray(X.swapaxes(2, 3)) if cousin.transposed else X), cousin


def _wanted(path: Path) -> list[_Pair]:
    """Give the pairs to read: that of a file, or a folder's, training rows first."""
    if path.is_file():
        pair = _pairs(path.parent)[_key(path)]
        if idx_dimensions(path) >= 3:
            pair.images = path
        return [_complete(pair, path)]
    folder = _holding(path)
    pairs = _pairs(folder)
    sets = sorted({pair.set_name for pair in pairs.values()})
    if len(sets) > 1:
        files = [pair.images.name for pair in pairs.values() if pair.images]
        raise DataError(
            f"{folder} holds {len(sets)} sets of IDX files ({shown(sets)}); name one images file, "
            f"such as {folder / files[0] if files else 'its own'}"
        )
    found = [_complete(pair, folder) for pair in pairs.values()]
    parts = [pair.part for pair in found]
    if len(found) > 1 and (None in parts or len(set(parts)) < len(parts)):
        raise DataError(
            f"{folder} holds several pairs of IDX files ({shown([pair.key for pair in found])}) "
            "that are not train and test; name one images file"
        )
    order = ("train", "val", "test", None)
    return sorted(found, key=lambda pair: order.index(pair.part))


def _complete(pair: _Pair, where: Path) -> _Pair:
    there, lacking = (pair.images, "labels") if pair.images else (pair.labels, "images")
    if pair.images is None or pair.labels is None:
        raise DataError(
            f"{where}: {there.name if there else pair.key} has no {lacking} file beside it; the "
            "names of a pair differ in images and labels, as in train-images-idx3-ubyte and "
            "train-labels-idx1-ubyte"
        )
    return pair


def _holding(folder: Path) -> Path:
    """Give the folder, or its folder raw, as torchvision leaves the files."""
    raw = folder / "raw"
    return raw if raw.is_dir() and not _pairs(folder) else folder


def _pairs(folder: Path) -> dict[str, _Pair]:
    """Find the IDX files of a folder and put images and labels together by their names."""
    pairs: dict[str, _Pair] = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        dimensions = idx_dimensions(file)
        if not dimensions:
            continue
        key = _key(file)
        pair = pairs.setdefault(key, _Pair(key))
        # Sorted, a plain file comes before its gzip copy, and is taken.
        if dimensions >= 3:
            pair.images = pair.images or file
        else:
            pair.labels = pair.labels or file
    return pairs


def _key(file: Path) -> str:
    """Give what the names of images and of their labels have in common."""
    stem = _FORMAT.sub("", file.name.lower().removesuffix(".gz"))
    return _KIND.sub("", stem).strip("-_. ")
