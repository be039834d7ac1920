"""The folder of a training: whose it is, what lies in it, and that one process at a time writes it.

manifest.json            what was asked for; another training is refused
model.safetensors        the best net so far, all of its preprocessing with it
search.journal           the candidates of --search, which several processes may share
checkpoint.safetensors   while the net trains: what the same command goes on from
record.json              the record, report.html the same for people; written last
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handgrad.errors import ResultsError
from handgrad.files import write_atomically

_FORMAT = 1


@dataclass(frozen=True)
class Folder:
    """Paths in the folder of a training."""

    path: Path

    @property
    def manifest(self) -> Path:
        """manifest.json."""
        return self.path / "manifest.json"

    @property
    def model(self) -> Path:
        """model.safetensors."""
        return self.path / "model.safetensors"

    @property
    def journal(self) -> Path:
        """search.journal."""
        return self.path / "search.journal"

    @property
    def checkpoint(self) -> Path:
        """checkpoint.safetensors."""
        return self.path / "checkpoint.safetensors"

    @property
    def record(self) -> Path:
        """record.json."""
        return self.path / "record.json"

    @property
    def report(self) -> Path:
        """report.html."""
        return self.path / "report.html"

    def spent(self) -> float:
        """Seconds of the parts of this training that were interrupted."""
        return float(json.loads(self.manifest.read_text(encoding="utf-8")).get("seconds", 0.0))

    def spend(self, seconds: float) -> None:
        """Note that a part of this training took so long."""
        content = json.loads(self.manifest.read_text(encoding="utf-8"))
        content["seconds"] = content.get("seconds", 0.0) + seconds
        write_atomically(self.manifest, json.dumps(content, indent=1) + "\n")

    @contextmanager
    def alone(self, *, wait: bool) -> Iterator[None]:
        """Hold the folder for this process; where another one holds it, wait or ResultsError."""
        import fcntl

        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ResultsError(
                    f"another handgrad train is at work in {self.path}; wait for it, or name "
                    "another folder with --out"
                ) from None
            yield


@contextmanager
def opened(path: Path, identity: Mapping[str, Any]) -> Iterator[Folder]:
    """Make the folder of a training, or open it again.

    Raises
    ------
    ResultsError
        When it cannot be written, a disk is full, it is another training's, it holds something
        else, or the platform has no locks.
    """
    if sys.platform == "win32":
        raise ResultsError(
            "handgrad train needs locks that only a POSIX system has (Linux, macOS); this is "
            f"{sys.platform}"
        )
    folder = Folder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        _claim(folder, {"format": _FORMAT, **identity})
        yield folder
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ResultsError(
            f"cannot write to {path} ({reason}); free space there or name another folder with --out"
        ) from None


def _claim(folder: Folder, identity: dict[str, Any]) -> None:
    if not folder.manifest.exists():
        strangers = sorted(each.name for each in folder.path.iterdir() if not _ours(each))
        if strangers:
            raise ResultsError(
                f"{folder.path} is no folder of handgrad train (it holds {strangers[0]}); name an "
                "empty or a new folder with --out"
            )
        write_atomically(folder.manifest, json.dumps(identity, indent=1) + "\n")
        return
    try:
        found = json.loads(folder.manifest.read_text(encoding="utf-8"))
        different = [name for name in identity if found[name] != identity[name]]
    except (ValueError, KeyError, TypeError):
        raise ResultsError(
            f"{folder.manifest} is damaged; name another folder with --out, or delete this one"
        ) from None
    if different:
        raise ResultsError(
            f"{folder.path} holds another training (its {', '.join(different)} "
            f"{'differs' if len(different) == 1 else 'differ'}); name another folder with --out, "
            "or delete that one"
        )


def _ours(file: Path) -> bool:
    """Whether a file is a lock, or what a process killed while writing left behind."""
    return file.name == ".lock" or (file.name.startswith(".") and file.name.endswith(".part"))
