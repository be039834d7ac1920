"""Mutants: the baseline submission with one mistake each, a mistake that people make.

A mutant is data: a file of the baseline, a text that occurs in it exactly once, and what stands
there instead. ``expected`` holds the diagnosis keys that name the mistake; where one mistake has
two true names (a mean for a sum is a factor 1/N), both are in it.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

BASELINE = Path(__file__).parent / "baseline"


@dataclass(frozen=True)
class Mutant:
    """One mistake, planted in the baseline."""

    name: str
    mistake: str
    group: str  # what --only selects
    file: str
    old: str
    new: str
    expected: frozenset[str]
    also: frozenset[str] = frozenset()  # consequences: true of it, but not its name

    def build(self, folder: Path) -> Path:
        """Write the submission into ``folder``, which must not exist, and give its path."""
        shutil.copytree(BASELINE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        path = folder / self.file
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
    """Plants mistakes in one file, for one group."""

    group: str
    file: str

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
        return Mutant(name, mistake, self.group, self.file, old, new, keys, others)
