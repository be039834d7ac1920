"""A course's steps, written as lines of Python: from text to what the child carries out.

``Z, cache = linear_forward(A, W, b)`` calls a function, ``out = layer.forward(x)`` a method,
``dW = layer.dW`` reads an attribute and ``db = grads["db"]`` an item, ``layer.W = W`` sets one,
``params = {"W": W}`` makes a value, and ``kept = out`` keeps a copy. Nothing is evaluated.
"""

import ast
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from handgrad.check.case import Step, attribute, copied, item, ref
from handgrad.check.tables import Table


class Statements:
    """Reads the steps of one function.

    Parameters
    ----------
    units : mapping
        Function or class to the module that it is in.
    given : collection of str
        Names that stand for inputs.
    at : Table
        The table that holds the steps, for messages.
    """

    def __init__(self, units: Mapping[str, str], given: Collection[str], at: Table) -> None:
        self._units, self._known, self._at = units, set(given), at
        self._line = ""

    def read(self, lines: Sequence[str]) -> list[Step]:
        """Give a step a line.

        Raises
        ------
        CourseError
            For a line that is none of the forms above, or names nothing that there is.
        """
        return [self._step(line) for line in lines]

    def _fail(self, said: str) -> NoReturn:
        self._at.fail("steps", f"{self._line!r}: {said}")

    def _step(self, line: str) -> Step:
        self._line = line
        try:
            (statement,) = ast.parse(line).body
        except (SyntaxError, ValueError):
            self._fail("is not one statement of Python")
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            return self._call(statement.value, None)
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            self._fail("is neither a call nor an assignment")
        target, value = statement.targets[0], statement.value
        if isinstance(target, ast.Attribute | ast.Subscript):
            owner, path = self._path(target)
            given = self._value(value)
            return {"op": "set", "on": owner, "path": path, "value": given, "name": line}
        saved = self._targets(target)
        step = self._assigned(saved, value)
        self._known.update([saved] if isinstance(saved, str) else saved)
        return step

    def _targets(self, target: ast.expr) -> str | list[str]:
        if isinstance(target, ast.Name):
            return target.id
        if isinstance(target, ast.Tuple) and all(isinstance(e, ast.Name) for e in target.elts):
            return [element.id for element in target.elts if isinstance(element, ast.Name)]
        self._fail("assigns to what is no name")

    def _assigned(self, saved: str | list[str], value: ast.expr) -> Step:
        if isinstance(value, ast.Call):
            return self._call(value, saved)
        if not isinstance(saved, str):
            self._fail("several names can be assigned by a call alone")
        if isinstance(value, ast.Name):
            return copied(self._name(value.id), saved)
        if isinstance(value, ast.Attribute):
            return attribute(self._owner(value.value), value.attr, saved)
        if isinstance(value, ast.Subscript):
            step = item(self._owner(value.value), self._key(value.slice), saved)
            return {**step, "name": self._line}
        return {"op": "let", "value": self._value(value), "save": saved}

    def _call(self, node: ast.Call, saved: str | list[str] | None) -> Step:
        if any(keyword.arg is None for keyword in node.keywords):
            self._fail("takes no **")
        given: Step = {
            "args": [self._value(argument) for argument in node.args],
            "kwargs": {str(k.arg): self._value(k.value) for k in node.keywords},
            "save": saved,
        }
        function = node.func
        if isinstance(function, ast.Attribute):
            owner = self._owner(function.value)
            return {"op": "method", "on": owner, "name": function.attr, **given}
        if isinstance(function, ast.Name):
            unit = self._units.get(function.id)
            if unit is None:
                known = ", ".join(sorted(self._units))
                self._fail(f"there is no function {function.id}; choose from {known}")
            # An object of a class like ReLU has no state before its first call.
            return {"op": "call", "unit": unit, "name": function.id, "stateless": True, **given}
        self._fail("calls what is no name")

    def _path(self, node: ast.expr) -> tuple[str, list[list[str]]]:
        """Where a value is set: the object, and the attributes and keys below it."""
        if isinstance(node, ast.Attribute):
            owner, path = self._path(node.value)
            return owner, [*path, ["attribute", node.attr]]
        if isinstance(node, ast.Subscript):
            owner, path = self._path(node.value)
            return owner, [*path, ["key", self._key(node.slice)]]
        return self._owner(node), []

    def _owner(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return self._name(node.id)
        self._fail("reads from what is no name: take two steps")

    def _key(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        self._fail("a key must be text")

    def _name(self, name: str) -> str:
        if name not in self._known:
            known = ", ".join(sorted(self._known))
            self._fail(f"{name} is no input, size or earlier result; choose from {known}")
        return name

    def _value(self, node: ast.expr) -> Any:
        """A value: names are references, what they stand for is put in where it runs."""
        if isinstance(node, ast.Name):
            return ref(self._name(node.id))
        if isinstance(node, ast.List):
            return [self._value(element) for element in node.elts]
        if isinstance(node, ast.Tuple):
            return tuple(self._value(element) for element in node.elts)
        if isinstance(node, ast.Dict):
            if any(key is None for key in node.keys):
                self._fail("takes no **")
            return {
                self._key(key): self._value(value)
                for key, value in zip(node.keys, node.values, strict=True)
                if key is not None
            }
        try:
            value = ast.literal_eval(node)
        except ValueError:
            self._fail("an argument must be a name, a number, text, or a list or dict")
        if value is not None and not isinstance(value, bool | int | float | str):
            self._fail("an argument must be a name, a number, text, or a list or dict")
        return value
