"""Records in, one HTML file out: the whole of a results folder as a page; computes no metric."""

import importlib.util
from pathlib import Path

from handgrad.errors import ReportError
from handgrad.files import write_atomically

_NEEDED = ("jinja2", "matplotlib", "latex2mathml", "markdown_it", "mdit_py_plugins")


def missing_libraries() -> str | None:
    """Say which libraries of the extra ``report`` are not installed, or None."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    return (
        f"{', '.join(missing)} not installed: `pip install 'handgrad[report]'` brings what it needs"
    )


def build(folder: Path) -> str:
    """Return the page of a results folder: the same records give the same text.

    Raises
    ------
    ReportError
        When the folder holds no results, or the extra ``report`` is not installed.
    ResultsError
        When a record is damaged or of another version.
    """
    lacking = missing_libraries()
    if lacking is not None:
        raise ReportError(f"no report: {lacking}")
    if not (folder / "results.json").is_file():
        raise ReportError(
            f"{folder} holds no results.json; `handgrad reproduce --out {folder}` makes one"
        )
    from handgrad.report.page import render  # the libraries are there

    return render(folder)


def write(folder: Path, output: Path | None = None) -> Path:
    """Write the page of a results folder, by default to its report.html; return where."""
    path = output or folder / "report.html"
    page = build(folder)
    try:
        write_atomically(path, page)
    except OSError as error:
        raise ReportError(
            f"cannot write {path} ({error.strerror}); name another --output"
        ) from None
    return path
