"""The cells of a notebook, or of a script that was made from one, as pieces of Python."""

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

from handgrad.check.reading.magics import NOT_PARSED, is_foreign, parsed, python_of
from handgrad.errors import SubmissionError

_MARKER = re.compile(r"# In\[(?P<run>[ \d*]*)\]:|# ?%%(?P<kind>.*)|# COMMAND -{5,}")
_PROSE = re.compile(r"\[(?:markdown|md|raw)\]")


@dataclass(frozen=True)
class Cell:
    """A piece of code, and where it stands.

    Attributes
    ----------
    label : str
        'cell 7', the seventh of the notebook with its text counted; of a script, its name.
    text : str
        What Python reads of it, on the lines that ``label`` has.
    shown : str
        What its author wrote, for the line that a message shows.
    run : int, optional
        Its number in the order in which the notebook's cells were last run.
    dropped : tuple of str
        The magics and shell commands that were left out.
    """

    label: str
    text: str
    shown: str
    run: int | None = None
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A notebook's cells with code, and (label, text) of those without."""

    cells: tuple[Cell, ...]
    prose: tuple[tuple[str, str], ...] = ()


def notebook(content: bytes, name: str) -> Document:
    """Read a notebook (nbformat 3 or 4).

    Raises
    ------
    SubmissionError
        For what is no notebook, or one in another language.
    """
    try:
        record = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise SubmissionError(f"{name}: no notebook: it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise SubmissionError(
            f"{name}: no notebook: its JSON is broken at {where}; open it in Jupyter, save it anew"
        ) from None
    except (ValueError, RecursionError):
        raise SubmissionError(f"{name}: no notebook: its JSON cannot be read") from None
    language = _language(record)
    if language and not language.lower().startswith("python"):
        raise SubmissionError(f"{name}: a notebook in {language}; only Python is judged")
    cells, prose = [], []
    for number, cell in enumerate(_cells_of(record, name), 1):
        text = _text(cell.get("source", cell.get("input", "")))
        label = f"cell {number}"
        if cell.get("cell_type") == "code":
            run = cell.get("execution_count", cell.get("prompt_number"))
            cells.append(code_cell(label, text, run if isinstance(run, int) else None))
        else:
            prose.append((label, text))
    return Document(tuple(cells), tuple(prose))


def code_cell(label: str, text: str, run: int | None = None) -> Cell:
    """Make a cell of what its author wrote."""
    text = _lines(text)
    python, dropped = python_of(text)
    return Cell(label, python, text, run, tuple(dropped))


def _cells_of(record: Any, name: str) -> list[dict[str, Any]]:
    found = record.get("cells") if isinstance(record, dict) else None
    if found is None and isinstance(record, dict):
        sheets = record.get("worksheets")  # nbformat 3
        if isinstance(sheets, list):
            found = [
                cell
                for sheet in sheets
                if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)
                for cell in sheet["cells"]
            ]
    if not isinstance(found, list) or not all(isinstance(cell, dict) for cell in found):
        raise SubmissionError(f"{name}: no notebook: there are no cells in its JSON")
    return found


def _language(record: Any) -> str:
    """The language that a notebook names; '' where it names none."""
    known = record.get("metadata") if isinstance(record, dict) else None
    for section, key in (("kernelspec", "language"), ("language_info", "name")):
        said = known.get(section) if isinstance(known, dict) else None
        if isinstance(said, dict) and isinstance(said.get(key), str):
            return str(said[key])
    return ""


def _text(source: Any) -> str:
    """A cell's text: one string, or a list of lines."""
    if isinstance(source, list):
        return "".join(part for part in source if isinstance(part, str))
    return source if isinstance(source, str) else ""


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


# -- scripts made from notebooks ----------------------------------------------------------------


def may_be_script(content: bytes) -> bool:
    """Whether a file has, somewhere, what a script that was made from a notebook has."""
    return any(
        mark in content for mark in (b"# In[", b"%%", b"COMMAND --", b"get_ipython", b"jupytext")
    )


def script(text: str, name: str) -> Document | None:
    """Read a script that was made from a notebook, by its cells; None for a plain module.

    It is one if it has the marks of nbconvert, jupytext, VS Code, Spyder or Databricks at the head
    of its cells, or calls ``get_ipython``.
    """
    text = _lines(text)
    lines = text.split("\n")
    marks = [(i, found) for i, line in enumerate(lines) if (found := _MARKER.match(line))]
    if not marks and not re.search(r"^get_ipython\(\)|^# +jupytext:", text, re.MULTILINE):
        return None
    cells, prose = [], []
    ends = [*(i for i, _ in marks), len(lines)]
    begins: list[tuple[int, re.Match[str] | None]] = [(0, None), *marks]
    for (start, mark), end in zip(begins, ends, strict=True):
        piece = "\n" * start + "\n".join(lines[start:end])
        if mark is not None and _PROSE.search(mark["kind"] or ""):
            prose.append((name, piece))
            continue
        number = (mark["run"] or "").strip() if mark is not None else ""
        run = int(number) if number.isdecimal() else None
        python, dropped = python_of(piece)
        cells.append(_unpacked(Cell(name, python, text, run, tuple(dropped))))
    return Document(tuple(cells), tuple(prose))


def _unpacked(cell: Cell) -> Cell:
    """The cell that nbconvert wraps whole into a call, where it begins with a cell magic."""
    try:
        body = parsed(cell.text).body
    except NOT_PARSED:
        return cell
    call = body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr) else None
    if not (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "run_cell_magic"
        and all(isinstance(arg, ast.Constant) and isinstance(arg.value, str) for arg in call.args)
        and len(call.args) == 3
    ):
        return cell
    magic, _, text = (str(arg.value) for arg in call.args if isinstance(arg, ast.Constant))
    label = f"{cell.label}, cell at line {call.lineno}"
    text = "" if is_foreign(magic) else text
    return Cell(label, python_of(text)[0], text, cell.run, (f"%%{magic}",))
