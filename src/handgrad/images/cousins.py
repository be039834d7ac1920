"""MNIST's cousins: which set a pair of IDX files is, what its labels mean, how its images lie."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handgrad.arrays import Array
from handgrad.errors import DataError

_DIGITS = tuple(string.digits)
_CAPITALS = tuple(string.ascii_uppercase)
# The small letters that EMNIST does not merge with their capitals, which they do not resemble.
_OWN_SMALL = tuple("abdefghnqrt")


@dataclass(frozen=True)
class Cousin:
    """A set of pictures in MNIST's format.

    Attributes
    ----------
    title : str
    classes : tuple of str
        The names of its labels, in order; empty: the labels are their own names.
    first : int
        The first label.
    transposed : bool
        Whether its images lie on their side: rows and columns are exchanged.
    rows : tuple of int
        The sizes of its parts, where no other set has such.
    """

    title: str
    classes: tuple[str, ...] = ()
    first: int = 0
    transposed: bool = False
    rows: tuple[int, ...] = ()


PLAIN = Cousin("IDX files")
QMNIST = Cousin("QMNIST", _DIGITS)
# Cohen, Afshar, Tapson, van Schaik, "EMNIST: an extension of MNIST to handwritten letters", 2017,
# table II; of the letters there was an earlier release, too.
_EMNIST = {
    "byclass": Cousin("EMNIST byclass", (*_DIGITS, *_CAPITALS, *string.ascii_lowercase), 0, True),
    "bymerge": Cousin("EMNIST bymerge", (*_DIGITS, *_CAPITALS, *_OWN_SMALL), 0, True),
    "balanced": Cousin(
        "EMNIST balanced", (*_DIGITS, *_CAPITALS, *_OWN_SMALL), 0, True, (112_800, 18_800)
    ),
    "letters": Cousin("EMNIST letters", _CAPITALS, 1, True, (124_800, 20_800, 88_800, 14_800)),
    "digits": Cousin("EMNIST digits", _DIGITS, 0, True, (240_000, 40_000)),
    "mnist": Cousin("EMNIST mnist", _DIGITS, 0, True),
}
# By name: the first pattern that is found decides.
_NAMED = (
    *((rf"emnist[-_ ]{name}", cousin) for name, cousin in _EMNIST.items()),
    (r"q-?mnist", QMNIST),
    (
        r"fashion",
        Cousin(
            "Fashion-MNIST",
            (
                *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt"),
                *("Sneaker", "Bag", "Ankle boot"),
            ),
        ),
    ),
    (
        r"kmnist|kuzushiji",
        Cousin("KMNIST", ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")),
    ),
    (r"kannada", Cousin("Kannada-MNIST", _DIGITS)),
    (r"(?<![a-z])mnist", Cousin("MNIST", _DIGITS)),
)


def recognise(path: Path, rows: int) -> Cousin:
    """Tell which set an images file is of: by its name, its folder's, or its number of rows.

    Parameters
    ----------
    path : Path
        The images file.
    rows : int
        How many images it holds.

    Raises
    ------
    DataError
        If it is EMNIST's, whose images lie on their side, and nothing says which of its six sets.
    """
    folder = path.absolute().parent
    above = [folder.parent.name] if folder.name == "raw" else []  # as torchvision leaves them
    for name in (path.name, folder.name, *above):
        for pattern, cousin in _NAMED:
            if re.search(pattern, name.lower()):
                return cousin
        if "emnist" in name.lower():
            return _by_rows(rows) or _which(path)
    return _by_rows(rows) or PLAIN


def _by_rows(rows: int) -> Cousin | None:
    return next((cousin for cousin in _EMNIST.values() if rows in cousin.rows), None)


def _which(path: Path) -> Cousin:
    raise DataError(
        f"{path} is EMNIST's, but which of its sets? Keep the file's own name, as in "
        f"emnist-letters-train-images-idx3-ubyte; the sets are {', '.join(_EMNIST)}"
    )


def label_column(values: Array, path: Path) -> Array:
    """Give the labels of a labels file: QMNIST keeps eight numbers a row, the first is the class.

    Raises
    ------
    DataError
        If there are several numbers a row that are not QMNIST's.
    """
    if values.ndim == 1:
        return values
    if values.ndim == 2 and values.shape[1] == 8 and values.dtype.kind == "i":
        return values[:, 0]
    raise DataError(f"{path}: labels are one a row, or QMNIST's eight; its shape is {values.shape}")


def names_of(labels: Array, cousin: Cousin, path: Path) -> list[str]:
    """Name the classes of labels.

    Raises
    ------
    DataError
        Naming the file and the first row whose label the set does not have.
    """
    if not cousin.classes:
        return [f"{label:g}" if labels.dtype.kind == "f" else str(label) for label in labels]
    indices = labels.astype(np.int64) - cousin.first
    wrong = np.flatnonzero((indices < 0) | (indices >= len(cousin.classes)))
    if wrong.size:
        raise DataError(
            f"{path}: row {wrong[0] + 1} has the label {labels[wrong[0]]}; those of "
            f"{cousin.title}, which its name says it is, are {cousin.first} to "
            f"{cousin.first + len(cousin.classes) - 1}"
        )
    return [cousin.classes[index] for index in indices]


def remarks(cousin: Cousin, titles: Sequence[str] = ()) -> str:
    """Say what was done to a set's images and labels, for people."""
    done = []
    if cousin.transposed:
        done.append("transposed to stand upright")
    if cousin.classes and cousin.classes != _DIGITS:
        last = cousin.first + len(cousin.classes) - 1
        done.append(
            f"labels {cousin.first} to {last} named {cousin.classes[0]} to {cousin.classes[-1]}"
        )
    return "".join(f"; {each}" for each in (*done, *titles))
