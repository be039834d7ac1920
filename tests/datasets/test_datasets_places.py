"""Where data is looked for when the user has no home, as in a container started with any uid."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets_fakes import isolate

from handgrad.datasets import places

# What such a user's Python sees: no HOME, and no entry of the uid among the passwords.
NO_HOME = """
import os, pwd, sys
def no_entry(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = pwd.getpwnam = no_entry
os.environ.pop("HOME", None)
"""
LOAD = """
from pathlib import Path
from handgrad.datasets import load_cifar10, load_course, load_mnist
from handgrad.errors import DataError
print(load_course().source)
print(load_mnist(offline=True).source)
try:
    load_cifar10(offline=True)
except DataError as error:
    print(error)
try:
    load_mnist(Path("~/nowhere"))
except DataError as error:
    print(error)
"""
COMMAND = "from handgrad.cli import main; sys.exit(main())"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    isolate(tmp_path, monkeypatch)
    (tmp_path / "temporary").mkdir()
    unwanted = ("HOME", "HANDGRAD_CACHE", "KERAS_HOME", "XDG_CACHE_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**kept, "TMPDIR": str(tmp_path / "temporary")}


def run(program: str, environment: dict[str, str], *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", NO_HOME + program, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_every_loader_works_without_a_home(environment: dict[str, str]) -> None:
    course, mnist, cifar10, nowhere = run(LOAD, environment).splitlines()
    assert course == "stand-in (generated; data.pkl was not found)"
    assert mnist == "sample of 1,500 digits shipped with handgrad"
    assert cifar10.startswith("CIFAR-10 was not found (the network was not to be used). Download")
    assert nowhere == "--data-dir: ~/nowhere does not exist; name a folder that holds data"


def test_the_commands_work_without_a_home_and_the_cache_is_the_users_own(
    environment: dict[str, str], tmp_path: Path
) -> None:
    cache = tmp_path / f"temporary/handgrad-{os.getuid()}"
    assert f"cache: {cache}\n" in run(COMMAND, environment, "data", "status")
    assert "no data files found" in run(COMMAND, environment, "data", "verify")
    assert not cache.exists()


def test_reproduce_works_without_a_home(environment: dict[str, str], tmp_path: Path) -> None:
    wanted = ("--questions", "6", "--profile", "smoke", "--offline", "--no-report", "--jobs", "1")
    run(COMMAND, environment, "reproduce", *wanted, "--out", tmp_path / "out")
    assert "CIFAR-10 was not found" in (tmp_path / "out/summary.md").read_text()


def test_a_named_folder_with_a_tilde_of_nobody_is_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate(tmp_path, monkeypatch)
    monkeypatch.setenv("HANDGRAD_CACHE", "~nobody-of-that-name/cache")
    assert places.cache_folder() == Path("~nobody-of-that-name/cache")
    monkeypatch.setenv("HANDGRAD_CACHE", "~/cache")
    assert places.cache_folder() == tmp_path / "home/cache"
    monkeypatch.delenv("KERAS_HOME")
    assert places.keras_folder() == tmp_path / "home/.keras/datasets"
    assert places.torchvision_roots()[-1] == tmp_path / "home/data"
