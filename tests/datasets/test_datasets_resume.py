"""Continuing a download: what a server may answer to a request for the rest of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets_fakes import Server, isolate, serve, sha

from handgrad.datasets import fetch
from handgrad.errors import DataError

BODY = bytes(range(256)) * 40


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    isolate(tmp_path, monkeypatch)
    monkeypatch.setattr(fetch, "_CHUNK", 500)
    with serve() as state:
        state.files["body"] = BODY
        yield state


def download(server: Server, part: Path, mirrors: fetch.Mirrors | None = None) -> None:
    (mirrors or fetch.Mirrors()).download(f"{server.url}body", part, sha(BODY), 1 << 20)


def part_of(body: bytes, first: int, last: int, size: str = "10240") -> tuple[int, dict, bytes]:
    return 206, {"Content-Range": f"bytes {first}-{last - 1}/{size}"}, body[first:last]


@pytest.mark.parametrize("start", [0, 1, 2048, 2999])
@pytest.mark.parametrize("size", ["10240", "*"])
def test_a_part_that_starts_before_the_byte_asked_for_is_joined_rightly(
    start: int, size: str, server: Server, tmp_path: Path
) -> None:
    server.answer = lambda body, _: part_of(body, start, len(body), size)
    (tmp_path / "body.part").write_bytes(BODY[:3000])
    seen: list[tuple[str, int, int]] = []
    download(server, tmp_path / "body.part", fetch.Mirrors(lambda *report: seen.append(report)))
    assert (tmp_path / "body.part").read_bytes() == BODY
    assert server.requests == [("body", "bytes=3000-")]
    assert {path.name for path in tmp_path.glob("body*")} == {"body.part"}
    assert seen[-1] == ("body", len(BODY), 0 if size == "*" else len(BODY))


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 5000-10239/10240"},  # a gap
        {"Content-Range": "bytes */10240"},
        {"Content-Range": "pages 1-2/3"},
        {"Content-Type": "multipart/byteranges; boundary=x"},
    ],
    ids=["gap", "no start", "other unit", "several parts"],
)
def test_a_part_that_cannot_be_joined_leads_to_a_request_for_the_whole_file(
    headers: dict[str, str], server: Server, tmp_path: Path
) -> None:
    server.answer = lambda body, first: (200, {}, body) if first is None else (206, headers, b"?")
    (tmp_path / "body.part").write_bytes(BODY[:3000])
    download(server, tmp_path / "body.part")
    assert (tmp_path / "body.part").read_bytes() == BODY
    assert [asked for _, asked in server.requests] == ["bytes=3000-", None]


def test_a_part_that_was_never_asked_for_is_an_error(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body, _: (206, {"Content-Range": "bytes 7-9/10240"}, body[7:10])
    (tmp_path / "body.part").write_bytes(BODY[:5])
    with pytest.raises(DataError, match="body: the server sends from byte 7, asked from 5"):
        download(server, tmp_path / "body.part")
    assert (tmp_path / "body.part").read_bytes() == BODY[:5]
    assert len(server.requests) == 2


def test_a_server_that_sends_small_pieces_is_asked_on(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body, first: part_of(body, first or 0, min((first or 0) + 4096, 10240))
    download(server, tmp_path / "body.part")
    assert (tmp_path / "body.part").read_bytes() == BODY
    assert [asked for _, asked in server.requests] == [None, "bytes=4096-", "bytes=8192-"]


def test_pieces_that_bring_nothing_new_lead_to_the_whole_file(
    server: Server, tmp_path: Path
) -> None:
    server.answer = lambda body, first: (
        (200, {}, body) if first is None else part_of(body, 0, min(first, 2000))
    )
    (tmp_path / "body.part").write_bytes(BODY[:3000])
    download(server, tmp_path / "body.part")
    assert (tmp_path / "body.part").read_bytes() == BODY
    assert [asked for _, asked in server.requests] == ["bytes=3000-", None]


def test_a_part_of_a_larger_file_is_refused_and_what_was_there_stays(
    server: Server, tmp_path: Path
) -> None:
    server.answer = lambda body, first: part_of(body, first or 0, len(body), "99999")
    (tmp_path / "body.part").write_bytes(BODY[:3000])
    with pytest.raises(DataError, match="sends more than the expected file"):
        fetch.Mirrors().download(f"{server.url}body", tmp_path / "body.part", sha(BODY), 20_000)
    assert (tmp_path / "body.part").read_bytes() == BODY[:3000]


def test_an_answer_longer_than_the_rest_does_not_leave_it_stuck(
    server: Server, tmp_path: Path
) -> None:
    server.answer = lambda body, first: (
        (200, {}, body)
        if first is None
        else (206, {"Content-Range": "bytes 3000-10239/*"}, body)  # says 3000, sends from 0
    )
    (tmp_path / "body.part").write_bytes(BODY[:3000])
    fetch.Mirrors().download(f"{server.url}body", tmp_path / "body.part", sha(BODY), len(BODY))
    assert (tmp_path / "body.part").read_bytes() == BODY
    assert (tmp_path / "body.part.corrupt-1").read_bytes()[:3000] == BODY[:3000]


def test_a_part_longer_than_the_file_is_not_asked_on(server: Server, tmp_path: Path) -> None:
    (tmp_path / "body.part").write_bytes(BODY + b"x")
    fetch.Mirrors().download(f"{server.url}body", tmp_path / "body.part", sha(BODY), len(BODY))
    assert (tmp_path / "body.part").read_bytes() == BODY
    assert server.requests == [("body", None)]
