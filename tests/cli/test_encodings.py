"""Every command on streams that cannot hold what is said: escaped, and nothing ends by it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import handgrad
from handgrad.files import write_atomically

NAME = "Größe—文"
LAYERS = 'def relu_forward(x):\n    raise ValueError("größer — 文 \\udcff")\n'
ENCODINGS = ("ascii", "cp1252", "latin-1")


def called(place, *words, encoding, code, module="handgrad"):
    """Run a command; what it says must be in the stream's encoding. Both streams, as text."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HANDGRAD_")}
    for name in ("HANDGRAD_CACHE", "HOME", "KERAS_HOME"):
        environment[name] = str(place / name.lower())
    environment["PYTHONPATH"] = str(Path(handgrad.__file__).parents[1])
    result = subprocess.run(
        [sys.executable, "-P", "-m", module, *map(str, words)],
        cwd=place,
        env={**environment, "PYTHONIOENCODING": encoding},
        timeout=120,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    said, complaint = result.stdout.decode(encoding), result.stderr.decode(encoding)
    assert result.returncode == code, said + complaint
    assert "Traceback" not in complaint
    return said, complaint


def shown(text, encoding):
    """The text as it comes out of such a stream."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


@pytest.fixture
def place(tmp_path):
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "layers.py").write_text(LAYERS, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_check(place, encoding):
    said, _ = called(place, "check", NAME, "--only", "relu", encoding=encoding, code=1)
    assert said.startswith(f"handgrad check {shown(NAME, encoding)}\n")
    assert shown("ValueError: größer — 文 ", encoding) + "\\udcff" in said
    assert "1 mistake to fix" in said.splitlines()[-1]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_files_are_utf8_whatever_the_streams_are(place, encoding):
    for style in ("text", "html"):
        file = f"{NAME}.{style}"
        words = ("check", NAME, "--only", "relu", "--format", style, "--output", file)
        said, _ = called(place, *words, encoding=encoding, code=1)
        assert said.endswith(f"The report is in {shown(file, encoding)}\n")
        text = (place / file).read_text(encoding="utf-8")
        assert NAME in text
        assert "größer — 文 " in text
    # These formats are UTF-8 on the screen, too.
    words = ("check", NAME, "--only", "relu", "--format", "json")
    result = subprocess.run(
        [sys.executable, "-P", "-m", "handgrad", *words],
        cwd=place,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        timeout=60,
        check=False,
    )
    assert json.loads(result.stdout.decode("utf-8"))["file"] == NAME


def test_a_batch(place):
    encoding = "ascii"
    students = place / "class"
    students.mkdir()
    (students / "zoë—文").mkdir()
    (students / "zoë—文" / "layers.py").write_text(LAYERS, encoding="utf-8")
    (students / "caf\udce9.py").write_text(LAYERS, encoding="utf-8")
    (students / "bäd.py").write_text("raise ValueError('größer — 文')\n", encoding="utf-8")
    words = ("check", "class", "--batch", NAME, "--only", "relu")
    _, told = called(place, *words, encoding=encoding, code=1)
    assert shown("zoë—文", encoding) + ": 0 of " in told
    assert "caf\\udce9.py: 0 of " in told
    with (place / NAME / "results.csv").open(encoding="utf-8") as file:
        table = {row["name"]: row["problem"] for row in csv.DictReader(file)}
    assert list(table) == ["bäd.py", "caf\\udce9.py", "zoë—文"]
    assert "ValueError: größer — 文" in table["bäd.py"]
    _, again = called(place, *words, encoding=encoding, code=1)
    assert again.count("(judged before)") == 2


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("handgrad", ["check", f"{NAME}.py"]),
        ("handgrad", ["data", "import", NAME]),
        ("handgrad", ["report", NAME]),
        ("handgrad", ["bench", "--only", NAME]),
        ("handgrad", ["reproduce", "--data-dir", f"{NAME}x"]),
        ("handgrad", ["reproduce", "--offline", "--out", f"{NAME}/layers.py"]),
        ("handgrad.vgg", ["--recipe", NAME]),
        ("handgrad.vgg", ["--data-dir", f"{NAME}x"]),
    ],
)
def test_a_refusal(place, module, words, encoding):
    if module == "handgrad.vgg":
        pytest.importorskip("torch")
    said, complaint = called(place, *words, encoding=encoding, code=2, module=module)
    assert said == ""
    assert shown(NAME, encoding) in complaint
    assert len(complaint.splitlines()) == 1


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_data_says_where(place, encoding):
    (place / NAME / "train-images-idx3-ubyte").write_bytes(b"no images")
    said, _ = called(place, "data", "status", "--data-dir", NAME, encoding=encoding, code=0)
    assert shown(NAME, encoding) in said
    _, complaint = called(place, "data", "verify", "--data-dir", NAME, encoding=encoding, code=2)
    assert shown(NAME, encoding) in complaint


def test_reproduce_and_report(place):
    encoding = "ascii"
    words = ("reproduce", "--profile", "smoke", "--offline", "--jobs", "1", "--questions", "2")
    said, _ = called(place, *words, "--out", f"{NAME}r", encoding=encoding, code=0)
    assert shown(f"{NAME}r", encoding) in said
    said, _ = called(place, "report", f"{NAME}r", encoding=encoding, code=0)
    assert said == f"{shown(NAME, encoding)}r/report.html\n"
    page = (place / f"{NAME}r" / "report.html").read_text(encoding="utf-8")
    assert f"{NAME}r" in page


HELP = ([], ["check"], ["data"], ["data", "status"], ["bench"], ["report"], ["reproduce"])


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_is_plain(place, words):
    """It is click that prints it, in UTF-8 to a stream in ASCII."""
    said, _ = called(place, *words, "--help", encoding="ascii", code=0)
    assert said.startswith("Usage: ")


def test_a_name_that_is_no_utf8_goes_into_a_file(tmp_path):
    write_atomically(tmp_path / "it", "caf\udce9")
    assert (tmp_path / "it").read_bytes() == b"caf\\udce9"
