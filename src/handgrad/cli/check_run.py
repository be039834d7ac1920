"""How ``handgrad check`` runs and what it shows: once, again at each save, or a whole folder."""

import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handgrad.check import (
    CaseResult,
    CheckerFault,
    CheckReport,
    SubmissionError,
    check_submission,
    conventions,
)
from handgrad.check.begin import begun, versions
from handgrad.check.classroom.audience import View
from handgrad.check.classroom.batch import Batch, Outcome, run
from handgrad.check.classroom.finding import submissions
from handgrad.check.classroom.kept import judging_code
from handgrad.check.classroom.rubric import Rubric
from handgrad.check.classroom.seeds import SALT_VARIABLE, marked, seed_of
from handgrad.check.classroom.watch import Files, changes
from handgrad.check.conventions import parse
from handgrad.check.formats.findings import findings, names, printable, problems
from handgrad.check.formats.output import UNFINISHED, Saved, refusal, render, save
from handgrad.check.formats.text import TextPrinter, verdict
from handgrad.check.records import counting
from handgrad.check.sandbox.submission import Submission, find_submission
from handgrad.errors import HandgradError
from handgrad.terminal import say

_WIDTH = 100  # off a terminal


@dataclass(frozen=True)
class Asked:
    """What is judged, and how: the options that every run of one command shares."""

    path: str
    seed: int
    course: str
    convention: str
    only: tuple[str, ...] | None
    case: str | None
    timeout: float
    strict: bool
    style: str
    output: Path | None
    timing: bool
    rubric: Rubric | None
    audience: str = "student"
    seed_from: str | None = None
    salt: str = ""

    @property
    def view(self) -> View:
        """What is shown of a report."""
        return View(self.rubric, self.audience)

    def of(self, submission: Submission) -> "Asked":
        """Ask the same of one submission, with a seed of its own where that is wanted."""
        if self.seed_from is None:
            return self
        return replace(self, seed=seed_of(submission.sha256, self.salt))

    def found(self) -> Submission:
        """Find the submission, by the names of the course's modules."""
        held = conventions.parse(self.convention, self.course)
        return find_submission(self.path, held.course.wanted)

    def options(self) -> list[str]:
        """The options that decide what is judged, as words of a command; without the salt."""
        seed = (
            ["--seed", str(self.seed)] if self.seed_from is None else ["--seed-from", "submission"]
        )
        words = [*seed, "--timeout", f"{self.timeout:g}"]
        for option in ("course", "convention"):
            if getattr(self, option):
                words += [f"--{option}", getattr(self, option)]
        if self.only is not None:
            words += ["--only", ",".join(self.only)]
        words += ["--strict"] if self.strict else []
        return words + (["--case", self.case] if self.case is not None else [])


class _Console(Console):
    """A console that leaves a reader who went away to ``main``."""

    def on_broken_pipe(self) -> None:
        """Flush to nowhere: what is still in the buffer has no reader."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise BrokenPipeError


def _console() -> Console:
    console = _Console()
    return console if console.is_terminal else _Console(width=_WIDTH)


class _Show:
    """Shows one run: text as it comes, another format at its end, a file at each case."""

    def __init__(self, asked: Asked, submission: Submission, console: Console) -> None:
        self._asked = asked
        self.so_far = begun(
            submission,
            seed=asked.seed,
            course=asked.course,
            convention=asked.convention,
            strict=asked.strict,
        )
        self._saved: Saved | None = None
        self._text: TextPrinter | None = None
        if asked.output is not None:
            self._saved = Saved(
                asked.output, asked.style, self.so_far, asked.rubric, asked.timing, asked.audience
            )
        elif asked.style == "text":
            self._text = TextPrinter(console)
        # What runs now, for those who wait; nobody waits at a log. On one terminal, one console.
        waiting = console if self._text is not None else Console(stderr=True)
        self._status = waiting.status("starting") if waiting.is_terminal else None
        if self._status is not None:
            self._status.start()

    def case(self, case: CaseResult) -> None:
        """Show a case that has ended."""
        if self._text is not None and not self.so_far.cases:
            self._text.begin(self._asked.path)
        case = self._asked.view.held(case)
        self.so_far = replace(self.so_far, cases=(*self.so_far.cases, case))
        shown = self._asked.view.shows(case)
        if self._status is not None and shown:
            self._status.update(f"{len(self.so_far.cases)} cases, last: {case.function}")
        if self._saved is not None:
            self._saved.case(case)
        elif self._text is not None and shown:
            self._text.case(case)

    def stop(self) -> None:
        """Take the line of what runs now down."""
        if self._status is not None:
            self._status.stop()

    def end(self, report: CheckReport | None = None) -> None:
        """Show the whole report; without one, what there is of it."""
        self.stop()
        note = "" if report is not None else UNFINISHED
        asked, report = self._asked, report or self.so_far
        if self._saved is not None:
            if not note:
                self._saved.end(report)
                say(f"{verdict(asked.view.of(report))} The report is in {asked.output}")
        elif self._text is not None:
            seen, rubric = asked.view.of(report), asked.view.shown
            self._text.end(seen, rubric.grade(seen.cases) if rubric else None, note)
        else:
            content = render(asked.style, report, asked.rubric, asked.timing, note, asked.audience)
            click.echo(content.encode(), nl=False)  # UTF-8, whatever the terminal's own coding


def check_once(asked: Asked) -> int:
    """Judge one submission; return the exit code."""
    try:
        report = asked.view.of(_judged(asked, _console()))
    except KeyboardInterrupt:
        say("\nhandgrad: interrupted; the report is not finished", err=True)
        return 130
    except (HandgradError, click.ClickException, BrokenPipeError):
        raise
    except Exception as fault:
        return _fault(fault)
    if report.problems:
        said = f"{report.file}: {'; '.join(report.problems)}"
        say(f"handgrad: error: {printable(said)}", err=True)
        return 2
    return 0 if report.passed else 1


def _fault(fault: Exception) -> int:
    """Say that the checker failed: whatever a submission raises stays in its own process."""
    said = str(fault)
    if not isinstance(fault, CheckerFault):
        frame = traceback.extract_tb(fault.__traceback__)[-1]
        where = f"{Path(frame.filename).name}, line {frame.lineno}"
        said = f"{type(fault).__name__}: {said} ({where})"
    said = " ".join(printable(said).split())
    say(f"handgrad: the checker itself failed, which is nobody's mistake: {said}", err=True)
    return 3


def _judged(asked: Asked, console: Console) -> CheckReport:
    show = None
    try:
        submission = asked.found()
        asked = asked.of(submission)
        show = _Show(asked, submission, console)
        report = _checked(asked, submission, show.case)
    except SubmissionError as error:
        if show is not None:
            show.stop()
        content = refusal(asked.style, str(error), asked.rubric, asked.audience)
        if not content and show is not None and asked.output is not None:
            note = f"empty: {error}"
            content = render(
                asked.style, show.so_far, asked.rubric, asked.timing, note, asked.audience
            )
        if content:
            _refuse(asked, content)
        raise
    except BaseException:
        if show is not None:
            show.end()
        raise
    show.end(report)
    return report


def _refuse(asked: Asked, content: str) -> None:
    if asked.output is not None:
        save(asked.output, content)
    else:
        click.echo(content.encode(), nl=False)


def _checked(
    asked: Asked, submission: Submission, on_case: Callable[[CaseResult], None] | None = None
) -> CheckReport:
    return check_submission(
        submission,
        seed=asked.seed,
        convention=parse(asked.convention, asked.course),
        only=asked.only,
        case=asked.case,
        timeout=asked.timeout,
        strict=asked.strict,
        on_case=on_case,
    )


def watch_and_check(asked: Asked) -> int:
    """Judge, then again whenever a file is saved, showing what changed, until Ctrl-C: 130."""
    place = Path(asked.path)
    if not place.exists():
        raise click.UsageError(f"--watch needs a file or a folder; {asked.path} is neither")
    console = _console()
    files = Files(place)
    last: CheckReport | None = None
    try:
        while True:
            try:
                if last is None:
                    last = asked.view.of(_judged(asked, console))
                else:
                    last = _again(asked, console, last)
            except SubmissionError as error:
                say(f"cannot be judged: {error}")
            say("Watching; Ctrl-C ends.")
            files.wait()
    except KeyboardInterrupt:
        say()
        return 130
    except CheckerFault as fault:
        return _fault(fault)


def _again(asked: Asked, console: Console, last: CheckReport) -> CheckReport:
    started = time.perf_counter()
    submission = asked.found()
    report = asked.view.of(_checked(asked.of(submission), submission))
    seconds = time.perf_counter() - started
    say(f"\n{time.strftime('%H:%M:%S')} saved, judged again in {seconds:.1f} s")
    changed = changes(last, report)
    printer = TextPrinter(console)
    if changed.mended:
        printer.changed(f"passes now: {names(changed.mended)}", "passed")
    for title, cases in (("broken now", changed.broken), ("wrong in another way", changed.other)):
        for status, said in (("missing", "not there any more"), ("not judged", "not judged now")):
            absent = [case for case in cases if case.status == status]
            if absent:
                printer.changed(f"{title}, {said}: {names(absent)}", status)
        found = findings(cases)
        if found:
            printer.changed(f"{title}:", "failed")
        for finding in found:
            printer.finding(finding)
        printer.remarks(cases)
    if not changed:
        say("no case changed")
    for problem in problems(report):
        say(problem)
    console.print(verdict(report), soft_wrap=True)
    return report


def check_folder(asked: Asked, out: Path, jobs: int) -> int:
    """Judge a folder of submissions; return the exit code."""
    folder = Path(asked.path)
    if not folder.is_dir():
        raise click.UsageError(f"--batch needs a folder of submissions; {folder} is not one")
    held = conventions.parse(asked.convention, asked.course)  # refused here, and once
    found = submissions(folder.resolve(), held.course.wanted)
    if not held.course.ships:  # each submission is judged from another folder
        asked = replace(asked, course=str(held.course.folder))
    settings: dict[str, object] = {"options": asked.options(), "versions": versions()}
    settings["code"] = judging_code()
    settings["course"] = held.course.sha256()
    if asked.seed_from is not None:
        settings["salt"] = marked(asked.salt)
    batch = Batch(
        folder=folder.resolve(),
        submissions=found,
        out=out.resolve(),
        options=asked.options(),
        settings=settings,
        rubric=asked.rubric,
        audience=asked.audience,
        variables={SALT_VARIABLE: asked.salt},
        jobs=jobs,
        course=held.course,
    )
    outcomes = _with_progress(batch)
    faults = [outcome for outcome in outcomes if outcome.fault]
    refused = [o for o in outcomes if o.report is None and not o.fault]
    partly = sum(o.report is not None and bool(o.report.problems) for o in outcomes)
    good = sum(o.report is not None and o.report.passed for o in outcomes)
    say(
        f"{len(outcomes)} submissions: {good} pass everything, {len(refused)} cannot be judged"
        + (f", {partly} not in full" if partly else "")
        + (f", {len(faults)} made the checker fail" if faults else "")
    )
    say(
        f"{out / 'results.csv'}, and a page each in {out / 'pages'}; of the class: "
        f"{out / 'misconceptions.csv'}, {out / 'lecture.html'}"
    )
    if faults:
        return 3
    return 0 if good == len(outcomes) else 1


def _with_progress(batch: Batch) -> list[Outcome]:
    console = Console(stderr=True, soft_wrap=True)
    if not console.is_terminal:
        return run(batch, lambda outcome: say(_said(outcome), err=True))
    label, count = TextColumn("{task.description}"), MofNCompleteColumn()
    columns = (label, BarColumn(), count, TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("submissions", total=len(batch.submissions))

        def moved(outcome: Outcome) -> None:
            progress.console.print(_said(outcome), markup=False, highlight=False)
            progress.advance(task)

        return run(batch, moved)


def _said(outcome: Outcome) -> str:
    name = printable(outcome.submission.name)
    if outcome.report is None:
        return f"{name}: {printable(outcome.problem)}"
    report = outcome.report
    total = len(counting(report.cases))
    more = " (judged before)" if outcome.reused else ""
    more += f"; {printable(outcome.problem)}" if outcome.problem else ""
    return f"{name}: {report.count('passed')} of {total} cases passed{more}"
