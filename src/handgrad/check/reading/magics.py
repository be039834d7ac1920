"""What of a notebook's cell is IPython's or the shell's and no Python: left out, line for line."""

import ast
import contextlib
import re
import threading
import warnings
from collections.abc import Iterator

NOT_PARSED = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What Python's parser and compiler raise for text that is no program."""

# Cell magics whose body is another language's; of the others it is Python.
_FOREIGN = frozenset({
    "!", "bash", "sh", "script", "system", "sx", "cmd", "powershell", "html", "javascript", "js",
    "latex", "markdown", "svg", "perl", "ruby", "python2", "pypy", "sql", "bigquery", "r",
    "julia", "octave", "cython",
})  # fmt: skip
_MAGIC = re.compile(r"\s*(%{1,2}[A-Za-z_][\w.]*|!{1,2}|\?{1,2}(?=[\w.%*]))")
_HELP = re.compile(r"\s*%{0,2}[A-Za-z_][\w.]*(\?{1,2})\s*$")
_ASSIGNED = re.compile(r"\s*[^=#'\"(]+?=\s*(%[A-Za-z_]\w*|!)")
_TRIPLE = ('"""', "'''")
_quiet = threading.Lock()  # warnings' filters are the whole process's


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Parse or compile a submission without the warnings that are its author's affair."""
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def parsed(text: str) -> ast.Module:
    """Parse a program, quietly.

    Raises
    ------
    SyntaxError, ValueError, RecursionError, MemoryError
        For what is no program (``NOT_PARSED``).
    """
    with quietly():
        return ast.parse(text)


def python_of(text: str) -> tuple[str, list[str]]:
    r"""Give a cell's Python, of as many lines as the cell, and the words that were left out.

    >>> python_of("%matplotlib inline\nx = 1\n!pip install numpy")
    ('pass\nx = 1\npass', ['%matplotlib', '!pip'])
    >>> python_of("x = (7\n     % 4)")
    ('x = (7\n     % 4)', [])
    """
    text = _without_indent(text)
    try:
        parsed(text)
    except NOT_PARSED:
        return _blanked(text)
    return text, []


def is_foreign(magic: str) -> bool:
    """Whether the body of a cell magic, by its name, is another language's than Python."""
    return magic.lower() in _FOREIGN


def _without_indent(text: str) -> str:
    """As IPython does: an indent of the first line is none."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    if not indent:
        return text
    return "\n".join(line.removeprefix(indent) for line in text.split("\n"))


def _blanked(text: str) -> tuple[str, list[str]]:
    lines, words = text.split("\n"), []
    start = next((i for i, line in enumerate(lines) if line.strip()), 0)
    head = re.match(r"%%(!|[\w.]+)", lines[start])
    if head:
        words.append(head[0])
        if is_foreign(head[1]):
            return "\n" * (len(lines) - 1), words
        lines[start] = ""
    depth, quote, joined, goes_on = 0, "", False, False
    for number, line in enumerate(lines):
        word = "" if depth or quote or joined or goes_on else _word(line)
        if word:
            words.append(word)
            lines[number] = f"{line[: len(line) - len(line.lstrip())]}pass"
        elif goes_on:  # the last line's command
            lines[number] = ""
        if word or goes_on:
            goes_on = line.rstrip().endswith("\\")
        else:
            depth, quote, joined = _after(line, depth, quote)
    return "\n".join(lines), words


def _word(line: str) -> str:
    """The magic of a line that is no Python; '' where it is."""
    if found := _MAGIC.match(line):
        rest = line[found.end() :].split()
        return found[1] + (rest[0] if found[1].startswith("!") and rest else "")
    found = _ASSIGNED.match(line) or _HELP.match(line)
    return found[1] if found else ""


def _after(line: str, depth: int, quote: str) -> tuple[int, str, bool]:
    """What is open at a line's end: brackets, a string's quotes, the line itself."""
    at = 0
    while at < len(line):
        three = line[at : at + 3]
        if line[at] == "\\":
            if at == len(line) - 1:
                return depth, quote, True
            at += 2
            continue
        if quote:
            if line.startswith(quote, at):
                at, quote = at + len(quote), ""
                continue
        elif line[at] == "#":
            break
        elif three in _TRIPLE or line[at] in "'\"":
            quote = three if three in _TRIPLE else line[at]
            at += len(quote)
            continue
        elif line[at] in "([{":
            depth += 1
        elif line[at] in ")]}":
            depth = max(0, depth - 1)
        at += 1
    return depth, quote if quote in _TRIPLE else "", False
