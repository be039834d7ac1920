"""C files that tests have written: compiled strictly, then called or run."""

import ctypes
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)] or (
    ["cc"] if shutil.which("cc") else []
)
needs_a_compiler = pytest.mark.skipif(not COMPILERS, reason="no C compiler (cc, gcc or clang)")

_count = itertools.count()
_POINTER = ctypes.POINTER(ctypes.c_float)


def compiled(source: Path, *flags: str, compiler: str | None = None) -> Path:
    """Compile to a shared library of a name that was not there before (loaders keep the old)."""
    library = source.with_name(f"{source.stem}-{next(_count)}.so")
    command = [compiler or COMPILERS[0], *STRICT, *(flags or ("-O2",)), "-shared", "-fPIC"]
    subprocess.run([*command, "-o", library, source, "-lm"], check=True)
    return library


def predictions(library: Path, X: np.ndarray, outputs: int, name: str = "predict") -> np.ndarray:
    """Call the library's function on each row; outputs are guarded by a number behind them."""
    function = getattr(ctypes.CDLL(str(library)), name)
    function.argtypes, function.restype = [_POINTER, _POINTER], None
    X = np.ascontiguousarray(X.reshape(len(X), -1), np.float32)
    out = np.full((len(X), outputs + 1), 77.0, np.float32)
    for row, made in zip(X, out, strict=True):
        function(row.ctypes.data_as(_POINTER), made.ctypes.data_as(_POINTER))
    assert (out[:, -1] == 77).all()
    return out[:, :-1]


_MAIN = """
#include <stdio.h>
#include "{stem}.h"

int main(void)
{{
    static float x[{inputs}], out[{outputs}];
    while (fread(x, sizeof x, 1, stdin) == 1) {{
        predict(x, out);
        fwrite(out, sizeof out, 1, stdout);
    }}
    return 0;
}}
"""


def program(source: Path, inputs: int, outputs: int, *flags: str) -> Path:
    """Compile a program that reads rows of floats and writes rows of floats."""
    main = source.with_name(f"{source.stem}_main.c")
    main.write_text(_MAIN.format(stem=source.stem, inputs=inputs, outputs=outputs))
    made = source.with_name(f"{source.stem}_program")
    command = [COMPILERS[0], *STRICT, *(flags or ("-O3",)), "-o", made, main, source, "-lm"]
    subprocess.run(command, check=True)
    return made


def run(made: Path, X: np.ndarray, outputs: int) -> np.ndarray:
    """Run a program on rows, in an empty environment: nothing of handgrad is in reach."""
    given = np.ascontiguousarray(X, np.float32).tobytes()
    environment = {"ASAN_OPTIONS": "detect_leaks=0", "PATH": os.defpath}
    done = subprocess.run(
        [made], input=given, capture_output=True, check=False, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, np.float32).reshape(len(X), outputs)
