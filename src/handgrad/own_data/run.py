"""One `handgrad train`: data, baselines, search, net, and at the end, once, the test rows."""

import time
from dataclasses import dataclass, field

from handgrad import report
from handgrad.errors import CheckpointError, ExportError, OutputError, ReportError
from handgrad.own_data import baselines
from handgrad.own_data.concluding import Found, concluded, model_of
from handgrad.own_data.fitting import Limits, Net, best_epoch, fit, is_better
from handgrad.own_data.folder import Folder, opened
from handgrad.own_data.keeping import best_found, keep, validation
from handgrad.own_data.reading import Ready, prepared
from handgrad.own_data.request import Request
from handgrad.own_data.settings import Settings, default_settings
from handgrad.own_data.showing import write_page
from handgrad.own_data.watching import Watcher
from handgrad.training_record import (
    EpochRecord,
    SearchSummary,
    TrainingRecord,
    TrialSummary,
)

_BASELINES_SHARE = 0.2  # of the time, at most
_SHARES_OF_THE_CHOSEN = 2  # of what one candidate of a search may take


def train(request: Request, watcher: Watcher) -> TrainingRecord:
    """Do what was asked for; where that has been done, read what it came to.

    Raises
    ------
    HandgradError
        In one line: the data, the folder or the search cannot be used. What was there is as it was.
    KeyboardInterrupt
        After Ctrl-C. If an epoch had ended, its model is in the folder, and the watcher was told.
    """
    started = time.perf_counter()
    if request.candidates:
        import handgrad.own_data.search  # noqa: F401 - says now if Optuna is not installed
    ready = prepared(request, watcher)
    watcher.split(ready.sizes, ready.preprocessing)
    with opened(request.out, request.identity()) as folder:
        run = _Run(request, ready, folder, watcher, started)
        if (record := run.done()) is not None:
            watcher.notice(
                f"{request.out} holds this training, done; to train again name another folder "
                "with --out, or another --seed"
            )
            run.write_page(record)
            return record
        try:
            return run.all()
        except KeyboardInterrupt:
            folder.spend(time.perf_counter() - started)
            raise


@dataclass
class _Run:
    """The steps, each with what the earlier ones gave.

    ``used`` is how many seconds of the time have gone to the baselines and the search,
    ``candidate`` the best net of the search, if this process trained it.
    """

    request: Request
    ready: Ready
    folder: Folder
    watcher: Watcher
    started: float
    used: float = 0.0
    fitted: tuple[baselines.Fitted, ...] = field(default=())
    candidate: Found | None = None

    def done(self) -> TrainingRecord | None:
        """Read the record of this training, where it has come to its end."""
        if not (self.folder.record.exists() and self.folder.model.exists()):
            return None
        record = TrainingRecord.read(self.folder.record)
        tried = 0 if record.search is None else len(record.search.trials)
        return record if tried >= self.request.candidates else None

    def all(self) -> TrainingRecord:
        """Baselines, search, net, test rows."""
        problem, seed = self.ready.problem, self.request.seed
        limits = Limits(max(1.0, _BASELINES_SHARE * self.request.seconds))
        self.fitted = (baselines.majority(problem), baselines.linear(problem, limits, seed))
        self.used = sum(each.seconds for each in self.fitted)
        for said in (each.said for each in self.fitted if each.said):
            self.watcher.notice(said)
        search, settings = None, self._default()
        if self.request.candidates:
            search, settings = self._searched()
        # Processes that share a folder share its search; one of them trains what was chosen.
        with self.folder.alone(wait=search is not None):
            if (record := self.done()) is not None:
                return record
            found = Found(settings, self._trained(settings), self.fitted, search)
            best = self.candidate  # one that had more time than was left for the chosen
            if best is not None and is_better(best.net.best, found.net.best):
                found = Found(best.settings, best.net, self.fitted, search)
            # From here on nothing that has been trained is lost, whatever happens.
            return self._concluded(keep(self.folder, self.ready, found))

    def _default(self) -> Settings:
        problem = self.ready.problem
        return default_settings(len(problem.train.y), problem.input_shape, problem.task)

    def _searched(self) -> tuple[SearchSummary, Settings]:
        """Choose settings; the best net so far is kept in the folder while it goes on."""
        from handgrad.own_data.search import Plan, Search

        request = self.request
        shares = request.candidates + _SHARES_OF_THE_CHOSEN
        plan = Plan(
            candidates=request.candidates,
            storage=request.storage or self.folder.journal,
            name=request.study_name(),
            seconds=max(1.0, (request.seconds - self.used) / shares),
            seed=request.seed,
        )
        search = Search(plan, self.ready.problem, self._default())

        def told(trial: TrialSummary, net: Net | None) -> None:
            self.watcher.searched(trial, request.candidates)
            best = self.candidate
            if net is not None and (best is None or is_better(net.best, best.net.best)):
                self.candidate = Found(search.settings_of(trial), net, self.fitted, None)
                keep(self.folder, self.ready, self.candidate)

        try:
            summary = search.run(told)
        except KeyboardInterrupt:
            if self.candidate is not None:
                self._tell_kept(best_found(self.folder, self.ready, self.candidate))
            raise
        self.used += summary.seconds
        chosen = next(each for each in summary.trials if each.number == summary.best)
        return summary, search.settings_of(chosen)

    def _trained(self, settings: Settings) -> Net:
        """Train the net, on from its checkpoint; after Ctrl-C keep the best and say so."""
        problem = self.ready.problem
        seconds = max(0.0, self.request.seconds - self.used)
        words = settings.in_words(problem.input_shape, problem.outputs)
        self.watcher.training(words, seconds)
        told: list[EpochRecord] = []

        def on_epoch(epoch: EpochRecord) -> None:
            told.append(epoch if not told else best_epoch([told[-1], epoch]))
            self.watcher.epoch(epoch, told[-1])

        limits = Limits(seconds, self.folder.checkpoint, on_epoch)
        try:
            net = fit(problem, settings, limits, self.request.seed)
        except CheckpointError:  # of other settings, that a longer search has chosen; or damaged
            self.watcher.notice("the checkpoint is not of this net, which is trained anew")
            self.folder.checkpoint.unlink()
            net = fit(problem, settings, limits, self.request.seed)
        if net.interrupted:
            found = Found(settings, net, self.fitted, None)
            self._tell_kept(keep(self.folder, self.ready, found))
            raise KeyboardInterrupt
        self.watcher.trained(net.stopped)
        return net

    def _tell_kept(self, found: Found) -> None:
        self.watcher.kept(validation(self.ready, found), found.net.best)

    def _concluded(self, found: Found) -> TrainingRecord:
        record = concluded(self.request, self.ready, found, self.started, self.folder.spent())
        of_parts = {
            "validation": {each.name: each.validation for each in record.baselines},
            "test": {each.name: each.test for each in record.baselines},
        }
        of_parts["validation"]["net"] = record.net.validation
        of_parts["test"]["net"] = record.net.test
        model_of(self.ready, found, of_parts).save(self.folder.model)
        record.write(self.folder.record)
        for page in (self.folder.report, self.folder.show):
            page.unlink(missing_ok=True)
        self.write_page(record)
        return record

    def write_page(self, record: TrainingRecord) -> None:
        """Make report and page where the report is missing, and leave no checkpoint beside them."""
        self.folder.checkpoint.unlink(missing_ok=True)
        if self.folder.report.exists():
            return
        problem, samples = self.ready.problem, self.ready.samples
        try:
            note = write_page(self.folder, problem, samples, self.ready.data.name)
        except (ExportError, OutputError) as error:
            note = f"no page of the net: {error}"
        if note is not None:
            self.watcher.notice(note)
        try:
            report.write_own(record, self.folder.report)
        except ReportError as error:
            self.watcher.notice(str(error))
