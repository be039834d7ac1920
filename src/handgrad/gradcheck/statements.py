"""Plain statements as a program that can be run from any of them on, with other values in it."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import CodeType
from typing import Any

Source = str | Sequence[str] | Callable[..., Any]
Namespace = dict[str, Any]

_LEFT_OUT = ("print", "cmp")  # calls that only show something


class StatementError(Exception):
    """A statement raised an exception."""

    def __init__(self, number: int, error: Exception) -> None:
        super().__init__(str(error))
        self.number, self.error = number, error

    @property
    def said(self) -> str:
        """The exception's type and text."""
        return f"{type(self.error).__name__}: {self.error}"


@dataclass(frozen=True)
class Statement:
    """One statement at the top of a source.

    Attributes
    ----------
    node : ast.stmt
    line : int
        Its first line, counted from 1 where the source begins.
    text : str
        As it was written; of several lines the first, and '...'.
    writes : tuple of str
        Names that it binds or changes in place.
    """

    node: ast.stmt
    line: int
    text: str
    writes: tuple[str, ...]

    def reads(self, name: str) -> int:
        """How many times it names a variable to read it."""
        return sum(1 for _ in named(self.node, name))

    @cached_property
    def code(self) -> CodeType:
        """The statement, compiled."""
        return compiled([self.node])

    @property
    def shown(self) -> str:
        """For a message: 'line 3: dx = ...'."""
        return f"line {self.line}: {self.text}"


class Program:
    """The statements of a source.

    Parameters
    ----------
    source : str, sequence of str, or function
        A function gives its body, without the docstring and what it returns.
    what : str
        'forward' or 'backward', for the messages.

    Raises
    ------
    ValueError
        Where there is no Python in it, or a function's source is not to be had.
    """

    def __init__(self, source: Source, what: str) -> None:
        self.what = what
        self.globals: Mapping[str, Any] = {}
        text, first, inside = self._text(source)
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            raise ValueError(
                f"first_wrong: line {error.lineno} of the {what} is no Python ({error.msg}): "
                f"{(error.text or '').strip()}"
            ) from None
        body = tree.body
        if inside:
            assert isinstance(body[0], ast.FunctionDef)
            body = body[0].body
        lines = text.splitlines()
        self.statements = [
            Statement(node, node.lineno + first - 1, _written(node, lines), tuple(_writes(node)))
            for node in body
            if not _is_left_out(node)
        ]
        if not self.statements:
            raise ValueError(f"first_wrong: the {what} has no statement")
        self._tails: dict[int, CodeType] = {}

    def _text(self, source: Source) -> tuple[str, int, bool]:
        """Give the text, the number of its first line, and whether it is a function's."""
        if isinstance(source, str):
            return textwrap.dedent(source), 1, False
        if callable(source):
            try:
                lines, first = inspect.getsourcelines(source)
                self.globals = {**getattr(source, "__globals__", {}), **_closure(source)}
            except (OSError, TypeError):
                raise ValueError(
                    f"first_wrong: the source of the {self.what} cannot be found; give its "
                    "statements as text"
                ) from None
            text = textwrap.dedent("".join(lines))
            if not text.startswith(("def ", "@")):
                raise ValueError(
                    f"first_wrong: the {self.what} must be statements as text, or a function made "
                    "by def"
                )
            return text, max(first, 1), True
        return "\n".join(textwrap.dedent(part) for part in source), 1, False

    def run(
        self,
        namespace: Namespace,
        first: int = 0,
        after: Callable[[int], None] | None = None,
        instead: Mapping[int, CodeType] | None = None,
    ) -> None:
        """Run the statements from ``first`` on, one by one, in a namespace that they change.

        Raises
        ------
        StatementError
            With the number of the statement that raised an exception.
        """
        for number in range(first, len(self.statements)):
            code = (instead or {}).get(number) or self.statements[number].code
            try:
                exec(code, namespace)
            except Exception as error:
                raise StatementError(number, error) from error
            if after is not None:
                after(number)

    def run_tail(self, namespace: Namespace, first: int) -> None:
        """Run them at one go, for speed; what they raise is not placed."""
        if first not in self._tails:
            self._tails[first] = compiled([s.node for s in self.statements[first:]])
        exec(self._tails[first], namespace)

    def writers(self, name: str) -> list[int]:
        """The numbers of the statements that bind or change a name."""
        return [i for i, s in enumerate(self.statements) if name in s.writes]

    def readers(self, name: str, first: int = 0) -> list[int]:
        """The numbers of the statements from ``first`` on that read a name."""
        return [i for i, s in enumerate(self.statements) if i >= first and s.reads(name)]

    @property
    def names(self) -> set[str]:
        """Every name that is in it."""
        return {
            node.id
            for statement in self.statements
            for node in ast.walk(statement.node)
            if isinstance(node, ast.Name)
        }


def compiled(nodes: Sequence[ast.stmt]) -> CodeType:
    """Compile statements."""
    module = ast.Module(body=list(nodes), type_ignores=[])
    return compile(ast.fix_missing_locations(module), "<statements>", "exec")


def named(node: ast.AST, name: str) -> Iterator[ast.Name]:
    """Every place at which a variable is read, in the order of the text."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and inner.id == name and isinstance(inner.ctx, ast.Load):
            yield inner
    for inner in ast.walk(node):  # x += ... reads x as well, without a node that says so
        target = inner.target if isinstance(inner, ast.AugAssign) else None
        if isinstance(target, ast.Name) and target.id == name:
            yield target


def _closure(function: Callable[..., Any]) -> Mapping[str, Any]:
    return inspect.getclosurevars(function).nonlocals if inspect.isfunction(function) else {}


def _written(node: ast.stmt, lines: Sequence[str]) -> str:
    text = lines[node.lineno - 1][node.col_offset :].strip()
    if node.end_lineno == node.lineno:
        text = lines[node.lineno - 1].encode()[node.col_offset : node.end_col_offset].decode()
    return text if node.end_lineno == node.lineno else f"{text} ..."


def _is_left_out(node: ast.stmt) -> bool:
    """What computes nothing: a docstring, a return, a pass, a call that only shows something."""
    if isinstance(node, ast.Return | ast.Pass):
        return True
    if not isinstance(node, ast.Expr):
        return False
    call = node.value
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
        return call.func.id in _LEFT_OUT
    return isinstance(call, ast.Constant)


def _writes(node: ast.stmt) -> list[str]:
    """The names that a statement binds or changes, in the order of the text."""
    found: dict[str, None] = {}
    hidden = {
        id(inner)
        for comprehension in ast.walk(node)
        if isinstance(comprehension, ast.comprehension)
        for inner in ast.walk(comprehension.target)
    }
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            if id(inner) not in hidden:
                found[inner.id] = None
        elif isinstance(inner, ast.Subscript | ast.Attribute) and isinstance(inner.ctx, ast.Store):
            found.update(dict.fromkeys(_base(inner)))
        elif isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Call):
            # np.add.at(dC, ...), dC.fill(0): whoever calls without taking the result changes one.
            call = inner.value
            for changed in (*call.args[:1], call.func):
                found.update(dict.fromkeys(_base(changed)))
    return list(found)


def _base(node: ast.AST) -> list[str]:
    """The variable behind x[0], x.T or x itself."""
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return [node.id] if isinstance(node, ast.Name) else []
