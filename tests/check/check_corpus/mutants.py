"""Mutants: a right submission with one mistake each, a mistake that people make.

A mutant is data: a file of the right submission, a text that occurs in it exactly once, and what
stands there instead. ``expected`` holds the diagnosis keys that name the mistake; where one
mistake has two true names (a mean for a sum is a factor 1/N), both are in it.

Two right submissions: ``baseline``, as a student would write it, and ``ours``, handgrad's own
layers and update rules in plain NumPy.
"""

import ast
import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

import handgrad

BASELINE = Path(__file__).parent / "baseline"
_OURS = Path(handgrad.__file__).parent
_ROOTS = ("optim.py", "layers/*.py")  # and what these import


def write_baseline(folder: Path) -> None:
    """Write the plain submission into ``folder``, which must not exist."""
    shutil.copytree(BASELINE, folder, ignore=shutil.ignore_patterns("__pycache__"))


def write_ours(folder: Path) -> None:
    """Write handgrad's layers and update rules as a submission: a package ``ours`` beside it."""
    for file in _parts():
        target = folder / "ours" / file.relative_to(_OURS)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text().replace("handgrad.", "ours.")
        target.write_text(text.replace("from handgrad import", "from ours import"))
    (folder / "ours/__init__.py").touch()
    for unit in ("layers", "optim"):
        (folder / f"{unit}.py").write_text(f"from ours.{unit} import *  # noqa\n")


@functools.cache
def _parts() -> list[Path]:
    """The files of the roots, and all of handgrad's that they import."""
    waiting = [file for pattern in _ROOTS for file in sorted(_OURS.glob(pattern))]
    found: list[Path] = []
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.append(file)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                places = [name.replace(".", "/") for name in names if name.startswith("handgrad.")]
                for place in places:
                    bare = _OURS.parent / place
                    for candidate in (bare.with_name(f"{bare.name}.py"), bare / "__init__.py"):
                        waiting += [candidate] if candidate.is_file() else []
    return found


@dataclass(frozen=True)
class Mutant:
    """One mistake, planted in a right submission."""

    name: str
    mistake: str
    group: str
    function: str  # what --only selects: the function, or the whole group where others share it
    file: str
    old: str
    new: str
    expected: frozenset[str]
    also: frozenset[str] = frozenset()  # consequences: true of it, but not its name
    ours: bool = False  # planted in handgrad's own files; ``file`` is relative to its package

    def build(self, folder: Path) -> Path:
        """Write the submission into ``folder``, which must not exist, and give its path."""
        (write_ours if self.ours else write_baseline)(folder)
        path = folder / "ours" / self.file if self.ours else folder / self.file
        path.write_text(self.mutated(path.read_text()))
        return folder

    def mutated(self, source: str) -> str:
        """Give the file's text with the mistake in it."""
        count = source.count(self.old)
        if count != 1:
            raise ValueError(f"mutant {self.name}: its old text occurs {count} times")
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class Plant:
    """Plants mistakes in one file, for one group; ``function`` when no other of it is touched."""

    group: str
    file: str
    function: str = ""
    ours: bool = False

    def __call__(
        self,
        name: str,
        mistake: str,
        old: str,
        new: str,
        *expected: str,
        also: tuple[str, ...] = (),
    ) -> Mutant:
        """Make one mutant."""
        keys, others = frozenset(expected), frozenset(also)
        return Mutant(
            name, mistake, self.group, self.function or self.group, self.file, old, new, keys,
            others, self.ours,
        )  # fmt: skip
