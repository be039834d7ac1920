"""The known mistakes, as data: a table of patches of the reference submission, by group.

From this one table come the explanations (a wrong answer that is what a patched reference gives
has that patch's cause) and the mistakes that the tests plant. A file's tables are named by the
module they patch and the mistake, ``[layers.fc-no-bias]``, with

what : the mistake, for the reader of docs/check_tables.md
causes : keys of CAUSES that are true of it; the first is the one stated
also : causes that are true of its consequences, and do not name it
old, new : a text that occurs once in the module and what stands there instead, or lists of them
each : values that stand for EACH in ``new``: one mistake that is made in several ways
convention : under which the tests plant it (the text is in no other reference); default ''
unless : a flag of the course; where that holds, this is no mistake
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from handgrad.check.tables import Table, named_files, read_table


@dataclass(frozen=True)
class Patch:
    """What a flag of a course changes in one module of its reference."""

    unit: str
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True)
class Mistake:
    """One line of the table; the module's docstring says what its entries mean."""

    name: str
    group: str
    unit: str
    what: str
    causes: tuple[str, ...]
    old: tuple[str, ...]
    new: tuple[str, ...]
    also: tuple[str, ...] = ()
    each: tuple[str, ...] = ("",)
    convention: str = ""
    unless: str = ""

    def planted(self, sources: Mapping[str, str]) -> Iterator[dict[str, str]]:
        """Give the module's source with the mistake in it, once for each way to make it.

        There is none where the text to patch is not there: another convention's reference.
        """
        source = sources.get(self.unit, "")
        if all(text in source for text in self.old):
            for value in self.each:
                new = [text.replace("EACH", value) for text in self.new]
                yield {self.unit: patched(source, self.old, new)}

    def touches(self, sources: Mapping[str, str]) -> set[str]:
        """The functions and classes of its module in which the patched texts are."""
        source = sources.get(self.unit, "")
        found = set()
        for text in self.old:
            start = source.find(text)
            first, last = (
                source.count("\n", 0, at) + 1 for at in (start, start + len(text.strip()))
            )
            for name, lines in _definitions(source):
                if start >= 0 and first < lines.stop and last >= lines.start:
                    found.add(name)
        return found


def patched(source: str, old: Sequence[str], new: Sequence[str]) -> str:
    """Replace texts that occur exactly once each, all at once: two may change places.

    Raises
    ------
    ValueError
        For a text that occurs never, or more than once.
    """
    found = []
    for before, after in zip(old, new, strict=True):
        if source.count(before) != 1:
            raise ValueError(f"the text occurs {source.count(before)} times, not once: {before!r}")
        found.append((source.index(before), before, after))
    done = ""
    for start, before, after in sorted(found, reverse=True):
        done = after + source[start + len(before) :] + done
        source = source[:start]
    return source + done


@lru_cache(maxsize=64)
def _definitions(source: str) -> list[tuple[str, range]]:
    """Each function and class at the top of a source, and its lines."""
    return [
        (node.name, range(node.lineno, (node.end_lineno or node.lineno) + 1))
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]


@lru_cache(maxsize=64)
def calls(source: str) -> dict[str, set[str]]:
    """Each function and class at the top of a source, and those of them that it names."""
    found: dict[str, set[str]] = {}
    tops = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    for top in tops:
        named = {node.id for node in ast.walk(top) if isinstance(node, ast.Name)}
        found.setdefault(top.name, set()).update(named & {other.name for other in tops})
    return found


def read_mistakes(folder: Path, shown: str) -> tuple[Mistake, ...]:
    """Read a course's table, in its files' order and, within one, in that of its lines.

    Raises
    ------
    CourseError
        For an entry that is none; the message names the file and the key.
    """
    found: list[Mistake] = []
    for group, file in named_files(folder / "mistakes"):
        table = read_table(file, f"{shown}/mistakes/{file.name}")
        for unit in table.record:
            found += [_read(name, group, unit, at) for name, at in table.each(unit)]
    return tuple(found)


def _read(name: str, group: str, unit: str, table: Table) -> Mistake:
    table.only("what", "causes", "also", "old", "new", "each", "convention", "unless")
    causes, old, new = (table.texts(key) for key in ("causes", "old", "new"))
    if not causes:
        table.fail("causes", "is missing; it must name what is said of the mistake")
    if not old or len(old) != len(new):
        table.fail("old", "old and new must be texts of the same number")
    return Mistake(
        name, group, unit, table.text("what"), causes, old, new, table.texts("also"),
        table.texts("each") or ("",), table.text("convention", ""), table.text("unless", ""),
    )  # fmt: skip
