"""What `handgrad train` was asked for."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handgrad.images import files_read


@dataclass(frozen=True)
class Request:
    """One training, as asked for.

    Attributes
    ----------
    data : Path
        A table's file, or a folder or file of images.
    targets : tuple of str
        Columns to predict; empty for images, whose folder or label file says it.
    task : str or None
        'classify' or 'regress'; None: as the target looks.
    seconds : float
        For the baselines, the search and the net together.
    candidates : int
        Of the search; 0 without one.
    storage : str or None
        An Optuna storage's URL for the search; None: a journal in the folder.
    group, time_column : str or None
        A column whose equal values stay in one part; one that orders the rows.
    keep : tuple of str
        Columns to learn from although they give the target away.
    resize : (height, width) or None
        What images are resized to.
    skip_bad : bool
        Leave images out that cannot be read.
    seed : int
    out : Path
        The folder for the model, the record and the report.
    command : str
        For the record.
    """

    data: Path
    targets: tuple[str, ...]
    task: str | None
    seconds: float
    candidates: int
    storage: str | None
    group: str | None
    time_column: str | None
    keep: tuple[str, ...]
    resize: tuple[int, int] | None
    skip_bad: bool
    seed: int
    out: Path
    command: str

    def identity(self) -> dict[str, Any]:
        """Say what makes a folder's training this one.

        The time may change while it goes on, and the search may grow.
        """
        return {
            "data": fingerprint(self.data),
            "target": list(self.targets),
            "task": self.task,
            "group": self.group,
            "time-column": self.time_column,
            "keep": sorted(self.keep),
            "resize": None if self.resize is None else list(self.resize),
            "skip-bad": self.skip_bad,
            "seed": self.seed,
        }

    def study_name(self) -> str:
        """Name the search, so that processes which ask for the same share it."""
        text = json.dumps(self.identity())
        return f"handgrad-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def fingerprint(path: Path) -> str:
    """Hash the content of what is read: a file, a folder's files and their names, an IDX pair."""
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(each for each in path.rglob("*") if each.is_file()):
            name = file.relative_to(path).as_posix()
            digest.update(f"{name}\0{file.stat().st_size}\0".encode("utf-8", "surrogateescape"))
            _add(digest, file)
    else:
        for file in files_read(path):
            _add(digest, file)
    return digest.hexdigest()[:16]


def _add(digest: Any, file: Path) -> None:
    with file.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
