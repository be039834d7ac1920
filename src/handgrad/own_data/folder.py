"""The folder of a training: whose it is, what lies in it, and that one process at a time writes it.

manifest.json            what was asked for; another training is refused
model.safetensors        the best net so far, all of its preprocessing with it
search.journal           the candidates of --search, which several processes may share
checkpoint.safetensors   while the net trains: what the same command goes on from
show.html                the page of handgrad show
record.json              the record, report.html the same for people; written last
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handgrad.claimed_folder import (
    alone_in,
    differences,
    require_locks,
    require_no_strangers,
    writing_into,
)
from handgrad.errors import ResultsError
from handgrad.files import write_atomically
from handgrad.report import SHOW

_COMMAND = "handgrad train"
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
    def show(self) -> Path:
        """show.html."""
        return self.path / SHOW

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

    def alone(self, *, wait: bool) -> AbstractContextManager[None]:
        """Hold the folder for this process; where another one holds it, wait or ResultsError."""
        return alone_in(self.path, _COMMAND, wait=wait)


@contextmanager
def opened(path: Path, identity: Mapping[str, Any]) -> Iterator[Folder]:
    """Make the folder of a training, or open it again.

    Raises
    ------
    ResultsError
        When it cannot be written, a disk is full, it is another training's, it holds something
        else, or the platform has no locks.
    """
    require_locks(_COMMAND)
    folder = Folder(path)
    with writing_into(path):
        _claim(folder, {"format": _FORMAT, **identity})
        yield folder


def _claim(folder: Folder, identity: dict[str, Any]) -> None:
    if not folder.manifest.exists():
        require_no_strangers(folder.path, _COMMAND)
        write_atomically(folder.manifest, json.dumps(identity, indent=1) + "\n")
    elif different := differences(folder.manifest, identity):
        raise ResultsError(
            f"{folder.path} holds another training (its {', '.join(different)} "
            f"{'differs' if len(different) == 1 else 'differ'}); name another folder with --out, "
            "or delete that one"
        )
