"""Which statements of a submission make the functions that are judged, and their one normal form.

Of a notebook only those are run: definitions, and the imports and constants that they use. Of a
module all run; which of them matter is asked for its hash, so that the same code has the same one.
"""

import builtins
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from handgrad.check.reading.cells import Cell
from handgrad.check.reading.magics import NOT_PARSED
from handgrad.check.reading.statements import Statement, first_line, statements

_DEFINED = re.compile(r"^\s*(?:async\s+def|def|class)\s+(\w+)", re.MULTILINE)
_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}


@dataclass(frozen=True)
class Broken:
    """A cell that is no program: where it breaks off, and the names it would define."""

    cell: Cell
    message: str
    line: int
    code: str
    names: frozenset[str]

    def __str__(self) -> str:
        """Its place and what is wrong there, in one line."""
        return f"{self.cell.label}, line {self.line}: {self.message}"


@dataclass(frozen=True)
class Selection:
    """What is taken of a submission's cells.

    Attributes
    ----------
    cells : sequence of Cell
    taken : tuple of Statement
        In an order in which they can run.
    broken : tuple of Broken
    superseded : mapping
        A name to the places of its definitions, that which counts first, where there are several.
    not_run : mapping
        A name that is used and not taken to (its place, who uses it).
    reset : mapping
        A name that is taken to the place of a statement that is not and gives it another value.
    """

    cells: Sequence[Cell]
    taken: tuple[Statement, ...]
    broken: tuple[Broken, ...] = ()
    superseded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    not_run: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    reset: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """What it defines or imports by name; of a broken cell, what it would."""
        bound = [statement.binds for statement in self.taken]
        return frozenset().union(*bound, *(cell.names for cell in self.broken))

    @property
    def defined(self) -> frozenset[str]:
        """The names that it defines itself."""
        own = [statement.binds for statement in self.taken if statement.kind != "import"]
        return frozenset().union(*own, *(cell.names for cell in self.broken))

    @property
    def sha256(self) -> str:
        """Of the texts of the statements, one after the other, each ended by a line feed."""
        texts = [statement.text for statement in self.taken]
        texts += [broken.cell.shown for broken in self.broken]
        return hashlib.sha256("".join(f"{text}\n" for text in texts).encode()).hexdigest()

    def place(self, statement: Statement) -> str:
        """Where a statement stands: 'cell 7, line 3'."""
        return f"{self.cells[statement.cell].label}, line {first_line(statement.node)}"

    def places(self) -> dict[str, str]:
        """Where each name is defined."""
        return {
            name: self.place(statement)
            for statement in self.taken
            if statement.kind != "import"
            for name in statement.binds
        }


def select(
    cells: Sequence[Cell], wanted: Collection[str] | None, *, runs_all: bool = False
) -> Selection:
    """Take the statements that make the wanted functions.

    Parameters
    ----------
    cells : sequence of Cell
    wanted : collection of str, optional
        The names of functions and classes that are judged; what else they use is found. None: all.
    runs_all : bool, default False
        Whether all statements run, in their order, as those of a module do.
    """
    program = _Program(cells, runs_all)
    roots = program.binding if wanted is None else wanted
    known = program.closed([s for name in roots for s in program.counting(name)])
    not_run = program.not_run(known)
    if runs_all:
        # What finds a module's names for others makes its functions, too.
        named = [s for name in ("__getattr__", "__dir__") for s in program.counting(name)]
        doing = [s for s in program.found if s.kind == "other" or s.is_for_all]
        known = program.closed([*known, *named, *doing])
    taken = sorted(known, key=program.at)
    superseded = {
        name: program.places(name)
        for name in sorted({name for statement in taken for name in statement.binds})
        if len({statement.text for statement in program.binding[name]}) > 1
        and len(program.binding[name]) > len(program.counting(name))
    }
    return Selection(
        cells,
        tuple(program.ordered(taken)),
        tuple(program.broken),
        superseded,
        not_run,
        program.reset(taken),
    )


class _Program:
    """The statements of all cells, and which of several that bind a name counts."""

    def __init__(self, cells: Sequence[Cell], runs_all: bool) -> None:
        self.cells, self.runs_all = cells, runs_all
        self.found: list[Statement] = []
        self.broken: list[Broken] = []
        for number, cell in enumerate(cells):
            try:
                self.found += list(statements(cell.text, number))
            except NOT_PARSED as error:
                self.broken.append(_broken(cell, error))
        self._at = {id(statement): number for number, statement in enumerate(self.found)}
        kinds = ("import", "definition", "constant", *(("other",) if runs_all else ()))
        self.able = [statement for statement in self.found if statement.kind in kinds]
        self.binding: dict[str, list[Statement]] = {}
        self.patching: dict[str, list[Statement]] = {}
        for statement in self.able:
            for name in statement.binds:
                self.binding.setdefault(name, []).append(statement)
            for name in statement.patches:
                self.patching.setdefault(name, []).append(statement)
        self._last = {name: max(all_, key=self._ran) for name, all_ in self.binding.items()}
        self._used_now = frozenset().union(*(statement.now for statement in self.able))

    def at(self, statement: Statement) -> int:
        """Its number in the document."""
        return self._at[id(statement)]

    def _ran(self, statement: Statement) -> tuple[int, int]:
        """Later for what ran later; what has no number of a run did not run, as far as is known."""
        run = self.cells[statement.cell].run
        return (-1 if run is None or self.runs_all else run), self.at(statement)

    def counting(self, name: str) -> list[Statement]:
        """What binds a name: the last that ran; all of them where one is used as the cells run."""
        return [s for s in self.binding.get(name, ()) if not self._is_superseded(s)]

    def _is_superseded(self, statement: Statement) -> bool:
        return (
            statement.kind != "other"
            and all(self._last[name] is not statement for name in statement.binds)
            and bool(statement.binds)
            and self._used_now.isdisjoint(statement.binds)
        )

    def closed(self, roots: Iterable[Statement]) -> list[Statement]:
        """Give these statements and all that they use, directly or not."""
        known: dict[int, Statement] = {}
        to_do = list(roots)
        if to_do:
            to_do += [statement for statement in self.able if statement.is_for_all]
        while to_do:
            statement = to_do.pop()
            if id(statement) in known:
                continue
            known[id(statement)] = statement
            names = statement.uses | statement.binds | statement.patches
            if statement.looks_names_up:
                names |= frozenset(self.binding)
            for name in names:
                to_do += [*self.counting(name), *self.patching.get(name, ())]
        return list(known.values())

    def ordered(self, taken: list[Statement]) -> list[Statement]:
        """In the document's order, but what a statement uses as it runs comes before it."""
        if self.runs_all:
            return taken
        emitted: dict[int, Statement] = {}
        for first in taken:
            stack = [] if id(first) in emitted else [first]
            while stack:
                known = {*emitted, *map(id, stack)}
                before = [s for s in self._needs_first(stack[-1], taken) if id(s) not in known]
                if before:
                    stack.append(before[0])
                else:
                    statement = stack.pop()
                    emitted[id(statement)] = statement
        for statement in taken:  # where several of a name are kept, that which counts is the last
            for name in statement.binds:
                last = [s for s in emitted.values() if name in s.binds][-1]
                if self._last[name] is statement and last is not statement:
                    del emitted[id(statement)]
                    emitted[id(statement)] = statement
        return list(emitted.values())

    def _needs_first(self, statement: Statement, taken: list[Statement]) -> list[Statement]:
        """What it uses as it runs, and what only a later cell gives a value."""
        found = []
        for name in sorted(statement.now):
            own = [s for s in taken if name in s.binds and s is not statement]
            if own and self.at(own[0]) > self.at(statement):
                found.append(own[0])
        return found

    def not_run(self, known: Iterable[Statement]) -> dict[str, tuple[str, str]]:
        """The names that these use and that only a statement which is not run would bind."""
        lost: dict[str, tuple[str, str]] = {}
        unbound = {
            name: statement
            for statement in known
            for name in statement.uses
            if name not in self.binding and name not in _BUILTINS
        }
        for other in self.found:
            if other.kind != "other" or self.runs_all:
                continue
            for name in other.binds & unbound.keys():
                who = ", ".join(sorted(unbound[name].binds))
                lost[name] = (f"{self.cells[other.cell].label}, line {other.node.lineno}", who)
        return dict(sorted(lost.items()))

    def reset(self, taken: Iterable[Statement]) -> dict[str, str]:
        """The names of these that a statement which is not run gives another value."""
        if self.runs_all:
            return {}
        names = frozenset[str]().union(*(statement.binds for statement in taken))
        return {
            name: f"{self.cells[other.cell].label}, line {other.node.lineno}"
            for other in self.found
            if other.kind == "other"
            for name in sorted(other.binds & names)
        }

    def places(self, name: str) -> tuple[str, ...]:
        """Where a name is defined, that which counts first."""
        last = self._last[name]
        rest = [statement for statement in self.binding[name] if statement is not last]
        labels = [self.cells[statement.cell].label for statement in (last, *rest)]
        if len(set(labels)) > 1:
            return tuple(labels)
        lines = [first_line(statement.node) for statement in (last, *rest)]
        return tuple(f"{label}, line {n}" for label, n in zip(labels, lines, strict=True))


def _broken(cell: Cell, error: BaseException) -> Broken:
    line, code = 1, ""
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        line, code = error.lineno or 1, (error.text or "").strip()
        message = f"{type(error).__name__}: {error.msg}"
    names = frozenset(_DEFINED.findall(cell.text))
    return Broken(cell, message, line, code, names)
