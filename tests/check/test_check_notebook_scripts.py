"""A script that was made from a notebook is judged as that is; a plain module runs as a whole."""

import ast
import dis
from pathlib import Path

from check_runs import GOOD
from notebooks import SGD, TRAINING, found, functions

from handgrad.check import check_submission
from handgrad.check.reading.statements import statements
from handgrad.check.sandbox.submission import find_submission

CELLS = functions(GOOD)


def exported(*cells):
    """As nbconvert --to script writes it."""
    parts = ["#!/usr/bin/env python\n# coding: utf-8"]
    for number, cell in enumerate(cells, 1):
        lines = [
            f"get_ipython().run_line_magic('{line[1:]}', '')" if line.startswith("%") else line
            for line in cell.split("\n")
        ]
        if cell.startswith("%%"):
            name, _, body = cell[2:].partition("\n")
            lines = [f"get_ipython().run_cell_magic({name!r}, '', {body!r})"]
        parts.append(f"# In[{number}]:\n\n\n" + "\n".join(lines))
    return "\n\n\n".join(parts) + "\n"


def test_a_script_of_nbconvert_is_judged_as_its_notebook(tmp_path):
    cells = ["%matplotlib", *CELLS[:3], f"%%time\n{CELLS[3]}", CELLS[4], *TRAINING[1:]]
    (tmp_path / "homework.py").write_text(exported(*cells))
    submission = find_submission(tmp_path / "homework.py")
    assert submission.sha256 == found(tmp_path, *cells).sha256
    assert check_submission(submission, only=["fc", "relu"]).passed
    line = exported(*cells).split("\n").index("def fc_backward(dout, cache):") + 1
    assert submission.places["fc_backward"] == f"homework.py, line {line}"


def test_a_script_with_marks_of_cells(tmp_path):
    marked = "\n".join(f"# %%\n{cell}" for cell in [*CELLS, "while True:\n    pass"])
    marked += "\n# %% [markdown]\n# def no_code(:\n"
    (tmp_path / "layers.py").write_text(marked)
    submission = find_submission(tmp_path / "layers.py")
    assert submission.sha256 == found(tmp_path, *CELLS).sha256
    assert check_submission(submission, only=["fc", "relu"]).passed
    (tmp_path / "optim.py").write_text(SGD.replace("RATE", "1e-2"))
    folder = check_submission(tmp_path, only=["fc", "sgd"])
    assert {case.status for case in folder.cases} == {"passed"}


def test_a_plain_module_runs_as_a_whole(tmp_path):
    (tmp_path / "layers.py").write_text(f"{GOOD}\nfc_forward = np.vectorize(len)\n")
    assert not check_submission(tmp_path / "layers.py", only=["fc_forward"]).passed


def test_global_names_are_those_that_pythons_own_disassembler_gives():
    """On the checker's own source: classes, comprehensions, long functions, decorators."""
    loads = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")

    def used(code):
        own = {str(s.argval) for s in dis.get_instructions(code) if s.opname in loads}
        return own.union(*(used(inner) for inner in code.co_consts if hasattr(inner, "co_code")))

    count = 0
    for path in sorted(Path(statements.__code__.co_filename).parent.glob("*.py")):
        text = path.read_text(encoding="utf-8") + "".join(f"x{n} = y{n}\n" for n in range(300))
        text += "def long():\n" + "".join(f"    x{n}, y{n}()\n" for n in range(300))
        for statement in statements(text, 0):
            code = compile(ast.Module([statement.node], []), "statement", "exec")
            assert statement.uses == used(code)
            count += len(statement.uses)
    assert count > 5000
