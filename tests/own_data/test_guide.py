"""docs/own_data.md is run from top to bottom: its Python, its commands, and what they print."""

import doctest
import re
import shlex
from pathlib import Path

import pytest
from own_data_runs import run

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "own_data.md"
BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks():
    return BLOCK.findall(GUIDE.read_text(encoding="utf-8"))


def plain(text):
    """Without the blanks at the ends of lines, and without lines of rules."""
    lines = [line.rstrip() for line in text.splitlines()]
    return "".join(f"{line}\n" for line in lines if line.strip("─ "))


def test_the_guide(tmp_path, monkeypatch, capsys):
    for library in ("pandas", "PIL", "optuna"):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    said, commands = "", 0
    for kind, content in blocks():
        if kind == "python":
            exec(compile(content, str(GUIDE), "exec"), {})
        elif kind == "sh":
            said = ""
            for line in content.splitlines():
                program, *words = shlex.split(line)
                if program == "handgrad":
                    code, out, err = run(monkeypatch, capsys, *words)
                    assert code == 0, err
                    said, commands = said + err + out, commands + 1
        else:
            checker = doctest.OutputChecker()
            assert checker.check_output(plain(content), plain(said), doctest.ELLIPSIS), said
    assert commands == 7
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    assert lines[0] == "row,species,p(setosa),p(versicolor),p(virginica)"
    assert len(lines) == 151
    assert (tmp_path / "flowers-model/report.html").exists()
