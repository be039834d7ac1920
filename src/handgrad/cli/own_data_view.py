"""What `handgrad train` shows: the data, a bar while it trains, and a table at the end."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column, Table

from handgrad.report import SHOW
from handgrad.terminal import duration, written
from handgrad.training_record import (
    METRICS,
    ColumnRecord,
    DataSummary,
    EpochRecord,
    Metrics,
    SplitSizes,
    TrainingRecord,
    TrialSummary,
)

_MOST_COLUMNS = 30
_MOST_CLASSES = 12
_A_LINE_EVERY_SECONDS = 5.0  # off a terminal


class TerminalTraining:
    """Draws a bar on a terminal; elsewhere (a log, a pipe) prints a line now and then."""

    def __init__(self) -> None:
        terminal = Console(stderr=True)
        # Off a terminal: lines as long as they are, so that logs can be searched.
        self._console = (
            terminal if terminal.is_terminal else Console(stderr=True, width=120, soft_wrap=True)
        )
        self._bar: Progress | None = None
        self._row: TaskID | None = None
        self._seconds = 0.0
        self._task = "classify"
        self._said = time.perf_counter()

    def __enter__(self) -> Self:
        """Nothing is drawn before there is something to say."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar down."""
        self._take_down()

    def found(self, data: DataSummary, task: str) -> None:
        """Show the data's columns or images, its target, and what is odd about it."""
        self._task = task
        self._say(f"{data.name}: {data.recognised}")
        if data.columns:
            self._console.print(_columns_table(data.columns))
        targets = ", ".join(data.targets)
        if data.classes:
            shown = [f"{c.name} {c.rows:,} ({c.share:.1%})" for c in data.classes[:_MOST_CLASSES]]
            more = len(data.classes) - len(shown)
            kind = "labels" if task == "multilabel" else "classes"
            tail = f" and {more} more" if more else ""
            self._say(f"target {targets}: {len(data.classes)} {kind}: {', '.join(shown)}{tail}")
        for each in data.ranges:
            self._say(
                f"target {each.name}: {each.low:.4g} to {each.high:.4g}, mean {each.mean:.4g}, "
                f"standard deviation {each.std:.4g}"
            )
        for text in (*data.warnings, *data.skipped):
            self._say(f"note: {text}")

    def split(self, sizes: SplitSizes, preprocessing: tuple[str, ...]) -> None:
        """Say how many rows each part has."""
        self._say(
            f"split: {sizes.train:,} rows to train, {sizes.val:,} to validate, {sizes.test:,} to "
            f"test; {sizes.how}"
        )

    def searched(self, trial: TrialSummary, candidates: int) -> None:
        """Say what a candidate reached."""
        score = "-" if trial.val_score is None else self._score(trial.val_score)
        number = trial.number + 1  # an interrupted one has kept its own
        which = f"{number} of {candidates}" if number <= candidates else f"{number}, for another"
        text = f"candidate {which}: {trial.state}, validation {score}"
        self._say(text)

    def training(self, architecture: str, seconds: float) -> None:
        """Say what is trained; begin the bar."""
        self._say(f"net: {architecture}")
        self._seconds = seconds
        if not self._console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=20),
            TextColumn("loss {task.fields[loss]}, validation {task.fields[score]}"),
            TextColumn("{task.fields[left]}"),
            console=self._console,
        )
        self._bar.start()
        self._row = self._bar.add_task(
            "", total=seconds, epoch="1", loss="-", score="-", left=self._left(0.0)
        )

    def epoch(self, epoch: EpochRecord, best: EpochRecord) -> None:
        """Move the bar, or print a line if the last was some seconds ago."""
        score = f"{self._score(epoch.val_score)} (best {self._score(best.val_score)})"
        if self._bar is not None and self._row is not None:
            self._bar.update(
                self._row,
                completed=min(epoch.seconds, self._seconds),
                epoch=str(epoch.epoch),
                loss=f"{epoch.loss:.4f}",
                score=score,
                left=self._left(epoch.seconds),
            )
        elif time.perf_counter() - self._said > _A_LINE_EVERY_SECONDS:
            self._say(
                f"epoch {epoch.epoch}: loss {epoch.loss:.4f}, validation {score}, "
                f"{self._left(epoch.seconds)}"
            )

    def trained(self, stopped: str) -> None:
        """Take the bar down and say why training ended."""
        self._take_down()
        self._say(f"training ended: {stopped}")

    def notice(self, text: str) -> None:
        """Say something."""
        self._take_down()
        self._say(f"note: {text}")

    def kept(self, validation: Mapping[str, Metrics], best: EpochRecord) -> None:
        """Show what is kept after Ctrl-C."""
        self._take_down()
        self._print(results_table(self._task, validation, None))
        self._say(
            f"Ctrl-C: kept the best so far (epoch {best.epoch}, validation "
            f"{self._score(best.val_score)}); its test rows are looked at when training ends"
        )

    def concluded(self, record: TrainingRecord, out: Path) -> None:
        """Print the table of results, on standard output, and where things are."""
        models = {each.name: each.validation for each in record.baselines}
        tests = {each.name: each.test for each in record.baselines}
        models["net"], tests["net"] = record.net.validation, record.net.test
        self._print(results_table(record.task, models, tests))
        names = [out / name for name in (record.model, SHOW, "record.json", "report.html")]
        for path in names:
            if path.exists():
                self._print(str(path))

    def _left(self, seconds: float) -> str:
        return f"at most {duration(max(0.0, self._seconds - seconds))} left"

    def _score(self, value: float) -> str:
        return f"R² {value:.4f}" if self._task == "regress" else f"{value:.2%}"

    def _take_down(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _say(self, text: str) -> None:
        self._said = time.perf_counter()
        self._console.print(text, markup=False, highlight=False)

    def _print(self, what: Table | str) -> None:
        console = Console() if Console().is_terminal else Console(width=100, soft_wrap=True)
        with written():
            console.print(what, markup=False, highlight=False)


def _columns_table(columns: Sequence[ColumnRecord]) -> Table:
    table = Table("column", "type", "use", box=box.SIMPLE, pad_edge=False)
    for title in ("missing", "distinct", "lowest", "highest", "mean"):
        table.add_column(title, justify="right")
    for each in columns[:_MOST_COLUMNS]:
        numbers = ["" if v is None else f"{v:.4g}" for v in (each.low, each.high, each.mean)]
        table.add_row(
            escape(each.name), each.kind, each.use, f"{each.missing:,}", f"{each.distinct:,}",
            *numbers,
        )  # fmt: skip
    if len(columns) > _MOST_COLUMNS:
        table.add_row(f"... and {len(columns) - _MOST_COLUMNS:,} more")
    return table


def results_table(
    task: str, validation: Mapping[str, Metrics], test: Mapping[str, Metrics] | None
) -> Table:
    """Each model a row: its metrics on the validation rows and, at the end, on the test rows."""
    table = Table(Column("model", no_wrap=True), box=box.SIMPLE, pad_edge=False)
    parts = [("validation", validation), *([("test", test)] if test else [])]
    for part, _ in parts:
        for title in METRICS[task].values():
            table.add_column(f"{part}\n{title}", justify="right")
    for model in validation:
        cells = [_cell(metrics[model].get(name)) for _, metrics in parts for name in METRICS[task]]
        table.add_row(model, *cells)
    return table


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
