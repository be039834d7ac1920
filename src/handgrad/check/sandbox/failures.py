"""What a step's exception, or an empty result, says of the submission: data for the parent.

Imports nothing of handgrad: the child loads this file by its path.
"""

import ast
import linecache
import os
import traceback
from types import FrameType, TracebackType
from typing import Any

import numpy as np


class Absent(Exception):
    """The submission has no such function."""


class Unwritten(Absent):
    """The function is there, and gives back nothing: a skeleton that nobody has filled."""


class Surprise(Exception):
    """A result has another form than the step unpacks."""


def described(error: BaseException) -> dict[str, Any]:
    """An exception as data: its type, text, and the submission's line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = os.path.dirname(__file__)  # noqa: PTH120
    own = [f for f in frames if "importlib" not in f.filename and not f.filename.startswith(ours)]
    inside = [f for f in own if "site-packages" not in f.filename] or own
    where = inside[-1] if inside else None
    text = str(error) if not isinstance(error, KeyError) else f"missing key {error}"
    if isinstance(error, SyntaxError):
        code, line, place = (error.text or "").strip(), error.lineno, error.filename or ""
        text = error.msg
    else:
        code = linecache.getline(where.filename, where.lineno or 0).strip() if where else ""
        line, place = (where.lineno, where.filename) if where else (None, "")
    kind = "missing" if isinstance(error, NotImplementedError | Absent) else "raises"
    if isinstance(error, MemoryError):
        kind = "memory"
    elif isinstance(error, SystemExit):
        kind = "crashed"
    elif isinstance(error, Surprise):
        kind = "form"
    return {
        "kind": kind,
        "package": _asked_for(error) if isinstance(error, ImportError) else None,
        "type": type(error).__name__,
        "text": text[:500],
        "file": place.replace("\\", "/").rpartition("/")[2],
        "line": line,
        "code": code[:200],
        "one_element": _is_of_one_element(error, where.lineno if where else None),
    }


def _is_of_one_element(error: BaseException, line: int | None) -> bool:
    """Whether a statement failed on an array of one element that was to become a number.

    Looked for in the last frame at this line: what it converts by float() and the like, and what it
    assigns to an element. Of larger arrays it is a mistake under every NumPy.
    """
    if not isinstance(error, TypeError | ValueError):
        return False
    frame = _frame_at(error.__traceback__, line)
    if frame is None:
        return False
    text = linecache.getline(frame.f_code.co_filename, line or 0).strip()
    try:
        tree = ast.parse(text if not text.endswith(":") else f"{text} pass")
    except SyntaxError:  # one line of a longer statement
        return False
    sizes = [_size(node, frame) for node in _converted(tree)]
    found = [size for size in sizes if size is not None]
    return bool(found) and all(size == 1 for size in found)


def _frame_at(trace: TracebackType | None, line: int | None) -> FrameType | None:
    found = None
    while trace is not None:
        if trace.tb_lineno == line:
            found = trace.tb_frame
        trace = trace.tb_next
    return found


def _converted(tree: ast.AST) -> list[ast.expr]:
    """What a line makes a number of: arguments of float, int and math's functions; elements."""
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.id if isinstance(function, ast.Name) else ""
            if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
                name = function.value.id
            if name in ("float", "int", "complex", "math"):
                found += node.args
        elif isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Subscript) for target in node.targets
        ):
            found.append(node.value)
    return found


def _size(node: ast.expr, frame: FrameType) -> int | None:
    """How many elements an expression's array has; None where it is no array with an axis."""
    try:
        code = compile(ast.fix_missing_locations(ast.Expression(node)), "<element>", "eval")
        value = eval(code, frame.f_globals, frame.f_locals)
    except BaseException:  # it is the submission's, and may raise anything
        return None
    return int(value.size) if isinstance(value, np.ndarray) and value.ndim else None


def _asked_for(error: ImportError) -> str | None:
    """The module that an import asked for in vain; None where the error does not tell.

    That of the first error, where others were raised of it; of an error without a name, raised
    inside an installed package (a library that is not there), that package.
    """
    before = error.__cause__ or error.__context__
    if isinstance(before, ImportError) and (found := _asked_for(before)):
        return found
    if error.name:
        return str(error.name)[:100]
    places = [f.filename.replace("\\", "/") for f in traceback.extract_tb(error.__traceback__)]
    ours = os.path.dirname(__file__).replace("\\", "/")  # noqa: PTH120
    for place in reversed([place for place in places if not place.startswith(ours)]):
        for folder in ("/site-packages/", "/dist-packages/"):
            if folder in place:
                inside = place.rpartition(folder)[2]
                return inside.partition("/")[0].removesuffix(".py")[:100]
    return None


def written(name: str, saved: str | list[str], result: Any) -> Any:
    """Give the result back; raise Unwritten where it is what an unfilled skeleton returns.

    That is None, or None (no gradients: {}) in place of every result. A cache or a config may be
    there all the same, and a loss of 0.
    """
    single = isinstance(saved, str) or not isinstance(result, tuple | list)
    if single or len(result) != len(saved):
        if result is None:
            raise Unwritten(f"{name} returns None")
        return result
    told = [
        value
        for key, value in zip(saved, result, strict=True)
        if key.rpartition(" ")[2] not in ("cache", "config")
    ]
    nothing = [value is None or (isinstance(value, dict) and not value) for value in told]
    zero = [isinstance(value, int | float) and value == 0 for value in told]
    if any(nothing) and all(map(max, nothing, zero)):
        bare = [value is None or isinstance(value, int | float | dict) for value in told]
        shown = [repr(value) if plain else "..." for value, plain in zip(told, bare, strict=True)]
        shown += ["..."] * (len(result) - len(shown))
        raise Unwritten(f"{name} returns ({', '.join(shown)})")
    return result


def is_empty(found: Any) -> bool:
    """Whether it is a class in which nothing is written."""
    return isinstance(found, type) and not any(
        callable(value) for kind in found.__mro__[:-1] for value in vars(kind).values()
    )


def constructed(made_by: Any, result: Any) -> Any:
    """Give an object back; without an attribute, or with empty params, nobody has written it."""
    if not isinstance(made_by, type):
        return result
    params = getattr(result, "params", None)
    if isinstance(params, dict) and not params:
        raise Unwritten(f"the params of {made_by.__name__} are empty")
    if not getattr(result, "__dict__", True):
        data = [name for name in dir(made_by) if not name.startswith("__")]
        if all(callable(getattr(made_by, name, None)) for name in data):
            raise Unwritten(f"the constructor of {made_by.__name__} sets nothing")
    return result
