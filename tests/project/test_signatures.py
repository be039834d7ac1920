"""No function asks for more than a reader keeps in mind: eight arguments, ``self`` left out."""

import ast
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "handgrad"
MOST = 8
NOT_YET = ("engine",)  # folders that are being rewritten
INTERFACE = {
    "cnn.py: ConvNet.__init__": "the assignment's arguments, and what makes its variants",
    "solver.py: Solver.__init__": "the assignment's arguments, and what a long run needs",
    "estimators/dense.py: HandgradClassifier.__init__": "scikit-learn's: a hyperparameter each",
    "estimators/dense.py: HandgradRegressor.__init__": "scikit-learn's: a hyperparameter each",
    "estimators/images.py: HandgradImageClassifier.__init__": "scikit-learn's, too",
}
"""Signatures that code written against the course relies on."""


def functions(node, owner=""):
    """Give each function under a node with its dotted name."""
    for child in ast.iter_child_nodes(node):
        name = f"{owner}{getattr(child, 'name', '')}"
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, child
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from functions(child, f"{name}." if inside else owner)


def argument_names(function):
    """List the arguments that have a name, but for the instance or class."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def test_only_the_assignments_interface_takes_more_than_eight_arguments():
    found = set()
    for path in sorted(SOURCE.rglob("*.py")):
        file = path.relative_to(SOURCE)
        if file.parts[0] in NOT_YET:
            continue
        for name, function in functions(ast.parse(path.read_text(encoding="utf-8"))):
            if len(argument_names(function)) > MOST:
                found.add(f"{file.as_posix()}: {name}")
    assert found == set(INTERFACE)
