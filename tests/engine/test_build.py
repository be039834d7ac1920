"""The engine's build: compilers, what happens without one, and what is said then."""

import os
import re
import subprocess
import sys
import textwrap
from ctypes import c_int32
from pathlib import Path
from typing import ClassVar

import pytest
from engines import LEVELS, needs_the_engine

from handgrad.engine import build, library
from handgrad.errors import EngineError, ResultsError
from handgrad.reproduce.folder import opened


def python(code, **environment):
    """Run code in a new process."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HANDGRAD_", "CC"))}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=inherited | environment,
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


TRAINS = """
    import numpy as np
    from handgrad import engine
    from handgrad.engine import library
    from handgrad.network import Dense, Network
    from handgrad.solver import Solver
    X, y = np.arange(12.0).reshape(6, 2), np.arange(6) % 2
    rows = {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    for _ in range(2):
        network = Network([Dense(2)], (2,), rng=np.random.default_rng(0))
        solver = Solver(network, rows, "adam", rng=np.random.default_rng(0))
        solver.train()
    assert np.allclose(engine.scores(network, X), network.loss(X))
    print(library.level(), type(solver._stepper).__name__)
"""


def test_without_the_engine_the_layers_train_and_one_line_says_so(tmp_path):
    run = python(TRAINS, HANDGRAD_LIBRARIES=str(tmp_path))
    assert run.stdout.split() == ["None", "Readable"]
    (line,) = run.stderr.splitlines()
    assert "it was installed without its engine" in line
    assert "pip install ziglang" in line
    chosen = python(TRAINS, HANDGRAD_LIBRARIES=str(tmp_path), HANDGRAD_ENGINE="layers")
    assert (chosen.stdout.split(), chosen.stderr) == (["None", "Readable"], "")


@needs_the_engine
def test_the_level_is_one_that_the_processor_can_run():
    assert library.level() in build.levels()
    run = python(TRAINS)
    assert run.stdout.split() == [str(library.level()), "EngineStepper"]
    assert run.stderr == ""


def test_a_compiler_that_fails_is_told_of_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "false")
    with pytest.raises(build.NoCompilerError, match=r"^false: "):
        build.build(tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("CC", str(tmp_path / "none"))
    with pytest.raises(build.NoCompilerError, match="No such file"):
        build.build(tmp_path)


def test_compilers_are_tried_in_turn(monkeypatch):
    monkeypatch.setenv("CC", "ccache gcc")
    assert build.compiler() == ["ccache", "gcc"]
    monkeypatch.delenv("CC")
    monkeypatch.setattr(build.shutil, "which", {"clang": "/bin/clang"}.get)
    assert build.compiler() == ["clang"]
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: object())
    assert build.compiler() == [sys.executable, "-m", "ziglang", "cc"]
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(build.NoCompilerError, match="no C compiler"):
        build.compiler()


@needs_the_engine
def test_the_sources_compile_without_a_warning(tmp_path, monkeypatch):
    """One level, both dtypes, as CI builds them."""
    try:
        build.compiler()
    except build.NoCompilerError as error:
        pytest.skip(str(error))
    highest = max(build.levels())
    monkeypatch.setattr(build, "levels", lambda: {highest: (build.LEVELS | {1: []})[highest]})
    monkeypatch.setattr(build, "OPTIONS", ["-O1" if o == "-O3" else o for o in build.OPTIONS])
    monkeypatch.setenv("HANDGRAD_CFLAGS", "-Wall -Wextra -Werror")
    assert len(build.build(tmp_path)) == 2


@needs_the_engine
def test_a_library_of_other_sources_is_refused(monkeypatch):
    """By the sizes of what crosses the door: a field too many would shift all behind it."""

    class Longer(library.Call):
        _fields_: ClassVar = [("more", c_int32)]

    monkeypatch.setattr(library, "Call", Longer)
    with pytest.raises(EngineError, match="compiled from other sources than these; install"):
        library._opened.__wrapped__(LEVELS[0], "float")


def test_a_reproduction_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with (
        pytest.raises(ResultsError, match=r"reproduce needs locks and signals that only a POSIX"),
        opened(tmp_path / "results", profile="smoke", seed=0),
    ):
        pass
    assert not (tmp_path / "results").exists()


def test_the_package_ziglang_is_asked_in_its_own_words(tmp_path, monkeypatch):
    """Its -march takes the dashes of x86-64-v3 for features to leave out (ziglang 0.17.1)."""
    asked = []

    def run(command, **_):
        asked.append(command)
        Path(command[command.index("-o") + 1]).touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setenv("CC", f"{sys.executable} -m ziglang cc")
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(build.subprocess, "run", run)
    build.build(tmp_path)
    assert len(asked) == 6
    assert not any(option.startswith("-march") for command in asked for option in command)
    assert {option for c in asked for option in c if "mcpu" in option} == {
        f"-mcpu=x86_64_v{level}" for level in (2, 3, 4)
    }


@needs_the_engine
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells the flags on Linux alone")
def test_the_level_is_what_the_kernel_says_of_the_processor():
    if not re.search(r"^flags", Path("/proc/cpuinfo").read_text(), re.M):
        pytest.skip("no x86 processor")
    flags = set(
        re.findall(r"^flags\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)[0].split()
    )
    wanted = 2
    if {"avx2", "fma", "movbe", "f16c", "abm", "bmi1", "bmi2"} <= flags:
        wanted = 3
        if {f"avx512{name}" for name in ("f", "dq", "cd", "bw", "vl")} <= flags:
            wanted = 4
    assert library.level() == wanted
