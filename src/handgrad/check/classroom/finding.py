"""Which submissions a folder holds, and what is to be judged of each."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from handgrad.check.sandbox.submission import UNITS
from handgrad.errors import BatchError

_DEPTH = 3  # how far below a student's folder the layers.py may lie


@dataclass(frozen=True)
class Submission:
    """One entry of the folder: what to judge, or why it cannot be.

    Attributes
    ----------
    name : str
        Its own among the folder's, for tables and files.
    path : Path
        The file or folder to judge.
    problem : str
        Why it cannot be judged; '' where it can.
    files : tuple of (str, Path)
        Where one person's files lie among others' in a folder: under which name each is judged.
    """

    name: str
    path: Path
    problem: str = ""
    files: tuple[tuple[str, Path], ...] = ()

    def alone(self, folder: Path, place: Path) -> tuple[Path, str]:
        """Give the folder to judge it from, and its path there: as a report shows it.

        A file is judged as a copy in ``place``: those beside it can be imported by it, and are
        other people's. The path says no more than a submission's name.
        """
        if not self.files and not self.path.is_file():
            return folder, str(self.path.relative_to(folder))
        for name, file in self.files or ((self.path.name, self.path),):
            target = place / self.name / name if self.files else place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        return place, self.name if self.files else self.path.name


def submissions(folder: Path) -> list[Submission]:
    """Find the submissions of a folder: its subfolders with a layers.py, and its .py files."""
    if (folder / "layers.py").exists():
        raise BatchError(
            f"{folder} is one submission (it has a layers.py); for a batch, name the folder above"
        )
    found = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__")):
            continue
        if entry.is_dir():
            found.append(_below(entry))
        elif entry.suffix == ".py":
            found.append(Submission(entry.name, entry))
        elif entry.suffix in (".zip", ".gz", ".tar", ".tgz", ".7z", ".rar"):
            found.append(Submission(entry.name, entry, "an archive: unpack it first"))
    if not found:
        raise BatchError(f"{folder} holds no submissions: no subfolder, and no .py file")
    return found


def _below(folder: Path) -> Submission:
    """A student's folder: the highest folder with a layers.py, or with another module of ours."""
    for names in (("layers.py",), tuple(f"{unit}.py" for unit in UNITS)):
        level = [folder]
        for _ in range(_DEPTH + 1):
            holding = [place for place in level if any((place / name).is_file() for name in names)]
            if len(holding) == 1:
                return Submission(folder.name, holding[0])
            if holding:
                several = ", ".join(str(place.relative_to(folder)) for place in holding)
                return Submission(folder.name, folder, f"several folders could be meant: {several}")
            level = [below for place in level for below in sorted(place.iterdir()) if _open(below)]
    return Submission(folder.name, folder, "no layers.py in it")


def _open(folder: Path) -> bool:
    """Whether to look into a folder; a link could lead anywhere."""
    hidden = folder.name.startswith((".", "__"))
    return folder.is_dir() and not folder.is_symlink() and not hidden
