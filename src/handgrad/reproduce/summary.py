"""The results as a table for people: summary.md, and the same rows for the terminal."""

from collections.abc import Iterable

from handgrad.results import ExperimentRecord, Results

COLUMNS = (
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


def _percent(mean: float, std: float, count: int) -> str:
    return f"{100 * mean:.2f} ± {100 * std:.2f}" if count > 1 else f"{100 * mean:.2f}"


def rows(results: Results) -> Iterable[tuple[str, ...]]:
    """Yield one row an experiment, in the order of COLUMNS."""
    for record in results.experiments:
        yield _row(record, stand_in=results.data[record.data].stand_in)


def _row(record: ExperimentRecord, *, stand_in: bool) -> tuple[str, ...]:
    count = len(record.seeds)
    validation, test = record.val_accuracy, record.test_accuracy
    interval = record.test_interval
    return (
        f"{record.id} {record.title}",
        ", ".join(f"{name} {value}" for name, value in record.chosen.items()),
        _percent(validation.mean, validation.std, count),
        _percent(test.mean, test.std, count),
        f"{100 * interval.low:.2f} to {100 * interval.high:.2f}",
        str(count),
        f"{record.parameters:,}",
        f"{record.train_seconds:.1f}",
        f"{record.data} (stand-in)" if stand_in else record.data,
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
        "",
        "## Data",
        "",
    ]
    for name, data in results.data.items():
        mark = " **Stand-in: these numbers say nothing about the real data.**" * data.stand_in
        lines.append(f"- {name}: {data.source}.{mark}")
        lines += [f"  - {file}: SHA-256 {digest}" for file, digest in data.sha256.items()]
    lines += ["", "## Candidates", ""]
    for record in results.experiments:
        tried = [trial for trial in record.trials if trial.val_accuracy is not None]
        failed = len(record.trials) - len(tried)
        lines += [
            f"### {record.id} {record.title}",
            "",
            f"{len(record.trials)} tried, {failed} diverged; the best by validation accuracy:",
            "",
            "| " + " | ".join(record.chosen) + " | validation % |",
            "|" + "---|" * (len(record.chosen) + 1),
        ]
        best = sorted(tried, key=lambda trial: -(trial.val_accuracy or 0.0))[:10]
        for trial in best:
            values = " | ".join(str(trial.params[name]) for name in record.chosen)
            lines.append(f"| {values} | {100 * (trial.val_accuracy or 0.0):.2f} |")
        lines.append("")
    lines += ["## Environment", ""]
    lines += [f"- {name}: {value}" for name, value in results.environment.items()]
    return "\n".join(lines) + "\n"
