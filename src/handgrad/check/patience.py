"""How long to wait for a submission: an endless loop costs its function, and not all that call it.

A function that met a limit (of time or memory) in two of its cases is not tried again. What calls
it, as its source says, would wait for the same: it is tried with a short limit, and only once if
that does not do.
"""

import ast
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property

_TRIES = 2  # so many cases of a function may meet a limit, then the others are spared
_SHORTER = 5  # a case of a function that calls such a one has this part of the usual time


class Patience:
    """What of a submission did not end within its limits.

    Parameters
    ----------
    sources : mapping
        Its files, by their paths; what cannot be parsed tells nothing of what calls what.
    aliases : mapping
        The course's: a function to the names that it is found by.
    """

    def __init__(self, sources: Mapping[str, bytes], aliases: Mapping[str, list[str]]) -> None:
        self._aliases = aliases
        self._sources = sources
        self._met: Counter[str] = Counter()  # by function
        self._which: dict[str, str] = {}

    @cached_property
    def _trees(self) -> dict[str, ast.Module]:
        """The sources, parsed: only where something did not end in time."""
        found = ((path, _parsed(text)) for path, text in self._sources.items())
        return {path: tree for path, tree in found if tree is not None}

    @cached_property
    def _calls(self) -> dict[str, set[str]]:
        return _calls(self._trees.values())

    def met_limit(self, function: str, which: str) -> None:
        """Note that a case of a function did not end within its limits, 'timeout' or 'memory'."""
        self._met[function] += 1
        self._which[function] = which

    def limit_of(self, function: str) -> str:
        """Give which limit a function met last."""
        return self._which[function]

    def spent(self, names: Iterable[str]) -> str:
        """Give the first of some functions that is not to be tried again; '' if there is none."""
        return next((name for name in names if self._met[name] >= self._tries(name)), "")

    def seconds(self, function: str, usual: float) -> float:
        """Give the limit of a case of a function."""
        return usual / _SHORTER if self.waits_for(function) else usual

    def waits_for(self, function: str) -> str:
        """Give what is not tried again and is called by a function; '' if there is none."""
        spent = [name for name, count in self._met.items() if count >= _TRIES and name != function]
        reached = self._reached(function) if spent else set()
        return next((name for name in spent if reached & set(self._aliases.get(name, [name]))), "")

    def imports(self, module: str) -> set[str]:
        """Give the names of the modules that a module needs: its own, and all that are imported."""
        found = {module.rpartition(".")[2]}
        waiting = [module]
        while waiting:
            last = waiting.pop().rpartition(".")[2]
            for path, tree in self._trees.items():
                if path.rpartition("/")[2] == f"{last}.py":
                    new = _imported(tree) - found
                    found |= new
                    waiting += new
        return found

    def _tries(self, function: str) -> int:
        return 1 if self.waits_for(function) else _TRIES

    def _reached(self, function: str) -> set[str]:
        """What a function calls, and what that calls."""
        found: set[str] = set()
        waiting = list(self._aliases.get(function, [function.partition(".")[0]]))
        while waiting:
            new = self._calls.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        return found


def _parsed(text: bytes) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _calls(trees: Iterable[ast.Module]) -> dict[str, set[str]]:
    """Each function and class at the top of a file, and those of them all that it names."""
    tops = [
        node
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    known = {top.name for top in tops}
    found: dict[str, set[str]] = {}
    for top in tops:
        named = {node.id for node in ast.walk(top) if isinstance(node, ast.Name)}
        named |= {node.attr for node in ast.walk(top) if isinstance(node, ast.Attribute)}
        found.setdefault(top.name, set()).update(named & known)
    return found


def _imported(tree: ast.Module) -> set[str]:
    """The last names of the modules that a file imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.rpartition(".")[2] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}  # from . import layers
            found.add((node.module or "").rpartition(".")[2])
    return found - {""}
