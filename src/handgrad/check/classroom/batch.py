"""A folder of submissions: each judged in a process of its own, a CSV and a page each."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import handgrad
from handgrad.check.classroom import lecture, misconceptions, table
from handgrad.check.classroom.audience import View
from handgrad.check.classroom.finding import Submission
from handgrad.check.classroom.kept import Found, Records, content_of
from handgrad.check.classroom.processes import Processes
from handgrad.check.classroom.rubric import Rubric
from handgrad.check.courses import Course, load
from handgrad.check.formats.html import as_html
from handgrad.check.records import CheckReport
from handgrad.claimed_folder import alone_in
from handgrad.errors import BatchError
from handgrad.files import write_atomically


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
    """A batch to run: what, how, and where the results go.

    Attributes
    ----------
    folder, submissions : what is judged
    out : Path
        For results.csv, misconceptions.csv, lecture.html, records/ and pages/.
    options : sequence of str
        Of handgrad check, e.g. ('--seed', '0').
    settings : mapping
        What a record must share to be used again.
    rubric : Rubric, optional
    audience : one of AUDIENCES
        Who sees the pages.
    variables : mapping
        Of the checkers' environment.
    jobs : int
        How many submissions at once.
    """

    folder: Path
    submissions: Sequence[Submission]
    out: Path
    options: Sequence[str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    rubric: Rubric | None = None
    audience: str = "student"
    variables: Mapping[str, str] = field(default_factory=dict)
    jobs: int = 1
    course: Course = field(default_factory=load)

    @property
    def view(self) -> View:
        """What the pages show."""
        return View(self.rubric, self.audience)

    @property
    def records(self) -> Records:
        """What was found out before."""
        return Records(self.out / "records", self.settings)

    @property
    def work(self) -> Path:
        """Where the checkers work; what a batch that was killed leaves, the next one clears."""
        return self.out / ".work"


def run(batch: Batch, on_done: Callable[[Outcome], None]) -> list[Outcome]:
    """Judge all; what was found out before with the same settings is not judged again.

    A record and a page are written as each submission ends, and so is ``results.csv``: a batch that
    is interrupted, or killed, leaves what was found, and the same call goes on and ends with the
    same bytes.
    """
    with _writing(batch):
        results = _Results(batch)
        waiting = []
        for submission in batch.submissions:
            content = "" if submission.problem else _content(batch, submission)
            known = _known(batch, submission, content)
            if known is None:
                waiting.append((submission, content))
            else:
                on_done(results.take(known))
        results.write()
        _judge_all(batch, waiting, results, on_done)
        return results.finish()


@contextmanager
def _writing(batch: Batch) -> Iterator[None]:
    """Hold the folder of results, with nothing in it of a batch that was killed at work."""
    try:
        for name in ("records", "pages"):
            (batch.out / name).mkdir(parents=True, exist_ok=True)
        with alone_in(batch.out, "handgrad check --batch", option="--batch"):
            shutil.rmtree(batch.work, ignore_errors=True)
            batch.work.mkdir(exist_ok=True)
            try:
                yield
            finally:
                shutil.rmtree(batch.work, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BatchError(f"cannot write to {batch.out} ({reason})") from error


def _judge_all(
    batch: Batch,
    waiting: Sequence[tuple[Submission, str]],
    results: "_Results",
    on_done: Callable[[Outcome], None],
) -> None:
    running = Processes()
    with ThreadPoolExecutor(batch.jobs) as pool:
        futures: set[Future[Outcome]] = {
            pool.submit(_judge, batch, *item, running) for item in waiting
        }
        try:
            while futures:
                done, futures = wait(futures, return_when=FIRST_COMPLETED)
                for future in done:
                    outcome = results.take(future.result())
                    results.write()
                    on_done(outcome)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            running.stop()
            raise


class _Results:
    """What is written as submissions end, in their order and not in that of their ends."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._outcomes: dict[str, Outcome] = {}
        self._rows: dict[str, dict[str, Any]] = {}

    def take(self, outcome: Outcome) -> Outcome:
        """Take an outcome, and write its page; give it as the rubric counts."""
        name, report, rubric = outcome.submission.name, outcome.report, self._batch.rubric
        if report is not None:
            report = View(rubric, "instructor").of(report)
            outcome = replace(outcome, report=report)
        self._outcomes[name] = outcome
        score = None
        if rubric is not None and not outcome.fault:
            # What cannot be judged earns nothing; what the checker failed at is left open.
            score = rubric.grade(report.cases if report is not None else ()).score
        self._rows[name] = table.row(name, outcome.sha256, outcome.problem, report, score)
        if report is not None:
            seen, rubric = self._batch.view.of(report), self._batch.view.shown
            grades = rubric.grade(seen.cases) if rubric else None
            page = as_html(seen, grades, timing=False)
            write_atomically(self._batch.out / "pages" / f"{name}.html", page)
        return outcome

    def write(self) -> None:
        """Write the table of what has ended."""
        rows = [self._rows[s.name] for s in self._batch.submissions if s.name in self._rows]
        text = table.results_csv(rows, self._batch.rubric)
        write_atomically(self._batch.out / "results.csv", text)

    def finish(self) -> list[Outcome]:
        """Write what is said of the whole class; return all outcomes."""
        batch = self._batch
        outcomes = [self._outcomes[submission.name] for submission in batch.submissions]
        judged = [(o.report, o.problem) for o in outcomes if not o.fault]
        found = misconceptions.of_class(judged, batch.rubric)
        write_atomically(batch.out / "misconceptions.csv", misconceptions.as_csv(found))
        seen = [(report and batch.view.of(report), problem) for report, problem in judged]
        shown = found if batch.view.complete else misconceptions.of_class(seen, batch.view.shown)
        title = batch.rubric.title if batch.rubric else ""
        page = lecture.page(shown, len(judged), title, batch.course)
        write_atomically(batch.out / "lecture.html", page)
        return outcomes


def _known(batch: Batch, submission: Submission, content: str) -> Outcome | None:
    """What is known of a submission without running it."""
    if submission.problem:
        return Outcome(submission, problem=submission.problem)
    found = batch.records.load(submission.name, content)
    if found is None:
        return None
    sha256 = found.report.sha256 if found.report is not None else ""
    return Outcome(submission, found.report, sha256, found.problem, reused=True)


def _content(batch: Batch, submission: Submission) -> str:
    """The mark of all that was handed in."""
    if submission.files:
        return content_of([file for _, file in submission.files])
    first = submission.path.relative_to(batch.folder).parts[0]
    return content_of([batch.folder / first])


def _judge(batch: Batch, submission: Submission, content: str, running: Processes) -> Outcome:
    """Judge a submission in a process of its own, and keep what was found."""
    place = Path(tempfile.mkdtemp(prefix="", dir=batch.work))
    folder, path = submission.alone(batch.folder, place / "alone")
    result = place / "report.json"
    # -P: no file of that folder can pass for a library of the checker's.
    words = [sys.executable, "-P", "-m", "handgrad", "check", path]
    words += ["--format", "json", "--no-timing", "--for", "instructor", "--output", str(result)]
    variables = {**_environment(), **batch.variables, "TMPDIR": str(place)}
    code, said = running.call([*words, *batch.options], folder, variables)
    last = said.strip().splitlines()[-1] if said.strip() else f"exit code {code}"
    try:
        written = json.loads(result.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        written = {"note": "there is none"}
    shutil.rmtree(place, ignore_errors=True)
    if code == 2 and "note" in written:
        problem = last.removeprefix("handgrad: error: ").removeprefix(f"{path}: ")
        batch.records.save(submission.name, content, Found(None, problem), None)
        return Outcome(submission, problem=problem)
    if code not in (0, 1, 2) or "note" in written:
        return Outcome(submission, problem=f"not judged: {last}", fault=True)
    report = CheckReport.from_record(written)
    found = Found(report, "; ".join(report.problems))
    batch.records.save(submission.name, content, found, written)
    return Outcome(submission, report, report.sha256, found.problem)


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
