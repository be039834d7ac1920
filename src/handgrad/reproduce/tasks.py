"""What a worker process is asked to do, as picklable descriptions, and its copy of the data."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from handgrad import datasets
from handgrad.datasets import Dataset
from handgrad.errors import DataError
from handgrad.experiments import EXPERIMENTS, Budget, Experiment
from handgrad.reproduce import training
from handgrad.reproduce.folder import Folder
from handgrad.reproduce.plan import Estimate, estimate
from handgrad.selection import Search
from handgrad.spaces import Params

LOADERS: Mapping[str, Callable[..., Dataset]] = {
    "course": datasets.load_course,
    "mnist": datasets.load_mnist,
    "cifar10": datasets.load_cifar10,
}


@dataclass(frozen=True)
class DataRequest:
    """Which rows: a data set, where to look for it, and the file hashes the parent process saw."""

    name: str
    data_dir: Path | None
    sha256: tuple[str, ...]


@functools.cache
def load(request: DataRequest) -> Dataset:
    """Load once a process."""
    # The parent has fetched what had to be fetched: a worker never touches the network.
    data = LOADERS[request.name](request.data_dir, offline=True)
    if tuple(sorted(data.sha256.values())) != request.sha256:
        raise DataError(
            f"the {request.name} files changed while they were in use; run the same command again"
        )
    return data


@functools.cache
def _ready(
    request: DataRequest, train_rows: int | None
) -> tuple[Dataset, NDArray[Any], NDArray[Any]]:
    """Load and standardise once a process."""
    return training.standardise(load.__wrapped__(request), train_rows)


@dataclass(frozen=True)
class Task:
    """One training of an experiment, in a profile, into a folder.

    ``expected_seconds`` is what one worker should need for it.
    """

    experiment_id: str
    profile: str
    data: DataRequest
    folder: Folder
    seed: int
    expected_seconds: float

    def __call__(self, report: training.Report) -> object:
        """Do it, in the worker."""
        raise NotImplementedError


@dataclass(frozen=True)
class SearchTask(Task):
    """A task of an experiment with a search."""

    @property
    def experiment(self) -> Experiment:
        """The experiment itself (its functions do not travel between processes)."""
        experiment = EXPERIMENTS[self.experiment_id]
        assert isinstance(experiment, Experiment)
        return experiment

    @property
    def budget(self) -> Budget:
        """Its budget in this profile."""
        return self.experiment.budgets[self.profile]


@dataclass(frozen=True)
class TimingTask(SearchTask):
    """Time a few steps, for the plan."""

    def __call__(self, report: training.Report) -> Estimate:
        """Do it."""
        data, _, _ = _ready(self.data, self.budget.train_rows)
        return estimate(self.experiment, self.budget, data)


@dataclass(frozen=True)
class CandidateTask(SearchTask):
    """Try the next open candidate of the search; no result but what the search's journal holds."""

    def __call__(self, report: training.Report) -> None:
        """Do it."""
        data, _, _ = _ready(self.data, self.budget.train_rows)
        journal = self.folder.journal(self.experiment_id)
        search = Search(journal, self.experiment_id, **self.budget.search)
        training.run_candidate(
            self.experiment,
            self.budget,
            data,
            search,
            self.folder.runs(self.experiment_id),
            self.seed,
            report,
        )


@dataclass(frozen=True)
class FinalTask(SearchTask):
    """Retrain the chosen candidate with this task's seed."""

    chosen: tuple[tuple[str, Any], ...]

    def __call__(self, report: training.Report) -> training.FinalRun | training.Diverged:
        """Do it."""
        data, mean, std = _ready(self.data, self.budget.train_rows)
        params: Params = dict(self.chosen)
        return training.run_final(
            self.experiment,
            self.budget,
            params,
            data,
            (mean, std),
            self.seed,
            self.folder.final(self.experiment_id, self.seed),
            report,
        )
