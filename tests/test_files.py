"""write_atomically: the old file or the new one, never half of one, and nothing left behind."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from handgrad.files import write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x00\xff\r\n", b"\x00\xff\r\n"),
        ("Grüße\nσ\r\n", "Grüße\nσ\r\n".encode()),
        ("", b""),
        (b"", b""),
        (b"x" * 3_000_000, b"x" * 3_000_000),
    ],
    ids=["bytes", "text", "empty text", "no bytes", "megabytes"],
)
@pytest.mark.parametrize("exists", [False, True])
def test_writes_exactly_the_content(tmp_path, content, expected, exists):
    path = tmp_path / "results.json"
    if exists:
        path.write_bytes(b"a longer old file" * 1000)
    assert write_atomically(path, content) is None
    assert path.read_bytes() == expected
    assert names(tmp_path) == ["results.json"]


def test_everybody_may_read_the_file(tmp_path):
    path = tmp_path / "report.html"
    write_atomically(path, "x")
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444


def test_the_temporary_file_is_in_the_same_folder_and_complete_before_the_move(
    tmp_path, monkeypatch
):
    path, moves, synced = tmp_path / "file", [], []
    replace, fsync = os.replace, os.fsync

    def spy_replace(source, target, **options):
        moves.append((Path(source).parent, Path(target), Path(source).read_bytes()))
        assert synced
        assert not path.exists()
        replace(source, target, **options)

    monkeypatch.setattr(os, "replace", spy_replace)
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(handle), fsync(handle)))
    write_atomically(path, b"content")
    assert moves == [(tmp_path, path, b"content")]


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, where, error, exists):
    path = tmp_path / "file"
    if exists:
        path.write_bytes(b"old")

    def fails(*args, **options):
        assert len(names(tmp_path)) == 1 + exists  # it is in the middle of it
        raise error

    monkeypatch.setattr(os, where, fails)
    with pytest.raises(type(error)):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert names(tmp_path) == (["file"] if exists else [])
    if exists:
        assert path.read_bytes() == b"old"


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path, where):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = (
        "import os, pathlib, signal, sys\n"
        "from handgrad.files import write_atomically\n"
        f"os.{where} = lambda *args, **options: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(pathlib.Path(sys.argv[1]), b'new')\n"
    )
    child = subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60)
    assert child.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_atomically(path, b"newer")  # what the killed one left is in nobody's way
    assert path.read_bytes() == b"newer"


def test_a_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", b"x")
    assert names(tmp_path) == []


def test_a_folder_in_the_way_is_an_os_error_and_leaves_nothing(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "file", b"x")
    assert names(tmp_path) == ["file"]
    assert names(tmp_path / "file") == []
