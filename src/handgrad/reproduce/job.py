"""The main job: plan, search, retrain, record; what is done already is not done again."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from handgrad import report, show
from handgrad.datasets import Dataset
from handgrad.environment import environment, processors
from handgrad.errors import DataError
from handgrad.experiments import (
    EXPERIMENTS,
    STUDIES,
    Experiment,
    RecipeExperiment,
    StudyExperiment,
)
from handgrad.files import write_atomically
from handgrad.reproduce import folder as folders, measuring, summary
from handgrad.reproduce.folder import Folder
from handgrad.reproduce.pool import Pool, leave_a_script_imported_by_a_worker
from handgrad.reproduce.recipe_stage import MISSING_TORCH, RecipeStage, torch_is_installed
from handgrad.reproduce.stages import SearchStage, Stage, seconds_left
from handgrad.reproduce.tasks import LOADERS, DataRequest, Task
from handgrad.results import DataRecord, ExperimentRecord, NotRun, Results

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
    report : bool
        End by writing report.html.
    """

    questions: Sequence[int]
    profile: str
    out: Path
    command: str
    seed: int = 0
    jobs: int = field(default_factory=processors)
    data_dir: Path | None = None
    offline: bool = False
    report: bool = True

    @property
    def experiments(self) -> list[Experiment | RecipeExperiment]:
        """The experiments of the questions, in order."""
        return [e for e in EXPERIMENTS.values() if e.question in self.questions]

    @property
    def studies(self) -> list[StudyExperiment]:
        """The measurements of question 7, if it is among the questions."""
        return [s for s in STUDIES.values() if s.question in self.questions]


class Watcher(Protocol):
    """Who is told how it goes; the command line prints and draws it."""

    def notice(self, text: str) -> None:
        """Hear something a user must not miss."""

    def planning(self) -> None:
        """Hear that steps of each experiment are now timed, and kernels compiled for them."""

    def planned(self, stages: Sequence[Stage], seconds: float) -> None:
        """Hear the plan and its expected time."""

    def moved(self, stage: Stage, seconds: float) -> None:
        """Hear that so many expected worker-seconds of an experiment are now done."""

    def milestone(self, stage: Stage, text: str) -> None:
        """Hear that a search has ended, or that there are finalists."""

    def finished(self, record: ExperimentRecord) -> None:
        """Hear that an experiment has ended."""

    def measuring(self, study: StudyExperiment) -> None:
        """Hear that a study of question 7 begins: some seconds."""


def reproduce(job: Job, watcher: Watcher) -> Results:
    """Run a job to its end and write results.json, summary.md and report.html.

    May be interrupted at any moment, also by kill -9: the same call goes on where it was and ends
    with the same numbers (times excepted).

    Raises
    ------
    HandgradError
        Bad data, an unusable folder, a search without a single success, a dead worker.

    Notes
    -----
    The workers are spawned processes, which import the calling script again: a script calls this
    below ``if __name__ == "__main__":``.
    """
    leave_a_script_imported_by_a_worker()
    with folders.opened(job.out, profile=job.profile, seed=job.seed) as folder:
        before = Results.read(folder.results) if folder.results.exists() else None
        data, not_run = _load(job, watcher)
        folders.claim_data(folder, {name: d.sha256 for name, d in data.items()})
        left_out = {missing.id for missing in not_run}
        watcher.planning()
        stages = [
            _stage(job, folder, experiment, data[experiment.data])
            for experiment in job.experiments
            if experiment.id not in left_out
        ]
        with Pool(job.jobs) as pool:
            _time(stages, pool)
            watcher.planned(stages, seconds_left(stages) / job.jobs)
            _work(stages, pool, watcher)
        known = before.studies if before else ()
        measured = measuring.measure(
            job.studies, known, data, job.profile, job.seed, watcher.measuring
        )

        records = {record.id: record for record in (before.experiments if before else ())}
        records |= {stage.record.id: stage.record for stage in stages if stage.record}
        sources = {n: DataRecord(d.source, dict(d.sha256), d.stand_in) for n, d in data.items()}
        results = Results(
            profile=job.profile,
            seed=job.seed,
            command=job.command,
            environment=environment(job.jobs),
            data={**(before.data if before else {}), **sources},
            experiments=tuple(records[id] for id in EXPERIMENTS if id in records),
            not_run=tuple(missing for missing in not_run if missing.id not in records),
            studies=measured,
        )
        results.write(folder.results)
        write_atomically(folder.summary, summary.markdown(results))
        if job.report:
            _pages(folder, results, data, watcher)
            _report(folder, watcher)
    return results


def _pages(folder: Folder, results: Results, data: Mapping[str, Dataset], watcher: Watcher) -> None:
    """Write the page of each first seed's model of questions 2 to 5 beside it, if there is none."""
    linked = report.missing_libraries() is None
    for record in results.experiments:
        if not record.models or not isinstance(EXPERIMENTS[record.id], Experiment):
            continue
        model = folder.path / record.models[0]
        page = model.with_name(report.SHOW)
        if record.data in data and model.is_file() and not page.exists():
            rows = show.of_dataset(data[record.data])
            back = Path(os.path.relpath(folder.report, page.parent)).as_posix()
            show.write(model, page, rows, report=back if linked else None)
            if (large := show.too_large(page)) is not None:
                watcher.notice(large)


def _report(folder: Folder, watcher: Watcher) -> None:
    """Write report.html; without the libraries for it, say so and go on."""
    lacking = report.missing_libraries()
    if lacking is None:
        report.write(folder.path, folder.report)
    else:
        watcher.notice(f"report.html was not written: {lacking}")


def _load(job: Job, watcher: Watcher) -> tuple[dict[str, Dataset], list[NotRun]]:
    """Find the data that the job needs; tell of stand-ins, and of what cannot run without."""
    data: dict[str, Dataset] = {}
    reasons: dict[str, str] = {}
    not_run = []
    for experiment in (*job.experiments, *job.studies):
        name = experiment.data
        optional = isinstance(experiment, RecipeExperiment)  # the others have stand-ins
        if optional and not torch_is_installed():
            reasons[name] = MISSING_TORCH
        elif name not in data and name not in reasons:
            try:
                data[name] = LOADERS[name](job.data_dir, offline=job.offline)
            except DataError as error:
                if not optional:
                    raise
                reasons[name] = str(error)
            else:
                notice = data[name].notice
                if notice:
                    watcher.notice(notice)
        if name in reasons:
            not_run.append(NotRun(experiment.id, experiment.title, reasons[name]))
    for name, reason in reasons.items():
        ids = ", ".join(e.id for e in job.experiments if e.data == name)
        watcher.notice(f"{ids} will not run: {reason}")
    return data, not_run


def _stage(
    job: Job, folder: Folder, experiment: Experiment | RecipeExperiment, data: Dataset
) -> Stage:
    request = DataRequest(experiment.data, job.data_dir, tuple(sorted(data.sha256.values())))
    if isinstance(experiment, RecipeExperiment):
        return RecipeStage(experiment, job.profile, job.seed, folder, request, data)
    return SearchStage(experiment, job.profile, job.seed, folder, request)


def _time(stages: Sequence[Stage], pool: Pool) -> None:
    """Let the workers time the stages' steps, and compile the kernels for them.

    Experiments of one question take the same kernels, so the workers begin with different ones.
    """

    def order(stage: Stage) -> tuple[int, int]:
        question, item = map(int, stage.experiment.id.split("."))
        return -item, -question

    untimed = sorted((stage for stage in stages if stage.timing), key=order)
    under_way: dict[str, Stage] = {}
    while untimed or pool.is_busy:
        while untimed and pool.has_room:
            stage = untimed.pop(0)
            assert stage.timing is not None
            under_way[stage.experiment.id] = stage
            pool.start(stage.experiment.id, stage.timing)
        for event in pool.events(_WAIT_SECONDS):
            if event.finished:
                under_way[event.key].timed(event.result)


def _work(stages: Sequence[Stage], pool: Pool, watcher: Watcher) -> None:
    """Keep the workers busy until every stage has its record, the longest experiment first."""
    by_length = sorted(stages, key=lambda stage: -stage.seconds_left)
    under_way: dict[str, tuple[Stage, Task]] = {}
    done: dict[str, float] = {}  # the fraction of each task that the watcher knows of
    started = 0
    while any(stage.waiting for stage in stages) or pool.is_busy:
        for stage in by_length:
            while stage.waiting and pool.has_room:
                started += 1
                key = f"{stage.experiment.id} (task {started})"
                under_way[key] = (stage, stage.waiting.pop(0))
                pool.start(key, under_way[key][1])
        for event in pool.events(_WAIT_SECONDS):
            stage, task = under_way[event.key]
            advance = event.done - done.get(event.key, 0.0)
            done[event.key] = event.done
            if event.finished:
                text = stage.received(task, event.result)
                if text:
                    watcher.milestone(stage, text)
                if stage.record:
                    watcher.finished(stage.record)
            watcher.moved(stage, task.expected_seconds * advance)
