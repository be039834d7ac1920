"""Small data files in the real formats, for the dataset tests: no network, no real cache."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import shlex
import stat
import struct
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from handgrad.datasets import course, mnist_files
from handgrad.datasets.cifar10_files import CIFAR10
from handgrad.datasets.known import KnownFile
from handgrad.datasets.mnist_files import MNIST

COURSE_FILE = Path(__file__).parents[2] / "../shared/data/course/data.pkl"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def idx(values: np.ndarray) -> bytes:
    return (
        struct.pack(f">{1 + values.ndim}I", 0x800 + values.ndim, *values.shape) + values.tobytes()
    )


def isolate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test its own cache, home, working folder and PATH, and no mirror at all."""
    for name in ("home", "work", "bin", "keras"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HANDGRAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("HANDGRAD_DATA", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(MNIST, "mirrors", ())
    monkeypatch.setattr(CIFAR10, "mirrors", ())
    monkeypatch.setattr(CIFAR10, "slow_mirrors", ())


def fake_mnist(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Declare 30 training and 10 test pictures to be the known MNIST; return the four files."""
    rng = np.random.default_rng(0)
    values = (
        rng.integers(0, 256, (30, 28, 28), np.uint8),
        (np.arange(30) % 10).astype(np.uint8),
        rng.integers(0, 256, (10, 28, 28), np.uint8),
        np.arange(10, dtype=np.uint8),
    )
    raws = {name: idx(array) for name, array in zip(MNIST.files, values, strict=True)}
    files = {name: KnownFile(name, len(raw), sha(raw)) for name, raw in raws.items()}
    monkeypatch.setattr(MNIST, "files", files)
    packed = {name: sha(gzip.compress(raw, mtime=0)) for name, raw in raws.items()}
    monkeypatch.setattr(mnist_files, "GZ_SHA256", packed)
    return raws


def fake_cifar10(monkeypatch: pytest.MonkeyPatch, rows: int = 20) -> dict[str, bytes]:
    """Declare six batches of `rows` pictures to be the known CIFAR-10; return the binary files."""
    rng = np.random.default_rng(1)
    raws = {}
    for name in CIFAR10.files:
        records = rng.integers(0, 256, (rows, 3073), np.uint8)
        records[:, 0] %= 10
        raws[name] = records.tobytes()
    files = {name: KnownFile(name, len(raw), sha(raw)) for name, raw in raws.items()}
    monkeypatch.setattr(CIFAR10, "files", files)
    return raws


def python2_pickle(X: np.ndarray, y: np.ndarray) -> bytes:
    """Write the tuple (X, y) the way Python 2's protocol 0 did: text lines, escaped strings."""

    def array(values: np.ndarray) -> str:
        kind = values.dtype.str[1:]
        order = values.dtype.str[0]
        shape = "".join(f"I{n}\n" for n in values.shape)
        data = "'" + "".join(f"\\x{byte:02x}" for byte in values.tobytes()) + "'"
        return (
            "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
            f"(I1\n({shape}tcnumpy\ndtype\n(S'{kind}'\nI0\nI1\ntR"
            f"(I3\nS'{order}'\nNNNI-1\nI-1\nI0\ntbI00\nS{data}\ntb"
        )

    return f"({array(X)}{array(y)}t.".encode("ascii")


def theano_pickle(raws: dict[str, bytes], valid: int = 5, divisor: float = 256) -> bytes:
    """Write mnist.pkl as Python 2 did, protocol 2: three pairs (X float32, y int64)."""

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little")

    def array(values: np.ndarray) -> bytes:
        shape = b"(" + b"".join(number(n) for n in values.shape) + b"t"
        return (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
            + text(b"b")
            + b"\x87R(K\x01"
            + shape
            + b"cnumpy\ndtype\n"
            + text(values.dtype.str[1:].encode())
            + b"K\x00K\x01\x87R(K\x03"
            + text(b"<")
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
            + text(values.tobytes())
            + b"tb"
        )

    X, y, X_test, y_test = (
        np.frombuffer(raw, np.uint8, offset=16 if "images" in name else 8)
        for name, raw in raws.items()
    )
    cut = len(y) - valid
    X, X_test = X.reshape(-1, 784), X_test.reshape(-1, 784)
    pairs = ((X[:cut], y[:cut]), (X[cut:], y[cut:]), (X_test, y_test))
    parts = [
        array(np.float32(images) / np.float32(divisor)) + array(labels.astype("<i8")) + b"\x86"
        for images, labels in pairs
    ]
    return b"\x80\x02" + b"".join(parts) + b"\x87."


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    return path


def course_rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.random((1000, 20)), rng.integers(0, 2, 1000)


def fake_course(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Declare some generated rows to be the course's file; return its bytes."""
    raw = python2_pickle(*course_rows())
    monkeypatch.setattr(course, "FILE", KnownFile("data.pkl", len(raw), sha(raw)))
    return raw


def write_all(folder: Path, raws: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in raws.items():
        (folder / name).write_bytes(raw)
    return folder


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, raw in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return path


def fake_npm(bin_folder: Path, body: str) -> None:
    """Put a program named npm on the PATH; its body is Python that sees sys.argv."""
    script, program = bin_folder / "npm", bin_folder / "npm.py"
    program.write_text(f"import sys, shutil, time, pathlib\n{body}\n")
    # By a shell: a path with a blank cannot stand behind "#!".
    python, file = shlex.quote(sys.executable), shlex.quote(str(program))
    script.write_text(f'#!/bin/sh\nexec {python} {file} "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


def npm_that_brings(bin_folder: Path, tarball: Path) -> None:
    """Make `npm pack` copy a tarball into its working folder and count its calls."""
    count = bin_folder / "npm-calls"
    fake_npm(
        bin_folder,
        f"open({str(count)!r}, 'a').write(sys.argv[2] + '\\n')\n"
        f"time.sleep(0.2)\nshutil.copy({str(tarball)!r}, 'package.tgz')",
    )


class Server:
    """What a fake mirror serves and what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.honours_range = True
        self.cut_after: int | None = None  # breaks each connection after so many bytes
        # Decides the answer, told the body and the byte asked from: status, headers, bytes.
        self.answer: Callable[[bytes, int | None], tuple[int, dict[str, str], bytes]] | None = None
        self.url = ""


@contextmanager
def serve() -> Iterator[Server]:
    """Run an HTTP server on this machine that understands Range and can break connections."""
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            name = self.path.lstrip("/")
            state.requests.append((name, asked))
            if name not in state.files:
                self.send_error(404)
                return
            body, start = state.files[name], 0
            if state.answer is not None:
                first = int(asked.removeprefix("bytes=").rstrip("-")) if asked else None
                status, headers, sent = state.answer(body, first)
                self.send_response(status)
                for header, value in {"Content-Length": str(len(sent)), **headers}.items():
                    if value:
                        self.send_header(header, value)
                self.end_headers()
                self.wfile.write(sent)
                return
            if asked and state.honours_range:
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                if start >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            end = len(body) if state.cut_after is None else start + state.cut_after
            self.wfile.write(body[start:end])

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
