"""The results as a table for people: summary.md, and the same rows for the terminal."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from handgrad.results import ExperimentRecord, Results, Spread, settings_text, value_text

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
            chosen=settings_text(record.chosen),
            validation=percent(record.val_accuracy),
            test=percent(record.test_accuracy),
            interval=f"{100 * interval.low:.2f} to {100 * interval.high:.2f}",
            seeds=str(len(record.seeds)),
            parameters=f"{record.parameters:,}",
            seconds=f"{record.train_seconds:.1f}",
            data=f"{record.data} (stand-in)" if stand_in else record.data,
        )


def training_minutes(results: Results, *questions: int) -> float:
    """Minutes that the trainings of some questions, or of all, took: worker time over workers."""
    taken = sum(
        record.search_seconds + record.train_seconds * len(record.seeds)
        for record in results.experiments
        if not questions or int(record.id.split(".")[0]) in questions
    )
    return taken / 60 / int(results.environment["worker_processes"])


def _mirrored(results: Results) -> Iterator[str]:
    for record in results.experiments:
        if record.test_accuracy_mirrored is not None:
            yield (
                f"{record.id} with the vote of each image's mirror image: "
                f"test {percent(record.test_accuracy_mirrored)} %."
            )


def _validation(results: Results) -> Iterator[str]:
    which: dict[str, list[str]] = {}
    for record in results.experiments:
        which.setdefault(record.setup.validation_accuracy, []).append(record.id)
    for text, ids in which.items():
        yield f"The validation accuracy of {', '.join(ids)} is {text}."


def _trained(record: ExperimentRecord) -> Iterator[str]:
    """Say what was trained, layer by layer, how, and what follows from it."""
    setup = record.setup
    yield from (f"### {record.id} {record.title}", "")
    yield from ("| layer | settings | output | parameters |", "|---|---|---|---|")
    yield f"| input | | {_shape(setup.input_shape)} | |"
    for layer in setup.layers:
        shape = _shape(layer.output_shape)
        yield f"| {layer.kind} | {layer.settings} | {shape} | {layer.parameters:,} |"
    yield f"| all | | | {record.parameters:,} |"
    yield ""
    yield from (f"- {name}: {text}" for name, text in _how(record))
    yield ""
    if setup.differences:
        yield f"{record.id} as a difference from {setup.reference}:"
        yield from ("", f"| setting | {setup.reference} | {record.id} |", "|---|---|---|")
        yield from (f"| {d.name} | {d.reference} | {d.here} |" for d in setup.differences)
        yield ""
    yield from record.conclusions
    for edge in record.edges:
        mark = "**At the edge of its grid:**" if edge.kind == "open" else "At the edge of its grid:"
        yield from ("", f"{mark} {edge.text}")
    yield ""


def _how(record: ExperimentRecord) -> Iterator[tuple[str, str]]:
    setup = record.setup
    rows = (setup.train_rows, setup.val_rows, setup.test_rows)
    yield "rows", "training {:,}, validation {:,}, test {:,}".format(*rows)
    yield "preprocessing", setup.preprocessing
    yield "initialisation", setup.initialisation
    yield "loss", setup.loss
    yield "optimizer", f"{setup.optimizer}, batches of {setup.batch_size} rows"
    yield "learning-rate schedule", setup.schedule
    yield "fixed", settings_text(setup.fixed)
    for name, values in setup.searched.items():
        separator = "; " if any(isinstance(value, str) for value in values) else ", "
        yield f"searched: {name}", separator.join(value_text(name, value) for value in values)
    if any(setup.is_control(trial.params) for trial in record.trials):
        text = settings_text(setup.control)
        yield "control", f"{text}: tried and shown beside the others, never chosen"
    if setup.search_epochs:
        which = "every candidate" if setup.searched else "each"
        text = f"{which} for {_epochs(setup.search_epochs)}"
        if setup.search_rows != setup.train_rows:
            text += f" of {setup.search_rows:,} training rows"
        text += f", seeds: {setup.search_seeds}"
        if setup.finalists:
            text += f"; the best {setup.finalists} with {setup.finalist_seeds} seeds"
        yield "search" if setup.searched else "single changes", text
    seeds = ", ".join(map(str, record.seeds))
    yield "retraining" if setup.searched else "training", f"{_epochs(record.epochs)}, seeds {seeds}"
    yield "training accuracy in history.jsonl", setup.training_accuracy


def _epochs(count: int) -> str:
    return f"{count} epoch" if count == 1 else f"{count} epochs"


def _shape(sizes: Sequence[int]) -> str:
    return " x ".join(f"{size:,}" for size in sizes)


def _candidates(record: ExperimentRecord) -> Iterator[str]:
    if not record.trials:
        return
    tried = [trial for trial in record.trials if trial.val_accuracy is not None]
    failed = len(record.trials) - len(tried)
    yield from (
        f"### {record.id} {record.title}",
        "",
        f"{len(record.trials)} tried, {failed} diverged; the best by validation accuracy:",
        "",
        "| candidate | seeds | validation % |",
        "|---|---|---|",
    )
    best = sorted(tried, key=lambda trial: (-trial.seeds, -(trial.val_accuracy or 0.0)))
    for trial in best[:_SHOWN_CANDIDATES]:
        accuracy = 100 * (trial.val_accuracy or 0.0)
        mark = " (control)" if record.setup.is_control(trial.params) else ""
        yield f"| {settings_text(trial.params)}{mark} | {trial.seeds} | {accuracy:.2f} |"
    yield ""


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
        *_validation(results),
        f"All trainings together took {training_minutes(results):.1f} minutes of "
        f"{results.environment['worker_processes']} worker processes.",
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
    lines += ["", "## What was trained, and what follows", ""]
    for record in results.experiments:
        lines += _trained(record)
    lines += ["## Candidates", ""]
    for record in results.experiments:
        lines += _candidates(record)
    lines += ["## Environment", ""]
    lines += [f"- {name}: {value}" for name, value in results.environment.items()]
    return "\n".join(lines) + "\n"
