"""Find a submission's modules and read their sources; run nothing."""

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from handgrad.errors import SubmissionError

UNITS = ("layers", "optim", "logistic", "svm", "softmax", "cnn", "solver")
_OTHER_NAMES = {"layers": ("conv_layers",), "cnn": ("convnet",)}
_MAX_FILES, _MAX_BYTES = 300, 8 * 2**20
_RELATIVE = re.compile(rb"(?:^|\n|\r|\A\xef\xbb\xbf)[ \t]*from\s+\.")  # after a byte-order mark
_SKIPPED = {"__pycache__", "node_modules", "site-packages", "venv", "env"}


@dataclass(frozen=True)
class Submission:
    """What is judged.

    Attributes
    ----------
    file : str
        As the user named it.
    sha256 : str
        Of the file; of a folder, of its sorted 'SHA-256  relative path' lines.
    modules : mapping
        Unit ('layers', 'optim', ...) to the name that the child imports.
    sources : mapping
        Relative path to content, copied into each case's own folder; empty for a module.
    path : tuple of (bool, str)
        What goes in front of sys.path; True: relative to the case's folder.
    whole : bool
        Whether every unit is expected (a folder, the package), not only the layers.
    trusted : bool
        Whether it is handgrad itself, which runs without the confinement.
    """

    file: str
    sha256: str
    modules: Mapping[str, str]
    sources: Mapping[str, bytes] = field(default_factory=dict)
    path: tuple[tuple[bool, str], ...] = ()
    whole: bool = False
    trusted: bool = False

    def owns(self, module: str) -> bool:
        """Whether a module is, or by its name should be, the submission's own and no package."""
        root = module.partition(".")[0]
        names = {*UNITS, *(name for others in _OTHER_NAMES.values() for name in others)}
        names |= {name.partition(".")[0] for name in self.modules.values()}
        for _, *parts in map(_parts, self.sources):  # below 'parent': its folder, what is in it
            names.update(part.removesuffix(".py") for part in parts[:2])
        return root in names


def _parts(path: str) -> list[str]:
    return path.split("/")


def find_submission(path: str | Path) -> Submission:
    """Find what a user means by a path: a file, a folder, or the name of a module.

    Raises
    ------
    SubmissionError
        When there is nothing of the kind, or it is too large to be one.
    """
    place = Path(path)
    if place.is_file():
        return _file(place, str(path))
    if place.is_dir():
        return _folder(place, str(path))
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", str(path)):
        return _module(str(path))
    raise SubmissionError(f"{path}: no such file, folder or module")


def _file(place: Path, shown: str) -> Submission:
    if place.suffix != ".py":
        raise SubmissionError(f"{shown}: not a Python file (.py)")
    unit = place.stem if place.stem in UNITS else "layers"
    # Its neighbours come along, for the imports in it; only the named file is judged.
    sources = _read(place.parent, shown, sorted(place.parent.glob("*.py")), keep=place)
    # Under a name that Python can import: 'smith-4711.py' is one of many in a batch.
    name = place.stem if place.stem.isidentifier() else re.sub(r"\W", "_", f"_{place.stem}")
    sources[f"{name}.py"] = sources.pop(place.name)
    package, entries = _layout(sources, place.resolve().parent.name)
    return Submission(
        file=shown,
        sha256=hashlib.sha256(sources[f"{name}.py"]).hexdigest(),
        modules={unit: f"{package}{name}"},
        sources={f"{entries[0][1]}/{key}": text for key, text in sources.items()},
        path=entries,
    )


def _folder(place: Path, shown: str) -> Submission:
    root = place
    if not (root / "layers.py").is_file():
        inner = [child.parent for child in sorted(root.glob("*/layers.py"))]
        if len(inner) > 1:
            names = ", ".join(child.name for child in inner)
            raise SubmissionError(f"{shown}: more than one folder in it holds a layers.py: {names}")
        root = inner[0] if inner else root
    files = sorted(
        file
        for file in root.rglob("*.py")
        if not any(
            part in _SKIPPED or part.startswith(".") for part in file.relative_to(root).parts[:-1]
        )
    )
    sources = _read(root, shown, files)
    known = {unit: unit for unit in UNITS if f"{unit}.py" in sources}
    for unit, others in _OTHER_NAMES.items():
        for other in others:
            if unit not in known and f"{other}.py" in sources:
                known[unit] = other
    if not known:
        raise SubmissionError(f"{shown}: holds no layers.py, nor any other module of the course")
    lines = [f"{hashlib.sha256(text).hexdigest()}  {key}\n" for key, text in sources.items()]
    package, entries = _layout(sources, root.resolve().name)
    return Submission(
        file=shown,
        sha256=hashlib.sha256(os.fsencode("".join(lines))).hexdigest(),
        modules={unit: f"{package}{name}" for unit, name in known.items()},
        sources={f"{entries[0][1]}/{key}": text for key, text in sources.items()},
        path=entries,
        whole=True,
    )


def _layout(sources: Mapping[str, bytes], folder: str) -> tuple[str, tuple[tuple[bool, str], ...]]:
    """Decide how the modules are imported: flat, or (relative imports) as a package."""
    name = folder if folder.isidentifier() else "submission"
    relative = any(_RELATIVE.search(text) for text in sources.values())
    entries = ((True, f"parent/{name}"), (True, "parent"))
    return (f"{name}." if relative else ""), entries


def _read(root: Path, shown: str, files: list[Path], keep: Path | None = None) -> dict[str, bytes]:
    """Read the sources; a judged file must fit, its neighbours only come along if they do."""
    sources: dict[str, bytes] = {}
    total = 0
    if keep is not None:
        files = [keep, *(file for file in files if file != keep)]
    for file in files:
        try:
            if not file.is_file():
                continue
            text = file.read_bytes()
        except OSError as error:
            raise SubmissionError(f"{shown}: {file.name}: {error.strerror}") from None
        total += len(text)
        if len(sources) >= _MAX_FILES or total > _MAX_BYTES:
            if keep is not None and file != keep:
                break
            raise SubmissionError(
                f"{shown}: more than {_MAX_FILES} Python files or {_MAX_BYTES // 2**20} MiB; "
                "name the folder that holds layers.py"
            )
        sources[file.relative_to(root).as_posix()] = text
    return sources


def _module(name: str) -> Submission:
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
    if places and last not in UNITS:
        files = {unit: Path(places[0]) / f"{unit}.py" for unit in UNITS}
        files = {
            unit: file if file.is_file() else Path(places[0]) / unit / "__init__.py"
            for unit, file in files.items()
        }
        known = {unit: file for unit, file in files.items() if file.is_file()}
        modules = {unit: f"{name}.{unit}" for unit in known} or {"layers": name}
        judged = sorted(known.values()) or [Path(str(spec.origin))]
        whole = bool(known)
    else:
        modules = {last if last in UNITS else "layers": name}
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
    )
