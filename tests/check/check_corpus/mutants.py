"""Two right submissions, and mistakes planted in the second of them.

The plain submission is check's own reference; its mistakes are check's own table
(``handgrad.check.mistakes``). The other is handgrad's layers and update rules; a mistake in them is
data, too: a file, a text that occurs in it exactly once, and what stands there instead.
``expected`` holds the diagnosis keys that name the mistake; where one mistake has two true names
(a mean for a sum is a factor 1/N), both are in it.
"""

import ast
import functools
from dataclasses import dataclass
from pathlib import Path

import handgrad
from handgrad.check.conventions import parse
from handgrad.check.mistakes import patched
from handgrad.check.reference import reference

_OURS = Path(handgrad.__file__).parent
_ROOTS = ("optim.py", "layers/*.py")  # and what these import


def write_plain(folder: Path, convention: str = "handgrad") -> None:
    """Write the plain submission, as a convention has it, into ``folder``, which must not exist."""
    folder.mkdir(parents=True)
    for unit, source in reference(parse(convention)).sources.items():
        (folder / f"{unit}.py").write_text(source)


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
    """One mistake, planted in handgrad's own files."""

    name: str
    what: str
    group: str  # what --only selects
    file: str  # relative to the package
    old: str
    new: str
    causes: tuple[str, ...]
    also: tuple[str, ...] = ()  # consequences: true of it, but not its name

    def build(self, folder: Path) -> Path:
        """Write the submission into ``folder``, which must not exist, and give its path."""
        write_ours(folder)
        path = folder / "ours" / self.file
        path.write_text(patched(path.read_text(), [self.old], [self.new]))
        return folder


@dataclass(frozen=True)
class Plant:
    """Plants mistakes in one file, for one group."""

    group: str
    file: str

    def __call__(
        self, name: str, what: str, old: str, new: str, *causes: str, also: tuple[str, ...] = ()
    ) -> Mutant:
        """Make one mutant."""
        return Mutant(name, what, self.group, self.file, old, new, causes, also)
