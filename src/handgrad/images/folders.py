"""A folder of pictures: a folder a class, perhaps below train and test; what is passed over."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from handgrad.errors import DataError
from handgrad.images.image_set import (
    PARTS,
    ImageBatch,
    ImageSet,
    Progress,
    in_words,
    room_for,
    rows_of_parts,
    shown,
    summary,
)
from handgrad.images.pictures import READ, UNREAD, Look, look, need_pillow, read_picture
from handgrad.images.pixels import Pixels, Size, as_channels

# Left by file managers, archives and network drives, beside names that begin with a dot.
_RUBBISH = {"thumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "lost+found"}


@dataclass(frozen=True)
class _Found:
    """The pictures of a folder: path, label and part (or none) of each, and what else is there."""

    root: Path
    paths: list[Path] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def name(self, path: Path) -> str:
        """Name a file as people see it: below the folder."""
        return path.relative_to(self.root).as_posix()


def read_folder(
    root: Path, resize: Size | None, skip_bad: bool, progress: Progress | None
) -> ImageSet:
    """Read a folder with a folder of pictures a class, alone or below train, val and test.

    Folders inside a class belong to it. Hidden files, and what file managers leave, are ignored; so
    are files that are no pictures, which are counted. One folder that holds all others is entered.

    Raises
    ------
    DataError
        Naming the folder or file: no pictures, pictures without a class, one class, sizes that
        differ, a picture that does not decode, more pixels than fit into the memory.
    MissingExtraError
        Without Pillow.
    """
    need_pillow()
    found = _labelled(root)
    looks, skipped = _looks(found, skip_bad)
    size = resize or _one_size(found, looks)
    channels = 1 if all(each.grey for each in looks.values()) else 3
    X = room_for((len(looks), channels, *size), root)
    rows: list[int] = []
    for row in looks:
        try:
            X[len(rows)] = _picture(found.paths[row], resize, size, channels)
            rows.append(row)
        except _OtherSizeError:
            raise
        except DataError as error:
            if not skip_bad:
                raise
            skipped.append(str(error))
        if progress:
            progress(len(rows) + len(skipped), len(found.paths))
    if not rows:
        raise DataError(f"{root}: none of its {len(skipped):,} pictures decodes: {skipped[0]}")
    X = X[: len(rows)]
    labels = [found.labels[row] for row in rows]
    parts = rows_of_parts([found.parts[row] for row in rows]) if found.parts else {}
    others = f"; other files: {len(found.others):,} ({shown(found.others)})" if found.others else ""
    bad = f"; left out, as they do not decode: {len(skipped):,}" if skipped else ""
    return ImageSet(
        X=X,
        labels=labels,
        names=[found.name(found.paths[row]) for row in rows],
        recognised=f"folder of pictures, {summary(X, labels, parts)}{bad}{others}",
        skipped=skipped,
        parts=parts,
        resized=resize is not None,
    )


def iter_pictures(
    path: Path, shape: tuple[int, int, int], *, resize: bool, skip_bad: bool, rows: int
) -> Iterator[ImageBatch]:
    """Read one picture, or all below a folder, some at a time, of the shape asked for.

    Raises
    ------
    DataError
        Naming the folder or file: no pictures, another size, or one that does not decode.
    MissingExtraError
        Without Pillow.
    """
    need_pillow()
    found = _Found(path if path.is_dir() else path.parent)
    found.paths.extend(_pictures(path, found.others) if path.is_dir() else [path])
    if not found.paths:
        raise _no_pictures(path, found.others)
    channels, size = shape[0], (shape[1], shape[2])
    pixels: list[Pixels] = []
    names: list[str] = []
    skipped: list[str] = []
    for file in found.paths:
        try:
            pixels.append(_picture(file, size if resize else None, size, channels))
            names.append(found.name(file))
        except _OtherSizeError:
            raise
        except DataError as error:
            if not skip_bad:
                raise
            skipped.append(str(error))
        if len(pixels) == rows:
            yield _batch(pixels, names, skipped, shape)
            pixels, names, skipped = [], [], []
    if pixels or skipped:
        yield _batch(pixels, names, skipped, shape)


def _batch(
    pixels: list[Pixels], names: list[str], skipped: list[str], shape: tuple[int, int, int]
) -> ImageBatch:
    X = np.stack(pixels) if pixels else np.empty((0, *shape), np.uint8)
    return ImageBatch(X, names, skipped)


class _OtherSizeError(DataError):
    """A picture of another size than the others, or than the model's."""


def _picture(path: Path, resize: Size | None, size: Size, channels: int) -> Pixels:
    """Read a picture that must have a size, (C, H, W), with so many channels."""
    pixels = read_picture(path, resize)
    if pixels.shape[1:] != size:
        raise _OtherSizeError(
            f"{path} has {in_words(pixels.shape[1:])} (height x width), not {in_words(size)}; "
            "pictures of another size need resize (--resize when training)"
        )
    picture: Pixels = as_channels(pixels[None], channels)[0]
    return picture


def _looks(found: _Found, skip_bad: bool) -> tuple[dict[int, Look], list[str]]:
    """Read all headers first: what is wrong there is said before hours of decoding."""
    looks: dict[int, Look] = {}
    skipped: list[str] = []
    for row, path in enumerate(found.paths):
        try:
            looks[row] = look(path)
        except DataError as error:
            if not skip_bad:
                raise
            skipped.append(str(error))
    if not looks:
        raise DataError(f"{found.root}: none of its {len(skipped):,} files decodes: {skipped[0]}")
    return looks, skipped


def _one_size(found: _Found, looks: dict[int, Look]) -> Size:
    first, *others = looks
    size = looks[first].size
    for row in others:
        if looks[row].size != size:
            one, other = found.name(found.paths[first]), found.name(found.paths[row])
            raise DataError(
                f"{found.root}: {one} has {in_words(size)} (height x width) and {other} "
                f"{in_words(looks[row].size)}; give one size with resize (--resize)"
            )
    return size


def _labelled(root: Path) -> _Found:
    """Find the pictures, with their labels and parts."""
    found = _Found(root)
    inside = _entered(root)
    folders = _folders(inside)
    loose = _own_pictures(inside, found.others)
    if loose:
        where = "beside the folders of the classes" if folders else "without folders of classes"
        raise DataError(
            f"{loose[0]} lies {where}; put each picture into a folder named after its class"
        )
    if _has_parts(inside, folders):
        for folder in folders:
            if folder.name.lower() not in PARTS:
                continue  # it holds no pictures
            loose = _own_pictures(folder, found.others)
            if loose:
                raise DataError(
                    f"{loose[0]} has no class: {folder.name} is a part of the set; put its "
                    "pictures into a folder a class"
                )
            _add_classes(found, _folders(folder), PARTS[folder.name.lower()])
    else:
        _add_classes(found, folders, None)
    if not found.paths:
        raise _no_pictures(root, found.others)
    return found


def _no_pictures(root: Path, others: Sequence[str]) -> DataError:
    there = f"only {shown(others)}" if others else "it is empty"
    return DataError(f"{root} holds no pictures ({there}); name a folder with PNG or JPEG files")


def _add_classes(found: _Found, folders: Sequence[Path], part: str | None) -> None:
    for folder in folders:
        pictures = _pictures(folder, found.others)
        found.paths.extend(pictures)
        found.labels.extend([folder.name] * len(pictures))
        if part is not None:
            found.parts.extend([part] * len(pictures))


def _has_parts(inside: Path, folders: Sequence[Path]) -> bool:
    """Tell whether the folders are parts: train has folders of classes and no picture of its own.

    A class may be called train as well, beside bus and car.
    """
    named = {PARTS[each.name.lower()]: each for each in folders if each.name.lower() in PARTS}
    train = named.get("train")
    if train is None:
        return False
    if not _folders(train):
        if len(named) == len(folders):
            raise DataError(
                f"{inside}: {shown([each.name for each in folders])} hold no folders of classes; "
                "put each picture into a folder named after its class"
            )
        return False
    for folder in folders:
        if folder.name.lower() not in PARTS and _pictures(folder, []):
            raise DataError(
                f"{inside}: {folder.name} lies beside {train.name}, which is a part of the set "
                "with classes of its own; move one of them away"
            )
    return True


def _entered(root: Path) -> Path:
    """Enter a folder that is alone and holds others: what an archive was unpacked to."""
    ignored: list[str] = []
    here, folders = root, _folders(root)
    while len(folders) == 1 and not _own_pictures(here, ignored):
        if folders[0].name.lower() in PARTS:
            return here
        here = folders[0]
        folders = _folders(here)
    return here if len(folders) > 1 else root


def _is_rubbish(name: str) -> bool:
    return name.startswith(".") or name.lower() in _RUBBISH


def _folders(folder: Path) -> list[Path]:
    """Give the folders in a folder, sorted by name."""
    there = (each for each in folder.iterdir() if each.is_dir() and not _is_rubbish(each.name))
    return sorted(there, key=lambda each: each.name)


def _own_pictures(folder: Path, others: list[str]) -> list[Path]:
    """Give the pictures that lie in a folder itself; what is no picture is added to ``others``."""
    names = [each.name for each in folder.iterdir() if each.is_file()]
    return _sorted_out(folder, names, others)


def _pictures(folder: Path, others: list[str]) -> list[Path]:
    """Give all pictures below a folder, in the order of their paths."""
    found: list[Path] = []
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_rubbish(name))
        found.extend(_sorted_out(Path(here), names, others))
    return sorted(found, key=lambda each: each.parts)


def _sorted_out(folder: Path, names: Sequence[str], others: list[str]) -> list[Path]:
    pictures = []
    for name in sorted(names):
        if _is_rubbish(name):
            continue
        if Path(name).suffix.lower() in READ | UNREAD:
            pictures.append(folder / name)
        else:
            others.append(name)
    return pictures
