"""What a release of NumPy changed is told from a mistake; run by every Python that has a NumPy."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from check_runs import GOOD

from handgrad.check import SubmissionError, check_submission
from handgrad.check.sandbox import failures
from handgrad.check.verdict.releases import changed_by_numpy, changes

# Further interpreters to try, separated as in PATH: those of environments with other NumPys.
MORE = "HANDGRAD_TEST_PYTHONS"
PYTHONS = ["python3.11", "python3.12", "python3.13", "python3.14", "python3.15"]

# Runs each code in a file of its own and says which exception it raised, as the child would.
SCRIPT = """
import contextlib, importlib.util, io, json, sys, warnings
spec = importlib.util.spec_from_file_location("failures", sys.argv[1])
failures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(failures)
import numpy
found = {}
for name, path, strict in json.load(sys.stdin):
    warnings.simplefilter("error" if strict else "ignore")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(open(path).read(), path, "exec"), {"np": numpy})
        found[name] = None
    except BaseException as error:
        found[name] = failures.described(error)
print(json.dumps([numpy.__version__, found]))
"""


def interpreters():
    found = [sys.executable, *PYTHONS, *filter(None, os.environ.get(MORE, "").split(os.pathsep))]
    return list(dict.fromkeys(found))


def raised(python, codes, folder):
    """Run codes by another Python: its NumPy's version, and what each raised."""
    where = shutil.which(python)
    if where is None:
        pytest.skip(f"there is no {python} here")
    if subprocess.run([where, "-c", "import numpy"], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} has no NumPy")
    asked = []
    for name, (code, strict) in codes.items():
        path = folder / f"{name}.py"
        path.write_text(code)
        asked.append([name, str(path), strict])
    done = subprocess.run(
        [where, "-c", SCRIPT, failures.__file__], input=json.dumps(asked),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout)


def number(release):
    return tuple(int(part) for part in re.findall(r"\d+", release)[:2])


@pytest.mark.parametrize("python", interpreters())
def test_every_change_is_what_that_numpy_does(python, tmp_path):
    codes = {c.name: (c.example, c.error == "DeprecationWarning") for c in changes()}
    version, found = raised(python, codes, tmp_path)
    assert set(found) == set(codes)
    for change in changes():
        error = found[change.name]
        if number(version) >= number(change.release):
            assert error is not None, (change.name, version)
            assert changed_by_numpy(error) == change.said(error) != "", (change.name, error)
            assert f"NumPy {change.release} changed this" in change.said(error)
        elif error is not None:  # an older NumPy lets it pass, or warns in words of its own
            assert change.said(error) == "" or error["type"] == "DeprecationWarning", change.name


MISTAKES = {
    "two elements": "float(np.ones(2))",
    "a row into an element": "x = np.zeros(3)\nx[0] = np.ones(2)",
    "a name that never was": "np.sofmax(np.ones(3))",
    "a wrong shape": "np.ones((2, 3)) @ np.ones((2, 3))",
}


@pytest.mark.parametrize("python", interpreters())
def test_a_mistake_is_no_change_of_numpy_s(python, tmp_path):
    _, found = raised(python, {name: (code, False) for name, code in MISTAKES.items()}, tmp_path)
    for name, error in found.items():
        assert error is not None, name
        assert changed_by_numpy(error) == "", name


def submission(folder, right, instead, head=""):
    assert right in GOOD
    path = Path(folder) / "layers.py"
    path.write_text(head + GOOD.replace(right, instead))
    return path


def test_a_submission_of_an_older_numpy_is_told_so(tmp_path):
    path = submission(
        tmp_path, "    return dout * (cache > 0)", "    return dout * (cache > 0).astype(np.float_)"
    )
    report = check_submission(path, only=["relu"])
    bad = [case for case in report.cases if case.status != "passed"]
    assert {case.function for case in bad} == {"relu_backward"}
    assert {(case.status, case.diagnosis) for case in bad} == {("error", "numpy-changed")}
    assert "NumPy 2.0 changed this: np.float_ is gone; cure: `np.float64`" in bad[0].detail
    assert "no mistake in the maths" in bad[0].detail


def test_an_import_that_fails_for_it_says_so(tmp_path):
    path = submission(tmp_path, "import numpy as np", "import numpy as np\nZERO = np.NINF")
    with pytest.raises(SubmissionError, match=r"NumPy 2\.0 changed this: np\.NINF is gone"):
        check_submission(path, only=["relu"])
