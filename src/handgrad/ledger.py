"""A ledger: records in one file, a line of JSON each, that several processes append to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from handgrad.errors import ResultsError

Record = dict[str, Any]
"""What one line of JSON holds: an object."""


class Lines:
    """The records of a ledger that this process has for itself."""

    def __init__(self, file: FileIO, records: list[Record]) -> None:
        self._file = file
        self.records = records

    def append(self, record: Record) -> None:
        """Add a record; once this returns, it is on the disk.

        A disk that is full leaves the ledger as it was, and OSError is raised.
        """
        line = json.dumps(record).encode() + b"\n"
        before = self._file.seek(0, os.SEEK_END)
        try:
            written = self._file.write(line)
            if written != len(line):
                self._file.write(line[written:])
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(before)
            raise
        self.records.append(record)


class Ledger:
    """A file of records, each a line of JSON, that is only ever appended to.

    One process at a time has it, by a lock that ends with the process. What a process that was
    killed left of a line is dropped by the next one.

    Parameters
    ----------
    path : Path
        Made when it is first opened; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def opened(self) -> Iterator[Lines]:
        """Have the ledger for this process alone, and all its records.

        Raises
        ------
        ResultsError
            If a whole line of it is no record.
        """
        import fcntl  # which only a POSIX system has

        with self.path.open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # closing the file unlocks it
            file.seek(0)
            content = file.readall()
            end = content.rfind(b"\n") + 1
            if end < len(content):
                file.truncate(end)
            yield Lines(file, self._records(content[:end]))

    def damaged(self, line: int) -> ResultsError:
        """Make the error for a record, counted from 0, that is not what it should be."""
        return ResultsError(
            f"{self.path} is damaged (line {line + 1}); delete it to search again, "
            "or name another folder with --out"
        )

    def _records(self, content: bytes) -> list[Record]:
        records: list[Record] = []
        for number, line in enumerate(content.splitlines()):
            try:
                record = json.loads(line)
            except ValueError:
                raise self.damaged(number) from None
            if not isinstance(record, dict):
                raise self.damaged(number)
            records.append(record)
        return records
