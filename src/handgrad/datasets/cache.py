"""The cache: one folder per data set, changed by one process at a time, every file verified."""

from __future__ import annotations

import importlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from handgrad.datasets.known import log
from handgrad.datasets.places import cache_place
from handgrad.errors import DataError


@contextmanager
def cache_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time change a folder of the cache; the others wait.

    The lock is the kernel's (flock), so a killed process leaves nothing locked. Where it cannot be
    had (Windows, some network disks) work goes on without it: every file is verified and put in
    place by one rename, so the worst is a wasted download.

    Raises
    ------
    DataError
        If the cache cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("ab")
    except OSError as error:
        raise DataError(
            f"{folder}: the cache cannot be written ({error.strerror}); "
            "set HANDGRAD_CACHE to a folder that can"
        ) from error
    with stream:
        with suppress(ImportError, OSError):
            fcntl = importlib.import_module("fcntl")
            waited = False
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not waited:
                        log.warning("%s: another process is fetching; waiting for it", folder.name)
                        waited = True
                    time.sleep(0.2)
        yield


@contextmanager
def scratch_folder(dataset: str) -> Iterator[Path]:
    """Give a temporary folder inside the cache (so on the same disk), removed afterwards.

    What killed processes left there more than a day ago is removed as well.
    """
    folder = cache_place(dataset).folder
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(".scratch-*"):
        with suppress(OSError):
            if time.time() - stale.stat().st_mtime > 86_400:
                shutil.rmtree(stale)
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder) as name:
        try:
            yield Path(name)
        except DataError as error:
            # The folder is gone when the message is read, so name only the file.
            raise DataError(str(error).replace(f"{name}/", "")) from error


def set_aside(path: Path) -> Path:
    """Rename a bad file of the cache to NAME.corrupt-N, so that it is kept but never used."""
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    return path.rename(aside)
