"""The folder of a reproduction: whose it is, that only one process writes it, where things lie.

manifest.json   what the folder was made for; another profile, seed, data or version is refused
search/         one journal of candidates an experiment
runs/ID/        candidate-NNN/history.jsonl,
                seed-S/{history.jsonl, model.safetensors, analysis.json, run.json},
                of the first seed show.html, the page of handgrad show
results.json    the record; summary.md the same for people, report.html all of it
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import handgrad
from handgrad.claimed_folder import (
    alone_in,
    differences,
    is_torn,
    require_locks,
    require_no_strangers,
    writing_into,
)
from handgrad.errors import ResultsError
from handgrad.files import write_atomically
from handgrad.results import SCHEMA

ANALYSIS = "analysis.json"
_COMMAND = "handgrad reproduce"
# What an interrupted run may have left before its manifest.
_KNOWN = ("results.json", "summary.md", "report.html", "search", "runs")


@dataclass(frozen=True)
class Folder:
    """Paths in a results folder."""

    path: Path

    @property
    def results(self) -> Path:
        """results.json."""
        return self.path / "results.json"

    @property
    def summary(self) -> Path:
        """summary.md."""
        return self.path / "summary.md"

    @property
    def report(self) -> Path:
        """report.html."""
        return self.path / "report.html"

    def journal(self, experiment: str) -> Path:
        """The journal of an experiment's search."""
        return self.path / "search" / f"{experiment}.journal"

    def runs(self, experiment: str) -> Path:
        """The folder of an experiment's runs."""
        return self.path / "runs" / experiment

    def relative(self, paths: Iterable[Path]) -> tuple[str, ...]:
        """Name files as results.json does: relative to the folder."""
        return tuple(path.relative_to(self.path).as_posix() for path in paths)

    def final(self, experiment: str, seed: int) -> Path:
        """The folder of a retraining of the chosen candidate."""
        return self.runs(experiment) / f"seed-{seed}"

    def of_seeds(self, experiment: str, seeds: Iterable[int], name: str) -> tuple[str, ...]:
        """Name one file of each retraining, as results.json does."""
        return self.relative(self.final(experiment, seed) / name for seed in seeds)


@contextmanager
def opened(path: Path, *, profile: str, seed: int) -> Iterator[Folder]:
    """Make or reopen a results folder and hold it for this process alone.

    Raises
    ------
    ResultsError
        When it cannot be written, another process holds it, it was made for something else, or the
        platform has no locks.
    """
    require_locks(_COMMAND)
    manifest = path / "manifest.json"
    with writing_into(path):
        if not manifest.exists():
            require_no_strangers(path, _COMMAND, _KNOWN)
        for part in ("search", "runs"):
            (path / part).mkdir(exist_ok=True)
        with alone_in(path, "handgrad"):
            for torn in filter(is_torn, path.iterdir()):
                torn.unlink()
            _claim(manifest, {"profile": profile, "seed": seed})
            yield Folder(path)


def claim_data(folder: Folder, data: Mapping[str, Mapping[str, str]]) -> None:
    """Note the data a folder's numbers come from (SHA-256 by file, by data set), once and for all.

    Raises ResultsError where a data set is another one than at the folder's first use: numbers
    from a stand-in and from the real data must not mix.
    """
    manifest = folder.path / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    for name, files in data.items():
        before = content["data"].setdefault(name, dict(files))
        if sorted(before.values()) != sorted(files.values()):
            raise ResultsError(
                f"{folder.path} was made with other {name} data than is found now; name another "
                "folder with --out, or provide the data it was made with"
            )
    write_atomically(manifest, json.dumps(content, indent=1) + "\n")


def code_hash() -> str:
    """Hash the package's source, but for what only shows: the command line, reports and pages."""
    package = Path(handgrad.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package).as_posix()
        if not name.startswith(("cli", "report/", "show/")):
            digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _claim(manifest: Path, purpose: dict[str, Any]) -> None:
    identity = {
        "schema": SCHEMA,
        "version": handgrad.__version__,
        "code": code_hash(),
        **purpose,
    }
    if not manifest.exists():
        write_atomically(manifest, json.dumps({**identity, "data": {}}, indent=1) + "\n")
        return
    if different := differences(manifest, identity, also=("data",)):
        was = ", ".join(f"{name} {value}" for name, value in different.items())
        now = ", ".join(f"{name} {identity[name]}" for name in different)
        raise ResultsError(
            f"{manifest.parent} was made with {was}, this is {now}; name another folder with "
            "--out, or delete that one"
        )
