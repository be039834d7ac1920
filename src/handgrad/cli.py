"""The command line: options, printing, exit codes; no maths.

Exit codes: 0 done; 2 something the user can mend (bad input, data, folder; one line on standard
error says what and how); 130 interrupted. `check` has two more: 1 some case failed, 3 the checker
itself failed.
"""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

import handgrad
from handgrad.cli_bench import bench_command
from handgrad.cli_check import check_command
from handgrad.cli_data import data_group
from handgrad.cli_progress import TerminalWatcher
from handgrad.cli_report import report_command
from handgrad.errors import HandgradError
from handgrad.experiments import PROFILES, QUESTIONS
from handgrad.reproduce import Job, reproduce
from handgrad.reproduce.environment import processors
from handgrad.terminal import escape_what_streams_cannot_take, say


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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(handgrad.__version__, prog_name="handgrad")
def cli() -> None:
    """Deep learning whose every gradient is derived by hand, proved, checked and fast."""


cli.add_command(data_group)
cli.add_command(bench_command)
cli.add_command(report_command)
cli.add_command(check_command)


@cli.command("reproduce")
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
@click.option("--no-report", is_flag=True, help="Do not end by writing report.html.")
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


def main() -> None:
    """Run the command; a user's mistake is one line and exit code 2, never a traceback."""
    escape_what_streams_cannot_take()
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.ctx.get_help() if error.ctx else "", err=True)
        sys.exit(2)
    except click.ClickException as error:
        say(f"handgrad: error: {' '.join(error.format_message().split())}", err=True)
        sys.exit(error.exit_code)
    except HandgradError as error:
        say(f"handgrad: error: {error}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        say("\nhandgrad: interrupted; the same command goes on where it was", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    sys.exit(code if isinstance(code, int) else 0)
