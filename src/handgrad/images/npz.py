"""Arrays of pictures and labels in an NPZ file, in one piece or as train, val and test."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from handgrad.arrays import Array
from handgrad.errors import DataError
from handgrad.images.image_set import PARTS, ImageSet, rows_of_parts, shown, summary
from handgrad.images.pictures import resized
from handgrad.images.pixels import Pixels, Size, as_pixels

_PICTURES = frozenset(["x", "images", "image", "imgs", "img", "pictures", "data"])
_LABELS = frozenset(["y", "labels", "label", "targets", "target", "classes"])
# What NumPy raises for a file that is no archive, is damaged, or holds pickled objects.
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


def holds_pictures(path: Path) -> bool:
    """Tell whether a file is an NPZ with an array of pictures: of three or four dimensions."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            for kind, _, name in _roles([n.removesuffix(".npy") for n in archive.namelist()]):
                if kind == "X":
                    with archive.open(f"{name}.npy") as stream:
                        return len(_shape(stream)) >= 3
    except _UNREADABLE:
        return False
    return False


def read_npz(path: Path, resize: Size | None) -> ImageSet:
    """Read X and y, or X_train, y_train, X_test, y_test and the like.

    Raises
    ------
    DataError
        Naming the file and the array: missing, pickled objects, of a shape that is no pictures',
        values out of range, or labels that are not one a picture.
    """
    pictures, labels = _arrays(path)
    parts = sorted(pictures, key=("", "train", "val", "test").index)
    X_parts, label_parts = [], []
    for part in parts:
        name, values = pictures[part]
        if part not in labels:
            raise DataError(
                f"{path} holds {name} without labels; name them y"
                f"{f'_{part}' if part else ''}, one a picture"
            )
        pixels = as_pixels(values, f"{path}, {name},")
        X_parts.append(pixels if resize is None else resized(pixels, resize))
        label_parts.append(_labels(*labels[part], len(values), path))
    shapes = {X.shape[1:] for X in X_parts}
    if len(shapes) > 1:
        raise DataError(f"{path}: its parts differ in shape: {shown(sorted(map(str, shapes)))}")
    X = np.concatenate(X_parts) if len(parts) > 1 else X_parts[0]
    all_labels = [label for each in label_parts for label in each]
    of_rows = [part for part, each in zip(parts, label_parts, strict=True) for _ in each]
    of_parts = rows_of_parts(of_rows) if len(parts) > 1 else {}
    names = [
        f"{part} row {row}".strip()
        for part, each in zip(parts, label_parts, strict=True)
        for row in range(1, len(each) + 1)
    ]
    arrays = shown([pictures[part][0] for part in parts])
    return ImageSet(
        X=X,
        labels=all_labels,
        names=names,
        recognised=f"NPZ ({arrays}), {summary(X, all_labels, of_parts)}",
        parts=of_parts,
        resized=resize is not None,
    )


def pictures_alone(path: Path) -> Pixels:
    """Read the pictures of an NPZ file without labels; several arrays of them are a DataError."""
    pictures, _ = _arrays(path)
    if len(pictures) > 1:
        names = shown([name for name, _ in pictures.values()])
        raise DataError(
            f"{path} holds several arrays of pictures ({names}); keep the one to predict"
        )
    ((name, values),) = pictures.values()
    return as_pixels(values, f"{path}, {name},")


def _arrays(path: Path) -> tuple[dict[str, tuple[str, Array]], dict[str, tuple[str, Array]]]:
    """Give the pictures and the labels of each part ("" for the whole), with their names."""
    pictures: dict[str, tuple[str, Array]] = {}
    labels: dict[str, tuple[str, Array]] = {}
    name = ""
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} cannot be read as NPZ (it is no archive of arrays)")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            for kind, part, name in _roles(arrays.files):
                taken = pictures if kind == "X" else labels
                if part in taken:
                    raise DataError(
                        f"{path}: {taken[part][0]} and {name} could both be the "
                        f"{'pictures' if kind == 'X' else 'labels'}; keep one"
                    )
                taken[part] = (name, arrays[name])
            there = list(arrays.files)
    except DataError:
        raise
    except _UNREADABLE as error:
        pickled = "pickle" in str(error).lower() and name
        reason = (
            f"holds {name}, Python objects, which are never unpickled; save them as a plain "
            "dtype, such as labels.astype(str)"
            if pickled
            else f"cannot be read as NPZ ({' '.join(str(error).split())})"
        )
        raise DataError(f"{path} {reason}") from None
    if len(pictures) > 1:  # X beside X_train is the same rows again
        pictures.pop("", None)
    if not pictures:
        raise DataError(
            f"{path} holds no array of pictures ({shown(there) or 'it is empty'}); name it X, "
            "and the labels y"
        )
    return pictures, labels


def _roles(names: list[str]) -> list[tuple[str, str, str]]:
    """Tell of each array, by its name, if it is pictures (X) or labels (y), and of which part."""
    roles = []
    for name in names:
        words = re.split(r"[-_. ]", name.lower())
        parts = [PARTS[word] for word in words if word in PARTS]
        rest = "".join(word for word in words if word not in PARTS)
        kind = "X" if rest in _PICTURES else "y" if rest in _LABELS else ""
        if kind and len(parts) <= 1:
            roles.append((kind, parts[0] if parts else "", name))
    return roles


def _labels(name: str, values: Array, rows: int, path: Path) -> list[str]:
    where = f"{path}, {name},"
    if values.ndim == 2 and values.shape[1] == 1:  # as MedMNIST's
        values = values[:, 0]
    if values.shape != (rows,):
        raise DataError(
            f"{where} must be one label a picture, ({rows},); its shape is {values.shape}"
        )
    if values.dtype.kind == "S":
        return [label.decode("utf-8", "replace") for label in values]
    if values.dtype.kind == "f":
        odd = np.flatnonzero(values != np.rint(values))
        if odd.size:
            raise DataError(
                f"{where} holds classes; row {odd[0] + 1} has {values[odd[0]]}, which is none"
            )
        values = values.astype(np.int64)
    if values.dtype.kind not in "iubU":
        raise DataError(f"{where} holds {values.dtype}; labels are whole numbers or text")
    return [str(label) for label in values]


def _shape(stream: IO[bytes]) -> tuple[int, ...]:
    """Read the shape in the header of an NPY file."""
    form = np.lib.format
    old = form.read_magic(stream) == (1, 0)
    read = form.read_array_header_1_0 if old else form.read_array_header_2_0
    shape: tuple[int, ...] = read(stream)[0]
    return shape
