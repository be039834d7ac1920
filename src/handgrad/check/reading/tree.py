"""The files of a folder or an archive, and which of them is the submission."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from handgrad.check.reading.archives import unpack
from handgrad.check.reading.names import Wanted, archive_suffix, is_hidden
from handgrad.check.reading.program import read_program
from handgrad.errors import SubmissionError

_DEPTH = 3  # how far down a submission may lie
_SEVERAL = 5  # so many candidates are named


@dataclass(frozen=True)
class Tree:
    """Files by their paths, each read when it is asked for.

    Attributes
    ----------
    shown : str
        As the user named it.
    name : str
        Of its top folder.
    files : mapping
        Paths of Python files, notebooks and archives to what reads them.
    """

    shown: str
    name: str
    files: Mapping[str, Callable[[], bytes]]

    def read(self, path: str) -> bytes:
        """Read a file.

        Raises
        ------
        SubmissionError
            Where that fails.
        """
        try:
            return self.files[path]()
        except OSError as error:
            raise SubmissionError(f"{self.shown}: {path}: {error.strerror}") from None

    def inside(self, folder: str, suffix: str = ".py") -> list[str]:
        """The files right in a folder."""
        return [
            path for path in self.files if _above(path) == folder and path.endswith(suffix)
        ]  # fmt: skip

    def below(self, folder: str, suffix: str = ".py") -> list[str]:
        """The files in a folder and in those below it."""
        start = f"{folder}/" if folder else ""
        return [p for p in self.files if p.startswith(start) and p.endswith(suffix)]

    def units(self, folder: str, wanted: Wanted) -> dict[str, str]:
        """The modules of the course in a folder, and their files.

        A file of the plain name is it; else one whose name ends so ('smith_12_layers-2.py'), if
        it defines functions of that module.

        Raises
        ------
        SubmissionError
            Where several could be meant.
        """
        plain: dict[str, list[str]] = {}
        decorated: dict[str, list[str]] = {}
        for path in self.inside(folder):
            stem = PurePosixPath(path).stem
            what = wanted.named(stem)
            if what is not None:
                where = plain if what.plain else decorated
                # 'conv_layers.py' counts only where there is no 'layers.py'.
                at = 0 if stem == what.unit else len(where.get(what.unit, ()))
                where.setdefault(what.unit, []).insert(at, path)
        chosen = {}
        for unit in wanted:
            files = plain.get(unit, [])[:1] or [
                path for path in decorated.get(unit, ()) if unit in self._defines(path, wanted)
            ]
            if len(files) > 1:
                raise SubmissionError(
                    f"{self.shown}: several files could be {unit}.py: {_list(files)}; leave one"
                )
            chosen.update(dict.fromkeys([unit], files[0]) if files else {})
        return chosen

    def _defines(self, path: str, wanted: Wanted) -> list[str]:
        return read_program(self.read(path), PurePosixPath(path).name, wanted).units()


def from_folder(place: Path, shown: str) -> Tree:
    """Take a folder's files; links that lead out of it are not followed."""
    files: dict[str, Callable[[], bytes]] = {}
    for above, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(names):
            file = Path(above, name)
            if is_hidden(name) or not _is_wanted(name) or not file.is_file():
                continue
            if file.resolve().is_relative_to(place.resolve()):
                files[file.relative_to(place).as_posix()] = file.read_bytes
    return Tree(shown, place.resolve().name, files)


def from_archive(content: bytes, shown: str) -> Tree:
    """Take an archive's files; see ``archives.unpack``."""
    name = PurePosixPath(shown).name
    held = unpack(content, shown)
    stem = name[: len(name) - len(archive_suffix(name))]
    return Tree(shown, stem, {path: partial(bytes, held[path]) for path in sorted(held)})


def _is_wanted(name: str) -> bool:
    return name.endswith((".py", ".ipynb")) or bool(archive_suffix(name))


def _above(path: str) -> str:
    return path.rpartition("/")[0]


def _list(paths: list[str]) -> str:
    more = f" and {len(paths) - _SEVERAL} more" if len(paths) > _SEVERAL else ""
    return ", ".join(paths[:_SEVERAL]) + more


# -- which of them --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """What of a tree is judged: a folder with modules, or one file."""

    folder: str = ""
    file: str = ""
    beside: tuple[str, ...] = ()  # notebooks that hold such functions and are not judged


def choose(tree: Tree, wanted: Wanted) -> Choice:
    """Choose the submission in a tree.

    The highest folder with a layers.py, or what the course's first module is called; else the one
    notebook that defines functions of the course; else the highest folder with another module of
    it; else the one file that defines such functions; else the one archive.

    Raises
    ------
    SubmissionError
        Where there is none, or several could be meant.
    """
    notebooks = [path for path in _near(tree) if path.endswith(".ipynb")]
    holding = _definers(tree, notebooks, wanted)
    folder = _highest(tree, (wanted.first,), wanted)
    if folder is not None:
        return Choice(folder=folder, beside=tuple(holding))
    if holding:
        return Choice(file=_only(tree, holding))
    folder = _highest(tree, tuple(wanted), wanted)
    if folder is not None:
        return Choice(folder=folder)
    scripts = _definers(tree, [path for path in _near(tree) if path.endswith(".py")], wanted)
    archives = [path for path in _near(tree) if archive_suffix(path)]
    for files in (scripts, archives, notebooks):
        if files:
            return Choice(file=_only(tree, files))
    raise SubmissionError(
        f"{tree.shown}: holds no {wanted.first}.py, no other module of the course, and no notebook"
    )


def _near(tree: Tree) -> list[str]:
    return [path for path in tree.files if path.count("/") <= _DEPTH]


def _highest(tree: Tree, units: tuple[str, ...], wanted: Wanted) -> str | None:
    """The highest folder with one of these modules; None for none."""
    for depth in range(_DEPTH + 1):
        level = dict.fromkeys(
            _above(path) for path in tree.files if path.count("/") == depth
        )  # fmt: skip
        holding = [f for f in level if not tree.units(f, wanted).keys().isdisjoint(units)]
        if len(holding) > 1:
            raise SubmissionError(
                f"{tree.shown}: several folders could be meant: {_list(holding)}; name one"
            )
        if holding:
            return holding[0]
    return None


def _definers(tree: Tree, paths: list[str], wanted: Wanted) -> list[str]:
    """Of these files, those that define functions of the course."""
    found = []
    for path in paths:
        try:
            program = read_program(tree.read(path), PurePosixPath(path).name, wanted)
        except SubmissionError:
            continue  # said where it is the only one, and is judged
        if program.units():
            found.append(path)
    return found


def _only(tree: Tree, paths: list[str]) -> str:
    if len(paths) == 1:
        return paths[0]
    raise SubmissionError(
        f"{tree.shown}: several files could be meant: {_list(paths)}; name one"
    )  # fmt: skip
