"""Notebooks as their file has them, made from cells' texts."""

import json


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
