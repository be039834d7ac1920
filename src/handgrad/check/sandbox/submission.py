"""Find a submission's modules and read their sources; run nothing."""

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from handgrad.check.courses import load
from handgrad.check.reading.cells import may_be_script
from handgrad.check.reading.names import Wanted, archive_suffix
from handgrad.check.reading.program import Program, read_program
from handgrad.check.reading.tree import Tree, choose, from_archive, from_folder
from handgrad.errors import SubmissionError

_MAX_FILES, _MAX_BYTES = 300, 8 * 2**20
_MAX_FILE = 64 * 2**20  # of a notebook with its pictures, of an archive
_RELATIVE = re.compile(rb"(?:^|\n|\r|\A\xef\xbb\xbf)[ \t]*from\s+\.")  # after a byte-order mark
_KINDS = "a Python file (.py), a notebook (.ipynb) or an archive (.zip, .tar.gz)"


@dataclass(frozen=True)
class Submission:
    """What is judged.

    Attributes
    ----------
    file : str
        As the user named it.
    sha256 : str
        Of one file: of the statements that make what is judged (``reading.definitions``); of a
        folder or a module, of its sorted 'SHA-256  relative path' lines.
    modules : mapping
        Unit ('layers', 'optim', ...) to the name that the child imports.
    sources : mapping
        Relative path to content, copied into each case's own folder; empty for a module.
    path : tuple of (bool, str)
        What goes in front of sys.path; True: relative to the case's folder.
    whole : bool
        Whether every unit is expected (a folder, the package), not only those that are there.
    trusted : bool
        Whether it is handgrad itself, which runs without the confinement.
    files : mapping
        Unit to the name of its file, where that is another than the unit's.
    places : mapping
        Of a notebook, a name to where it is defined: 'cell 7, line 3'.
    notes : tuple of str
        What was left out, or taken of several.
    wanted : Wanted
        The modules of the course.
    """

    file: str
    sha256: str
    modules: Mapping[str, str]
    sources: Mapping[str, bytes] = field(default_factory=dict)
    path: tuple[tuple[bool, str], ...] = ()
    whole: bool = False
    trusted: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    wanted: Wanted = field(default_factory=lambda: load().wanted)

    def owns(self, module: str) -> bool:
        """Whether a module is, or by its name should be, the submission's own and no package."""
        root = module.partition(".")[0]
        names = {name for others in self.wanted.files.values() for name in others}
        names |= {name.partition(".")[0] for name in self.modules.values()}
        for _, *parts in (path.split("/") for path in self.sources):
            # below 'parent': its folder, what is in it
            names.update(part.removesuffix(".py") for part in parts[:2])
        return root in names

    def called(self, unit: str) -> str:
        """The name of the file that holds a module of the course, or should."""
        return self.files.get(unit, f"{unit}.py")


def find_submission(path: str | Path, wanted: Wanted | None = None) -> Submission:
    """Find what a user means by a path: a file, a folder, an archive, or the name of a module.

    Parameters
    ----------
    path : str or Path
    wanted : Wanted, optional
        The modules of the course; None for the assignment's.

    Raises
    ------
    SubmissionError
        When there is nothing of the kind, or it is too large to be one.
    """
    place, shown = Path(path), str(path)
    wanted = wanted or load().wanted
    if place.is_dir():
        return _of_tree(from_folder(place, shown), wanted)
    if place.is_file():
        if archive_suffix(place.name):
            return _of_tree(from_archive(_content(place, shown), shown), wanted)
        if place.suffix not in (".py", ".ipynb"):
            raise SubmissionError(f"{shown}: not {_KINDS}")
        tree = Tree(
            shown,
            place.resolve().parent.name,
            {
                file.name: file.read_bytes
                for file in [place, *sorted(place.parent.glob("*.py"))]
                if file.is_file()
            },
        )
        return _file(tree, place.name, wanted)
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", shown):
        return _module(shown, wanted)
    raise SubmissionError(f"{shown}: no such file, folder or module")


def _content(place: Path, shown: str) -> bytes:
    try:
        if place.stat().st_size > _MAX_FILE:
            raise SubmissionError(f"{shown}: more than {_MAX_FILE // 2**20} MiB")
        return place.read_bytes()
    except OSError as error:
        raise SubmissionError(f"{shown}: {error.strerror}") from None


def _of_tree(tree: Tree, wanted: Wanted, depth: int = 0) -> Submission:
    """Take what a folder or an archive holds; of an archive in it, what that holds."""
    choice = choose(tree, wanted)
    if not choice.file:
        beside = tuple(
            f"{path} defines functions of the course, too; it is not judged"
            for path in choice.beside
        )
        found = _folder(tree, choice.folder, wanted)
        return replace(found, notes=(*found.notes, *beside))
    if archive_suffix(choice.file):
        if depth:
            raise SubmissionError(
                f"{tree.shown}: archives in an archive's archive; unpack it first"
            )
        inner = from_archive(tree.read(choice.file), f"{tree.shown}: {choice.file}")
        return replace(_of_tree(inner, wanted, depth + 1), file=tree.shown)
    return _file(tree, choice.file, wanted)


# -- one file -------------------------------------------------------------------------------------


def _file(tree: Tree, path: str, wanted: Wanted) -> Submission:
    """Take one file; its neighbours come along, for the imports in it."""
    above, _, own = path.rpartition("/")
    stem = PurePosixPath(own).stem
    sources = _read(tree, [path, *(p for p in tree.inside(above) if p != path)], keep=path)
    program = _program(tree, sources[path], path, wanted)
    what = wanted.named(stem)
    units = program.units()
    if what is not None and what.unit not in units:
        units.append(what.unit)
    if program.document is not None and program.selection.defined.isdisjoint(wanted.names):
        raise SubmissionError(f"{_shown(tree, path)}: {_nothing_in(program, wanted)}")
    # Under a name that Python can import: 'smith-4711.py' is one of many in a batch.
    name = stem if stem.isidentifier() else re.sub(r"\W", "_", f"_{stem}")
    if path.endswith(".ipynb"):
        name = f"notebook_{name}"  # 'copy.ipynb' is no module of that name
    content = sources.pop(path)
    sources = {key.removeprefix(f"{above}/"): text for key, text in sources.items()}
    if program.document is not None:
        content = program.stand_in([key.removesuffix(".py") for key in sources])
    sources[f"{name}.py"] = content
    folder = PurePosixPath(above).name or tree.name
    package, entries = _layout(sources, folder)
    is_notebook = program.document is not None
    return Submission(
        file=tree.shown,
        sha256=program.sha256,
        modules=dict.fromkeys(units or [wanted.first], f"{package}{name}"),
        sources={f"{entries[0][1]}/{key}": text for key, text in sources.items()},
        path=entries,
        files=dict.fromkeys(units, own) if is_notebook else {},
        places=program.selection.places() if is_notebook else {},
        wanted=wanted,
        notes=(*program.notes(), *program.only_in_text(wanted.names)),
    )


def _program(
    tree: Tree, content: bytes, path: str, wanted: Wanted, *, everything: bool = False
) -> Program:
    """Read a file; say of which of several it is that it cannot be read."""
    name = PurePosixPath(path).name
    try:
        return read_program(content, name, wanted, everything=everything)
    except SubmissionError as error:
        said = str(error).removeprefix(f"{name}: ")
        raise SubmissionError(f"{_shown(tree, path)}: {said}") from None


def _shown(tree: Tree, path: str) -> str:
    """A file as the user knows it: by what was named, and by its path there."""
    single = PurePosixPath(tree.shown.replace("\\", "/")).name == path
    return tree.shown if single else f"{tree.shown}: {path}"


def _nothing_in(program: Program, wanted: Wanted) -> str:
    """Why a notebook cannot be judged, and where its functions are instead."""
    some = ", ".join(sorted(wanted[wanted.first])[:2])
    said = f"defines none of the functions that are judged ({some}, ...)"
    elsewhere = program.only_in_text(wanted.names)
    imported = program.imported()
    if elsewhere:
        said += f"; {elsewhere[0]}"
    elif imported:
        said += f"; it imports {imported[0]}: name that file, {imported[0].replace('.', '/')}.py"
    return said


# -- a folder -------------------------------------------------------------------------------------


def _folder(tree: Tree, root: str, wanted: Wanted) -> Submission:
    start = f"{root}/" if root else ""
    read = _read(tree, tree.below(root))
    known = tree.units(root, wanted)
    sources = {key.removeprefix(start): text for key, text in read.items()}
    modules: dict[str, str] = {}
    programs: dict[str, Program] = {}
    for unit, path in known.items():
        name = PurePosixPath(path).stem
        what = wanted.named(name)
        if what is not None and not what.plain:  # 'smith_layers-2.py': others import layers
            sources[f"{unit}.py"] = sources.pop(path.removeprefix(start))
            name = unit
        modules[unit] = name
        if may_be_script(read[path]):
            program = _program(tree, read[path], path, wanted, everything=True)
            programs.update({unit: program} if program.document is not None else {})
    lines = [
        f"{hashlib.sha256(text).hexdigest()}  {key}\n" for key, text in sorted(sources.items())
    ]
    for unit, program in programs.items():
        beside = [key.split("/")[0].removesuffix(".py") for key in sources]
        sources[f"{modules[unit]}.py"] = program.stand_in(beside)
    package, entries = _layout(sources, PurePosixPath(root).name or tree.name)
    places: dict[str, str] = {}
    for program in programs.values():
        places |= program.selection.places()
    return Submission(
        file=tree.shown,
        sha256=hashlib.sha256(os.fsencode("".join(lines))).hexdigest(),
        modules={unit: f"{package}{name}" for unit, name in modules.items()},
        sources={f"{entries[0][1]}/{key}": text for key, text in sources.items()},
        path=entries,
        whole=True,
        places=places,
        wanted=wanted,
        notes=tuple(note for program in programs.values() for note in program.notes()),
    )


def _layout(sources: Mapping[str, bytes], folder: str) -> tuple[str, tuple[tuple[bool, str], ...]]:
    """Decide how the modules are imported: flat, or (relative imports) as a package."""
    name = folder if folder.isidentifier() else "submission"
    relative = any(_RELATIVE.search(text) for text in sources.values())
    entries = ((True, f"parent/{name}"), (True, "parent"))
    return (f"{name}." if relative else ""), entries


def _read(tree: Tree, paths: Iterable[str], keep: str | None = None) -> dict[str, bytes]:
    """Read sources; a judged file must fit, its neighbours only come along if they do."""
    sources: dict[str, bytes] = {}
    total = 0
    for path in paths:
        text = tree.read(path)
        if path == keep and path.endswith(".ipynb"):
            if len(text) > _MAX_FILE:
                raise SubmissionError(f"{_shown(tree, path)}: more than {_MAX_FILE // 2**20} MiB")
            sources[path] = text  # of which the code alone is kept
            continue
        total += len(text)
        if len(sources) >= _MAX_FILES or total > _MAX_BYTES:
            if keep is not None and path != keep:
                break
            raise SubmissionError(
                f"{tree.shown}: more than {_MAX_FILES} Python files or {_MAX_BYTES // 2**20} MiB; "
                "name the folder that holds the course's modules"
            )
        sources[path] = text
    return sources


def _module(name: str, wanted: Wanted) -> Submission:
    """Take an importable module: a package with the course's modules, or one of them."""
    ours = name.partition(".")[0] == "handgrad"
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None:
        raise SubmissionError(f"{name}: no such file, folder or module")
    last = name.rpartition(".")[2]
    places = list(spec.submodule_search_locations or [])
    if places and last not in wanted:
        files = {unit: Path(places[0]) / f"{unit}.py" for unit in wanted}
        files = {
            unit: file if file.is_file() else Path(places[0]) / unit / "__init__.py"
            for unit, file in files.items()
        }
        known = {unit: file for unit, file in files.items() if file.is_file()}
        modules = {unit: f"{name}.{unit}" for unit in known} or {wanted.first: name}
        judged = sorted(known.values()) or [Path(str(spec.origin))]
        whole = bool(known)
    else:
        modules = {last if last in wanted else wanted.first: name}
        judged, whole = [Path(str(spec.origin))], False
        if places:  # a package that is one unit, as handgrad.layers
            judged = sorted(Path(places[0]).glob("*.py"))
    lines = []
    for file in judged:
        if not file.is_file():
            raise SubmissionError(f"{name}: has no Python source to judge")
        lines.append(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n")
    return Submission(
        file=name,
        sha256=hashlib.sha256(os.fsencode("".join(lines))).hexdigest(),
        modules=modules,
        path=tuple((False, str(Path(entry).resolve())) for entry in sys.path),
        whole=whole,
        trusted=ours,
        wanted=wanted,
    )
