"""Where data files may lie on this machine, in the order in which they are looked for."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from handgrad.errors import DataError

Owner = Literal["user", "others", "cache"]


@dataclass(frozen=True)
class Place:
    """A folder to look into.

    `owner` decides what happens to a bad file there: in a folder the user named ("user") it is an
    error; in a folder of another program ("others") it is passed over; in our cache it is renamed.
    """

    label: str
    folder: Path
    owner: Owner


def cache_folder() -> Path:
    """Return handgrad's cache: HANDGRAD_CACHE, or the operating system's place for caches.

    A user without a home, as in a container started with any number as the user, has no such
    place: the cache is then a folder of the user's own among the temporary files.
    """
    named = os.environ.get("HANDGRAD_CACHE")
    if named:
        return expanded(named)
    try:
        return _caches() / "handgrad"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"handgrad-{os.getuid()}"


def _caches() -> Path:
    """Return the operating system's place for caches; RuntimeError for a user without a home.

    Source: the XDG base directory specification (an empty or relative path in it is no path), and
    Apple's File System Programming Guide.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    if Path(given).is_absolute():
        return Path(given)
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return the path with ~ replaced, or as it is where there is no such home."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises without a home


def cache_place(dataset: str) -> Place:
    """Return the part of the cache that belongs to one data set."""
    return Place("the cache", cache_folder() / dataset, "cache")


NAMED = ("--data-dir", "HANDGRAD_DATA")
"""The labels of what the user named."""


def named_paths(data_dir: Path | None) -> list[tuple[str, Path]]:
    """Return the paths the user named, as (label, path): --data-dir, then HANDGRAD_DATA.

    Raises
    ------
    DataError
        If one of them does not exist: a mistyped folder must not be passed over in silence.
    """
    environment = os.environ.get("HANDGRAD_DATA")
    named = zip(NAMED, (data_dir, Path(environment) if environment else None), strict=True)
    paths = []
    for label, path in named:
        if path is not None:
            path = expanded(path)
            if not path.exists():
                raise DataError(f"{label}: {path} does not exist; name a folder that holds data")
            paths.append((label, path))
    return paths


def user_places(data_dir: Path | None, subfolders: tuple[str, ...]) -> list[Place]:
    """Return the folders the user named, each followed by its usual sub-folders that exist."""
    places = []
    for label, path in named_paths(data_dir):
        folder = path.parent if path.is_file() else path
        places += [
            Place(label, folder / sub, "user")
            for sub in ("", *subfolders)
            if (folder / sub).is_dir()
        ]
    return places


def torchvision_roots() -> list[Path]:
    """Return the folders that people usually give torchvision as `root`."""
    return [Path("data"), Path(), Path("../data"), expanded("~/data")]


def keras_folder() -> Path:
    """Return the folder where Keras leaves its data sets."""
    return expanded(os.environ.get("KERAS_HOME") or "~/.keras") / "datasets"
