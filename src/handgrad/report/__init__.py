"""Records in, one HTML file out, of a results folder or of one training; computes no metric."""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from handgrad.errors import ReportError
from handgrad.files import write_atomically

if TYPE_CHECKING:
    from handgrad.training_record import TrainingRecord

_NEEDED = ("jinja2", "matplotlib", "latex2mathml", "markdown_it", "mdit_py_plugins")
_OWN_NEEDED = ("jinja2", "matplotlib")  # a training's page has no derivations


def missing_libraries(needed: Sequence[str] | None = None) -> str | None:
    """Say which libraries of the extra ``report`` are not installed, or None."""
    names = _NEEDED if needed is None else needed
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    return (
        f"{', '.join(missing)} not installed: `pip install 'handgrad[report]'` brings what it needs"
    )


SHOW = "show.html"
"""The page of `handgrad show` beside a model, to which a report links where it is there."""


def address_of_page(model: Path, at: Path) -> str | None:
    """Give the address of a model's page for a report in the folder ``at``; None if it has none."""
    page = model.with_name(SHOW)
    return quote(Path(os.path.relpath(page, at)).as_posix()) if page.is_file() else None


def build(folder: Path, at: Path | None = None) -> str:
    """Return the page of a folder of `handgrad reproduce`, or of `handgrad train`.

    The same records give the same text, and a link to each page of `handgrad show` that is there.

    Parameters
    ----------
    folder : Path
    at : Path, optional
        The folder that the report will lie in; default ``folder``.

    Raises
    ------
    ReportError
        When the folder holds no results, or the extra ``report`` is not installed.
    ResultsError
        When a record is damaged or of another version.
    """
    if not (folder / "results.json").is_file() and (folder / "record.json").is_file():
        from handgrad.training_record import TrainingRecord

        record = TrainingRecord.read(folder / "record.json")
        return build_own(record, walk=address_of_page(folder / record.model, at or folder))
    _require(_NEEDED)
    if not (folder / "results.json").is_file():
        raise ReportError(
            f"{folder} holds no results.json; `handgrad reproduce --out {folder}` makes one, and "
            "`handgrad train` a record.json, whose page is made, too"
        )
    from handgrad.report.page import render  # the libraries are there

    return render(folder, at or folder)


def write(folder: Path, output: Path | None = None) -> Path:
    """Write the page of a folder, by default to its report.html; return where."""
    path = output or folder / "report.html"
    _write(path, build(folder, path.parent))
    return path


def build_own(
    record: "TrainingRecord", source: str = "record.json", walk: str | None = None
) -> str:
    """Return the page of one training.

    ``source`` is the name of the record's file, ``walk`` the address of the net's page, if any.

    Raises
    ------
    ReportError
        When the extra ``report`` is not installed.
    """
    _require(_OWN_NEEDED)
    from handgrad.report.own_page import render  # the libraries are there

    return render(record, source, walk)


def write_own(record: "TrainingRecord", path: Path) -> None:
    """Write the report of one training beside its model.

    Raises
    ------
    ReportError
        As `build_own`, or where it cannot be written.
    """
    walk = address_of_page(path.with_name(record.model), path.parent)
    _write(path, build_own(record, walk=walk))


def _require(libraries: Sequence[str]) -> None:
    lacking = missing_libraries(libraries)
    if lacking is not None:
        raise ReportError(f"no report: {lacking}")


def _write(path: Path, page: str) -> None:
    try:
        write_atomically(path, page)
    except OSError as error:
        raise ReportError(f"cannot write {path} ({error.strerror}); name another place") from None
