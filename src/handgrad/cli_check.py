"""`handgrad check`: options, printing and the exit code; the judging is handgrad.check's."""

import click

from handgrad.check import CaseResult, CheckerFault, check_submission


@click.command("check")
@click.argument("path")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--convention", default="handgrad", show_default=True)
@click.option("--only", help="Groups or functions, separated by commas.")
@click.option("--case", help="Only the cases of this name.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=10.0, show_default=True)
def check_command(
    path: str, seed: int, convention: str, only: str | None, case: str | None, timeout: float
) -> int:
    """Judge a layers.py, a folder holding one, or a module."""

    def show(result: CaseResult) -> None:
        if result.status != "passed":
            click.echo(f"{result.status} {result.function}: {result.name}\n  {result.detail}")
            click.echo(f"  read: {result.read}\n  repeat: {result.repeat}")

    try:
        report = check_submission(
            path,
            seed=seed,
            convention=convention,
            only=only.split(",") if only else None,
            case=case,
            timeout=timeout,
            on_case=show,
        )
    except CheckerFault as fault:
        click.echo(f"handgrad: the checker itself failed: {fault}", err=True)
        return 3
    click.echo(f"{report.count('passed')} of {len(report.cases)} passed")
    return 0 if report.passed else 1
