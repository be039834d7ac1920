"""Which submissions a folder holds, and what is to be judged of each."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from handgrad.check.courses import load
from handgrad.check.reading.names import Wanted, archive_suffix, is_hidden
from handgrad.check.reading.tree import choose, from_folder
from handgrad.errors import BatchError, SubmissionError


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
        among_others = self.path.parent == folder and self.path.is_file()
        if not self.files and not among_others:
            return folder, str(self.path.relative_to(folder))
        for name, file in self.files or ((self.path.name, self.path),):
            target = place / self.name / name if self.files else place / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        return place, self.name if self.files else self.path.name


def submissions(folder: Path, wanted: Wanted | None = None) -> list[Submission]:
    """Find the submissions of a folder.

    Each subfolder is one, each archive, each notebook and each Python file; but files whose names
    say that they are one person's (``reading.names``) are one together.

    Raises
    ------
    BatchError
        Where it is itself a submission, or holds none.
    """
    wanted = wanted or load().wanted
    if (folder / f"{wanted.first}.py").exists():
        raise BatchError(
            f"{folder} is one submission (it has a {wanted.first}.py); for a batch, name the "
            "folder above"
        )
    found: list[Submission] = []
    files: list[Path] = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__")) or is_hidden(entry.name):
            continue
        if entry.is_dir():
            found.append(_below(entry, wanted))
        elif entry.suffix == ".py":
            files.append(entry)
        elif entry.suffix == ".ipynb" or archive_suffix(entry.name):
            found.append(Submission(entry.name, entry))
        elif entry.suffix in (".gz", ".bz2", ".xz", ".7z", ".rar"):
            said = "cannot be opened here, only .zip and .tar.gz can; unpack it first"
            found.append(Submission(entry.name, entry, said))
    found += _by_owner(files, wanted)
    if not found:
        raise BatchError(
            f"{folder} holds no submissions: no subfolder, Python file, notebook or archive"
        )
    return sorted(found, key=lambda submission: submission.name)


def _by_owner(files: list[Path], wanted: Wanted) -> list[Submission]:
    """Put the modules of one person together: 'smith_12_34_layers.py', 'smith_12_35_optim.py'."""
    owners: dict[str, list[tuple[str, Path]]] = {}
    for file in files:
        what = wanted.named(file.stem)
        owner = what.owner if what is not None and what.owner else file.name
        owners.setdefault(owner, []).append((what.unit if what is not None else "", file))
    found = []
    for owner, own in owners.items():
        units = [unit for unit, _ in own]
        if len(own) == 1:
            found.append(Submission(own[0][1].name, own[0][1]))
        elif len(set(units)) < len(units):
            names = ", ".join(file.name for _, file in own)
            problem = f"several files could be meant: {names}; leave one of each module"
            found.append(Submission(owner, own[0][1], problem))
        else:
            renamed = tuple((f"{unit}.py", file) for unit, file in own)
            found.append(Submission(owner, own[0][1], files=renamed))
    return found


def _below(folder: Path, wanted: Wanted) -> Submission:
    """A student's folder, and what in it is judged."""
    try:
        choice = choose(from_folder(folder, folder.name), wanted)
    except SubmissionError as error:
        problem = str(error).removeprefix(f"{folder.name}: ")
        return Submission(folder.name, folder, problem)
    return Submission(folder.name, folder / (choice.file or choice.folder))
