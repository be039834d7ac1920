"""Small submissions, right and wrong, and how the tests run `handgrad check` on them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import handgrad
from handgrad.cli import cli
from handgrad.errors import HandgradError

FAST = ("--only", "fc,relu")

GOOD = """
import numpy as np

def fc_forward(x, w, b):
    return x.reshape(len(x), -1) @ w + b, (x, w)

def fc_backward(dout, cache):
    x, w = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(len(x), -1).T @ dout
    db = dout.sum(axis=0)
    return dx, dw, db

def relu_forward(x):
    return np.maximum(x, 0), x

def relu_backward(dout, cache):
    return dout * (cache > 0)
"""
# Three mistakes: each a line of GOOD and what is there instead.
PLANTED = [
    ("dw = x.reshape(len(x), -1).T @ dout", "dw = x.reshape(len(x), -1).T @ dout / len(x)"),
    ("db = dout.sum(axis=0)", "db = -dout.sum(axis=0)"),
    ("return dout * (cache > 0)", "return dout * (cache >= 0)"),
]


def spoilt(*mistakes):
    text = GOOD
    for right, wrong in mistakes:
        assert right in text
        text = text.replace(right, wrong)
    return text


def environment(**variables):
    source = str(Path(handgrad.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": source, "NO_COLOR": "1", **variables}


def words(*arguments):
    return [sys.executable, "-P", "-m", "handgrad", "check", *map(str, arguments)]


def called(place, *arguments, code=0, seconds=60):
    """Run the command in a folder; it must end with this exit code and without a traceback."""
    result = subprocess.run(
        words(*arguments),
        cwd=place,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result


def ran(place, *arguments, code=0):
    """Run the same command in this process: a start takes longer than most checks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        result = CliRunner().invoke(cli, ["check", *map(str, arguments)], standalone_mode=False)
    if isinstance(result.exception, click.ClickException | HandgradError):
        assert (code, result.stdout) == (2, "")
        return getattr(result.exception, "message", str(result.exception))
    assert (result.exception, result.return_value) == (None, code)
    return result.stdout


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
