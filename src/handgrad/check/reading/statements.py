"""One statement at the top of a program: what kind it is, which names it binds and uses."""

import ast
import dis
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Literal

from handgrad.check.reading.magics import parsed, quietly

Kind = Literal["import", "definition", "constant", "other", "nothing"]

# What a constant may be computed with: quick, and the same each time.
_BUILTINS = frozenset({
    "abs", "bool", "bytes", "complex", "dict", "enumerate", "filter", "float", "frozenset", "int",
    "len", "list", "map", "max", "min", "range", "reversed", "round", "set", "slice", "sorted",
    "str", "sum", "tuple", "type", "zip",
})  # fmt: skip
_MODULES = frozenset({
    "numpy", "math", "cmath", "collections", "dataclasses", "decimal", "enum", "fractions",
    "functools", "itertools", "operator", "re", "string", "typing",
})  # fmt: skip
# Of NumPy: files and random draws are no constants; a generator is.
_NO_CONSTANTS = frozenset({
    "load", "loadtxt", "genfromtxt", "fromfile", "memmap", "save", "savez", "savez_compressed",
    "savetxt", "DataSource", "random",
})  # fmt: skip
_GENERATORS = frozenset({"default_rng", "RandomState", "Generator", "SeedSequence", "PCG64"})
_NAMES_ITS_GLOBALS = frozenset({"globals", "eval", "exec", "vars", "locals"})
_DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, eq=False)  # one is itself alone: two of one text are two
class Statement:
    """A statement at the top of a cell or a module.

    Attributes
    ----------
    cell, index : int
        Its cell, and its place in the cell's body.
    node : ast.stmt
    kind : 'import', 'definition', 'constant', 'other' or 'nothing'
        'other' does something; 'nothing' has no effect when the module is imported.
    text : str
        As it is written, decorators included, comments around it not.
    binds : frozenset of str
        The names that it gives a value.
    patches : frozenset of str
        The names an attribute of which it sets, as ``Net.forward = forward``.
    now, later : frozenset of str
        The global names that it uses when it runs, and when what it defines is called.
    """

    cell: int
    index: int
    node: ast.stmt
    kind: Kind
    text: str
    binds: frozenset[str]
    patches: frozenset[str]
    now: frozenset[str]
    later: frozenset[str]

    @property
    def uses(self) -> frozenset[str]:
        """All the global names that it uses."""
        return self.now | self.later

    @property
    def is_for_all(self) -> bool:
        """Whether it concerns every statement: a star import, or one of ``__future__``."""
        node = self.node
        return isinstance(node, ast.ImportFrom) and (
            node.names[0].name == "*" or node.module == "__future__"
        )

    @property
    def looks_names_up(self) -> bool:
        """Whether it may use any global name, by a string."""
        return not _NAMES_ITS_GLOBALS.isdisjoint(self.uses)


def statements(text: str, cell: int) -> Iterator[Statement]:
    """Give the statements of a cell or module.

    Raises
    ------
    SyntaxError, ValueError, RecursionError, MemoryError
        Where it is no program.
    """
    lines = [line.encode() for line in text.split("\n")]
    for index, node in enumerate(parsed(text).body):
        stored, now, later = _names(node)
        yield Statement(
            cell=cell,
            index=index,
            node=node,
            kind=_kind(node),
            text=_segment(lines, node),
            binds=stored,
            patches=_patched(node),
            now=now,
            later=later,
        )


def first_line(node: ast.stmt) -> int:
    """The line on which a statement begins, its decorators included."""
    decorators = node.decorator_list if isinstance(node, _DEFINITION) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _segment(lines: list[bytes], node: ast.stmt) -> str:
    start, end = first_line(node), node.end_lineno or node.lineno
    taken = lines[start - 1 : end]
    taken[-1] = taken[-1][: node.end_col_offset]
    if start == node.lineno:
        taken[0] = taken[0][node.col_offset :]
    return b"\n".join(taken).decode()


def _patched(node: ast.stmt) -> frozenset[str]:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return frozenset(
        target.value.id
        for target in targets
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name)
    )


# -- kinds ----------------------------------------------------------------------------------------


def _kind(node: ast.stmt) -> Kind:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return "import"
    if isinstance(node, _DEFINITION):
        return "definition"
    if isinstance(node, ast.Pass) or _is_main(node):
        return "nothing"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return "nothing"
    return "constant" if _quiet(node) else "other"


def _is_main(node: ast.stmt) -> bool:
    """Whether it is ``if __name__ == "__main__":`` and no more."""
    return (
        isinstance(node, ast.If)
        and not node.orelse
        and ast.unparse(node.test) in ("__name__ == '__main__'", "'__main__' == __name__")
    )


def _quiet(node: ast.stmt) -> bool:
    """Whether it only gives names a value: definitions, imports, constants; in try or if, too."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Pass | _DEFINITION):
        return True
    if isinstance(node, ast.Assign):
        return all(map(_is_target, node.targets)) and _simple(node.value)
    if isinstance(node, ast.AnnAssign):
        return _is_target(node.target) and (node.value is None or _simple(node.value))
    if isinstance(node, ast.If):
        return _simple(node.test) and all(map(_quiet, [*node.body, *node.orelse]))
    if isinstance(node, ast.Try):
        handled = [inner for handler in node.handlers for inner in handler.body]
        return all(map(_quiet, [*node.body, *handled, *node.orelse, *node.finalbody]))
    return False


def _is_target(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple | ast.List):
        return all(map(_is_target, node.elts))
    return isinstance(node, ast.Name) or (
        isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    )


def _simple(node: ast.AST) -> bool:
    """Whether an expression is a constant: cheap to compute, and the same each time."""
    if isinstance(node, ast.Lambda):
        return True
    if isinstance(node, ast.Attribute) and _root(node) is None:
        return False
    if isinstance(node, ast.Call) and not _is_allowed(node.func):
        return False
    if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
        return False
    return all(map(_simple, ast.iter_child_nodes(node)))


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _is_allowed(function: ast.expr) -> bool:
    """Whether a constant may be what this function gives."""
    words = ast.unparse(function).split(".")
    if len(words) == 1:
        return words[0] in _BUILTINS or words[0] in _FROM_MODULES
    module = {"np": "numpy"}.get(words[0], words[0])
    generator = words[1:2] == ["random"] and words[-1] in _GENERATORS
    return module in _MODULES and (generator or _NO_CONSTANTS.isdisjoint(words[1:]))


# What is often imported by name out of ``_MODULES``.
_FROM_MODULES = frozenset({
    "namedtuple", "defaultdict", "OrderedDict", "Counter", "deque", "partial", "lru_cache",
    "cache", "NewType", "TypeVar", "default_rng", "RandomState", "array", "zeros", "ones", "eye",
    "arange", "linspace", "sqrt", "float32", "float64", "finfo", "Fraction", "Decimal", "product",
    "chain", "itemgetter", "attrgetter", "field",
})  # fmt: skip


# -- names ----------------------------------------------------------------------------------------


_AT_ONCE = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


def _names(node: ast.stmt) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The global names that a statement binds, uses when it runs, and uses when it is called."""
    with quietly():
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as a cell may
        code = compile(ast.Module([node], []), "statement", "exec", flags, dont_inherit=True)
    bound: set[str] = set()
    now: set[str] = set()
    later: set[str] = set()
    _look(code, bound, now, later, at_once=True)
    return frozenset(bound), frozenset(now), frozenset(later)


def _look(
    code: CodeType, bound: set[str], now: set[str], later: set[str], *, at_once: bool
) -> None:
    top = code.co_name == "<module>"
    for operation, name in _named_by(code):
        if operation in _LOADS:
            (now if at_once else later).add(name)
        elif operation == "STORE_GLOBAL" or (top and operation == "STORE_NAME"):
            bound.add(name)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            # A class's body runs with the statement, and so does a comprehension at its top.
            runs = not inner.co_flags & inspect.CO_OPTIMIZED or inner.co_name in _AT_ONCE
            _look(inner, bound, now, later, at_once=at_once and runs)


_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_NAMING = {
    dis.opmap[name]: name for name in (*_LOADS, "STORE_GLOBAL", "STORE_NAME") if name in dis.opmap
}


def _named_by(code: CodeType) -> Iterator[tuple[str, str]]:
    """The instructions that load or store a global name, and the name.

    As ``dis.get_instructions`` gives them, in a tenth of its time.
    """
    argument = 0
    for operation, byte in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        argument = argument << 8 | byte
        if operation == dis.EXTENDED_ARG:
            continue
        if operation in _NAMING:
            name = _NAMING[operation]
            # The last bit of LOAD_GLOBAL's says whether a call follows.
            yield name, code.co_names[argument >> 1 if name == "LOAD_GLOBAL" else argument]
        argument = 0
