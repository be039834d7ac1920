"""The functions of a running notebook, prompt or script, and the source of what they use."""

import ast
import importlib
import inspect
import linecache
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from handgrad.check.reading.cells import Cell, code_cell
from handgrad.check.reading.magics import NOT_PARSED
from handgrad.check.reading.statements import Statement, first_line, statements

_PLAIN = (int, float, complex, str, bytes, type(None), tuple, list, dict, set)
_MAX_LITERAL = 10_000  # characters


class Namespace:
    """What names mean now, and where that was written.

    Parameters
    ----------
    names : mapping
        The global namespace; of IPython, with its ``In``.
    """

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names
        history = names.get("In")
        own = isinstance(history, list) and all(isinstance(text, str) for text in history)
        self._history: list[str] = list(history) if isinstance(history, list) and own else []
        self._cells: dict[str, tuple[Cell, list[Statement]]] = {}
        self.lost: list[str] = []  # names whose source is not to be found

    def cells(self, wanted: Iterable[str]) -> list[Cell]:
        """Give cells with the statements that make these functions and what they use, and no more.

        Imports and plain values are written anew, as they are now.
        """
        made: dict[str, str] = {}
        kept: dict[str, dict[int, Statement]] = {}
        to_do, known = [name for name in wanted if name in self.names], set[str]()
        while to_do:
            name = to_do.pop()
            if name in known or name.startswith("__"):
                continue
            known.add(name)
            text = self._anew(name, self.names[name])
            found = None if text else self._statement(name)
            if text:
                made[name] = text
            elif found is not None:
                for label, statement in self._with_earlier(*found):
                    kept.setdefault(label, {})[id(statement)] = statement
                    to_do += [other for other in sorted(statement.uses) if other in self.names]
            else:
                self.lost.append(name)
        lines = "\n".join(made[name] for name in sorted(made))
        cells = [Cell("what was imported", lines, lines)]
        return cells + [self._only(label, list(those.values())) for label, those in kept.items()]

    def _only(self, label: str, those: list[Statement]) -> Cell:
        """A cell with some of its statements, each on its lines."""
        cell = self._cells[label][0]
        lines = cell.text.split("\n")
        keep = {
            number
            for statement in those
            for number in range(first_line(statement.node), _end(statement) + 1)
        }
        text = "\n".join(line if n in keep else "" for n, line in enumerate(lines, 1))
        return Cell(label, text, cell.shown, cell.run)

    # -- how a name's value is written --------------------------------------------------------

    def _anew(self, name: str, value: Any) -> str:
        """An import or an assignment that gives a name its value; '' where there is none."""
        if isinstance(value, ModuleType):
            return f"import {value.__name__} as {name}"
        if type(value) is float and not math.isfinite(value):
            return f'{name} = float("{value}")'
        if isinstance(value, _PLAIN) and _is_literal(value):
            return f"{name} = {value!r}"
        module, own = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        if not isinstance(module, str) or module == self.names.get("__name__") or not own:
            return ""
        try:
            there = inspect.getattr_static(importlib.import_module(module), own)
        except (ImportError, AttributeError):
            return ""
        return f"from {module} import {own} as {name}" if there is value else ""

    # -- where it was written -----------------------------------------------------------------

    def _statement(self, name: str) -> tuple[str, Statement] | None:
        """The statement that gave a name its value: by its code, else the last in the cells."""
        for code in _codes(self.names[name]):
            label = self._take(code.co_filename)
            for statement in self._cells[label][1] if label else ():
                inside = first_line(statement.node) <= code.co_firstlineno <= _end(statement)
                if inside and name in statement.binds:
                    return label, statement
        return next(self._written(name), None)

    def _written(self, name: str) -> Iterator[tuple[str, Statement]]:
        """All statements that give a name its value, the last first."""
        labels = []
        for number in range(len(self._history) - 1, -1, -1):
            labels.append(self._label(number))
            self._read(labels[-1], self._history[number], number)
        file = self.names.get("__file__")
        labels += [self._take(file)] if isinstance(file, str) else []
        for label in filter(None, labels):
            for statement in reversed(self._cells[label][1]):
                if name in statement.binds and statement.kind in ("definition", "constant"):
                    yield label, statement

    def _with_earlier(self, label: str, statement: Statement) -> Iterator[tuple[str, Statement]]:
        """A statement, and those of what it used and what has another value now.

        ``class SVM(SVM)`` uses the class that it replaces.
        """
        yield label, statement
        for name in sorted(statement.now & self.names.keys()):
            if self._anew(name, self.names[name]):
                continue
            at = self._at(label, statement)
            written = list(self._written(name))
            if written and self._at(*written[0]) >= at:
                yield from (found for found in written if self._at(*found) < at)

    def _at(self, label: str, statement: Statement) -> tuple[int, int]:
        """When a statement ran."""
        run = self._cells[label][0].run
        return (-1 if run is None else run), statement.index

    def _take(self, filename: str) -> str:
        """Read the text that a code object names as its file; give its label, '' for none."""
        text = "".join(linecache.getlines(filename, dict(self.names)))
        if not text:
            return ""
        same = [n for n, cell in enumerate(self._history) if cell.strip() == text.strip()]
        label = self._label(same[-1]) if same else Path(filename).name
        self._read(label, text, same[-1] if same else None)
        return label

    @staticmethod
    def _label(number: int) -> str:
        return f"cell In [{number}]"

    def _read(self, label: str, text: str, run: int | None) -> None:
        if label in self._cells:
            return
        cell = code_cell(label, text, run)
        try:
            self._cells[label] = (cell, list(statements(cell.text, 0)))
        except NOT_PARSED:
            self._cells[label] = (cell, [])


def _end(statement: Statement) -> int:
    return statement.node.end_lineno or statement.node.lineno


def _codes(value: Any) -> Iterator[CodeType]:
    """The code of a function, or of a class's methods."""
    if isinstance(value, type):
        for member in vars(value).values():
            yield from _codes(getattr(member, "__func__", getattr(member, "fget", member)))
        return
    try:
        function = inspect.unwrap(value)
    except ValueError:
        return
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType):
        yield code


def _is_literal(value: Any) -> bool:
    """Whether what Python writes for a value is that value, and short."""
    text = repr(value)
    try:
        return len(text) <= _MAX_LITERAL and bool(ast.literal_eval(text) == value)
    except (*NOT_PARSED, TypeError):
        return False
