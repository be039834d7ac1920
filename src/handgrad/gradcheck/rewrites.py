"""A statement with one thing in it written differently: what a learner may have meant."""

import ast
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# What is said of a rewrite that makes the gradient right; earlier kinds are tried first.
_SENTENCES = {
    "overwritten": "what was there is overwritten, and the gradient of what is used twice is a sum",
    "repeated": "where an index occurs more than once, += on an indexed array keeps one of them",
    "axis": "a sum goes over the wrong axis",
    "keepdims": "the sum loses an axis, or keeps one",
    "reduction": "a sum and a mean have changed places",
    "transposed": "a matrix is transposed where it should not be, or the reverse",
    "sign": "a sign is wrong",
    "number": "a number is wrong",
    "comparison": "a comparison is wrong",
    "operation": "an operation is another one",
    "order": "two operands have changed places",
    "needless": "a factor or term is too much",
    "name": "another variable is meant",
    "missing": "a factor is missing",
    "doubled": "it is added to what was there",
}
_RANKS = {kind: rank for rank, kind in enumerate(_SENTENCES)}
_AXES = (None, 0, 1, 2, (0, 1), (0, 2), (1, 2), (0, 1, 2))
_SWAPS: dict[type[ast.operator], tuple[tuple[str, type[ast.operator]], ...]] = {
    ast.Add: (("sign", ast.Sub),),
    ast.Sub: (("sign", ast.Add),),
    ast.Mult: (("operation", ast.Div), ("operation", ast.MatMult)),
    ast.Div: (("operation", ast.Mult),),
    ast.MatMult: (("operation", ast.Mult),),
}


@dataclass(frozen=True)
class Rewrite:
    """A statement with one change.

    Attributes
    ----------
    kind : a key of ``_SENTENCES``
    node : ast.stmt, the changed statement
    old, new : str
        The place that changed, as text.
    """

    kind: str
    node: ast.stmt
    old: str
    new: str

    @property
    def rank(self) -> int:
        """Which to try first."""
        return _RANKS[self.kind]

    @property
    def sentence(self) -> str:
        """The likely cause, and the place."""
        return f"{_SENTENCES[self.kind]}: `{self.new}` in place of `{self.old}` would be right"


def rewrites(
    statement: ast.stmt, gradient: str, space: Mapping[str, Any], had: bool
) -> Iterator[Rewrite]:
    """Give every change of a statement that is tried.

    Parameters
    ----------
    statement : ast.stmt
    gradient : str, the name that it sets
    space : mapping, the values of the names
    had : bool, whether the gradient had a value before
    """
    yield from _of_statement(statement, gradient, space, had)
    for node in ast.walk(statement):
        if isinstance(node, ast.expr):
            for kind, new in _of_expression(node, space):
                changed = copy.deepcopy(statement, {id(node): new})
                yield Rewrite(kind, changed, _text(node), _text(new))


def _text(node: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(copy.deepcopy(node)))


def _of_statement(
    statement: ast.stmt, gradient: str, space: Mapping[str, Any], had: bool
) -> Iterator[Rewrite]:
    def made(kind: str, new: ast.stmt) -> Rewrite:
        return Rewrite(kind, new, _text(statement), _text(new))

    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        indexed = isinstance(target, ast.Subscript)
        if indexed or (had and isinstance(target, ast.Name)):
            yield made("overwritten", ast.AugAssign(_stored(target), ast.Add(), statement.value))
        if isinstance(target, ast.Subscript):
            yield made("repeated", _add_at(target, statement.value))
    if isinstance(statement, ast.AugAssign):
        if isinstance(statement.op, ast.Add | ast.Sub):
            other = ast.Sub() if isinstance(statement.op, ast.Add) else ast.Add()
            yield made("sign", ast.AugAssign(statement.target, other, statement.value))
        yield made("doubled", ast.Assign([_stored(statement.target)], statement.value))
        if isinstance(statement.target, ast.Subscript) and isinstance(statement.op, ast.Add):
            yield made("repeated", _add_at(statement.target, statement.value))
    value = getattr(statement, "value", None)
    if isinstance(statement, ast.Assign | ast.AugAssign) and isinstance(value, ast.expr):
        for kind, new in _of_value(value, gradient, space):
            changed = copy.deepcopy(statement, {id(value): new})
            yield Rewrite(kind, changed, _text(value), _text(new))


def _stored(target: ast.expr) -> ast.Name | ast.Subscript:
    found = copy.deepcopy(target)
    assert isinstance(found, ast.Name | ast.Subscript)
    return found


def _add_at(target: ast.Subscript, value: ast.expr) -> ast.stmt:
    add_at, index = ast.parse("np.add.at", mode="eval").body, target.slice
    if any(isinstance(inner, ast.Slice) for inner in ast.walk(index)):
        index = ast.Subscript(ast.parse("np.s_", mode="eval").body, index, ast.Load())
    return ast.Expr(ast.Call(add_at, [target.value, index, value], []))


def _of_value(
    value: ast.expr, gradient: str, space: Mapping[str, Any]
) -> Iterator[tuple[str, ast.expr]]:
    """Changes of all that is assigned: its sign, a factor more."""
    yield "sign", ast.UnaryOp(ast.USub(), value)
    for name, known in space.items():
        counts = isinstance(known, np.ndarray | np.generic | int | float)
        if name != gradient and counts and np.asarray(known).dtype.kind in "biuf":
            factor = ast.Name(name, ast.Load())
            yield "missing", ast.BinOp(value, ast.Mult(), factor)
            yield "missing", ast.BinOp(value, ast.Div(), factor)
    for number in (2, 0.5):
        yield "missing", ast.BinOp(ast.Constant(number), ast.Mult(), value)


def _of_expression(node: ast.expr, space: Mapping[str, Any]) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, ast.BinOp):
        yield from _of_operation(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign", node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        assert isinstance(node.value, int | float)
        for number in dict.fromkeys((node.value + 1, node.value - 1, -node.value)):
            yield "number", ast.parse(repr(number), mode="eval").body
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for operator in (ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.Eq):
            if not isinstance(node.ops[0], operator):
                yield "comparison", ast.Compare(node.left, [operator()], node.comparators)
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield "transposed", node.value
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield from _of_name(node, space)


def _of_call(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    """Other axes of a sum; a function left out."""
    function = node.func
    if not isinstance(function, ast.Attribute):
        return
    is_numpy = isinstance(function.value, ast.Name) and function.value.id == "np"
    if function.attr in ("sum", "mean", "max"):
        first = 1 if is_numpy else 0
        axis: Any = None
        given = node.args[first:] + [k.value for k in node.keywords if k.arg == "axis"]
        if given:
            try:
                axis = ast.literal_eval(given[0])
            except ValueError:
                return
        keep = any(k.arg == "keepdims" for k in node.keywords)
        for other in _AXES:
            for keeps in (keep, not keep):
                if (other, keeps) != (axis, keep):
                    kind = "keepdims" if other == axis else "axis"
                    yield kind, _summed(node, first, other, keeps)
        if function.attr != "max":
            swapped = "mean" if function.attr == "sum" else "sum"
            changed = ast.Attribute(function.value, swapped, ast.Load())
            yield "reduction", ast.Call(changed, node.args, node.keywords)
        if not is_numpy:
            yield "needless", function.value
    elif is_numpy and len(node.args) == 1 and not node.keywords:
        yield "needless", node.args[0]


def _summed(node: ast.Call, first: int, axis: Any, keeps: bool) -> ast.Call:
    keywords = []
    if axis is not None:
        keywords.append(ast.keyword("axis", ast.parse(repr(axis), mode="eval").body))
    if keeps:
        keywords.append(ast.keyword("keepdims", ast.Constant(True)))
    return ast.Call(node.func, node.args[:first], keywords)


def _of_operation(node: ast.BinOp) -> Iterator[tuple[str, ast.expr]]:
    for kind, operator in _SWAPS.get(type(node.op), ()):
        yield kind, ast.BinOp(node.left, operator(), node.right)
    if isinstance(node.op, ast.Sub | ast.Div | ast.MatMult):
        yield "order", ast.BinOp(node.right, node.op, node.left)
    if isinstance(node.op, ast.Mult | ast.Div | ast.Add | ast.Sub | ast.Pow):
        yield "needless", node.left
    if isinstance(node.op, ast.Mult | ast.Add):
        yield "needless", node.right


def _of_name(node: ast.Name, space: Mapping[str, Any]) -> Iterator[tuple[str, ast.expr]]:
    value = space.get(node.id)
    if not isinstance(value, np.ndarray | np.generic):
        return
    if value.ndim == 2:
        yield "transposed", ast.Attribute(node, "T", ast.Load())
    if value.dtype.kind == "f":
        yield "missing", ast.BinOp(node, ast.Pow(), ast.Constant(2))
    for name, other in space.items():
        alike = isinstance(other, np.ndarray | np.generic) and other.shape == value.shape
        if alike and name != node.id and other.dtype.kind == value.dtype.kind:
            yield "name", ast.Name(name, ast.Load())
