"""The report for a reader in a terminal: what passed, then each mistake and how to fix it."""

import io
import textwrap
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from handgrad.check.classroom.rubric import Grades
from handgrad.check.formats.findings import (
    CONTAINER,
    REMARKS,
    Finding,
    FunctionSummary,
    absent,
    by_function,
    containment,
    detail_lines,
    findings,
    held_to,
    names,
    notes,
    printable,
    problems,
    remark_lines,
    remarks,
    repeatable,
    totals,
)
from handgrad.check.records import CaseResult, CheckReport

_WIDTH = 100
_STYLES = {
    "passed": "green", "failed": "bold red", "error": "bold red", "missing": "yellow",
    "not judged": "bold yellow",
}  # fmt: skip


def as_text(report: CheckReport, grades: Grades | None = None, note: str = "") -> str:
    """Give the whole report as plain text."""
    held = io.StringIO()
    # In a notebook, too, it is text: rich would show each line there, and write none.
    console = Console(file=held, width=_WIDTH, color_system=None, force_jupyter=False)
    printer = TextPrinter(console)
    printer.begin(report.file)
    for case in report.cases:
        printer.case(case)
    printer.end(report, grades, note)
    return held.getvalue()


class TextPrinter:
    """Prints a line a function as soon as its cases are done, the mistakes at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._open: list[CaseResult] = []

    def begin(self, file: str) -> None:
        """Say what is being judged."""
        self._line(Text(f"handgrad check {printable(file)}", style="bold"))
        self._line()

    def case(self, case: CaseResult) -> None:
        """Take a case; when it belongs to another function than the last, that one is done."""
        if self._open and _owner(self._open[0]) != _owner(case):
            self._flush()
        self._open.append(case)

    def end(self, report: CheckReport, grades: Grades | None = None, note: str = "") -> None:
        """Print what the cases amount to."""
        self._flush()
        for number, finding in enumerate(findings(report.cases), 1):
            self._line()
            self.finding(finding, f"{number}. ")
        self._not_written(report.cases)
        for problem in problems(report):
            self._line()
            self._wrapped(problem, style=_STYLES["not judged"])
        for note_ in notes(report):
            self._line()
            self._wrapped(note_)
        self.remarks(report.cases)
        self._line()
        if grades is not None:
            self._grades(grades)
        self._facts(report)
        if note:
            self._line(Text(f"This report is {note}.", style="bold yellow"))
        self._line(verdict(report))

    def finding(self, finding: Finding, number: str = "") -> None:
        """Print one mistake: what is wrong, what to read, how to repeat it."""
        case = finding.case
        self._line(Text(f"{number}{case.function}: {printable(case.name)}", style="bold red"))
        for line in detail_lines(case):
            self._wrapped(line, "   ", style="bold" if line.startswith("Likely cause") else "")
        if case.read:
            self._wrapped(f"read: {case.read}", indent="   ", hanging="         ")
        if case.repeat:
            # Never wrapped, so that it can be copied.
            self._line(Text(f"   repeat: {printable(case.repeat)}", style="cyan"))
        if finding.also:
            also = names(finding.also, case.function)
            self._wrapped(f"also fails, for the same cause: {printable(also)}", indent="   ")
        if finding.follow:
            follow = names(finding.follow, case.function)
            self._wrapped(f"also fails, perhaps because of this: {printable(follow)}", indent="   ")

    def remarks(self, cases: Iterable[CaseResult]) -> None:
        """Print what is beyond the assignment and not done, in short."""
        beyond = remarks(cases)
        if beyond:
            self._line()
            self._line(Text(f"{REMARKS} (--strict counts it):", style="bold"))
        for remark in beyond:
            head, *rest = remark_lines(remark)
            self._wrapped(head, indent=" - ", hanging="   ")
            for line in rest:
                self._wrapped(line, indent="   ", style="dim")

    def changed(self, text: str, status: str) -> None:
        """Print a line about a case whose status changed."""
        self._line(Text(printable(text), style=_STYLES[status]))

    def _flush(self) -> None:
        for summary in by_function(self._open):
            self._line(_summary_line(summary))
        self._open = []

    def _not_written(self, cases: Iterable[CaseResult]) -> None:
        missing = absent(cases)
        if missing:
            self._line()
            text = f"Not written yet, or not there ({len(missing)}): {', '.join(missing)}"
            self._wrapped(text, style="yellow")

    def _grades(self, grades: Grades) -> None:
        for grade in grades.items:
            self._line(Text(f"{printable(grade.name)[:58]:58} {grade.score:g} / {grade.points:g}"))
        self._line(Text(f"{'Score':58} {grades.score:g} / {grades.points:g}", style="bold"))
        self._line()

    def _facts(self, report: CheckReport) -> None:
        self._wrapped(f"Judged: {printable(report.file)}, SHA-256 {report.sha256}", style="dim")
        self._wrapped(
            f"With: seed {report.seed}, {held_to(report)}, {repeatable(report)}",
            style="dim",
        )
        if report.recognised:
            seen = "; ".join(f"{name}: {how}" for name, how in report.recognised.items())
            self._wrapped(f"Conventions recognised in it: {printable(seen)}", style="dim")
        self._wrapped(f"Safety: {containment(report)}", style="dim")
        self._line(Text(f"   {CONTAINER}", style="dim"))  # as one line, to be copied
        self._line()

    def _wrapped(
        self, text: str, indent: str = "", hanging: str | None = None, style: str = ""
    ) -> None:
        # A line of an array or a table of the detail keeps its own indentation.
        inner = text[: len(text) - len(text.lstrip())]
        lines = textwrap.wrap(
            text.strip(),
            min(_WIDTH, self._console.width),
            initial_indent=indent + inner,
            subsequent_indent=(indent + inner) if hanging is None else hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines or [""]:
            self._line(Text(line, style=style))

    def _line(self, text: Text | str = "") -> None:
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)


def verdict(report: CheckReport) -> Text:
    """The last line: how many functions are right, and what to do first."""
    counts = totals(report.cases)
    number = sum(counts.values())
    total = f"{number} function{'s' * (number != 1)}"
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    text = f"{total}: {said or 'nothing was run'}."
    mistakes = len(findings(report.cases))
    if mistakes:
        text += f" {mistakes} mistake{'s' * (mistakes != 1)} to fix; start with 1."
    beyond = len(remarks(report.cases))
    if beyond:
        text += f" {beyond} remark{'s' * (beyond != 1)}."
    good = report.passed and bool(report.cases)
    return Text(text, style="bold green" if good else "bold red")


def _owner(case: CaseResult) -> tuple[str, str]:
    return case.group, case.function


def _summary_line(summary: FunctionSummary) -> Text:
    status = summary.status
    line = Text("  ")
    line.append(f"{summary.title:32}", style="" if status == "passed" else "bold")
    line.append(f"{status:8} ", style=_STYLES[status])
    line.append(printable(summary.tally), style="dim")
    return line
