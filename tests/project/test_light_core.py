"""What `pip install handgrad` brings: four libraries; what needs more says so in one line."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import children
import numpy as np
import pytest
import without_extras
from pictures_fakes import class_folder

from handgrad.errors import MissingExtraError, need

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What a library is installed as, where that is not what it is imported as.
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn"}


def names(requirements):
    return {line.split(">=")[0] for line in requirements}


def test_four_libraries_are_needed():
    assert names(PROJECT["dependencies"]) == {"numpy", "click", "rich", "safetensors"}


@pytest.mark.parametrize(
    "code",
    [
        "import handgrad.network",
        "import handgrad.solver, handgrad.engine, handgrad.layers, handgrad.gradcheck",
        "import handgrad.datasets, handgrad.images, handgrad.selection, handgrad.reproduce",
        "from handgrad.cli import cli; cli.main(['--help'], standalone_mode=False)",
        "from handgrad.cli import cli; cli.main(['check', '--help'], standalone_mode=False)",
    ],
)
def test_no_library_of_an_extra_is_loaded(code):
    told = f"{code}\nimport sys\nprint(sorted({set(without_extras.EXTRAS)} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def handgrad(tmp_path, *words):
    """Run a command where no extra is installed and nothing is to be found; one line of errors."""
    env = {**children.importing(__file__), "HANDGRAD_CACHE": str(tmp_path / "cache")}
    env |= {"PATH": str(tmp_path), "HOME": str(tmp_path), "KERAS_HOME": str(tmp_path)}
    return subprocess.run(
        [sys.executable, without_extras.__file__, *map(str, words)],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "t.csv", "--target", "y"], "CSV files need pandas, which is not installed; "
         "`pip install 'handgrad[tables]'` brings it"),
        (["train", "pets"], "reading pictures needs PIL, which is not installed; "
         "`pip install 'handgrad[images]'` brings it"),
        (["train", "t.npz", "--target", "y", "--search", "2"],
         "--search needs optuna, which is not installed; "
         "`pip install 'handgrad[search]'` brings it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_ones_own_data_name_their_extra(tmp_path, words, said):
    pytest.importorskip("PIL", reason="Pillow (the extra 'images') is not installed")
    (tmp_path / "t.csv").write_text("a,y\n" + "1,2\n3,4\n" * 20)
    np.savez(tmp_path / "t.npz", X=np.arange(80.0).reshape(40, 2), y=np.arange(40) % 2)
    class_folder(tmp_path / "pets", count=20)
    done = handgrad(tmp_path, *words, "--out", "out")
    assert (done.returncode, done.stderr) == (2, f"handgrad: error: {said}\n")


def test_arrays_train_and_predict_without_an_extra(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    np.savez(tmp_path / "t.npz", X=rng.standard_normal((80, 3)) + 3 * y[:, None], y=y)
    done = handgrad(tmp_path, "train", "t.npz", "--target", "y", "--time", "2", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "no report: jinja2, matplotlib not installed" in done.stdout + done.stderr
    done = handgrad(tmp_path, "predict", "out/model.safetensors", "t.npz")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 81


RIGHT = "import numpy as np\ndef relu_forward(x):\n    return np.maximum(x, 0), x\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "layers.py", "--format", "html"],
         "a page of `handgrad check` needs jinja2, which is not installed; "
         "`pip install 'handgrad[html]'` brings it"),
        (["check", ".", "--batch", "pages"], "`pip install 'handgrad[html]'` brings it"),
        (["report", "."], "`pip install 'handgrad[report]'` brings what it needs"),
        (["data", "fetch", "--only", "mnist"],
         "a download over HTTPS needs pooch, which is not installed; "
         "`pip install 'handgrad[fetch]'` brings it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_command_that_needs_an_extra_says_so_in_one_line(tmp_path, words, said):
    (tmp_path / "layers.py").write_text(RIGHT)
    (tmp_path / "results.json").write_text("{}")
    done = handgrad(tmp_path, *words)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("handgrad: error: ")
    assert said in line


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["data", "status"], 0),
        (["check", "layers.py", "--only", "relu_forward"], 0),
        (["reproduce", "--profile", "smoke", "--questions", "2", "--offline", "--jobs", "1"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_that_needs_none_runs_without(tmp_path, words, code):
    (tmp_path / "layers.py").write_text(RIGHT)
    done = handgrad(tmp_path, *words)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_the_report_that_reproduce_cannot_write_is_said(tmp_path):
    out = tmp_path / "r"
    words = ("reproduce", "--profile", "smoke", "--questions", "2", "--offline", "--jobs", "1")
    done = handgrad(tmp_path, *words, "--out", out)
    assert (out / "results.json").exists()
    assert not (out / "report.html").exists()
    assert "`pip install 'handgrad[report]'` brings what it needs" in done.stdout + done.stderr


def needs():
    """Give (file, library, extra) of each call of `need`."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "need":
                library, extra, _ = (getattr(given, "value", None) for given in node.args)
                if library is not None and extra is not None:
                    yield path.name, library, extra


def test_each_extra_that_is_named_brings_its_library():
    found = list(needs())
    assert ("fetch.py", "pooch", "fetch") in found
    for file, library, extra in found:
        brought = names(PROJECT["optional-dependencies"][extra])
        assert DISTRIBUTIONS.get(library, library) in brought, (file, library, extra)


def test_need_names_what_is_missing_the_extra_and_the_purpose():
    need("numpy", "nothing", "this")
    with pytest.raises(MissingExtraError) as caught:
        need("handgrad_has_no_such_library", "images", "reading pictures")
    assert str(caught.value) == (
        "reading pictures needs handgrad_has_no_such_library, which is not installed; "
        "`pip install 'handgrad[images]'` brings it"
    )


def test_pictures_without_pillow(tmp_path):
    pytest.importorskip("PIL", reason="Pillow (the extra 'images') is not installed")
    root = class_folder(tmp_path / "pets")
    np.savez(tmp_path / "set.npz", X=np.zeros((4, 5, 5), np.uint8), y=[0, 1, 0, 1])
    code = (
        "import without_extras; without_extras.begin()\n"
        "from pathlib import Path\n"
        "from handgrad.images import open_images\n"
        "from handgrad.errors import MissingExtraError\n"
        f"print(len(open_images(Path({str(tmp_path / 'set.npz')!r})).X))\n"
        "try:\n"
        f"    open_images(Path({str(root)!r}))\n"
        "except MissingExtraError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=children.importing(without_extras.__file__),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "4",
        "reading pictures needs PIL, which is not installed; `pip install 'handgrad[images]'` "
        "brings it",
    ]
