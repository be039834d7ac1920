"""Malicious and broken submissions: each costs its own cases only, and none wins a point by it."""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import handgrad
from handgrad.check import SubmissionError, check_submission
from handgrad.check.sandbox import containment
from handgrad.check.sandbox.runner import Runner

GOOD = """
import numpy as np

def fc_forward(x, w, b):
    return x.reshape(len(x), -1) @ w + b, (x, w)

def fc_backward(dout, cache):
    x, w = cache
    return (dout @ w.T).reshape(x.shape), x.reshape(len(x), -1).T @ dout, dout.sum(axis=0)

def relu_forward(x):
    return np.maximum(x, 0), x

def relu_backward(dout, cache):
    return dout * (cache > 0)
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the limits used here are Linux's")


def write(folder: Path, evil: str, good: str = GOOD) -> Path:
    """A good submission whose relu_backward first does something else."""
    path = folder / "layers.py"
    path.write_text(good + evil)
    return path


def by_function(path: Path, timeout: float = 5.0):
    """Status sets by function, of the groups that GOOD has."""
    report = check_submission(path, only=["fc", "relu"], timeout=timeout)
    statuses: dict[str, set[str]] = {}
    causes: dict[str, set[str | None]] = {}
    for case in report.cases:
        statuses.setdefault(case.function, set()).add(case.status)
        causes.setdefault(case.function, set()).add(case.diagnosis)
    return statuses, causes, report


def only_relu_backward_suffers(statuses, status="error"):
    for function in ("fc_forward", "fc_backward", "relu_forward"):
        assert statuses[function] == {"passed"}, function
    assert statuses["relu_backward"] == {status}


def evil(body: str, imports: str = "") -> str:
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return (
        f"\n{imports}\ndef relu_backward(dout, cache):\n{indented}\n    return dout * (cache > 0)\n"
    )


def test_good_submission_passes(tmp_path):
    statuses, _, _ = by_function(write(tmp_path, ""))
    assert all(found == {"passed"} for found in statuses.values())


@pytest.mark.parametrize(
    ("body", "cause", "said"),
    [
        ("import os; os._exit(0)", "crashed", "exit code 0"),
        ("import os; os._exit(3)", "crashed", "exit code 3"),
        ("import ctypes; ctypes.string_at(0)", "crashed", "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crashed", "SIGKILL"),
        ("raise SystemExit(0)", "crashed", "SystemExit"),
        ("raise KeyboardInterrupt", "raises", "KeyboardInterrupt"),
        ("def f(): f()\nf()", "raises", "RecursionError"),
        ("np.ones(10**11)", "memory", "MemoryError"),
    ],
)
@LINUX
def test_ending_costs_only_its_own_cases(tmp_path, body, cause, said):
    statuses, causes, report = by_function(write(tmp_path, evil(body)))
    only_relu_backward_suffers(statuses)
    assert causes["relu_backward"] == {cause}
    assert all(said in case.detail for case in report.cases if case.status != "passed")


@LINUX
def test_many_small_allocations_meet_the_memory_limit(tmp_path):
    body = "kept = []\nwhile True:\n    kept.append(np.empty(2**23))"
    path = write(tmp_path, evil(body))
    report = check_submission(path, only=["relu_backward"], case="gradient of x", timeout=60)
    assert [(case.status, case.diagnosis) for case in report.cases] == [("error", "memory")]


def test_endless_loop_meets_the_clock(tmp_path):
    started = time.monotonic()
    path = write(tmp_path, evil("while True: pass"))
    report = check_submission(path, only=["relu_backward"], case="gradient of x", timeout=0.5)
    assert [(case.status, case.diagnosis) for case in report.cases] == [("error", "timeout")]
    assert "0.5 seconds" in report.cases[0].detail
    assert time.monotonic() - started < 15


def test_a_function_that_hangs_is_not_waited_for_again_and_again(tmp_path):
    path = write(tmp_path, evil("while True: pass"))
    started = time.monotonic()
    report = check_submission(path, only=["relu"], timeout=0.5)
    wrong = [case for case in report.cases if case.status != "passed"]
    assert {case.function for case in wrong} == {"relu_backward"}
    assert {case.diagnosis for case in wrong} == {"timeout"}
    assert sum("not tried again" in case.detail for case in wrong) == len(wrong) - 2
    assert time.monotonic() - started < 20


def test_sleeping_meets_the_clock(tmp_path):
    path = write(tmp_path, evil("import time; time.sleep(60)"))
    report = check_submission(path, only=["relu_backward"], case="gradient of x", timeout=0.5)
    assert report.cases[0].diagnosis == "timeout"


@LINUX
def test_fork_bomb_makes_no_process_that_stays(tmp_path):
    body = "import os\nwhile True:\n    os.fork()"
    statuses, _, _ = by_function(write(tmp_path, evil(body)), timeout=1.0)
    only_relu_backward_suffers(statuses)
    assert children_of_child_script() == []


@LINUX
def test_other_programs_cannot_be_started(tmp_path):
    body = f"import subprocess\nsubprocess.run(['touch', {str(tmp_path / 'made')!r}])"
    statuses, _, _ = by_function(write(tmp_path, evil(body)))
    only_relu_backward_suffers(statuses)
    assert not (tmp_path / "made").exists()


def children_of_child_script() -> list[int]:
    """Processes that still run the checker's child script for this test process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except (OSError, IndexError):
                continue
            ours = any(word.endswith(b"check/sandbox/child.py") for word in words)
            if ours and parent == str(os.getpid()):
                found.append(int(entry.name))
    return found


def test_patching_numpy_stays_in_its_case(tmp_path):
    body = "np.maximum = np.zeros = np.asarray = lambda *a, **k: 1 / 0"
    statuses, _, _ = by_function(write(tmp_path, evil(body)))
    for function in ("fc_forward", "fc_backward", "relu_forward"):
        assert statuses[function] == {"passed"}


def test_patching_comparisons_wins_nothing(tmp_path):
    """The parent judges with its own NumPy: a case that breaks all comparisons still fails."""
    body = (
        "np.allclose = np.array_equal = lambda *a, **k: True\n"
        "np.abs = np.absolute = lambda x: np.zeros(1)\n"
        "return np.zeros_like(dout)"
    )
    report = check_submission(write(tmp_path, evil(body)), only=["relu_backward"])
    assert {case.status for case in report.cases if case.name == "gradient of x"} == {"failed"}


@LINUX
def test_forged_reply_is_judged_like_any_other(tmp_path):
    """Whatever is written into every open descriptor: it is data, and it is wrong."""
    body = """
import json, os
forged = [{"error": None, "values": {"dx": 1.0, "status": "passed", "passed": True}}] * 4
header = json.dumps({"d": [["variants", {"l": [
    {"d": [["error", None], ["values", {"d": [["dx", 1.0]]}]]}] * 4}]]}).encode()
message = len(header).to_bytes(8, "little") + header
for fd in range(3, 64):
    try:
        os.write(fd, message)
    except OSError:
        pass
os._exit(0)
"""
    statuses, _, report = by_function(write(tmp_path, evil(body)))
    for function in ("fc_forward", "fc_backward", "relu_forward"):
        assert statuses[function] == {"passed"}
    assert "passed" not in statuses["relu_backward"], [
        (case.name, case.status) for case in report.cases
    ]


@LINUX
def test_nonsense_in_the_channel_is_no_fault_of_the_checker(tmp_path):
    body = """
import os
for fd in range(3, 64):
    try:
        os.write(fd, bytes(range(256)) * 400)
    except OSError:
        pass
os._exit(0)
"""
    statuses, causes, _ = by_function(write(tmp_path, evil(body)))
    only_relu_backward_suffers(statuses)
    assert causes["relu_backward"] == {"crashed"}


def test_a_flood_in_the_channel_is_bounded(tmp_path):
    body = """
import os
while True:
    for fd in range(3, 16):
        try:
            os.write(fd, bytes(2**20))
        except OSError:
            pass
"""
    path = write(tmp_path, evil(body))
    report = check_submission(path, only=["relu_backward"], case="gradient of x", timeout=5)
    assert report.cases[0].status == "error"


STRANGE = (
    "10**5000", "'x' * 10**7", "object()", "[[[]]] * 3", "{1: 2}", "np.array(['a'])",
    "np.array([None])", "float('nan')", "lambda: 0", "np.zeros((0, 5))", "1 + 2j",
    "(dout,) * 3", "np.zeros((2,) * 20)", "True", "np.ma.array([1.0])", "10**9", "-0.0",
)  # fmt: skip


@pytest.mark.parametrize("value", STRANGE)
def test_strange_result_is_no_fault_of_the_checker(tmp_path, value):
    path = write(tmp_path, evil(f"return {value}"))
    report = check_submission(path, only=["relu_backward"], case="gradient of x")
    assert report.cases[0].status in ("failed", "error")


@LINUX
def test_answers_are_out_of_reach(tmp_path):
    """Neither by import, nor from the parent's memory, nor from handgrad's files."""
    source = Path(handgrad.__file__).parent / "check" / "session.py"
    body = f"""
import os, sys
won = []
sys.meta_path[:] = [finder for finder in sys.meta_path if "Handgrad" not in repr(finder)]
sys.path.insert(0, {str(source.parents[2])!r})
try:
    import handgrad.layers
    won.append("import")
except ImportError:
    pass
parent = os.getppid()
for pid in (parent, int(open(f"/proc/{{parent}}/stat").read().rpartition(")")[2].split()[1])):
    try:
        with open(f"/proc/{{pid}}/mem", "rb") as memory:
            start = int(open(f"/proc/{{pid}}/maps").readline().split("-")[0], 16)
            memory.seek(start)
            memory.read(16)
        won.append("memory")
    except OSError:
        pass
    try:
        os.kill(pid, 0)
        won.append("signal")
    except OSError:
        pass
raise RuntimeError("won: " + ",".join(won))
"""
    _, _, report = by_function(write(tmp_path, evil(body)))
    said = [case.detail for case in report.cases if case.function == "relu_backward"]
    with Runner(hidden=source.parents[1]) as runner:
        runner.start()
        hides_files = "answers" in runner.separated  # not in every container
    assert said
    for detail in said:
        won = re.search(r"won: (\S*) ?\(layers.py", detail)
        assert won is not None, detail
        assert won[1] == "" if hides_files else "memory" not in won[1] and "signal" not in won[1]


@LINUX
def test_no_network(tmp_path):
    body = "import socket\nsocket.create_connection(('127.0.0.1', 9), 1)"
    _, _, report = by_function(write(tmp_path, evil(body)))
    said = [case.detail for case in report.cases if case.function == "relu_backward"]
    assert all("PermissionError" in detail or "unreachable" in detail for detail in said), said[0]


def test_environment_holds_no_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_TOKEN", "secret-of-the-instructor")
    body = "import os\nraise RuntimeError(repr(sorted(os.environ.items())))"
    _, _, report = by_function(write(tmp_path, evil(body)))
    said = " ".join(case.detail for case in report.cases)
    assert "RuntimeError" in said
    assert "secret" not in said
    assert "COURSE_TOKEN" not in said


def test_printing_megabytes_is_swallowed(tmp_path, capfd):
    body = "import sys\nprint('x' * 10**7)\nsys.stderr.write('y' * 10**6)"
    statuses, _, _ = by_function(write(tmp_path, evil(body)))
    assert all(found == {"passed"} for found in statuses.values())
    assert capfd.readouterr() == ("", "")


def test_files_go_into_a_folder_that_vanishes(tmp_path, monkeypatch):
    body = "import os\nopen('note.txt', 'w').write('x' * 100)\nassert os.listdir('.')"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    statuses, _, _ = by_function(write(tmp_path, evil(body)))
    assert all(found == {"passed"} for found in statuses.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layers.py", "temporary"]
    assert list(temporary.iterdir()) == []
    assert not Path("note.txt").exists()


@LINUX
def test_one_case_cannot_spoil_the_next(tmp_path):
    """What a case overwrites, also its own copy of the source, the next case does not see."""
    body = """
import glob, os
for path in glob.glob("**/*.py", recursive=True) + glob.glob("../**/*.py", recursive=True):
    try:
        open(path, "w").write("raise RuntimeError")
    except OSError:
        pass
"""
    path = write(tmp_path, evil(body))
    before = path.read_text()
    statuses, _, _ = by_function(path)
    assert all(found == {"passed"} for found in statuses.values())
    assert path.read_text() == before


@LINUX
def test_a_big_file_meets_the_limit(tmp_path):
    body = "open('big', 'wb').write(bytes(2**26))"
    statuses, _, _ = by_function(write(tmp_path, evil(body)))
    only_relu_backward_suffers(statuses)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import os; os._exit(0)", "exit code 0"),
        ("raise RuntimeError('no')", "RuntimeError: no"),
        ("def broken(:", "SyntaxError"),
        ("import handgrad.layers", "cannot be imported by a submission"),
        ("raise SystemExit", "SystemExit"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(tmp_path, source, said):
    path = tmp_path / "layers.py"
    path.write_text(source)
    with pytest.raises(SubmissionError, match=r"layers\.py") as error:
        check_submission(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_all_but_the_child_imports_where_there_is_no_fork(tmp_path):
    """As on Windows: no resource, no fcntl, no fork; a process that cannot fork judges."""
    (tmp_path / "layers.py").write_text(GOOD)
    script = (
        "import importlib, os, pkgutil, sys\n"
        "sys.modules.update(resource=None, fcntl=None)\n"
        "import numpy\n"
        "import handgrad.check as check, handgrad.check.formats as formats\n"
        "for package in (check, formats):\n"
        "    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "del os.fork\n"
        "print(check.check_submission('layers.py', only=['fc']).passed)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "True\n", done.stderr


def test_seccomp_numbers_are_this_machine_s():
    """The filter's table is written by hand: the numbers of the calls that Python makes here."""
    if sys.platform != "linux":
        pytest.skip("seccomp is Linux's")
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); import containment\n"
        "assert containment.confine()\n"
        "import threading; t = threading.Thread(target=print, args=('thread',))\n"
        "t.start(); t.join()\n"
        "for name, do in [('fork', os.fork), ('kill', lambda: os.kill(os.getppid(), 0)),\n"
        "                 ('exec', lambda: os.execv('/bin/true', ['true']))]:\n"
        "    try: do(); print(name, 'allowed')\n"
        "    except PermissionError: print(name, 'refused')\n"
        "os.kill(os.getpid(), 0); print('self allowed')\n"
    )
    folder = Path(containment.__file__).parent
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split("\n")[:5] == [
        "thread", "fork refused", "kill refused", "exec refused", "self allowed",
    ], done.stderr  # fmt: skip
