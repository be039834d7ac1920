"""The results as a table for people: summary.md, and the same rows for the terminal."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from handgrad.results import Results, Spread

_SHOWN_CANDIDATES = 30


class Row(NamedTuple):
    """One experiment in words and formatted numbers; the field names are the column titles."""

    experiment: str
    chosen: str
    validation: str
    test: str
    interval: str
    seeds: str
    parameters: str
    seconds: str
    data: str


COLUMNS = Row(
    "experiment",
    "chosen",
    "validation %",
    "test %",
    "95 % interval",
    "seeds",
    "parameters",
    "s / training",
    "data",
)


def chosen_text(params: Mapping[str, object]) -> str:
    """Say a candidate's hyperparameters on one line."""
    return ", ".join(f"{name} {value}" for name, value in params.items())


def percent(spread: Spread) -> str:
    """Say an accuracy in per cent, with its standard deviation if there were several seeds."""
    several = f" ± {100 * spread.std:.2f}" if len(spread.values) > 1 else ""
    return f"{100 * spread.mean:.2f}{several}"


def rows(results: Results) -> Iterator[Row]:
    """Yield one row an experiment, in the order of COLUMNS."""
    for record in results.experiments:
        interval = record.test_interval
        stand_in = results.data[record.data].stand_in
        yield Row(
            experiment=f"{record.id} {record.title}",
            chosen=chosen_text(record.chosen),
            validation=percent(record.val_accuracy),
            test=percent(record.test_accuracy),
            interval=f"{100 * interval.low:.2f} to {100 * interval.high:.2f}",
            seeds=str(len(record.seeds)),
            parameters=f"{record.parameters:,}",
            seconds=f"{record.train_seconds:.1f}",
            data=f"{record.data} (stand-in)" if stand_in else record.data,
        )


def _mirrored(results: Results) -> Iterator[str]:
    for record in results.experiments:
        if record.test_accuracy_mirrored is not None:
            yield (
                f"{record.id} with the vote of each image's mirror image: "
                f"test {percent(record.test_accuracy_mirrored)} %."
            )


def markdown(results: Results) -> str:
    """Write summary.md."""
    lines = [
        f"# handgrad reproduce, profile {results.profile}",
        "",
        f"Made by `{results.command}`, seed {results.seed}.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "---|" * len(COLUMNS),
        *("| " + " | ".join(row) + " |" for row in rows(results)),
        "",
        "Accuracies are mean ± standard deviation over the seeds of the retraining. The interval",
        "is for the mean test accuracy and comes from the number of test rows (Wilson, 95 %).",
        "Hyperparameters were chosen on validation rows; each retraining saw the test rows once.",
        *_mirrored(results),
        "",
        "## Data",
        "",
    ]
    for name, data in results.data.items():
        mark = " **Stand-in: these numbers say nothing about the real data.**" * data.stand_in
        lines.append(f"- {name}: {data.source}.{mark}")
        lines += [f"  - {file}: SHA-256 {digest}" for file, digest in data.sha256.items()]
    if results.studies:
        lines += ["", "## Question 7: measurements behind the answers", ""]
        lines += [f"- {s.id} {s.title}. {s.caption}" for s in results.studies]
    for missing in results.not_run:
        lines += ["", f"**Not run: {missing.id} {missing.title}.** {missing.reason}."]
    lines += ["", "## Candidates", ""]
    for record in results.experiments:
        if not record.trials:
            continue
        tried = [trial for trial in record.trials if trial.val_accuracy is not None]
        failed = len(record.trials) - len(tried)
        lines += [
            f"### {record.id} {record.title}",
            "",
            f"{len(record.trials)} tried, {failed} diverged; the best by validation accuracy:",
            "",
            "| candidate | seeds | validation % |",
            "|---|---|---|",
        ]
        best = sorted(tried, key=lambda trial: (-trial.seeds, -(trial.val_accuracy or 0.0)))
        for trial in best[:_SHOWN_CANDIDATES]:
            accuracy = 100 * (trial.val_accuracy or 0.0)
            lines.append(f"| {chosen_text(trial.params)} | {trial.seeds} | {accuracy:.2f} |")
        lines.append("")
    lines += ["## Environment", ""]
    lines += [f"- {name}: {value}" for name, value in results.environment.items()]
    return "\n".join(lines) + "\n"
