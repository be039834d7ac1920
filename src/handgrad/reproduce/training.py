"""One training run of an experiment: a candidate of the search, or the chosen one's retraining.

Everything here depends on its arguments alone, so any process may do it, in any order, and an
interrupted run goes on from its checkpoint to the same numbers.
"""

import functools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from handgrad import checkpoint as checkpoints, scaling
from handgrad.arrays import Array
from handgrad.datasets import Dataset
from handgrad.errors import NonFiniteLossError, ResultsError
from handgrad.experiments import Budget, Experiment
from handgrad.files import write_atomically
from handgrad.network import Network
from handgrad.reproduce import setup
from handgrad.reproduce.folder import ANALYSIS
from handgrad.reproduce.test_pass import test_pass
from handgrad.results import Setup
from handgrad.selection import Search
from handgrad.solver import Solver
from handgrad.spaces import Params
from handgrad.typed_json import from_json

Report = Callable[[float], None]  # told the fraction of the run that is done

# A run on the 500 rows of data.pkl takes less time than the checkpoints would.
_CHECKPOINT_FROM_ROWS = 1000


@dataclass(frozen=True)
class FinalRun:
    """A candidate retrained with one seed; accuracies are fractions."""

    params: Params
    seed: int
    val_accuracy: float
    test_accuracy: float
    test_rows: int
    parameters: int
    epochs: int
    seconds: float
    setup: Setup


def standardise(data: Dataset, train_rows: int | None) -> tuple[Dataset, Array, Array]:
    """Return the data as (x - mean) / std, and mean and std.

    Features of a table get a mean and deviation each, images one for all their pixels. Both are
    those of the training rows alone, the first ``train_rows`` if given. A constant feature is
    left undivided (`scaling.mean_and_deviation` says what that is).
    """
    X_train: Array = data.X_train if train_rows is None else data.X_train[:train_rows]
    mean, std = scaling.mean_and_deviation(X_train, axis=0 if X_train.ndim == 2 else None)
    ready = replace(
        data,
        X_train=scaling.standardise(X_train, mean, std),
        y_train=data.y_train[: len(X_train)],
        X_val=scaling.standardise(data.X_val, mean, std),
        X_test=scaling.standardise(data.X_test, mean, std),
    )
    return ready, mean, std


def standardisation_text(mean: Array, std: Array) -> str:
    """Say what ``standardise`` did."""
    if mean.ndim:
        return "each feature less its mean, over its deviation, both of the training rows"
    return (
        f"pixels in [0, 1] less {float(mean):.4f}, over {float(std):.4f}: mean and deviation of "
        "all pixels of the training rows"
    )


def streams(experiment: Experiment, seed: int) -> tuple[np.random.Generator, np.random.Generator]:
    """Give the generators for the network and for the shuffling, from the experiment and a seed."""
    question, item = (int(part) for part in experiment.id.split("."))
    network, shuffling = np.random.SeedSequence([question, item, seed]).spawn(2)
    return np.random.default_rng(network), np.random.default_rng(shuffling)


def _train(
    experiment: Experiment,
    params: Params,
    data: Dataset,
    seed: int,
    epochs: int,
    folder: Path,
    report: Report,
) -> tuple[Network, Solver]:
    """Train once, with history.jsonl and, while it lasts, a checkpoint in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    network_rng, shuffling_rng = streams(experiment, seed)
    network = experiment.build(params, data.X_train.shape[1:], network_rng)
    durable = len(data.X_train) >= _CHECKPOINT_FROM_ROWS
    solver = Solver(
        network,
        data,
        num_epochs=epochs,
        rng=shuffling_rng,
        verbose=False,
        checkpoint=folder / "checkpoint.safetensors" if durable else None,
        on_epoch=lambda record: report(record["epoch"] / epochs),
        **experiment.solver(params),
    )
    solver.train()
    lines = [json.dumps(record) for record in solver.history]
    write_atomically(folder / "history.jsonl", "\n".join(lines) + "\n")
    return network, solver


@dataclass(frozen=True)
class Diverged:
    """A retraining that came to nothing, and why."""

    error: str


def read_final(folder: Path, params: Params) -> FinalRun | None:
    """Read this candidate's retraining, or None if it is not done."""
    record = folder / "run.json"
    if not (record.exists() and (folder / ANALYSIS).exists()):
        return None
    try:
        run = from_json(FinalRun, json.loads(record.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError):
        raise ResultsError(
            f"{record} is damaged; delete it to train this run again, "
            "or name another folder with --out"
        ) from None
    return run if run.params == params else None


def _report_part(report: Report, part: int, parts: int, done: float) -> None:
    report((part + done) / parts)


def run_candidate(
    experiment: Experiment,
    budget: Budget,
    data: Dataset,
    search: Search,
    folder: Path,
    seed: int,
    report: Report,
) -> None:
    """Claim the next candidate, train it, and report its validation accuracy.

    A candidate whose loss diverges is recorded with its error, and the search goes on.
    """
    claim = search.claim()
    if claim is None:
        return
    started = time.perf_counter()
    accuracies = []
    again = f"-seed-{claim.seed}" if claim.seed else ""
    runs = folder / f"candidate-{claim.index:03d}{again}"
    for repeat in range(budget.repeats):
        part = runs / f"repeat-{repeat}" if budget.repeats > 1 else runs
        try:
            progress = functools.partial(_report_part, report, repeat, budget.repeats)
            own, epochs = seed + claim.seed + repeat, budget.search_epochs
            _, solver = _train(experiment, claim.params, data, own, epochs, part, progress)
        except NonFiniteLossError as error:
            search.report(claim, None, time.perf_counter() - started, str(error))
            return
        accuracies.append(solver.best_val_acc)
        (part / "checkpoint.safetensors").unlink(missing_ok=True)
    seconds = time.perf_counter() - started
    search.report(claim, float(np.mean(accuracies)), seconds, seeds=budget.repeats)


def run_final(
    experiment: Experiment,
    budget: Budget,
    params: Params,
    data: Dataset,
    standardisation: tuple[Array, Array],
    seed: int,
    folder: Path,
    report: Report,
) -> FinalRun | Diverged:
    """Retrain a candidate with one seed and evaluate the test rows, once.

    Leaves history.jsonl, model.safetensors, analysis.json and, written last, run.json for
    ``read_final``.
    """
    try:
        network, solver = _train(
            experiment, params, data, seed, budget.final_epochs, folder, report
        )
    except NonFiniteLossError as error:
        # Another candidate will be trained here next; it must not find this one's checkpoint.
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)
        return Diverged(str(error))
    mean, std = standardisation
    analysis = test_pass(network, data, (mean, std), seed)
    run = FinalRun(
        params=params,
        seed=seed,
        val_accuracy=solver.best_val_acc,
        test_accuracy=analysis.accuracy,
        test_rows=len(data.X_test),
        parameters=sum(array.size for array in network.params.values()),
        epochs=budget.final_epochs,
        seconds=solver.history[-1]["seconds"],
        setup=setup.of_network(network, solver, data, budget, standardisation_text(mean, std)),
    )
    analysis.write(folder / ANALYSIS)
    checkpoints.write(
        folder / "model.safetensors",
        {**network.params, **network.state, "input_mean": mean, "input_std": std},
        {
            "experiment": experiment.id,
            **{name: value for name, value in asdict(run).items() if name != "setup"},
        },
    )
    write_atomically(folder / "run.json", json.dumps(asdict(run), indent=1) + "\n")
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    return run
