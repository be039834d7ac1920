"""A folder of submissions: each judged in a process of its own, a CSV and a page each."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import handgrad
from handgrad.check.classroom.finding import Submission
from handgrad.check.classroom.rubric import Rubric
from handgrad.check.formats.findings import by_function, printable
from handgrad.check.formats.html import as_html
from handgrad.check.records import CheckReport
from handgrad.check.sandbox.submission import find_submission
from handgrad.errors import BatchError, SubmissionError
from handgrad.files import write_atomically

_NUMBERS = ("passed", "failed", "missing", "error")


@dataclass(frozen=True)
class Outcome:
    """What became of a submission."""

    submission: Submission
    report: CheckReport | None = None
    sha256: str = ""
    problem: str = ""
    fault: bool = False  # the checker's, not the submission's
    reused: bool = False


@dataclass(frozen=True)
class Batch:
    """A batch to run: what, how, and where the results go."""

    folder: Path
    submissions: Sequence[Submission]
    out: Path
    options: Sequence[str]  # of handgrad check, e.g. ('--seed', '0')
    settings: dict[str, Any] = field(default_factory=dict)  # what a record must share to be reused
    rubric: Rubric | None = None
    jobs: int = 1


def run(batch: Batch, on_done: Callable[[Outcome], None]) -> list[Outcome]:
    """Judge all; a submission that was judged before with the same settings is not judged again.

    ``results.csv`` and the pages of finished submissions are written as each ends, so that an
    interrupted batch leaves what was found, and the same call goes on.
    """
    try:
        for name in ("records", "pages"):
            (batch.out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BatchError(f"cannot write to {batch.out} ({error.strerror})") from error
    outcomes: dict[str, Outcome] = {}
    running = _Processes()
    with ThreadPoolExecutor(batch.jobs) as pool:
        waiting: set[Future[Outcome]] = {
            pool.submit(_judge, batch, submission, running) for submission in batch.submissions
        }
        try:
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    outcome = future.result()
                    outcomes[outcome.submission.name] = outcome
                    _write(batch, outcome, outcomes)
                    on_done(outcome)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            running.stop()
            raise
    return [outcomes[submission.name] for submission in batch.submissions]


class _Processes:
    """The checkers that run now, so that an interruption ends them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def call(self, words: Sequence[str], where: Path, env: dict[str, str]) -> tuple[int, str]:
        """Run a command to its end; return its exit code and its standard error."""
        with self._lock:
            if self._stopped:
                return 130, ""
            process = subprocess.Popen(
                words,
                cwd=where,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
            )
            self._running.add(process)
        try:
            said = process.communicate()[1]
        finally:
            with self._lock:
                self._running.discard(process)
        return process.returncode, said

    def stop(self) -> None:
        """Interrupt those that run; each ends its own children."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.send_signal(signal.SIGINT)


def _judge(batch: Batch, submission: Submission, running: _Processes) -> Outcome:
    if submission.problem:
        return Outcome(submission, problem=submission.problem)
    record = batch.out / "records" / f"{submission.name}.json"
    with tempfile.TemporaryDirectory(prefix="handgrad-batch-") as place:
        where, relative = submission.alone(batch.folder, Path(place) / "alone")
        try:
            sha256 = find_submission(where / relative).sha256
        except SubmissionError as error:
            problem = str(error).removeprefix(f"{where / relative}: ")
            return Outcome(submission, problem=problem)
        report = _known(record, {**batch.settings, "sha256": sha256})
        if report is not None:
            return Outcome(submission, report, sha256, reused=True)
        result = Path(place) / "report.json"
        # -P: no file of that folder can pass for a library of the checker's.
        words = [sys.executable, "-P", "-m", "handgrad", "check", relative]
        words += ["--format", "json", "--no-timing", "--output", str(result), *batch.options]
        code, said = running.call(words, where, _environment())
        last = said.strip().splitlines()[-1] if said.strip() else f"exit code {code}"
        try:
            written = json.loads(result.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            written = {"note": "there is none"}
        if code == 2 and "note" in written:
            last = last.removeprefix("handgrad: error: ").removeprefix(f"{relative}: ")
            return Outcome(submission, sha256=sha256, problem=last)
        if code not in (0, 1, 2) or "note" in written:
            return Outcome(submission, sha256=sha256, problem=f"not judged: {last}", fault=True)
    if written["problems"]:  # another time the package may be there: not kept
        problem = "; ".join(written["problems"])
        return Outcome(submission, CheckReport.from_record(written), written["sha256"], problem)
    kept = {"settings": {**batch.settings, "sha256": written["sha256"]}, "report": written}
    write_atomically(record, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    return Outcome(submission, CheckReport.from_record(written), written["sha256"])


def _environment() -> dict[str, str]:
    """Ours, with this same handgrad, UTF-8 between us, and one thread of BLAS.

    Two pools of threads slow each other down.
    """
    entries = [str(Path(handgrad.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONIOENCODING": "utf-8",
        "PYTHONPATH": os.pathsep.join(filter(None, entries)),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _known(record: Path, settings: dict[str, Any]) -> CheckReport | None:
    """The report of an earlier run; None when there is none, or it was made otherwise."""
    try:
        kept = json.loads(record.read_text(encoding="utf-8"))
        return CheckReport.from_record(kept["report"]) if kept["settings"] == settings else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent or damaged: judged anew


def _write(batch: Batch, outcome: Outcome, outcomes: dict[str, Outcome]) -> None:
    if outcome.report is not None:
        grades = batch.rubric.grade(outcome.report.cases) if batch.rubric else None
        page = batch.out / "pages" / f"{outcome.submission.name}.html"
        write_atomically(page, as_html(outcome.report, grades, timing=False))
    done = [outcomes[s.name] for s in batch.submissions if s.name in outcomes]
    write_atomically(batch.out / "results.csv", as_csv(done, batch.rubric))


def as_csv(outcomes: Sequence[Outcome], rubric: Rubric | None = None) -> str:
    """One row a submission: counts of cases, score, and a column a function with its status."""
    rows = []
    for outcome in outcomes:
        row: dict[str, Any] = {
            "name": outcome.submission.name,
            "sha256": outcome.sha256,
            "problem": outcome.problem,
        }
        report = outcome.report
        if report is not None:
            row |= {status: report.count(status) for status in _NUMBERS}  # type: ignore[arg-type]
            row |= {f"{s.title}": s.status for s in by_function(report.cases)}
        if rubric is not None:
            # What cannot be judged earns nothing; what the checker failed at is left open.
            cases = report.cases if report is not None else ()
            row["score"] = "" if outcome.fault else f"{rubric.grade(cases).score:g}"
        rows.append(row)
    first = ["name", "sha256", *_NUMBERS, *(["score"] if rubric else []), "problem"]
    functions = dict.fromkeys(key for row in rows for key in row if key not in first)
    held = io.StringIO()
    table = csv.DictWriter(held, [*first, *functions], restval="", lineterminator="\n")
    table.writeheader()
    table.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return held.getvalue()


def _cell(value: object) -> str:
    """A cell that a spreadsheet shows and does not compute: a name may begin with '='."""
    text = printable(str(value))
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
