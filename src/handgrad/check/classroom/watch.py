"""Notice when a submission was saved, and what changed between two reports."""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from handgrad.check.reading.tree import from_folder
from handgrad.check.records import ABSENT, CaseResult, CheckReport

_POLL_SECONDS = 0.3
_SETTLE_SECONDS = 0.1


@dataclass(frozen=True)
class Changes:
    """What a new report says that the last one did not."""

    mended: tuple[CaseResult, ...]  # did not pass and does now
    broken: tuple[CaseResult, ...]  # does not pass, and did or was not written
    other: tuple[CaseResult, ...]  # does not pass, and is wrong in another way than before

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.mended or self.broken or self.other)


def changes(old: CheckReport, new: CheckReport) -> Changes:
    """Compare two reports of the same submission."""
    before = {(case.group, case.function, case.name): case for case in old.cases}
    mended, broken, other = [], [], []
    for case in new.cases:
        last = before.get((case.group, case.function, case.name))
        was = None if last is None else last.status
        if case.status == "passed":
            if was != "passed":
                mended.append(case)
        elif was in (None, "passed") or (was in ABSENT) != (case.status in ABSENT):
            broken.append(case)
        elif last is not None and (was, last.diagnosis, last.detail) != (
            case.status,
            case.diagnosis,
            case.detail,
        ):
            other.append(case)
    return Changes(tuple(mended), tuple(broken), tuple(other))


class Files:
    """The files of which a submission is one, and whether their content changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._times: dict[Path, tuple[int, int]] = {}
        self._hash = ""
        self.changed()

    def changed(self) -> bool:
        """Whether the content is another than at the last call; reads only what was touched."""
        times = {}
        for file in self._files():
            try:
                status = file.stat()
            except OSError:
                continue  # an editor replaces the file just now
            times[file] = (status.st_mtime_ns, status.st_size)
        if times == self._times:
            return False
        self._times, last = times, self._hash
        digest = hashlib.sha256()
        for file in times:
            try:
                digest.update(os.fsencode(file) + b"\0" + file.read_bytes())
            except OSError:
                continue
        self._hash = digest.hexdigest()
        return self._hash != last

    def wait(self) -> None:
        """Return once the content has changed and stays so: some editors save in two steps."""
        while not self.changed():
            time.sleep(_POLL_SECONDS)
        time.sleep(_SETTLE_SECONDS)
        while self.changed():
            time.sleep(_SETTLE_SECONDS)

    def _files(self) -> list[Path]:
        if not self._path.is_dir():
            return [self._path]
        return [self._path / name for name in from_folder(self._path, "").files]
