"""Run the statements that were taken of a notebook, in the module that stands for it.

What one statement raises is no other's affair: the names that it would have bound raise it when
they are used. Imports nothing of handgrad: the child loads this file by its path.
"""

import __future__

import ast
import linecache
import sys
from types import ModuleType
from typing import Any


class Unusable:
    """Stands for what could not be defined; to use it raises what prevented it."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Raise it."""
        raise self._error

    def __getattr__(self, name: str) -> Any:
        """Raise it, but for what Python itself looks for."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._error


def run(namespace: dict[str, Any], content: dict[str, Any]) -> None:
    """Run them.

    Parameters
    ----------
    namespace : dict
        Of the module.
    content : dict
        'shown': label to the text that messages show of it; 'cells': a list of (label, Python);
        'order': (cell, statement, names that it binds), in the order to run; 'own': modules of the
        course whose functions stand in the notebook itself; 'broken': names to
        (message, label, line, code), of cells that are no Python.
    """
    for label, text in content["shown"].items():
        linecache.cache[label] = (len(text), None, text.splitlines(keepends=True), label)
    for name in content["own"]:
        _stand_in(name, sys.modules[namespace["__name__"]])
    for name, (message, label, line, code) in content["broken"].items():
        namespace[name] = Unusable(SyntaxError(message, (label, line, 1, code)))
    trees = [ast.parse(text, label) for label, text in content["cells"]]
    flags = _flags(trees)
    for cell, index, names in content["order"]:
        node, label = trees[cell].body[index], content["cells"][cell][0]
        code = compile(ast.Module([node], []), label, "exec", flags, dont_inherit=True)
        try:
            exec(code, namespace)
        except Exception as error:
            if isinstance(node, ast.ImportFrom) and node.module in content["own"]:
                continue  # what it names is defined below, or is not there at all
            for name in names:
                namespace[name] = Unusable(error)


def _flags(trees: list[ast.Module]) -> int:
    """What ``from __future__ import ...`` in any cell asks of the compiler."""
    names = [
        alias.name
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names
    ]
    found = 0
    for name in names:
        found |= getattr(__future__, name).compiler_flag
    return found


def _stand_in(name: str, module: ModuleType) -> None:
    """Let imports of a dotted name find this module."""
    *above, last = name.split(".")
    for depth in range(1, len(above) + 1):
        parent = sys.modules.setdefault(".".join(above[:depth]), ModuleType(above[depth - 1]))
        vars(parent).setdefault("__path__", [])
        if depth > 1:
            setattr(sys.modules[".".join(above[: depth - 1])], above[depth - 1], parent)
    sys.modules[name] = module
    if above:
        setattr(sys.modules[".".join(above)], last, module)
