"""What `handgrad reproduce` shows: a plan, a bar an experiment, a table at the end."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.status import Status
from rich.table import Column, Table

from handgrad.experiments import StudyExperiment
from handgrad.reproduce import Job, summary
from handgrad.reproduce.stages import Stage
from handgrad.results import ExperimentRecord, Results
from handgrad.terminal import duration


class TerminalWatcher:
    """Draws bars on a terminal; elsewhere (a log, a pipe) prints a line a milestone."""

    def __init__(self, job: Job) -> None:
        self._job = job
        # Off a terminal: lines as long as they are, so that logs can be searched.
        self._console = Console(stderr=True, soft_wrap=True)
        self._status: Status | None = None
        self._bars: Progress | None = None
        self._rows: dict[str, TaskID] = {}
        self._total: TaskID | None = None
        self._left_seconds = 0.0
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        """Nothing is drawn before the plan is known."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bars down."""
        if self._status is not None:
            self._status.stop()
        if self._bars is not None:
            self._bars.stop()

    def notice(self, text: str) -> None:
        """Show a notice in a frame."""
        if self._console.is_terminal:
            self._console.print(Panel(escape(text), title="Notice", style="bold yellow"))
        else:
            self._console.print(f"NOTICE: {escape(text)}", highlight=False)

    def planning(self) -> None:
        """Say what takes a while before the first bar."""
        text = "Timing a few steps of each experiment"
        if self._console.is_terminal:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._console.print(text, highlight=False)

    def planned(self, stages: Sequence[Stage], seconds: float) -> None:
        """Show what will be done and how long it should take, then the bars."""
        job = self._job
        if self._status is not None:
            self._status.stop()
        plan = Table(
            "experiment", "search runs", "retrainings", "expected", box=None, pad_edge=False
        )
        for stage in stages:
            candidates, finals = stage.candidates_left, stage.finals_left
            expected = duration(stage.seconds_left / job.jobs) if candidates or finals else "done"
            name = f"{stage.experiment.id} {stage.experiment.title}"
            plan.add_row(name, str(candidates), str(finals), expected)
        self._console.print(
            f"Profile {job.profile}, {job.jobs} worker processes, "
            f"results in {escape(str(job.out))}",
            highlight=False,
        )
        if stages:
            self._console.print(plan)
        if job.studies:
            self._console.print("Question 7 is measured at the end: some seconds", highlight=False)
        self._console.print(f"Expected time: about {duration(seconds)}", highlight=False)
        self._started = time.perf_counter()
        self._left_seconds = seconds * job.jobs
        if not self._console.is_terminal:
            return
        self._bars = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, ratio=3)),
            BarColumn(bar_width=16),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, min_width=16)),
            console=self._console,
            expand=True,
        )
        self._bars.start()
        for stage in stages:
            if stage.seconds_left:
                self._rows[stage.experiment.id] = self._bars.add_task(
                    f"{stage.experiment.id} {stage.experiment.title}",
                    total=stage.seconds_left,
                    note="",
                )
        self._total = self._bars.add_task("all", total=self._left_seconds, note="")

    def moved(self, stage: Stage, seconds: float) -> None:
        """Move the bars."""
        self._left_seconds -= seconds
        if self._bars is None or self._total is None:
            return
        if stage.experiment.id in self._rows:
            self._bars.advance(self._rows[stage.experiment.id], seconds)
        left = duration(max(0.0, self._left_seconds) / self._job.jobs)
        self._bars.update(self._total, advance=seconds, note=f"about {left} left")

    def milestone(self, stage: Stage, text: str) -> None:
        """Say how far a search has come."""
        note = "finalists" if stage.candidates_left else "retraining"
        self._milestone(stage.experiment.id, text, note)

    def finished(self, record: ExperimentRecord) -> None:
        """Say what an experiment reached."""
        test = record.test_accuracy
        seeds = f"{len(record.seeds)} seed{'s' * (len(record.seeds) > 1)}"
        self._milestone(
            record.id,
            f"test {summary.percent(test)} % ({seeds})",
            f"test {100 * test.mean:.2f} %",
        )

    def measuring(self, study: StudyExperiment) -> None:
        """Say what is being measured."""
        self._console.print(f"{study.id} {study.title}", markup=False, highlight=False)

    def _milestone(self, experiment: str, text: str, note: str) -> None:
        if self._bars is not None:
            if experiment in self._rows:
                self._bars.update(self._rows[experiment], note=note)
        else:
            elapsed = duration(time.perf_counter() - self._started)
            self._console.print(f"[{elapsed}] {experiment}: {text}", markup=False, highlight=False)

    def conclude(self, results: Results) -> None:
        """Print the table of results, on standard output; it fits into 80 columns."""
        console = Console() if Console().is_terminal else Console(width=100)
        table = Table(
            Column("experiment, chosen", ratio=1),
            Column("validation %", no_wrap=True),
            Column("test %\n95 % interval", no_wrap=True),
            Column("parameters\ns / training", justify="right", no_wrap=True),
            title=f"handgrad reproduce, profile {results.profile}",
            box=box.SIMPLE,
            padding=(0, 1, 1, 0),
            expand=True,
        )
        for row in summary.rows(results):
            stand_in = "\nstand-in data" if "stand-in" in row.data else ""
            table.add_row(
                f"[bold]{escape(row.experiment)}[/]\n{escape(row.chosen)}{stand_in}",
                f"{row.validation}\n{row.seeds} seed{'s' * (row.seeds != '1')}",
                f"[bold]{row.test}[/]\n{row.interval}",
                f"{row.parameters}\n{row.seconds}",
            )
        if results.experiments:
            console.print(table)
        for study in results.studies:
            text = f"{study.id} {study.title}. {study.caption}"
            console.print(text, markup=False, highlight=False)
        for missing in results.not_run:
            text = f"Not run: {missing.id} {missing.title}: {missing.reason}"
            console.print(escape(text), style="yellow", highlight=False, soft_wrap=True)
        for name, data in results.data.items():
            mark = " (stand-in)" if data.stand_in else ""
            console.print(f"{name}{mark}: {escape(data.source)}", highlight=False)
        console.print(
            f"Records, histories, models: {escape(str(self._job.out))}",
            highlight=False,
            soft_wrap=True,
        )
        page = self._job.out / "report.html"
        if page.exists():
            console.print(
                f"All of it on one page: {escape(str(page))}", highlight=False, soft_wrap=True
            )
