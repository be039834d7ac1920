"""What a batch has found out already: a file a submission, and when it holds again."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import handgrad.check
from handgrad.check.reading.tree import from_folder
from handgrad.check.records import CheckReport
from handgrad.files import write_atomically

_SHOWN = ("classroom", "formats")  # what becomes of a report, and not what is in it


@dataclass(frozen=True)
class Found:
    """What came of judging a submission: a report, or why there is none."""

    report: CheckReport | None
    problem: str = ""


@dataclass(frozen=True)
class Records:
    """The records of a batch.

    Parameters
    ----------
    folder : Path
        It must exist.
    settings : mapping
        What a record must share to hold again, beside what was handed in: options,
        versions. A rubric is none of it: points are given to what was found.
    """

    folder: Path
    settings: Mapping[str, Any]

    def load(self, name: str, content: str) -> Found | None:
        """Give what was found of a submission; None where it must be judged (again).

        Where a package was missing, or nothing could be judged, it holds only while the same
        packages are installed.
        """
        try:
            kept = json.loads(self._path(name).read_text(encoding="utf-8"))
            if kept["settings"] != {**self.settings, "content": content}:
                return None
            if kept.get("packages", "") not in ("", packages()):
                return None
            if "refused" in kept:
                return Found(None, str(kept["refused"]))
            report = CheckReport.from_record(kept["report"])
        except (OSError, ValueError, KeyError, TypeError):
            return None  # absent or damaged
        return Found(report, "; ".join(report.problems))

    def save(self, name: str, content: str, found: Found, report: Mapping[str, Any] | None) -> None:
        """Keep what was found of a submission; ``report`` is its record, as JSON has it."""
        kept: dict[str, Any] = {"settings": {**self.settings, "content": content}}
        kept |= {"refused": found.problem} if report is None else {"report": report}
        if found.problem:
            kept["packages"] = packages()
        text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
        write_atomically(self._path(name), text)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def content_of(places: Sequence[Path]) -> str:
    """Give a mark of the files and folders of one submission, without reading what they mean."""
    digest = hashlib.sha256()
    for place in places:
        files = from_folder(place, "").files if place.is_dir() else {place.name: place.read_bytes}
        for name, read in files.items():
            try:
                text = read()
            except OSError as error:  # whoever judges it says so
                text = str(error.strerror).encode()
            digest.update(f"{name}\0{len(text)}\0".encode("utf-8", "surrogateescape") + text)
    return digest.hexdigest()


@cache
def packages() -> str:
    """Give a mark of the packages that are installed here."""
    lines = sorted(f"{item.name} {item.version}" for item in metadata.distributions())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@cache
def judging_code() -> str:
    """Give a mark of the code and data that judge: what another handgrad found does not hold."""
    root = Path(handgrad.check.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*")):
        below = file.relative_to(root)
        if file.suffix in (".py", ".toml", ".txt") and below.parts[0] not in _SHOWN:
            digest.update(f"{below.as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
