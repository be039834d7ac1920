"""`handgrad reproduce`: what to run, where to, with how many processes."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from handgrad.cli.progress import TerminalWatcher
from handgrad.environment import processors
from handgrad.experiments import PROFILES, QUESTIONS
from handgrad.reproduce import Job, reproduce


class Questions(click.ParamType[tuple[int, ...]]):
    """A list like '2,5' of the assignment's question numbers."""

    name = "questions"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Parse, refusing unknown questions by name."""
        if isinstance(value, tuple):
            return value
        known = [str(question) for question in QUESTIONS]
        parts = [part.strip() for part in value.split(",")]
        unknown = [part for part in parts if part not in known]
        if unknown:
            self.fail(
                f"there is no question {unknown[0]!r} to reproduce; choose from {','.join(known)}"
            )
        return tuple(sorted({int(part) for part in parts}))


@click.command("reproduce")
@click.option(
    "--questions",
    type=Questions(),
    default=",".join(str(question) for question in QUESTIONS),
    show_default=True,
    help="Which questions of the assignment.",
)
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    default="standard",
    show_default=True,
    help="smoke: does it run (a minute, meaningless numbers); standard: the README's numbers; "
    "full: larger searches, longer training.",
)
@click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=True, path_type=Path),
    help="Look into this folder first (also: HANDGRAD_DATA).",
)
@click.option("--offline", is_flag=True, help="Download nothing.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Results folder; one that was interrupted is gone on with.  [default: results/PROFILE]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="The first of each experiment's consecutive seeds.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=processors,
    help="Worker processes; results do not depend on it.  [default: one a processor]",
)
@click.option("--no-report", is_flag=True, help="End without report.html and the networks' pages.")
def reproduce_command(
    questions: tuple[int, ...],
    profile: str,
    data_dir: Path | None,
    offline: bool,
    out: Path | None,
    seed: int,
    jobs: int,
    no_report: bool,
) -> None:
    """Run the assignment's experiments and report them.

    Hyperparameters are chosen on validation rows; the chosen model is retrained with several
    seeds, and each sees the test rows once. Interrupt it whenever you like: the same command
    goes on where it was and ends with the same numbers.
    """
    job = Job(
        questions=questions,
        profile=profile,
        out=out or Path("results") / profile,
        command=shlex.join(["handgrad", *sys.argv[1:]]),
        seed=seed,
        jobs=jobs,
        data_dir=data_dir,
        offline=offline,
        report=not no_report,
    )
    with TerminalWatcher(job) as watcher:
        results = reproduce(job, watcher)
    watcher.conclude(results)
