"""One file of a submission, read by its syntax: what it defines, its hash, what is run of it."""

import ast
import hashlib
import importlib.util
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from handgrad.check.reading.cells import Cell, Document, notebook, script
from handgrad.check.reading.definitions import Selection, select
from handgrad.check.reading.magics import NOT_PARSED, parsed
from handgrad.check.reading.names import Wanted
from handgrad.errors import SubmissionError

# Their 'torch.optim' and 'sklearn.svm' are no modules of a course.
_LIBRARIES = frozenset({
    "chainer", "cupy", "flax", "handgrad", "haiku", "jax", "keras", "mxnet", "numpy", "optax",
    "paddle", "scipy", "sklearn", "statsmodels", "tensorflow", "theano", "thinc", "tinygrad",
    "torch", "torchvision",
})  # fmt: skip
_MAX_CODE = 2 * 2**20  # of what is parsed in this process


@dataclass(frozen=True)
class Program:
    """A file that was read.

    Attributes
    ----------
    name : str
        The file's name.
    selection : Selection
        What makes the functions that are judged; empty where the file is no program.
    document : Document, optional
        The cells of a notebook, or of a script made from one; None for a plain module.
    sha256 : str
    wanted : Wanted
        The modules of the course.
    """

    name: str
    selection: Selection
    document: Document | None
    sha256: str
    wanted: Wanted

    def units(self) -> list[str]:
        """The modules of the course of which it defines something."""
        defined = self.selection.defined
        return [unit for unit, names in self.wanted.items() if not defined.isdisjoint(names)]

    def imported(self) -> list[str]:
        """The modules of the course that it imports, as it names them; no library's."""
        found: dict[str, None] = {}
        for node in self._nodes():
            if isinstance(node, ast.Import):
                found.update((alias.name, None) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found[node.module] = None
        own = [name for name in found if name.partition(".")[0] not in _LIBRARIES]
        return [name for name in own if self.wanted.unit_of_module(name) is not None]

    def _nodes(self) -> Iterator[ast.AST]:
        cells = self.document.cells if self.document is not None else ()
        for cell in (cell for cell in cells if "import" in cell.text):
            try:
                yield from ast.walk(parsed(cell.text))
            except NOT_PARSED:
                continue  # said of the cell already

    def stand_in(self, neighbours: Collection[str]) -> bytes:
        """The module that runs what was taken of a notebook; see ``sandbox/cells.py``.

        neighbours : the modules that come along with it.
        """
        taken, cells = self.selection.taken, self.selection.cells
        used = sorted({statement.cell for statement in taken})
        kept = {number: place for place, number in enumerate(used)}
        shown: dict[str, str] = {}
        for cell in (*(cells[number] for number in used), *(b.cell for b in self.selection.broken)):
            shown.setdefault(cell.label, cell.shown)
        content = {
            "shown": shown,
            "cells": [(cells[number].label, cells[number].text) for number in used],
            "order": [(kept[s.cell], s.index, sorted(s.binds)) for s in taken],
            "own": [n for n in self.imported() if n.partition(".")[0] not in neighbours],
            "broken": {
                name: (broken.message, broken.cell.label, broken.line, broken.code)
                for broken in self.selection.broken
                for name in broken.names
            },
        }
        return f"import _check_cells\n_check_cells.run(globals(), {content!r})\n".encode()

    def notes(self) -> list[str]:
        """What a reader of the report should know: what is left out, what counts of several."""
        if self.document is None:
            return []
        selection = self.selection
        notes = [f"{broken}; this cell is left out, the others are judged"
                 for broken in selection.broken]  # fmt: skip
        if selection.superseded:
            which = "that which was run last" if self._runs() else "the last"
            those = [
                f"{name} ({places[0]}, not {', '.join(dict.fromkeys(places[1:]))})"
                for name, places in selection.superseded.items()
            ]
            notes.append(f"defined more than once; {which} counts: {', '.join(those)}")
        for name, (place, user) in selection.not_run.items():
            notes.append(
                f"{place}: {name}, which {user} uses, is computed by code that is not run; "
                "only imports, definitions and constants are"
            )
        notes += [
            f"{place}: {name} is given another value by code that is not run; "
            "its definition is judged"
            for name, place in selection.reset.items()
        ]
        dropped = [(cell.label, word) for cell in selection.cells for word in cell.dropped]
        if dropped:
            words = ", ".join(dict.fromkeys(word for _, word in dropped))
            labels = dict.fromkeys(label for label, _ in dropped)
            notes.append(f"{', '.join(labels)}: {words} left out: not Python")
        return notes

    def _runs(self) -> bool:
        return any(cell.run is not None for cell in self.selection.cells)

    def only_in_text(self, names: Collection[str]) -> list[str]:
        """Notes on functions that stand in cells of text, and nowhere else."""
        found = []
        for label, text in self.document.prose if self.document is not None else ():
            defined = re.findall(r"^[ \t]*(?:def|class)\s+(\w+)", text, re.MULTILINE)
            for name in dict.fromkeys(defined):
                if name in names and name not in self.selection.names:
                    found.append(f"{label}: {name} stands in text, which is not judged")
        return found


def read_program(content: bytes, name: str, wanted: Wanted, *, everything: bool = False) -> Program:
    """Read a Python file or a notebook.

    Parameters
    ----------
    content : bytes
    name : str
        The file's name; its suffix says which it is.
    wanted : Wanted
        The modules of the course.
    everything : bool, default False
        Whether all definitions of a notebook are taken: other modules may import them.

    Raises
    ------
    SubmissionError
        For what is no notebook.
    """
    document: Document | None = None
    plain = Program(name, Selection((), ()), None, hashlib.sha256(content).hexdigest(), wanted)
    if name.lower().endswith(".ipynb"):
        document = notebook(content, name)
        cells = document.cells
    else:
        try:
            text = importlib.util.decode_source(content)
        except NOT_PARSED:
            return plain
        document = script(text, name)
        cells = document.cells if document is not None else (Cell(name, text, text),)
    if sum(len(cell.text.strip()) for cell in cells) > _MAX_CODE:
        if document is None:
            return plain
        raise SubmissionError(f"{name}: more than {_MAX_CODE // 2**20} MiB of code")
    selection = select(cells, None if everything else wanted.names, runs_all=document is None)
    if document is None and selection.broken:
        return replace(plain, selection=selection)
    return Program(name, selection, document, selection.sha256, wanted)
