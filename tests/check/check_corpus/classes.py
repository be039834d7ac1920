"""A whole class of submissions, as courses collect them: right, mistaken, unfinished, broken.

Every submission comes from the corpus: the plain submission, with mistakes of the table planted in
it and parts of it written in other styles. What an upload does to it comes after: a notebook or
files, renamed as learning platforms rename them, in folders or zipped. The same seed gives the same
bytes.
"""

import ast
import io
import json
import random
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from check_corpus.corpus import ALTERNATIVES, PARTS, Alternative
from handgrad.check.conventions import parse
from handgrad.check.courses import load
from handgrad.check.mistakes import Mistake, patched
from handgrad.check.reference import reference

# Of a class: the share of each kind. The rest is folders and files of Python.
SHARES = {"notebook": 0.30, "other course": 0.10, "loop": 0.05, "bomb": 0.02, "syntax": 0.02}
UNITS = ("layers", "optim", "logistic", "svm", "softmax", "cnn", "solver")

_FIRST = (
    "Ada", "Alan", "Anja", "Bao", "Carlos", "Chiara", "Dmitri", "Elif", "Emmy", "Fatima", "Grace",
    "Hiro", "Ines", "Jan", "Karin", "Lena", "Mateo", "Nils", "Olga", "Priya", "Quynh", "Rosa",
    "Sana", "Tariq", "Uwe", "Vera", "Wei", "Xenia", "Yusuf", "Zoë",
)  # fmt: skip
_LAST = (
    "Abel", "Bauer", "Costa", "Dahl", "Eriksen", "Fischer", "García", "Haddad", "Ito", "Jansen",
    "Kaya", "Larsen", "Moreau", "Novak", "Okafor", "Petrov", "Quist", "Rossi", "Sato", "Toth",
    "Ueda", "Vogel", "Weber", "Xu", "Yilmaz", "Zhang",
)  # fmt: skip
_LOOPS = (
    "    while True:\n        pass\n",
    "    i = 0\n    while i >= 0:\n        i = i + 1 - 1\n",
    "    return {name}(*args)  # until it is right\n",
)
# Each asks for far more than a case is allowed, and is refused it.
_BOMBS = (
    "    return np.ones((2**20, 2**20)), None\n",
    "    kept = []\n    while True:\n        kept.append(np.ones(2**21))\n",
)


@dataclass(frozen=True)
class Student:
    """One submission of a class.

    Attributes
    ----------
    name : str
        Of the student.
    kind : str
        A key of SHARES, or 'files'.
    files : mapping
        Unit to source, before it is packed.
    planted : tuple of str
        The mistakes in it, by their names in the table, and what else was done to it.
    """

    name: str
    kind: str
    files: Mapping[str, str]
    planted: tuple[str, ...]


def make_class(folder: Path, size: int, seed: int) -> list[Student]:
    """Write a class into a new folder; return who is in it, in the order of their names."""
    draw = random.Random(seed)
    folder.mkdir(parents=True)
    names = [f"{first} {last}" for first in _FIRST for last in _LAST]
    chosen = draw.sample(names, size) if size <= len(names) else _more(names, size)
    kinds = [kind for kind, share in SHARES.items() for _ in range(round(share * size))]
    kinds += ["files"] * (size - len(kinds))
    draw.shuffle(kinds)
    students = []
    for number, (name, kind) in enumerate(zip(sorted(chosen), kinds, strict=True)):
        student = _student(draw, name, kind)
        _upload(draw, folder, student, 40_000 + 7 * number)
        students.append(student)
    return students


def _more(names: Sequence[str], size: int) -> list[str]:
    return [f"{names[i % len(names)]} {i // len(names) + 1}" for i in range(size)]


def manifest(students: Sequence[Student]) -> str:
    """List a class as a table: name, kind, what was planted."""
    lines = ["name,kind,planted"]
    lines += [f"{s.name},{s.kind},{' '.join(s.planted)}" for s in students]
    return "\n".join(lines) + "\n"


# what is in a submission ------------------------------------------------------------------------


def _student(draw: random.Random, name: str, kind: str) -> Student:
    if kind == "other course":
        text = (PARTS / "cs231n_layers.py").read_text()
        return Student(name, kind, {"layers": text}, ("another course",))
    files = dict(reference(parse("handgrad")).sources)
    planted, groups = _mistakes(draw, files)
    planted += _styles(draw, files, groups)
    planted += _unwritten(draw, files) if draw.random() < 0.15 else ()
    alone = draw.random() < 0.4
    if kind == "syntax":
        files["layers"] = files["layers"].replace("return out, cache", "return (out, cache", 1)
        planted += ("syntax error",)
    elif kind in ("loop", "bomb"):
        ways = _LOOPS if kind == "loop" else _BOMBS
        function = draw.choice(_functions(files["layers"]))
        body = draw.choice(ways).format(name=function)
        files["layers"] += f"\n\ndef {function}(*args):\n{body}"
        planted += (f"{kind} in {function}",)
    if alone:
        files = {"layers": files["layers"]}
    return Student(name, kind, files, planted)


def _mistakes(draw: random.Random, files: dict[str, str]) -> tuple[tuple[str, ...], set[str]]:
    """Plant none to three mistakes; return their names and their groups."""
    possible = [m for m in load().mistakes if not m.convention and _fits(m, files)]
    number = draw.choice((0, 0, 1, 1, 2, 3))
    names, groups = [], set()
    for mistake in draw.sample(possible, number):
        new = [text.replace("EACH", mistake.each[0]) for text in mistake.new]
        try:
            files[mistake.unit] = patched(files[mistake.unit], mistake.old, new)
        except ValueError:  # an earlier one changed the same place
            continue
        names.append(mistake.name)
        groups.add(mistake.group)
    return tuple(names), groups


def _fits(mistake: Mistake, files: Mapping[str, str]) -> bool:
    return all(files[mistake.unit].count(text) == 1 for text in mistake.old)


def _styles(draw: random.Random, files: dict[str, str], mistaken: set[str]) -> tuple[str, ...]:
    """Write up to two parts that hold no mistake in another style."""
    possible = [a for a in ALTERNATIVES if a.convention == "handgrad" and a.added]
    names, taken = [], set(mistaken)
    for alternative in draw.sample(possible, draw.choice((0, 1, 2))):
        if taken & set(alternative.groups):
            continue
        _append(files, alternative)
        taken |= set(alternative.groups)
        names.append(alternative.name)
    return tuple(names)


def _append(files: dict[str, str], alternative: Alternative) -> None:
    for file, part in alternative.added.items():
        unit = file.removesuffix(".py")
        files[unit] += "\n\n" + (PARTS / part).read_text()


def _functions(source: str) -> list[str]:
    tops = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return [top.name for top in tops if top.name.endswith(("_forward", "_backward", "_loss"))]


def _unwritten(draw: random.Random, files: dict[str, str]) -> tuple[str, ...]:
    """Leave some functions as the skeleton has them."""
    chosen = draw.sample(_functions(files["layers"]), 3)
    body = draw.choice(("pass", "return None", "raise NotImplementedError"))
    for name in dict.fromkeys(chosen):
        files["layers"] += f"\n\ndef {name}(*args):\n    {body}\n"
    return tuple(f"without {name}" for name in dict.fromkeys(chosen))


# how it is handed in ----------------------------------------------------------------------------


def _upload(draw: random.Random, folder: Path, student: Student, number: int) -> None:
    """Write a submission as a platform leaves it: Canvas's names, Moodle's folders, zips."""
    files = _packed(draw, student)
    flat = student.name.replace(" ", "").lower()
    late = "_LATE" if draw.random() < 0.1 else ""
    moodle = f"{student.name}_{number}_assignsubmission_file_"
    if len(files) == 1 and draw.random() < 0.5:
        file, content = next(iter(files.items()))
        stem, _, suffix = Path(file).name.rpartition(".")
        again = draw.choice(("", "-1", "-2"))
        (folder / f"{flat}{late}_{number}_{stem}{again}.{suffix}").write_bytes(content)
    elif draw.random() < 0.5:
        (folder / f"{flat}{late}_{number}_homework.zip").write_bytes(_zipped(draw, files))
    else:
        inner = draw.choice(("", "homework/", "assignment1/src/"))
        for file, content in files.items():
            path = folder / moodle / f"{inner}{file}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _packed(draw: random.Random, student: Student) -> dict[str, bytes]:
    """Give the files that are uploaded: relative path to content."""
    if student.kind == "notebook":
        return {"assignment.ipynb": _notebook(draw, student.files)}
    inner = "cs231n/" if student.kind == "other course" else ""
    files = {f"{inner}{unit}.py": text.encode() for unit, text in student.files.items()}
    if inner:
        files[f"{inner}__init__.py"] = b""
    return files


def _zipped(draw: random.Random, files: Mapping[str, bytes]) -> bytes:
    """Zip as a Mac does, or as others do."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        inner = draw.choice(("", "homework/"))
        for file, content in files.items():
            archive.writestr(zipfile.ZipInfo(f"{inner}{file}", (2026, 1, 1, 0, 0, 0)), content)
        if draw.random() < 0.3:
            first = next(iter(files))
            hidden = Path(first).with_name(f"._{Path(first).name}")
            junk = zipfile.ZipInfo(f"__MACOSX/{inner}{hidden}", (2026, 1, 1, 0, 0, 0))
            archive.writestr(junk, b"\0\5\x16\7")
    return held.getvalue()


def _notebook(draw: random.Random, files: Mapping[str, str]) -> bytes:
    """Put every definition into a cell, between text, plots, magics and training."""
    cells = [
        _text("# Assignment 1\n\nMy solution."),
        _code("%matplotlib inline\n%load_ext autoreload"),
    ]
    cells.append(_code("import numpy as np\nimport matplotlib.pyplot as plt"))
    for unit, source in files.items():
        cells.append(_text(f"## {unit}"))
        source = source.replace("getattr(optim, update_rule)", "globals()[update_rule]")
        cells += [_code(part) for part in _parts(source)]
        if draw.random() < 0.3:
            cells.append(_code("x = np.random.randn(4, 5)\nplt.plot(x)\nplt.show()"))
    cells.append(_code("!pip install scipy"))
    cells.append(
        _code("for epoch in range(10**9):\n    loss = train_one_epoch(model)\n    print(loss)")
    )
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(book, indent=1).encode()


def _parts(source: str) -> list[str]:
    """Split a source at its top; what imports another module of the course is left out."""
    lines = source.splitlines()
    found = []
    for node in ast.parse(source).body:
        names = {node.module} if isinstance(node, ast.ImportFrom) else set()
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        if not names & set(UNITS):
            found.append("\n".join(lines[node.lineno - 1 : node.end_lineno]))
    return found


def _text(source: str) -> dict[str, object]:
    return {"cell_type": "markdown", "metadata": {}, "source": source.splitlines(True)}


def _code(source: str) -> dict[str, object]:
    return {
        "cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [],
        "source": source.splitlines(True),
    }  # fmt: skip
