"""What `handgrad train` was asked for."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
    resize: tuple[int, int] | None
    skip_bad: bool
    seed: int
    out: Path
    command: str

    def identity(self) -> dict[str, Any]:
        """Say what makes a folder's training this one; the time may change while it goes on."""
        return {
            "data": fingerprint(self.data),
            "target": list(self.targets),
            "task": self.task,
            "search": self.candidates,
            "group": self.group,
            "time-column": self.time_column,
            "resize": None if self.resize is None else list(self.resize),
            "skip-bad": self.skip_bad,
            "seed": self.seed,
        }

    def study_name(self) -> str:
        """Name the search, so that processes which ask for the same share it."""
        text = json.dumps({n: v for n, v in self.identity().items() if n != "search"})
        return f"handgrad-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def fingerprint(path: Path) -> str:
    """Hash a file's content, or the names and sizes of all files of a folder."""
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                name = file.relative_to(path).as_posix()
                digest.update(f"{name}\0{file.stat().st_size}\0".encode("utf-8", "surrogateescape"))
    else:
        with path.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return digest.hexdigest()[:16]
