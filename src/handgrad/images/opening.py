"""Open pictures, whatever they come in: to train with, or to predict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from handgrad.datasets.idx import idx_dimensions
from handgrad.errors import DataError
from handgrad.images import npz
from handgrad.images.folders import iter_pictures, read_folder
from handgrad.images.idx_pairs import files_of_pair, images_alone, is_idx_folder, read_pairs
from handgrad.images.image_set import ImageBatch, ImageSet, Progress, checked_size, in_words
from handgrad.images.pictures import READ, UNREAD, resized
from handgrad.images.pixels import Pixels, Size, as_channels


def holds_images(path: Path) -> bool:
    """Tell whether a path is for this package: a folder, a picture, IDX, or NPZ with pictures."""
    if path.is_dir():
        return True
    if not path.is_file():
        return False
    picture = path.suffix.lower() in READ | UNREAD
    return picture or bool(idx_dimensions(path)) or npz.holds_pictures(path)


def files_read(path: Path) -> list[Path]:
    """Name the files that a file stands for: itself, or an IDX pair of images and labels."""
    return files_of_pair(path) if idx_dimensions(path) else [path]


def open_images(
    path: Path,
    *,
    resize: Size | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> ImageSet:
    """Read labelled pictures: a folder of them, a pair of IDX files, or an NPZ file.

    Parameters
    ----------
    path : Path
        A folder with a folder of pictures a class, perhaps below train, val and test; an IDX file
        of images, whose labels lie beside it, or the folder of such pairs; or an NPZ file of X, y.
    resize : (height, width), optional
        Stretch every picture to this size; without it all must have one.
    skip_bad : bool, default False
        Leave out the files that do not decode, and list them.
    progress : callable, optional
        Called with (pictures read, pictures in all) while a folder is read.

    Returns
    -------
    ImageSet
        ``X`` uint8 (N, C, H, W), the labels as text, and what was recognised.

    Raises
    ------
    DataError
        In one line that names the file: see `handgrad.images.folders`, `idx_pairs` and `npz`.
    MissingExtraError
        For a folder of pictures, or ``resize``, without Pillow (the extra ``images``).
    ValueError
        If resize is no (height, width).
    """
    path, resize = Path(path), checked_size(resize)
    _must_exist(path)
    try:
        if path.is_dir():
            if is_idx_folder(path):
                return read_pairs(path, resize)
            return read_folder(path, resize, skip_bad, progress)
        if _is_picture(path):
            raise DataError(
                f"{path} is one picture; name the folder that holds a folder of pictures a class"
            )
        if idx_dimensions(path):
            return read_pairs(path, resize)
        return npz.read_npz(path, resize)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from None


def iter_images(
    path: Path,
    input_shape: tuple[int, int, int],
    *,
    resize: bool = False,
    skip_bad: bool = False,
    rows: int = 256,
) -> Iterator[ImageBatch]:
    """Stream pictures to predict, without labels, as a model takes them.

    Parameters
    ----------
    path : Path
        A picture, a folder in which all pictures are taken at any depth, an IDX file of images, or
        an NPZ file of X.
    input_shape : (channels, height, width)
        Of the model. Grey and colours are turned into each other as the package says.
    resize : bool, default False
        Stretch pictures of another size, as a model wants that was trained with ``resize``.
    skip_bad : bool, default False
        Leave out the files that do not decode; each batch lists its own.
    rows : int, default 256
        Pictures a batch.

    Yields
    ------
    ImageBatch
        ``X`` uint8 (n, C, H, W), n at most ``rows``.

    Raises
    ------
    DataError
        Naming the file: no pictures, one that does not decode, or another size without ``resize``.
    MissingExtraError
        As `open_images`.
    """
    path = Path(path)
    _must_exist(path)
    try:
        if (path.is_dir() and not is_idx_folder(path)) or _is_picture(path):
            yield from iter_pictures(path, input_shape, resize=resize, skip_bad=skip_bad, rows=rows)
            return
        idx = path.is_dir() or idx_dimensions(path)
        X = images_alone(path) if idx else npz.pictures_alone(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from None
    yield from _pieces(X, path, input_shape, resize, rows)


def _pieces(
    X: Pixels, path: Path, input_shape: tuple[int, int, int], resize: bool, rows: int
) -> Iterator[ImageBatch]:
    size = (input_shape[1], input_shape[2])
    if not resize and X.shape[2:] != size:
        raise DataError(
            f"{path} has pictures of {in_words(X.shape[2:])} (height x width); the model takes "
            f"{in_words(size)}, and resizes none, as it was trained without resize (--resize)"
        )
    for start in range(0, len(X), rows):
        piece = resized(X[start : start + rows], size)
        names = [f"row {row}" for row in range(start + 1, start + len(piece) + 1)]
        yield ImageBatch(as_channels(piece, input_shape[0]), names)


def _must_exist(path: Path) -> None:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in READ | UNREAD
