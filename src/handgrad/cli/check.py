"""The command ``handgrad check``: options, printing, exit codes; the judging is handgrad.check's.

Exit codes: 0 every case that counts passed; 1 some did not (missing is not passed); 2 the
submission cannot be loaded, or not be judged in full for want of a package, or the command is
wrong; 3 the checker itself failed; 130 interrupted.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from handgrad.check import conventions
from handgrad.check.case import Setting
from handgrad.check.cases import all_cases, groups_of
from handgrad.check.classroom.audience import AUDIENCES
from handgrad.check.classroom.autograder import write_autograder
from handgrad.check.classroom.processes import end_with_parent
from handgrad.check.classroom.rubric import read_rubric
from handgrad.check.classroom.seeds import SALT_VARIABLE
from handgrad.check.classroom.starter import write_starter
from handgrad.check.courses import ASSIGNMENT, Course, load, shipped
from handgrad.check.formats.html import need_jinja2
from handgrad.check.formats.output import FORMATS
from handgrad.check.proof import of_reference, proved
from handgrad.cli.check_run import Asked, check_folder, check_once, watch_and_check
from handgrad.terminal import say

_SECTIONS = {
    "What is judged": ("only", "case", "course", "convention", "seed", "timeout", "strict"),
    "The report": ("style", "output", "no_timing"),
    "For learners": ("starter", "watch"),
    "For instructors": (
        "rubric", "audience", "batch", "jobs", "autograder", "seed_from", "salt", "courses",
        "prove",
    ),
}  # fmt: skip


class SectionedCommand(click.Command):
    """A command whose help groups its options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings."""
        records = {
            param.name: record
            for param in self.get_params(ctx)
            if isinstance(param, click.Option)
            and (record := param.get_help_record(ctx)) is not None
        }
        for title, names in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([records.pop(name) for name in names])
        with formatter.section("Other"):
            formatter.write_dl(list(records.values()))


@dataclass(frozen=True)
class Mode:
    """What the command does other than to judge once; one of these at most, but for ``jobs``."""

    starter: Path | None
    autograder: Path | None
    batch: Path | None
    watch: bool
    jobs: int

    def refuse_two(self) -> None:
        """Raise UsageError where two were asked for."""
        names = ("starter", "autograder", "batch", "watch")
        chosen = [f"--{name}" for name in names if getattr(self, name)]
        if len(chosen) > 1:
            raise click.UsageError(f"{chosen[0]} and {chosen[1]} do not go together")


@click.command("check", cls=SectionedCommand)
@click.argument("path", required=False)
@click.option("--only", metavar="NAMES", help="Topics or functions, as conv,pool or fc_backward.")
@click.option("--case", metavar="NAME", help="Only the cases of this name.")
@click.option(
    "--course",
    metavar="NAME",
    default="",
    help="Of another course: a name from --courses, or the folder of one's own.  "
    "[default: assignment]",
)
@click.option(
    "--convention",
    metavar="NAME",
    default="",
    help="What is right where courses differ: switches as inverted-dropout.  "
    "[default: the course's]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=None,
    show_default="0",
    help="Of the cases' numbers; the same seed gives the same report.",
)
@click.option(
    "--seed-from",
    type=click.Choice(["submission"]),
    help="Derive the seed from the submission's source: other numbers for each.",
)
@click.option(
    "--salt",
    metavar="TEXT",
    default="",
    envvar=SALT_VARIABLE,
    show_envvar=True,
    help="The course's secret in a seed from the submission.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Seconds that a case may take.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Count good practice beyond what the assignment asks, too, and not only remark on it.",
)
@click.option("--format", "style", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report there, anew as each case ends.  [default: standard output]",
)
@click.option("--no-timing", is_flag=True, help="Leave seconds out: equal runs give equal bytes.")
@click.option(
    "--rubric",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Points, visibility and order of the items (TOML).",
)
@click.option(
    "--for",
    "audience",
    type=click.Choice(AUDIENCES),
    default="student",
    show_default=True,
    help="Who reads the report: a student sees nothing of the rubric's hidden items.",
)
@click.option(
    "--starter",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the assignment's skeleton into DIR and judge nothing.",
)
@click.option("--watch", is_flag=True, help="Judge again whenever PATH is saved; show changes.")
@click.option(
    "--batch",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="OUT_DIR",
    help="PATH is a folder of submissions: results.csv and a page each go to OUT_DIR. Goes on "
    "where it was.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many submissions of a batch at once.",
)
@click.option(
    "--autograder",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="OUT.zip",
    help="Write a Gradescope autograder and judge nothing.",
)
@click.option("--courses", is_flag=True, help="List the courses that ship, and judge nothing.")
@click.option(
    "--prove", is_flag=True, help="Judge --course itself: its reference and its planted mistakes."
)
def check_command(
    path: str | None,
    only: str | None,
    no_timing: bool,
    rubric: Path | None,
    courses: bool,
    prove: bool,
    **options: Any,
) -> int:
    """Judge PATH: a layers.py, a notebook, a folder, an archive or a module; say what is wrong.

    Each function of the assignment that is there runs against independent references, in a child
    process with limits (containment, not a security boundary). Exit code: 0 all that counts
    passed, 1 some did not, 2 cannot be loaded or needs a package that is not installed, 3 the
    checker itself failed.
    """
    end_with_parent()
    mode = Mode(**{field.name: options.pop(field.name) for field in fields(Mode)})
    mode.refuse_two()
    if options["seed_from"] is not None and options["seed"] is not None:
        raise click.UsageError("--seed and --seed-from do not go together")
    options["seed"] = options["seed"] or 0
    if courses:
        return _list_courses()
    if prove:
        return _prove(load(options["course"] or ASSIGNMENT), path)
    if mode.starter is not None:
        return _starter(mode.starter, path)
    if path is None and mode.autograder is None:
        raise click.UsageError(
            "name what to judge: a layers.py, a notebook, a folder, an archive or a module"
        )
    if options["style"] == "html" or mode.batch is not None:
        need_jinja2()  # before the judging, not after it
    asked = Asked(
        path=path or "",
        only=tuple(w for w in (n.strip() for n in only.split(",")) if w) if only else None,
        timing=not no_timing,
        rubric=read_rubric(rubric, _gradable(options)) if rubric else None,
        **options,
    )
    if mode.autograder is not None:
        return _autograder(mode.autograder, asked, rubric)
    if mode.batch is not None:
        if asked.output is not None:
            raise click.UsageError("--batch writes to its own folder; leave --output out")
        return check_folder(asked, mode.batch, mode.jobs)
    if mode.watch:
        if asked.output is not None or asked.style != "text":
            raise click.UsageError("--watch shows text on the screen; leave --format, --output out")
        return watch_and_check(asked)
    return check_once(asked)


def _gradable(options: dict[str, Any]) -> dict[str, list[str]]:
    """What a rubric can name: each group and its functions."""
    held = conventions.parse(options["convention"], options["course"])
    found: dict[str, dict[str, None]] = {group: {} for group in groups_of(held.course)}
    for case in all_cases(Setting(held, 0)):
        found[case.group][case.function] = None
    return {group: list(functions) for group, functions in found.items()}


def _list_courses() -> int:
    """Say what there is, and what each asks."""
    for name in shipped():
        course = load(name)
        say(f"{name}: {course.title}")
        say(f"  topics: {', '.join(groups_of(course))}")
        if course.switches:
            say(f"  --convention: {', '.join(course.switches)}")
    say("One of your own is a folder: docs/own_course.md makes one from nothing.")
    return 0


def _prove(course: Course, path: str | None) -> int:
    """Say what the course's reference fails, and what is said of each of its mistakes."""
    if path is not None:
        raise click.UsageError("--prove judges the course alone; leave PATH out")
    failed = of_reference(course)
    for text in failed:
        say(f"the reference fails {text}")
    say(f"{course.name}: the reference {'fails' if failed else 'passes'} the course's cases")
    planted, named, missed = 0, 0, 0
    for mistake, verdict in proved(course):
        planted, named = planted + 1, named + verdict.names(mistake)
        if verdict.names(mistake):
            continue
        missed += not verdict.failed
        said = ", ".join(verdict.stated) or "no cause"
        what = f"states {said}" if verdict.failed else "it passes every case"
        say(f"not named: {mistake.name} ({mistake.what}): {what}")
    say(f"{named} of {planted} planted mistakes are named, {planted - missed} rejected")
    return 1 if failed or missed else 0


def _starter(folder: Path, path: str | None) -> int:
    if path is not None:
        raise click.UsageError("--starter judges nothing; leave PATH out")
    names = write_starter(folder)
    say(f"{folder}: {', '.join(names)}")
    say(f"Nothing is written yet. Read README.md, then: handgrad check {folder} --watch")
    return 0


def _autograder(out: Path, asked: Asked, rubric: Path | None) -> int:
    if asked.path:
        raise click.UsageError("--autograder judges nothing; leave PATH out")
    held = conventions.parse(asked.convention, asked.course)
    course = None if held.course.ships else held.course
    write_autograder(out, asked.options(), rubric, asked.salt, course)
    say(f"{out}: upload it to Gradescope as the autograder; docs/check.md says how")
    return 0
