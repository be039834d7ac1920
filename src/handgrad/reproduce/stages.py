"""A stage is one experiment on its way: its tasks that are ready and, at the end, its record."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from handgrad.experiments import Experiment, RecipeExperiment
from handgrad.reproduce import conclusions
from handgrad.reproduce.folder import ANALYSIS, Folder
from handgrad.reproduce.plan import Estimate
from handgrad.reproduce.tasks import CandidateTask, DataRequest, FinalTask, Task, TimingTask
from handgrad.reproduce.training import Diverged, FinalRun, read_final
from handgrad.results import ExperimentRecord, Interval, Spread, settings_text
from handgrad.selection import Search
from handgrad.spaces import Params


class Stage(ABC):
    """One experiment of a job.

    Attributes
    ----------
    experiment : Experiment or RecipeExperiment
    timing : Task or None
        What a worker has to measure before this stage has tasks and expected times: see ``timed``.
    waiting : list of Task
        Ready to be given to workers, in order; whoever gives one away removes it.
    candidates_left, finals_left : int
        For the plan: trainings of the search, and of the chosen candidate, still to be done.
    record : ExperimentRecord or None
        Once the experiment is done.
    """

    experiment: Experiment | RecipeExperiment

    def __init__(self, folder: Folder, seeds: range) -> None:
        self._folder, self._seeds = folder, seeds
        self.timing: Task | None = None
        self.waiting: list[Task] = []
        self.candidates_left = 0
        self.finals_left = 0
        self.record: ExperimentRecord | None = None

    @property
    @abstractmethod
    def seconds_left(self) -> float:
        """Expected seconds of one worker."""

    def timed(self, result: object) -> None:
        """Take what ``timing`` measured."""
        raise NotImplementedError

    @abstractmethod
    def received(self, task: Task, result: object) -> str | None:
        """Take a task's result; return what a user may like to hear."""

    def record_of(self, seconds: Sequence[float], **found: Any) -> ExperimentRecord:
        """Make the record of what was found, and of the seconds that each retraining took."""
        experiment, seeds, trials = self.experiment, self._seeds, found["trials"]
        models, histories, analyses = (
            self._folder.of_seeds(experiment.id, seeds, name)
            for name in ("model.safetensors", "history.jsonl", ANALYSIS)
        )
        return ExperimentRecord(
            id=experiment.id,
            title=experiment.title,
            data=experiment.data,
            seeds=tuple(seeds),
            test_interval=Interval.wilson(found["test_accuracy"].mean, found["setup"].test_rows),
            train_seconds=Spread.of(seconds).mean,
            search_seconds=sum(trial.seconds for trial in trials),
            models=models,
            histories=histories,
            analyses=analyses,
            **found,
        )


class SearchStage(Stage):
    """Search on the validation rows, then retrain the chosen candidate with several seeds."""

    experiment: Experiment

    def __init__(
        self,
        experiment: Experiment,
        profile: str,
        first_seed: int,
        folder: Folder,
        request: DataRequest,
    ) -> None:
        budget = experiment.budgets[profile]
        super().__init__(folder, range(first_seed, first_seed + budget.seeds))
        self.experiment = experiment
        self._task_arguments = (experiment.id, profile, request, folder)
        journal = folder.journal(experiment.id)
        self._search = Search.prepare(journal, experiment.id, **budget.search)
        self._chosen: Params = {}
        self._ruled_out = budget.controls  # and what diverges in retraining
        self._runs: dict[int, FinalRun] = {}

        self._round_left = len(self._search.open_candidates())
        self.candidates_left = self._search.runs_left()
        if not self.candidates_left:
            self._runs = self._done(self._search.best(without=self._ruled_out))
        self.finals_left = len(self._seeds) - len(self._runs)
        self._estimate = Estimate(0.0, 0.0)
        if self.candidates_left or self.finals_left:
            self.timing = TimingTask(*self._task_arguments, first_seed, 0.0)
        else:
            self._choose()

    def timed(self, result: object) -> None:
        """Go on with the search, or with what it chose."""
        assert isinstance(result, Estimate)
        self._estimate, self.timing = result, None
        if self.candidates_left:
            self._try_candidates()
        else:
            self._choose()

    def _try_candidates(self) -> None:
        seconds = self._estimate.candidate_seconds
        self.waiting = [
            CandidateTask(*self._task_arguments, self._seeds[0], seconds)
            for _ in range(self._round_left)
        ]

    def _done(self, params: Params) -> dict[int, FinalRun]:
        found = {
            seed: read_final(self._folder.final(self.experiment.id, seed), params)
            for seed in self._seeds
        }
        return {seed: run for seed, run in found.items() if run is not None}

    @property
    def seconds_left(self) -> float:
        """Expected seconds of one worker."""
        return (
            self.candidates_left * self._estimate.candidate_seconds
            + self.finals_left * self._estimate.final_seconds
        )

    def received(self, task: Task, result: object) -> str | None:
        """A candidate is in the journal, or a retraining has ended."""
        if isinstance(task, FinalTask):
            if dict(task.chosen) != self._chosen:
                return None  # of a candidate that another seed has ruled out meanwhile
            if isinstance(result, Diverged):
                self._ruled_out.append(self._chosen)
                return f"retraining diverged ({result.error}); {self._choose()}"
            assert isinstance(result, FinalRun)
            self._runs[task.seed] = result
            self.finals_left = len(self._seeds) - len(self._runs)
            if not self.finals_left:
                self.record = self._make_record()
            return None
        self._round_left -= 1
        self.candidates_left -= 1
        if self._round_left:
            return None
        self._round_left = self.candidates_left = self._search.offer()
        if not self._round_left:
            return self._choose()
        self._try_candidates()
        finalists = len(set(self._search.open_candidates()))
        return f"trying the best {finalists} candidates with more seeds"

    def _choose(self) -> str:
        self._chosen = self._search.best(without=self._ruled_out)
        self._runs = self._done(self._chosen)
        self.finals_left = len(self._seeds) - len(self._runs)
        seconds = self._estimate.final_seconds
        self.waiting = [
            FinalTask(*self._task_arguments, seed, seconds, tuple(self._chosen.items()))
            for seed in self._seeds
            if seed not in self._runs
        ]
        if not self.waiting:
            self.record = self._make_record()
        tried = [t for t in self._search.trials() if t.val_accuracy is not None]
        (accuracy,) = (t.val_accuracy or 0.0 for t in tried if t.params == self._chosen)
        return (
            f"chose {settings_text(self._chosen)} of {len(tried)} candidates "
            f"(validation {100 * accuracy:.2f} %)"
        )

    def _make_record(self) -> ExperimentRecord:
        runs = [self._runs[seed] for seed in self._seeds]
        trials, setup = self._search.trials(), runs[0].setup
        return self.record_of(
            [run.seconds for run in runs],
            chosen=self._chosen,
            trials=trials,
            val_accuracy=Spread.of([run.val_accuracy for run in runs]),
            test_accuracy=Spread.of([run.test_accuracy for run in runs]),
            parameters=runs[0].parameters,
            epochs=runs[0].epochs,
            setup=setup,
            conclusions=conclusions.of_search(setup, trials, self._chosen),
            edges=conclusions.edges(setup, trials, self._chosen),
        )


def seconds_left(stages: Sequence[Stage]) -> float:
    """Expected seconds of one worker for all stages."""
    return sum(stage.seconds_left for stage in stages)
