"""A case's inputs, from what a course says of them: sizes, shapes, and how numbers are drawn."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from handgrad.arrays import Array
from handgrad.check.courses.topics import Asking, Sizes
from handgrad.check.tables import Table

Maker = Callable[..., Array]


def _normal(rng: np.random.Generator, *shape: int, scale: float = 1.0, shift: float = 0.0) -> Array:
    return shift + scale * rng.standard_normal(shape)


def _uniform(rng: np.random.Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Array:
    return rng.uniform(low, high, shape)


def _away(rng: np.random.Generator, *shape: int) -> Array:
    """Between 0.1 and 2, of either sign: no kink at 0 is near; both signs where there is room."""
    x: Array = rng.uniform(0.1, 2, shape) * rng.choice([-1, 1], shape)
    x.reshape(-1)[:2] = [-0.7, 0.9][: x.size]
    return x


def _labels(rng: np.random.Generator, *shape: int, classes: int) -> Array:
    """Whole numbers below ``classes``, as evenly as they go."""
    many = int(np.prod(shape))
    return rng.permutation(np.arange(many) % classes).reshape(shape)


def _bits(rng: np.random.Generator, *shape: int) -> Array:
    return _labels(rng, *shape, classes=2)


def _onehot(rng: np.random.Generator, *shape: int) -> Array:
    """Rows (N, C) with a single 1 each."""
    rows, classes = shape
    return np.eye(classes)[_labels(rng, rows, classes=classes)]


_MAKERS: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "normal": (_normal, ("scale", "shift")),
    "uniform": (_uniform, ("low", "high")),
    "away": (_away, ()),
    "labels": (_labels, ("classes",)),
    "bits": (_bits, ()),
    "onehot": (_onehot, ()),
}


def drawn(asking: Asking, sizes: Sizes, rng: np.random.Generator, at: Table) -> dict[str, Any]:
    """Draw every input, in float64; sizes come along under their letters.

    Raises
    ------
    CourseError
        For an input that says no way to draw it.
    """
    inputs: dict[str, Any] = dict(sizes)
    for name, said in asking.inputs.items():
        inputs[name] = _one(said, sizes, rng, at, f"inputs.{name}")
    return inputs


def _one(said: Any, sizes: Sizes, rng: np.random.Generator, at: Table, key: str) -> Any:
    if isinstance(said, list):
        try:
            array = np.array(said)
        except ValueError:
            at.fail(key, "the rows differ in length")
        if array.dtype.kind not in "iuf":
            at.fail(key, f"must hold numbers alone; got {said!r}")
        return array
    if not isinstance(said, str):
        return said
    try:
        node = ast.parse(said, mode="eval").body
    except (SyntaxError, ValueError):
        node = ast.Constant(None)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        at.fail(key, f"{said!r} is no way to draw numbers; write normal(N, D), or a number")
    if node.func.id not in _MAKERS:
        at.fail(key, f"{said!r}: there is no {node.func.id}; choose from {', '.join(_MAKERS)}")
    make, options = _MAKERS[node.func.id]
    reader = Expression(sizes, at, key)
    shape = [reader.whole(argument) for argument in node.args]
    given = {}
    for keyword in node.keywords:
        if keyword.arg not in options:
            at.fail(key, f"{said!r}: takes no {keyword.arg}")
        value = reader.number(keyword.value)
        given[keyword.arg] = int(value) if keyword.arg == "classes" else value
    try:
        return make(rng, *shape, **given)
    except (TypeError, ValueError) as error:
        at.fail(key, f"{said!r}: {error}")


class Expression:
    """A number from sizes: letters, numbers, and + - * / // of them."""

    def __init__(self, sizes: Sizes, at: Table, key: str) -> None:
        self._sizes, self._at, self._key = sizes, at, key

    def of(self, text: str) -> float:
        """Give the number that a text stands for."""
        try:
            return self.number(ast.parse(text, mode="eval").body)
        except SyntaxError:
            self._fail(text)

    def whole(self, node: ast.expr) -> int:
        """Give a number that must be whole: a side of a shape."""
        number = self.number(node)
        if number != int(number) or number < 0:
            self._at.fail(self._key, f"{ast.unparse(node)} is {number:g}, no side of a shape")
        return int(number)

    def number(self, node: ast.expr) -> float:
        """Give the number of a part of an expression."""
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return node.value  # type: ignore[return-value]
        if isinstance(node, ast.Name):
            if node.id not in self._sizes:
                known = ", ".join(self._sizes) or "none"
                self._at.fail(self._key, f"there is no size {node.id}; sizes here: {known}")
            return self._sizes[node.id]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self.number(node.operand)
        if isinstance(node, ast.BinOp):
            left, right = self.number(node.left), self.number(node.right)
            if isinstance(node.op, ast.Add):
                return left + right
            if isinstance(node.op, ast.Sub):
                return left - right
            if isinstance(node.op, ast.Mult):
                return left * right
            if isinstance(node.op, ast.Div | ast.FloorDiv) and right != 0:
                return left // right if isinstance(node.op, ast.FloorDiv) else left / right
        self._fail(ast.unparse(node))

    def _fail(self, text: str) -> NoReturn:
        self._at.fail(self._key, f"{text!r} is no expression of sizes")


def narrowed(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The same inputs in float32; whole numbers stay what they are."""

    def narrow(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype == np.float64:
            return value.astype(np.float32)
        return value

    return {name: narrow(value) for name, value in inputs.items()}


def label_of(inputs: Mapping[str, Any], used: Sequence[str], dtype: str) -> str:
    """'x 3x4, w 4x5, float64': the arrays that a case is asked with."""
    shown = []
    for name in used:
        value = inputs[name]
        if isinstance(value, np.ndarray):
            shown.append(f"{name} {'x'.join(map(str, value.shape)) or 'scalar'}")
        elif isinstance(value, str):
            shown.append(f"{name} {value!r}")
        elif isinstance(value, float):
            shown.append(f"{name} {value:g}")
    return ", ".join([*shown, dtype])
