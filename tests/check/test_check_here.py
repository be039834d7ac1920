"""`here` judges functions as they are defined now, in a notebook, at a prompt, in a script."""

import linecache
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from check_runs import GOOD, environment
from notebooks import functions

from handgrad.check import here
from handgrad.check.courses import load
from handgrad.check.here import submission_of
from handgrad.check.sandbox.submission import find_submission

CELLS = functions(GOOD)


class Kernel:
    """Runs cells as IPython does: their texts in ``In`` and, by a name each, in linecache."""

    def __init__(self):
        self.names = {"__name__": "__main__", "In": [""]}

    def run(self, *cells):
        for cell in cells:
            history = self.names["In"]
            file = f"/tmp/ipykernel_7/{id(self)}{len(history)}.py"
            linecache.cache[file] = (len(cell), None, cell.splitlines(keepends=True), file)
            history.append(cell)
            exec(compile(cell, file, "exec"), self.names)
        return self


@pytest.fixture
def kernel():
    return Kernel().run("from handgrad.check import here", *CELLS)


def test_it_prints_the_report_in_time(kernel, capsys):
    started = time.process_time()
    kernel.run('here("fc_backward")')
    assert time.process_time() - started < 5
    said = capsys.readouterr().out
    assert said.startswith("handgrad check this notebook\n")
    assert said.endswith("1 function: 1 passed.\n")


def test_a_mistake_is_found_where_it_is_defined_now(kernel, capsys):
    wrong = CELLS[2].replace("dw = x", "\n    dw = 0 * x")
    kernel.run(wrong, 'here("fc_backward")')
    said = " ".join(capsys.readouterr().out.split())
    assert "fc_backward is in cell In [7], line 1." in said
    assert 'repeat: here("fc_backward", case="gradient of w", seed=0)' in said
    kernel.run('here("fc_backward", case="gradient of w", seed=0)')
    assert "1 mistake to fix" in capsys.readouterr().out
    kernel.run(CELLS[2], 'here("affine_backward", "fc_forward")')
    assert "2 functions: 2 passed." in capsys.readouterr().out


def test_without_a_name_it_judges_all_that_is_defined(kernel, capsys):
    kernel.run("def sgd(w, dw, config=None):\n    return w, config", "here()")
    said = capsys.readouterr().out
    assert [line.split()[:2] for line in said.splitlines()[2:7]] == [
        ["fc_forward", "passed"], ["fc_backward", "passed"], ["relu_forward", "passed"],
        ["relu_backward", "passed"], ["sgd", "failed"],
    ]  # fmt: skip


def test_the_same_hash_as_the_notebooks_file(kernel, tmp_path):
    (tmp_path / "layers.py").write_text(
        "import numpy as np\n\ndef relu_forward(x):\n    return np.maximum(x, 0), x\n"
    )
    own = Kernel().run("import numpy as np", CELLS[3])
    assert submission_of(own.names, load()).sha256 == find_submission(tmp_path / "layers.py").sha256


def test_what_a_function_uses_comes_along(kernel, capsys, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "helper_of_mine.py").write_text(
        "def larger(x):\n    return x * (x > ZERO)\nZERO = 0\n"
    )
    kernel.run(
        "from collections import namedtuple\nimport helper_of_mine as h\nfrom math import inf",
        "Cache = namedtuple('Cache', 'x')",
        "LIMITS = {'low': 0, 'high': [1, 2]}\nTOP = inf",
        "half = lambda x: x / 2",
        "class Twice:\n    @staticmethod\n    def of(x):\n        return 2 * x",
        "def relu_forward(x):\n    low = LIMITS['low']\n"
        "    return np.minimum(h.larger(Twice.of(half(x))) + low, TOP), Cache(x)",
        "def relu_backward(dout, cache):\n    return dout * (cache.x > 0)",
        "here('relu')",
    )  # fmt: skip
    assert "2 functions: 2 passed." in capsys.readouterr().out


def test_values_are_those_of_now(kernel, capsys):
    kernel.run(
        "ZERO = 1", "def relu_forward(x):\n    return np.maximum(x, ZERO), x",
        "ZERO -= 1", "here('relu_forward')",
    )  # fmt: skip
    assert "1 function: 1 passed." in capsys.readouterr().out


def test_what_replaces_itself_is_taken_with_what_it_replaced(kernel, capsys):
    kernel.run(
        "def logged(f):\n    return lambda *args: f(*args)",
        "relu_forward = logged(relu_forward)",
        "here('relu_forward')",
    )
    assert "1 function: 1 passed." in capsys.readouterr().out
    later = "class SVM(SVM):\n    def loss(self):\n        pass"
    submission = submission_of(Kernel().run("class SVM:\n    pass", later).names, load())
    (content,) = submission.sources.values()
    assert content.decode().count("['SVM']") == 2
    other = Kernel().run("class SVM:\n    pass", "class Sub(SVM):\n    pass", "SVM = Sub")
    (content,) = submission_of(other.names, load()).sources.values()
    assert [content.decode().count(f"['{name}']") for name in ("SVM", "Sub")] == [2, 1]


def test_in_jupyter_it_is_text_as_well(kernel, capsys, monkeypatch):
    """Rich, which finds itself in a notebook, would show each line as a page of its own."""
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    kernel.run("here('relu_forward')")
    assert capsys.readouterr().out.endswith("1 function: 1 passed.\n")


def test_a_value_that_cannot_be_taken_along_is_said(kernel, capsys):
    kernel.run(
        "X = np.load if False else iter([])", "def relu_forward(x):\n    return X, x",
        "here('relu_forward')",
    )  # fmt: skip
    said = " ".join(capsys.readouterr().out.split())
    assert "The value of X, which is used, cannot be taken along." in said


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("here('conv_forward')", "conv_forward is not defined here; run its cell first"),
        ("here('fc_bakward')", "there is no group or function 'fc_bakward'; groups: fc, relu"),
        ("here('fc', convention='torch')", "there is no convention 'torch'"),
    ],
)
def test_what_cannot_be_judged_is_one_line(kernel, capsys, call, said):
    kernel.run(call)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"handgrad: {said}")


def test_nothing_to_judge_is_one_line(capsys):
    Kernel().run("from handgrad.check import here", "x = 3", "here()")
    assert capsys.readouterr().out == (
        "handgrad: none of the functions that are judged is defined here; run their cells first\n"
    )
    names = {"__name__": "__main__", "here": here}
    exec("def fc_forward(x, w, b):\n    return 1\nhere()", names)
    assert "the source of fc_forward cannot be found: a plain Python" in capsys.readouterr().out


def test_the_example_of_the_documentation(kernel, capsys):
    page = (Path(__file__).parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(from handgrad\.check import here.*?)```", page, re.S)
    kernel.run(example)
    assert "1 function: 1 passed." in capsys.readouterr().out


def test_in_a_script(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(f"from handgrad.check import here\n{GOOD}\nhere('relu')\n")
    result = subprocess.run(
        [sys.executable, str(script)], env=environment(), cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "2 functions: 2 passed." in result.stdout
