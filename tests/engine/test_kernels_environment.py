"""Which kernels are used, and what keeps compiled ones from it: read-only folders, settings."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_engines import ENGINES, compiled, needs_numba

import handgrad
from handgrad.engine import kernels
from handgrad.errors import KernelsError, ResultsError
from handgrad.reproduce.folder import opened

TESTS = Path(__file__).parents[1]
SETTINGS = ("HANDGRAD_KERNELS", "NUMBA_", "XDG_CACHE_HOME", "PYTHONWARNINGS", "PYTHONPATH")


def python(code, cwd=None, **environment):
    """Run code in a new process, with none of the settings that matter here but those given."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(SETTINGS)}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
    )


def warned(run):
    """The RuntimeWarnings that a process has printed."""
    assert run.returncode == 0, run.stderr
    return [line for line in run.stderr.splitlines() if "RuntimeWarning" in line]


# the choice -----------------------------------------------------------------------------------

ENGINE = "from handgrad.engine import kernels; print(kernels.engine())"
BLOCKED = "import sys; sys.modules['numba'] = None; "
# One kernel by hand, and the engine that made it.
COMPUTES = """
import numpy as np
from handgrad.engine import kernels
out = kernels.swap_last_axes(np.arange(6.0).reshape(1, 2, 3))
assert out.tolist() == [[[0, 3], [1, 4], [2, 5]]], out
loss, dx = kernels.softmax(np.zeros((2, 4)), np.array([1, 2]))
assert abs(loss - np.log(4)) < 1e-12 and abs(dx[0, 1] + 0.375) < 1e-12, (loss, dx)
print(kernels.engine())
"""


def test_the_engine_is_numba_if_installed_and_can_be_forced():
    found = python(ENGINE)
    assert (found.stdout.strip(), warned(found)) == ("numpy" if compiled is None else "numba", [])
    for code, environment in ((ENGINE, {"HANDGRAD_KERNELS": "numpy"}), (BLOCKED + ENGINE, {})):
        plain = python(code, **environment)
        assert (plain.stdout.strip(), warned(plain)) == ("numpy", [])  # it is no fault
    refused = python(ENGINE, HANDGRAD_KERNELS="cuda")
    assert "KernelsError: HANDGRAD_KERNELS must be numba or numpy; got 'cuda'" in refused.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ImportError("Numba needs NumPy 2.4 or less.\n  Got 2.9."), "2.4 or less. Got 2.9."),
        (AttributeError("no attribute 'add_symbol'"), "AttributeError: no attribute 'add_symbol'"),
        (OSError("libLLVM.so: cannot open"), "OSError: libLLVM.so: cannot open"),
        (ModuleNotFoundError("No module named 'llvmlite'", name="llvmlite"), "named 'llvmlite'"),
        (SystemError("initialization of _internal failed"), "initialization of _internal failed"),
    ],
)
def test_whatever_numba_refuses_ends_in_plain_numpy_and_one_line(monkeypatch, error, said):
    load = kernels.load

    def refused(name):
        if name == "numba":
            raise error
        return load(name)

    monkeypatch.setattr(kernels, "load", refused)
    monkeypatch.delenv("HANDGRAD_KERNELS", raising=False)
    with pytest.warns(RuntimeWarning, match="computes in plain NumPy") as caught:
        assert kernels._choose() is load("numpy")
    (warning,) = caught
    assert said in str(warning.message)
    assert "\n" not in str(warning.message)
    monkeypatch.setenv("HANDGRAD_KERNELS", "numba")
    with pytest.raises(KernelsError, match="HANDGRAD_KERNELS is numba, but Numba") as refusal:
        kernels._choose()
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_numba_is_said_where_it_was_asked_for():
    run = python(BLOCKED + ENGINE, HANDGRAD_KERNELS="numba")
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("handgrad.errors.KernelsError: HANDGRAD_KERNELS is numba, but Numba ")


@needs_numba
@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("NUMBA_DISABLE_JIT", "1", "NUMBA_DISABLE_JIT is set"),
        ("NUMBA_NUM_THREADS", "0", "threads"),
        ("NUMBA_CPU_FEATURES", "avx2", "NUMBA_CPU_FEATURES: each begins with + or -; got 'avx2'"),
    ],
)
def test_settings_with_which_nothing_can_be_compiled(setting, value, said):
    run = python(COMPUTES, **{setting: value})
    (line,) = warned(run)
    assert "handgrad computes in plain NumPy" in line
    assert said in line
    assert run.stdout.strip() == "numpy"
    forced = python(COMPUTES, HANDGRAD_KERNELS="numba", **{setting: value})
    assert forced.returncode == 1
    last = forced.stderr.strip().splitlines()[-1]
    assert "HANDGRAD_KERNELS is numba, but Numba cannot be used" in last
    assert said in last


@needs_numba
def test_without_numbas_threads_one_computes_all_parts(tmp_path):
    code = """
import numpy as np
from threadpoolctl import threadpool_limits
from handgrad.engine import kernels
with threadpool_limits(2, user_api="blas"):
    x = np.arange(2.0**18).reshape(1, 2, -1)
    assert (kernels.swap_last_axes(x) == x.transpose(0, 2, 1)).all()
    assert (kernels.swap_last_axes(x) == x.transpose(0, 2, 1)).all()
print(kernels.engine())
"""
    run = python(code, NUMBA_THREADING_LAYER="bogus", NUMBA_CACHE_DIR=str(tmp_path))
    (line,) = warned(run)
    assert "handgrad uses one thread" in line
    assert "'bogus'" in line
    assert run.stdout.strip() == "numba"


@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
def test_each_engine_has_every_kernel(engine):
    assert [name for name in kernels.KERNELS if not callable(getattr(engine, name, None))] == []


def test_numba_is_not_imported_before_it_is_needed():
    code = (
        "import sys, handgrad.cnn, handgrad.solver, handgrad.layers; "
        "assert 'numba' not in sys.modules"
    )
    assert python(code).returncode == 0


@needs_numba
def test_the_core_of_the_suite_passes_without_numba():
    """Networks, their gradients, the Solver and its checkpoints, in plain NumPy."""
    code = (
        f"{BLOCKED}import pytest; "
        "sys.exit(pytest.main(['-q', '-n', '0', '-p', 'no:cacheprovider', "
        "'networks', 'engine/test_dense_training.py', 'training/test_solver.py', "
        "'layers/test_layers_conv.py']))"
    )
    run = python(code, cwd=TESTS)
    assert run.returncode == 0, run.stdout[-2000:]


# where compiled code is kept ------------------------------------------------------------------


def copied(place):
    """A copy of the package without its compiled code."""
    shutil.copytree(
        Path(handgrad.__file__).parent,
        place / "handgrad",
        ignore=shutil.ignore_patterns("__pycache__", "sample", "vgg", "reproduce", "check"),
    )
    return place / "handgrad"


@pytest.fixture
def read_only(tmp_path):
    """A copy of the package in a folder that cannot be written; it can be afterwards."""
    copied(tmp_path)
    folders = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    above = [folder for folder in tmp_path.parents if folder.stat().st_uid == os.geteuid()]
    modes = [(folder, folder.stat().st_mode) for folder in above]
    for folder, mode in modes:
        folder.chmod(mode | 0o011)  # for others to pass through
    yield tmp_path
    for folder, mode in modes:
        folder.chmod(mode)
    for folder in folders:
        folder.chmod(0o755)


# Root's process, begun again as one to which permissions matter.
LIKE_OTHERS = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
if ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) != 0:
    sys.exit("no capability to drop capabilities")
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""
# A user of whom the system knows nothing, and who may read everything: Python may lie in root's.
UNKNOWN = """
import ctypes, os
PR_SET_KEEPCAPS, VERSION_3, CAP_DAC_READ_SEARCH = 8, 0x20080522, 2
libc = ctypes.CDLL(None)
libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
os.setgroups([]), os.setgid(54321), os.setuid(54321)
may = 1 << CAP_DAC_READ_SEARCH
libc.capset((ctypes.c_uint32 * 2)(VERSION_3, 0), (ctypes.c_uint32 * 6)(may, may))
for name in ("HOME", "USER", "LOGNAME"):
    os.environ.pop(name, None)
"""
FROM_HERE = """
import os, handgrad
assert handgrad.__file__.startswith(os.getcwd()), handgrad.__file__
"""


def nothing_can_be_written(code, folder, **environment):
    """Run code there; nothing can be written there, and there is no other place."""
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    run = python(code, cwd=folder, **environment)
    (line,) = warned(run)
    assert "compiles its kernels in each process" in line
    assert "neither the package's folder nor the user's cache can be written" in line
    assert "NUMBA_CACHE_DIR" in line
    assert run.stdout.strip() == "numba"


@needs_numba
@pytest.mark.parametrize("engine", ["", "numba"])
def test_where_nothing_can_be_written_each_process_compiles(read_only, engine):
    code = FROM_HERE + COMPUTES
    if os.geteuid() == 0:
        if not sys.platform.startswith("linux"):
            pytest.skip("root may write anywhere")
        probe = python(LIKE_OTHERS.replace("*sys.argv[1:]", "'0'"))
        if probe.returncode:
            pytest.skip(f"root may write anywhere: {probe.stderr.strip()}")
        code = LIKE_OTHERS.replace("*sys.argv[1:]", repr(code))
    nothing_can_be_written(code, read_only, XDG_CACHE_HOME=str(read_only), HANDGRAD_KERNELS=engine)


@needs_numba
def test_a_user_without_a_home_compiles_in_each_process(read_only):
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("only root can become another user, and read Python's files still on Linux")
    if python(UNKNOWN + "import numba").returncode:
        pytest.skip("other users cannot read this Python's files")
    nothing_can_be_written(UNKNOWN + FROM_HERE + COMPUTES, read_only)


@needs_numba
def test_a_folder_named_for_compiled_code_is_used(tmp_path):
    package = copied(tmp_path)
    for path in (package / "engine" / "kernels").glob("*"):
        assert path.suffix != ".nbi"
    place = tmp_path / "compiled"
    for hits in ("0", "1"):
        counted = COMPUTES + (
            "from handgrad.engine.kernels import dense\n"
            "print(sum(dense.swap_part.stats.cache_hits.values()))"
        )
        run = python(counted, cwd=tmp_path, NUMBA_CACHE_DIR=str(place))
        assert (run.stdout.split(), warned(run)) == (["numba", hits], [])
    assert list(place.rglob("*.nbc"))
    assert not list(package.rglob("*.nb?"))


@needs_numba
@pytest.mark.parametrize("damage", [b"", b"no pickle", b"\x80\x04\x95"])
def test_damaged_code_on_disk_is_compiled_again(tmp_path, damage):
    place = {"NUMBA_CACHE_DIR": str(tmp_path)}
    assert python(COMPUTES, **place).stdout.strip() == "numba"
    for pattern in ("*.nbc", "*.nbi"):
        files = list(tmp_path.rglob(pattern))
        assert files
        for file in files:
            file.write_bytes(damage)
        run = python(COMPUTES, **place)
        assert (run.stdout.strip(), warned(run)) == ("numba", [])
        assert all(file.read_bytes() != damage for file in files)


@needs_numba
def test_a_full_disk_is_said_once():
    code = """
import errno, os
from handgrad.engine.kernels import blas
def full(self, path):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
blas._CacheFile._open_for_write = full
blas._CacheFile.load = lambda self, key: None
"""
    run = python(code + COMPUTES)
    (line,) = warned(run)
    assert f"cannot be kept: {os.strerror(28)}; NUMBA_CACHE_DIR" in line
    assert run.stdout.strip() == "numba"


@needs_numba
def test_code_of_changed_kernels_is_not_taken_from_disk(tmp_path):
    """The kernels call and inline each other: a change in one file makes all of them compile."""
    package = copied(tmp_path)
    script = """
import numpy as np
from handgrad.engine.kernels import dense
x = np.arange(6.0, dtype=np.float32).reshape(1, 2, 3)
out = np.empty((1, 3, 2), np.float32)
dense.swap_part(0, 1, x, out)
print(out.ravel().tolist(), sum(dense.swap_part.stats.cache_hits.values()))
"""

    def run():
        done = python(script, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run() == "[0.0, 3.0, 1.0, 4.0, 2.0, 5.0] 0"
    assert run() == "[0.0, 3.0, 1.0, 4.0, 2.0, 5.0] 1"
    inlined = package / "engine" / "kernels" / "vectors.py"  # swap_part is in dense.py
    text = inlined.read_text(encoding="utf-8")
    changed = "b[b0 + j * ldb + i] = a[a0 + i * lda + j]\n"
    assert text.count("            " + changed) == 1
    inlined.write_text(
        text.replace("            " + changed, "            " + changed.rstrip() + " + 1\n")
    )
    assert run() == "[1.0, 4.0, 2.0, 5.0, 3.0, 6.0] 0"


# platforms ------------------------------------------------------------------------------------

# What Python has on POSIX systems alone.
WITHOUT_POSIX = """
import importlib, os, pkgutil, signal, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios", "pty", "syslog"):
    sys.modules[name] = None
for name in ("register_at_fork", "fork", "setuid", "getuid", "geteuid", "killpg", "setsid"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("pthread_sigmask", "SIGKILL", "setitimer", "SIGALRM"):
    if hasattr(signal, name):
        delattr(signal, name)
failed = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append(f"{name}: {type(error).__name__}: {error}")
print("\\n".join(failed))
"""


def test_a_reproduction_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with (
        pytest.raises(ResultsError, match=r"reproduce needs locks and signals that only a POSIX"),
        opened(tmp_path / "results", profile="smoke", seed=0),
    ):
        pass
    assert not (tmp_path / "results").exists()
