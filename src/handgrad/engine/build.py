"""Compile the engine: one shared library for each processor level and dtype, from csrc/*.c.

Standard library only: the build hook loads this file before the package is installed. By hand,
after a change to the sources: ``python src/handgrad/engine/build.py``. $CC chooses the compiler,
$HANDGRAD_CFLAGS adds to its options,
and an argument names another folder.
"""

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCES = Path(__file__).parent / "csrc"
# $HANDGRAD_LIBRARIES is for the tests, which run with sanitizers, too.
LIBRARIES = Path(os.environ.get("HANDGRAD_LIBRARIES") or Path(__file__).parent / "lib")

# Level to what a compiler calls it. What hg_level() in network.c gives is such a number.
LEVELS = {
    4: ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    3: ["-march=x86-64-v3"],
    2: ["-march=x86-64-v2"],
}
OPTIONS = [
    # No -ffast-math: NaN and infinity keep their meaning, and sums their order.
    *("-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"),
    *("-fPIC", "-shared", "-pthread", "-fvisibility=hidden"),
]


class NoCompilerError(Exception):
    """There is no C compiler, or it cannot compile the engine."""


def levels() -> dict[int, list[str]]:
    """Levels of this machine's family of processors, with the compiler's options."""
    return LEVELS if platform.machine().lower() in ("x86_64", "amd64") else {1: []}


def library(level: int, real: str, folder: Path = LIBRARIES) -> Path:
    """Where the library of a level and a dtype, float or double, lies."""
    return folder / f"handgrad-{platform.machine().lower()}-{level}-{real}.so"


def compiler() -> list[str]:
    """Give the command of a C compiler: $CC, cc, gcc or clang, else that of the package ziglang.

    Raises
    ------
    NoCompilerError
        If there is none.
    """
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise NoCompilerError("there is no C compiler (cc, gcc, clang, or the package ziglang)")


def build(folder: Path = LIBRARIES) -> list[Path]:
    """Compile all libraries into a folder, as many at a time as there are processors.

    Raises
    ------
    NoCompilerError
        If that cannot be done; nothing is left then.
    """
    command = compiler()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(level, real) for level in levels() for real in ("float", "double")]

    def one(level: int, real: str) -> Path:
        path = library(level, real, folder)
        new = path.with_suffix(f".{os.getpid()}")
        more = shlex.split(os.environ.get("HANDGRAD_CFLAGS", ""))
        of_level = levels()[level]
        if "ziglang" in command:  # it takes the dashes of a name for features to leave out
            of_level = [o.replace("-march=x86-64-v", "-mcpu=x86_64_v") for o in of_level]
            of_level.append("-s")  # it adds what debuggers read
        options = [*OPTIONS, *of_level, f"-DREAL={real}", *more]
        sources = [str(source) for source in sorted(SOURCES.glob("*.c"))]
        done = subprocess.run(
            [*command, *options, *sources, "-o", str(new), "-lm"],
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        if done.returncode != 0:
            new.unlink(missing_ok=True)
            raise NoCompilerError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
        new.replace(path)
        return path

    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda pair: one(*pair), wanted))
    except (NoCompilerError, OSError) as error:
        for level, real in wanted:
            library(level, real, folder).unlink(missing_ok=True)
        raise NoCompilerError(str(error)) from error


if __name__ == "__main__":
    for built in build(*map(Path, sys.argv[1:])):
        print(built)
