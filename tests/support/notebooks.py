"""Notebooks as their file has them, made from cells' texts."""

import json

from handgrad.check.sandbox.submission import find_submission

TRAINING = [
    "%matplotlib inline\n!pip install numpy\nimport matplotlib.pyplot as plt",
    "X = np.load('no_such_file.npy')",
    "while True:\n    pass",
    "for epoch in range(10**9):\n    plt.plot(epoch)\nplt.show()",
    "raise RuntimeError('this cell is not run')",
    "print(open('/etc/hostname').read())",
]
SGD = "def sgd(w, dw, config=None):\n    config = dict(config or {})\n" \
      "    config.setdefault('learning_rate', RATE)\n" \
      "    return w - config['learning_rate'] * dw, config"  # fmt: skip


def code(source, run=None, **more):
    return {"cell_type": "code", "execution_count": run, "metadata": {}, "outputs": [],
            "source": source, **more}  # fmt: skip


def text(source, kind="markdown"):
    return {"cell_type": kind, "metadata": {}, "source": source}


def notebook(*cells, language="python"):
    """Give a notebook of format 4; a plain string is a cell with code."""
    return json.dumps(
        {
            "cells": [code(cell) if isinstance(cell, str) else cell for cell in cells],
            "metadata": {"kernelspec": {"language": language, "name": language}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )


def functions(source):
    """Split a module's text into cells: the imports, then a function each."""
    head, *rest = source.strip("\n").split("\ndef ")
    return [head.strip("\n"), *(f"def {part}".strip("\n") for part in rest)]


def write(place, *cells, name="homework.ipynb", **options):
    (place / name).write_text(notebook(*cells, **options), encoding="utf-8")
    return place / name


def found(place, *cells):
    """Write a notebook, and give what the checker finds in it."""
    return find_submission(write(place, *cells))
