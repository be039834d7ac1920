"""The command line: each mistake of a user is one line that says what to do, and exit code 2."""

import errno
import json
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from datasets_fakes import course_rows, idx, isolate, python2_pickle, write_all
from reproduce_runs import Silent

import handgrad
from handgrad.cli import COMMANDS, cli, main
from handgrad.errors import HandgradError
from handgrad.reproduce import Job, folder, reproduce
from handgrad.reproduce.folder import code_hash
from handgrad.results import SCHEMA


def called(place, *words, stdout=subprocess.PIPE, **variables):
    """Run the command in an empty home, cache and working folder; return the finished process."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HANDGRAD_")}
    for name in ("HANDGRAD_CACHE", "HOME", "KERAS_HOME"):
        environment[name] = str(place / name.lower())
    (place / "work").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "handgrad", *map(str, words)],
        cwd=place / "work",
        env={**environment, **variables},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )


def refused(place, *words, **variables):
    """Run a command that must fail as a user's mistake should; return its one line."""
    result = called(place, *words, **variables)
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("handgrad: error: ")
    assert result.stdout == ""
    return lines[0].removeprefix("handgrad: error: ")


def smoke(*extra, question="2"):
    words = ["reproduce", "--profile", "smoke", "--offline", "--jobs", "1", "--out", "out"]
    return [*words, "--questions", question, *extra]


# options ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--questions", "9"], "there is no question '9' to reproduce; choose from 2,3,4,5"),
        (["--questions", "2,1"], "there is no question '1' to reproduce; choose from 2,3,4,5"),
        (["--questions", "2;3"], "there is no question '2;3' to reproduce"),
        (["--questions", ""], "choose from 2,3,4,5"),
        (["--profile", "quick"], "'quick' is not one of 'smoke', 'standard', 'full'"),
        (["--jobs", "0"], "'--jobs': 0 is not in the range x>=1"),
        (["--jobs", "two"], "'--jobs': 'two' is not a valid integer"),
        (["--seed", "-1"], "'--seed': -1 is not in the range x>=0"),
        (["--seed", "1.5"], "'--seed': '1.5' is not a valid integer"),
        (["--data-dir", "nowhere"], "'--data-dir': Path 'nowhere' does not exist"),
        (["--out"], "'--out' requires an argument"),
        (["--speed", "9"], "No such option"),
    ],
    ids=str,
)
def test_a_bad_option_of_reproduce(tmp_path, words, said):
    assert said in refused(tmp_path, "reproduce", *words)
    assert not any((tmp_path / "work").iterdir())


def test_an_unknown_command(tmp_path):
    assert "No such command 'reprodcue'" in refused(tmp_path, "reprodcue")


def test_a_named_folder_that_does_not_exist(tmp_path):
    line = refused(tmp_path, *smoke(), HANDGRAD_DATA="/nowhere/at/all")
    assert line == "HANDGRAD_DATA: /nowhere/at/all does not exist; name a folder that holds data"


# data -------------------------------------------------------------------------------------------


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def nan_features():
    X, y = course_rows()
    X[17, 3] = np.nan
    return python2_pickle(X, y)


def labels_out_of_range():
    X, y = course_rows()
    y[5] = 2
    return python2_pickle(X, y)


def too_few_rows():
    X, y = course_rows()
    return python2_pickle(X[:900], y[:900])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: b"", "the file is empty"),
        (lambda: python2_pickle(*course_rows())[:70_000], "truncated or corrupt"),
        (lambda: b"\x80\xff" * 2500, "truncated or corrupt"),
        (nan_features, "X has NaN or infinite features in 1 rows, first row 17"),
        (labels_out_of_range, "labels must be 0 or 1; row 5 has 2"),
        (too_few_rows, "X must have shape (1000, 20); got (900, 20)"),
        (lambda: python2_pickle(*course_rows()), "not the course's data.pkl"),
    ],
    ids=["empty", "truncated", "corrupt", "nan", "labels", "rows", "foreign"],
)
def test_a_bad_data_pkl(tmp_path, content, said):
    given = write_all(tmp_path / "given", {"data.pkl": content()})
    line = refused(tmp_path, *smoke("--data-dir", given))
    assert line.startswith(f"{given / 'data.pkl'}: ")
    assert said in line
    assert line.endswith(
        "give the course's own data.pkl, or move this file away to use the stand-in"
    )


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_data_pkl_is_refused_and_not_executed(tmp_path, protocol):
    trap = tmp_path / "executed"
    raw = pickle.dumps((Malicious(str(trap)), Malicious(str(trap))), protocol)
    given = write_all(tmp_path / "given", {"data.pkl": raw})
    line = refused(tmp_path, *smoke("--data-dir", given))
    assert "it asks for posix.mkdir, which is refused; nothing was executed" in line
    assert not trap.exists()


IMAGES, LABELS = "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        (IMAGES, b"", "empty"),
        (IMAGES, struct.pack(">4I", 0x802, 60_000, 28, 28), "wrong magic number 0x00000802"),
        (IMAGES, idx(np.zeros((3, 28, 28), np.uint8)), "wrong row count: 3 rows, expected 60,000"),
        (IMAGES, struct.pack(">4I", 0x803, 60_000, 28, 28) + b"\0" * 99, "wrong row count"),
        (LABELS, idx(np.full(10_000, 10, np.uint8)), "label out of range: row 0 has 10"),
        (LABELS, idx(np.zeros(10_000, np.uint8)), "corrupt or foreign"),
        (f"{LABELS}.gz", b"\x1f\x8b\x08\0\0", "truncated"),
    ],
    ids=["empty", "magic", "rows", "truncated", "labels", "foreign", "gzip"],
)
def test_a_bad_mnist_file(tmp_path, name, raw, said):
    given = write_all(tmp_path / "given", {name: raw})
    line = refused(tmp_path, *smoke("--data-dir", given, question="4"))
    assert line.startswith(f"{given / name}: ")
    assert said in line


def test_bad_data_leave_a_folder_that_good_data_can_use(tmp_path):
    given = write_all(tmp_path / "given", {"data.pkl": b"bad"})
    refused(tmp_path, *smoke("--data-dir", given))
    (given / "data.pkl").unlink()
    result = called(tmp_path, *smoke("--data-dir", given))
    assert result.returncode == 0, result.stderr
    # Then an error of the same folder comes before the data are even looked at.
    (given / "data.pkl").write_bytes(b"bad")
    assert "was made with seed 0, this is seed 1" in refused(
        tmp_path, *smoke("--data-dir", given, "--seed", "1")
    )


# the results folder -----------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["file/out", "file", "/proc/handgrad/out", "/proc/1/out"])
def test_an_unwritable_folder(tmp_path, out):
    (tmp_path / "work").mkdir()
    (tmp_path / "work/file").write_text("mine")
    line = refused(tmp_path, *smoke("--out", out))
    if out == "file":
        assert "'--out': Directory 'file' is a file" in line
    else:
        assert line.startswith(f"cannot write to {out} (")
        assert line.endswith("); free space there or name another folder with --out")
    assert (tmp_path / "work/file").read_text() == "mine"


def test_a_full_disk(tmp_path, monkeypatch, capsys):
    isolate(tmp_path, monkeypatch)

    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folder, "write_atomically", full)
    monkeypatch.setattr(sys, "argv", ["handgrad", *smoke()])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "handgrad: error: cannot write to out (No space left on device); "
        "free space there or name another folder with --out\n"
    )


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    out = write_all(tmp_path / "work/out", {"thesis.tex": b"mine"})
    line = refused(tmp_path, *smoke())
    assert line == (
        "out is no folder of handgrad reproduce (it holds thesis.tex); "
        "name an empty or a new folder with --out"
    )
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


CODE = {"code": code_hash(), "schema": SCHEMA, "version": handgrad.__version__}
OURS = {**CODE, "profile": "smoke", "seed": 0, "data": {}}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"version": "0.0.1"},
            f"was made with version 0.0.1, this is version {handgrad.__version__}",
        ),
        ({"schema": 99}, f"was made with schema 99, this is schema {SCHEMA}"),
        ({"profile": "full"}, "was made with profile full, this is profile smoke"),
        ({"seed": 7}, "was made with seed 7, this is seed 0"),
        ({"seed": 7, "profile": "full"}, "profile full, seed 7, this is profile smoke, seed 0"),
    ],
    ids=str,
)
def test_a_folder_made_for_something_else(tmp_path, other, said):
    manifest = json.dumps({**OURS, **other}).encode()
    out = write_all(tmp_path / "work/out", {"manifest.json": manifest})
    line = refused(tmp_path, *smoke())
    assert said in line
    assert line.endswith("; name another folder with --out, or delete that one")
    assert (out / "manifest.json").read_bytes() == manifest


def test_results_of_another_schema(tmp_path):
    files = {"manifest.json": json.dumps(OURS).encode(), "results.json": b'{"schema": 99}'}
    write_all(tmp_path / "work/out", files)
    line = refused(tmp_path, *smoke())
    assert "out/results.json has schema 99, this version of handgrad reads and writes" in line


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"data": 5}'], ids=str)
def test_a_damaged_manifest(tmp_path, monkeypatch, content):
    isolate(tmp_path, monkeypatch)
    out = write_all(tmp_path / "out", {"manifest.json": content})
    with pytest.raises(HandgradError, match=r"manifest\.json is damaged; name another folder"):
        reproduce(Job([2], "smoke", out, "", jobs=1, offline=True), Silent())


@pytest.mark.parametrize("name", ["search/2.3.journal", "runs/2.3/seed-0/run.json", "results.json"])
def test_a_damaged_file_of_the_folder_is_named(tmp_path, monkeypatch, name):
    isolate(tmp_path, monkeypatch)
    job = Job([2], "smoke", tmp_path / "out", "", jobs=1, offline=True)
    reproduce(job, Silent())
    (job.out / name).write_text('{"half a\nfile\n')
    with pytest.raises(HandgradError, match=Path(name).name.replace(".", r"\.")):
        reproduce(job, Silent())


# help -------------------------------------------------------------------------------------------


def commands(command=cli, path=()):
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(None):
            yield from commands(command.get_command(None, name), (*path, name))


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=str)
def test_help_explains_the_command_and_names_its_options(path, command):
    result = CliRunner().invoke(cli, [*path, "--help"])
    assert result.exit_code == 0
    assert command.help.splitlines()[0][:40] in result.output
    for option in command.params:
        assert all(spelling in result.output for spelling in option.opts if spelling[0] == "-")
    for name in command.list_commands(None) if isinstance(command, click.Group) else ():
        assert f"\n  {name} " in result.output


def test_the_list_of_commands_has_each_ones_own_line_and_imports_none(tmp_path):
    shown = called(tmp_path, "--help").stdout
    for name, (_, line) in COMMANDS.items():
        command = cli.get_command(None, name)
        assert command.name == name
        assert line == " ".join(command.help.split("\n\n")[0].split())
        assert line[:40] in shown
    code = (
        "import sys; from handgrad.cli import cli; cli.main(['--help'], standalone_mode=False); "
        "heavy = {'numpy', 'optuna', 'rich', 'torch', 'matplotlib', 'handgrad.datasets'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_of_reproduce_says_the_defaults_and_the_choices():
    text = " ".join(CliRunner().invoke(cli, ["reproduce", "--help"]).output.split())
    for words in ("2,3,4,5", "[smoke|standard|full]", "default: standard", "HANDGRAD_DATA"):
        assert words in text


def test_no_arguments_show_the_help(tmp_path):
    result = called(tmp_path)
    shown = result.stderr + result.stdout
    assert "Usage: " in shown
    assert "reproduce" in shown
    assert "Traceback" not in shown


def test_version(tmp_path):
    result = called(tmp_path, "--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert handgrad.__version__ in result.stdout


@pytest.mark.parametrize("words", [["--help"], ["data", "status"]], ids=" ".join)
def test_a_reader_that_leaves_early_sees_no_traceback(tmp_path, words):
    reader, writer = os.pipe()
    os.close(reader)  # as `handgrad ... | true`
    with os.fdopen(writer, "wb") as gone:
        result = called(tmp_path, *words, stdout=gone)
    assert result.returncode in (1, 141)
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("words", "goes_on"),
    [
        (["train", "a.csv"], True),
        (["reproduce"], True),
        (["data", "fetch", "mnist"], True),
        (["check", "a", "--batch", "b"], True),
        (["check", "a"], False),
        (["predict", "m", "a.csv"], False),
        (["info", "m"], False),
    ],
    ids=str,
)
def test_only_what_goes_on_says_so(monkeypatch, capsys, words, goes_on):
    def interrupted(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    monkeypatch.setattr(sys, "argv", ["handgrad", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    more = "; the same command goes on where it was" if goes_on else ""
    assert capsys.readouterr().err == f"\nhandgrad: interrupted{more}\n"
