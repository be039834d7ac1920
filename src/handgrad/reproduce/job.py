"""The main job: plan, search, retrain, record; what is done already is not done again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from handgrad.datasets import Dataset
from handgrad.experiments import EXPERIMENTS, Experiment
from handgrad.files import write_atomically
from handgrad.reproduce import folder as folders
from handgrad.reproduce import summary
from handgrad.reproduce.environment import environment, processors
from handgrad.reproduce.folder import Folder
from handgrad.reproduce.plan import Estimate, estimate
from handgrad.reproduce.pool import Event, Pool
from handgrad.reproduce.tasks import LOADERS, CandidateTask, DataRequest, FinalTask, Task
from handgrad.reproduce.training import FinalRun
from handgrad.results import DataRecord, ExperimentRecord, Interval, Results, Spread
from handgrad.selection import Params, Search

_WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Job:
    """What to reproduce.

    Attributes
    ----------
    questions : sequence of int
    profile : 'smoke', 'standard' or 'full'
    out : Path
        The results folder, made if missing; a folder of the same profile and seed is gone on with.
    seed : int
        The first of the consecutive seeds of each experiment.
    jobs : int
        Worker processes; the results do not depend on it.
    data_dir : Path, optional
        Where to look for data first.
    offline : bool
        Download nothing.
    command : str
        For the record.
    """

    questions: Sequence[int]
    profile: str
    out: Path
    command: str
    seed: int = 0
    jobs: int = field(default_factory=processors)
    data_dir: Path | None = None
    offline: bool = False

    @property
    def experiments(self) -> list[Experiment]:
        """The experiments of the questions, in order."""
        return [e for e in EXPERIMENTS.values() if e.question in self.questions]


@dataclass
class Stage:
    """Where an experiment stands; the figures are of this call."""

    experiment: Experiment
    search: Search
    estimate: Estimate
    candidates_left: int
    finals_left: list[int]
    chosen: Params | None = None
    runs: dict[int, FinalRun] = field(default_factory=dict)
    waiting: list[Task] = field(default_factory=list)

    @property
    def seconds_left(self) -> float:
        """Expected seconds of one worker."""
        return (
            self.candidates_left * self.estimate.candidate_seconds
            + len(self.finals_left) * self.estimate.final_seconds
        )


class Watcher(Protocol):
    """Who is told how it goes; the command line prints and draws it."""

    def notice(self, text: str) -> None:
        """Hear something a user must not miss."""

    def planned(self, stages: Sequence[Stage], seconds: float) -> None:
        """Hear the plan and its expected time."""

    def moved(self, stage: Stage, done: float) -> None:
        """Hear that ``done`` expected worker-seconds of an experiment are now done."""

    def chose(self, stage: Stage) -> None:
        """Hear that a search has ended."""

    def finished(self, record: ExperimentRecord) -> None:
        """Hear that an experiment has ended."""


def load(job: Job, watcher: Watcher) -> dict[str, Dataset]:
    """Find the data that the job needs; tell of stand-ins."""
    data = {}
    for name in dict.fromkeys(experiment.data for experiment in job.experiments):
        data[name] = LOADERS[name](job.data_dir, offline=job.offline)
        notice = data[name].notice
        if notice:
            watcher.notice(notice)
    return data


def reproduce(job: Job, watcher: Watcher) -> Results:
    """Run a job to its end and write results.json and summary.md.

    May be interrupted at any moment, also by kill -9: the same call goes on where it was and ends
    with the same numbers (times excepted).

    Raises
    ------
    HandgradError
        Bad data, an unusable folder, a search without a single success, a dead worker.
    """
    with folders.opened(job.out, profile=job.profile, seed=job.seed) as folder:
        before = Results.read(folder.results).experiments if folder.results.exists() else ()
        data = load(job, watcher)
        folders.claim_data(folder, {name: d.sha256 for name, d in data.items()})
        stages = [
            _stage(job, folder, experiment, data[experiment.data]) for experiment in job.experiments
        ]
        watcher.planned(stages, _expected_seconds(stages, job.jobs))
        records = {record.id: record for record in before}
        _work(job, folder, data, stages, watcher)
        for stage in stages:
            records[stage.experiment.id] = _record(stage, folder)
        earlier = Results.read(folder.results).data if folder.results.exists() else {}
        results = Results(
            profile=job.profile,
            seed=job.seed,
            command=job.command,
            environment=environment(job.jobs),
            data={
                **earlier,
                **{n: DataRecord(d.source, dict(d.sha256), d.stand_in) for n, d in data.items()},
            },
            experiments=tuple(records[id] for id in EXPERIMENTS if id in records),
        )
        results.write(folder.results)
        write_atomically(folder.summary, summary.markdown(results))
    return results


def _stage(job: Job, folder: Folder, experiment: Experiment, data: Dataset) -> Stage:
    budget = experiment.budgets[job.profile]
    search = Search.prepare(folder.journal(experiment.id), experiment.id, budget.space)
    seeds = range(job.seed, job.seed + budget.seeds)
    finals = [s for s in seeds if not (folder.final(experiment.id, s) / "run.json").exists()]
    candidates = len(search.open_candidates())
    nothing_left = not candidates and not finals
    expected = Estimate(0, 0) if nothing_left else estimate(experiment, job.profile, data)
    return Stage(experiment, search, expected, candidates, finals)


def _expected_seconds(stages: Sequence[Stage], jobs: int) -> float:
    return sum(stage.seconds_left for stage in stages) / jobs


def _work(
    job: Job, folder: Folder, data: Mapping[str, Dataset], stages: list[Stage], watcher: Watcher
) -> None:
    """Keep the workers busy until every stage has its runs, the longest experiment first."""

    def task_arguments(stage: Stage) -> tuple[str, str, DataRequest, Folder]:
        name = stage.experiment.data
        hashes = tuple(sorted(data[name].sha256.values()))
        request = DataRequest(name, job.data_dir, hashes)
        return (stage.experiment.id, job.profile, request, folder)

    def to_finals(stage: Stage) -> None:
        stage.chosen = stage.search.best()
        watcher.chose(stage)
        chosen = tuple(stage.chosen.items())
        seeds = range(job.seed, job.seed + stage.experiment.budgets[job.profile].seeds)
        stage.waiting = [FinalTask(*task_arguments(stage), seed, chosen) for seed in seeds]

    by_length = sorted(stages, key=lambda stage: -stage.seconds_left)
    for stage in by_length:
        count = stage.candidates_left
        stage.waiting = [CandidateTask(*task_arguments(stage), job.seed) for _ in range(count)]
        if not count:
            to_finals(stage)

    under_way: dict[str, tuple[Stage, Task]] = {}
    parts: dict[str, float] = {}  # fractions done of what is under way
    with Pool(max(1, min(job.jobs, sum(len(stage.waiting) for stage in stages)))) as pool:
        number = 0
        while any(stage.waiting for stage in stages) or pool.is_busy:
            for stage in by_length:
                while stage.waiting and pool.has_room:
                    task = stage.waiting.pop(0)
                    number += 1
                    key = f"{stage.experiment.id} ({number})"
                    under_way[key] = (stage, task)
                    pool.start(key, task)
            for event in pool.events(_WAIT_SECONDS):
                stage, task = under_way[event.key]
                _advance(stage, task, event, parts, watcher)
                if not event.finished:
                    continue
                if isinstance(task, FinalTask):
                    stage.runs[task.seed] = event.result
                    stage.finals_left = [s for s in stage.finals_left if s != task.seed]
                    if len(stage.runs) == stage.experiment.budgets[job.profile].seeds:
                        watcher.finished(_record(stage, folder))
                else:
                    stage.candidates_left -= 1
                    if stage.candidates_left == 0:
                        to_finals(stage)


def _advance(
    stage: Stage, task: Task, event: Event, parts: dict[str, float], watcher: Watcher
) -> None:
    """Tell the watcher how much further a task has come."""
    expected = stage.estimate
    whole = expected.final_seconds if isinstance(task, FinalTask) else expected.candidate_seconds
    watcher.moved(stage, whole * (event.done - parts.get(event.key, 0.0)))
    parts[event.key] = event.done


def _record(stage: Stage, folder: Folder) -> ExperimentRecord:
    assert stage.chosen is not None
    runs = [stage.runs[seed] for seed in sorted(stage.runs)]
    test = Spread.of([run.test_accuracy for run in runs])
    trials = stage.search.trials()
    return ExperimentRecord(
        id=stage.experiment.id,
        title=stage.experiment.title,
        data=stage.experiment.data,
        chosen=stage.chosen,
        trials=trials,
        seeds=tuple(run.seed for run in runs),
        val_accuracy=Spread.of([run.val_accuracy for run in runs]),
        test_accuracy=test,
        test_interval=Interval.wilson(test.mean, runs[0].test_rows),
        parameters=runs[0].parameters,
        epochs=runs[0].epochs,
        train_seconds=Spread.of([run.seconds for run in runs]).mean,
        search_seconds=sum(trial.seconds for trial in trials),
        models=tuple(
            str(
                (folder.final(stage.experiment.id, run.seed) / "model.safetensors").relative_to(
                    folder.path
                )
            )
            for run in runs
        ),
    )
