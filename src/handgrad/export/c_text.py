"""Pieces of C text: numbers, arrays, names."""

import re
from string import Template

import numpy as np

from handgrad.arrays import Array
from handgrad.errors import ExportError

_WIDTH = 100
_KEYWORDS = frozenset(
    {"auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else"}
    | {"enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register"}
    | {"restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch"}
    | {"typedef", "union", "unsigned", "void", "volatile", "while"}
)


def fill(text: str, **values: object) -> str:
    """Put values in the places of ``$NAME`` or ``${NAME}``."""
    return Template(text.strip("\n") + "\n").substitute(values)


def number(value: float) -> str:
    """Write a float32: the fewest digits that give it back.

    Raises
    ------
    ExportError
        If it is beyond float32.
    """
    with np.errstate(over="ignore"):
        single = np.float32(value)
    if not np.isfinite(single):
        raise ExportError(f"a number of the model, {value:g}, is beyond float32, which C has")
    return f"{single}f"


def array(name: str, kind: str, values: Array) -> str:
    """Write a constant array; kind is 'float', 'double' or 'int8_t'."""
    flat = values.reshape(-1)
    if kind == "float":
        with np.errstate(over="ignore"):
            flat = flat.astype(np.float32)
        if not np.isfinite(flat).all():
            raise ExportError(f"{name} has numbers beyond float32, which C has; train again")
        texts = [f"{each}f" for each in flat.astype(str).tolist()]
    elif kind == "double":
        texts = [repr(float(each)) for each in flat]
    else:
        texts = [str(each) for each in flat.tolist()]
    lines, line = [], "   "
    for text in texts:
        if len(line) + len(text) + 2 > _WIDTH:
            lines.append(line)
            line = "   "
        line += f" {text},"
    lines.append(line)
    body = "\n".join(lines)
    return f"static const {kind} {name}[{len(texts)}] = {{\n{body}\n}};\n"


def identifier(text: str, fallback: str = "model") -> str:
    """Make a name that C takes of any text."""
    plain = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_") or fallback
    if plain[0].isdigit():
        plain = f"_{plain}" if fallback == "" else f"{fallback}_{plain}"
    return f"{plain}_" if plain in _KEYWORDS else plain


def string(text: str) -> str:
    """Write a string literal in UTF-8, any text; nothing in it is an escape of C's or ends it."""
    written = ""
    for byte in text.encode("utf-8", "backslashreplace"):
        safe = 32 <= byte < 127 and chr(byte) not in '"\\?'
        written += chr(byte) if safe else f"\\{byte:03o}"
    return f'"{written}"'


def comment(text: str) -> str:
    """Give a text that may stand in a comment: it neither ends one nor begins another."""
    plain = text.encode("ascii", "backslashreplace").decode()
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("\n", " ")
