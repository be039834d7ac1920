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


# symbolic links and streams -------------------------------------------------------------------


def test_a_symbolic_link_stays_and_its_file_is_written(tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    (store / "real").write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(store / "real")
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert link.readlink() == store / "real"
    assert (store / "real").read_bytes() == b"new"
    assert not (store / "real").is_symlink()
    assert names(tmp_path) == ["link", "store"]
    assert names(store) == ["real"]


def test_relative_links_links_to_links_and_linked_folders(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "folder").symlink_to("deep/er")
    (tmp_path / "deep" / "two").symlink_to("../folder/file")  # relative to the link's own folder
    (tmp_path / "one").symlink_to("deep/two")
    write_atomically(tmp_path / "one", b"new")
    assert (tmp_path / "deep" / "er" / "file").read_bytes() == b"new"
    write_atomically(tmp_path / "folder" / "other", b"beside")
    assert names(tmp_path / "deep" / "er") == ["file", "other"]
    for name in ("one", "folder", "deep/two"):
        assert (tmp_path / name).is_symlink()
    assert names(tmp_path) == ["deep", "folder", "one"]


def test_the_temporary_file_of_a_link_is_beside_its_target(tmp_path, monkeypatch):
    # The target may be on another file system, onto which nothing can be moved from here.
    (tmp_path / "store").mkdir()
    link, moves, replace = tmp_path / "link", [], os.replace
    link.symlink_to("store/real")

    def spy(source, target, **options):
        moves.append((Path(source).parent, Path(target)))
        replace(source, target, **options)

    monkeypatch.setattr(os, "replace", spy)
    write_atomically(link, b"x")
    assert moves == [(tmp_path / "store", tmp_path / "store" / "real")]


def test_a_link_to_what_is_not_there_yet_makes_it(tmp_path):
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_link_into_a_missing_folder_is_an_os_error(tmp_path):
    (tmp_path / "link").symlink_to("missing/real")
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "link", b"new")
    assert names(tmp_path) == ["link"]


def test_links_in_a_circle_are_an_os_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links") as raised:
        write_atomically(tmp_path / "a", b"new")
    assert raised.value.errno == errno.ELOOP
    assert names(tmp_path) == ["a", "b"]
    assert (tmp_path / "a").is_symlink()


def test_a_failure_behind_a_link_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")

    def fails(*args, **options):
        raise OSError(errno.ENOSPC, "No space left")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "link", b"new")
    assert names(tmp_path) == ["link", "real"]
    assert (tmp_path / "link").read_bytes() == b"old"


def test_a_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to("pipe")
    for path in (pipe, tmp_path / "link"):
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            write_atomically(path, "text")
            assert os.read(reader, 100) == b"text"
        finally:
            os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["link", "pipe"]
