"""One `handgrad train`: data, baselines, search, net, and at the end, once, the test rows."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from handgrad import report
from handgrad.errors import ReportError
from handgrad.own_data import baselines
from handgrad.own_data.concluding import Found, concluded, model_of
from handgrad.own_data.fitting import Limits, Net, best_epoch, best_path, fit
from handgrad.own_data.folder import Folder, opened
from handgrad.own_data.reading import Ready, prepared
from handgrad.own_data.request import Request
from handgrad.own_data.settings import Settings, default_settings
from handgrad.own_data.watching import Watcher
from handgrad.training_record import (
    EpochRecord,
    Metrics,
    SearchSummary,
    TrainingRecord,
    TrialSummary,
)

_CHECKPOINT_FROM_NUMBERS = 200_000  # of the training inputs: less is trained in some seconds
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
        if folder.record.exists() and folder.model.exists():
            watcher.notice(
                f"{request.out} holds this training, done; to train again name another folder "
                "with --out, or another --seed"
            )
            return TrainingRecord.read(folder.record)
        try:
            return _Run(request, ready, folder, watcher, started).all()
        except KeyboardInterrupt:
            folder.spend(time.perf_counter() - started)
            raise


@dataclass
class _Run:
    """The steps, each with what the earlier ones gave.

    ``used`` is how many seconds of the time have gone to the baselines and the search.
    """

    request: Request
    ready: Ready
    folder: Folder
    watcher: Watcher
    started: float
    used: float = 0.0
    fitted: tuple[baselines.Fitted, ...] = field(default=())

    def all(self) -> TrainingRecord:
        """Baselines, search, net, test rows."""
        problem, seed = self.ready.problem, self.request.seed
        limits = Limits(max(1.0, _BASELINES_SHARE * self.request.seconds))
        self.fitted = (baselines.majority(problem), baselines.linear(problem, limits, seed))
        self.used = sum(each.seconds for each in self.fitted)
        search, settings = None, self._default()
        if self.request.candidates:
            search, settings = self._searched()
        # Processes that share a folder share its search; one of them trains what was chosen.
        with self.folder.alone(wait=search is not None):
            if self.folder.record.exists():
                return TrainingRecord.read(self.folder.record)
            net = self._trained(settings)
            return self._concluded(Found(settings, net, self.fitted, search))

    def _default(self) -> Settings:
        problem = self.ready.problem
        return default_settings(len(problem.train.y), problem.input_shape)

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
        best: Net | None = None

        def told(trial: TrialSummary, net: Net | None) -> None:
            nonlocal best
            self.watcher.searched(trial, request.candidates)
            if net is not None and (best is None or best_epoch([best.best, net.best]) is net.best):
                best = net
                settings = search.settings_of(trial)
                self._keep(Found(settings, net, self.fitted, None))

        try:
            summary = search.run(told)
        except KeyboardInterrupt:
            if best is not None:
                self.watcher.kept(self._validation(best), best.best)
            raise
        self.used += summary.seconds
        chosen = next(each for each in summary.trials if each.number == summary.best)
        return summary, search.settings_of(chosen)

    def _trained(self, settings: Settings) -> Net:
        """Train the net, on from its checkpoint; after Ctrl-C keep the best and say so."""
        problem, folder = self.ready.problem, self.folder
        durable = problem.train.X.size >= _CHECKPOINT_FROM_NUMBERS
        seconds = max(0.0, self.request.seconds - self.used)
        words = settings.in_words(problem.input_shape, problem.outputs)
        self.watcher.training(words, seconds)
        told: list[EpochRecord] = []

        def on_epoch(epoch: EpochRecord) -> None:
            told.append(epoch if not told else best_epoch([told[-1], epoch]))
            self.watcher.epoch(epoch, told[-1])

        limits = Limits(seconds, folder.checkpoint if durable else None, on_epoch)
        net = fit(problem, settings, limits, self.request.seed)
        if net.interrupted:
            self._keep(Found(settings, net, self.fitted, None))
            self.watcher.kept(self._validation(net), net.best)
            raise KeyboardInterrupt
        self.watcher.trained(net.stopped)
        return net

    def _validation(self, net: Net) -> Mapping[str, Metrics]:
        part = self.ready.problem.val
        models = {each.name: each.predict for each in self.fitted} | {"net": net.predict}
        return {name: self.ready.metrics(part, predict) for name, predict in models.items()}

    def _keep(self, found: Found) -> None:
        """Write the model of what was found so far: the test rows have not been looked at."""
        metrics = {"validation": self._validation(found.net)}
        model_of(self.ready, found, metrics).save(self.folder.model)

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
        try:
            report.write_own(record, self.folder.report)
        except ReportError as error:
            self.watcher.notice(str(error))
        for path in (self.folder.checkpoint, best_path(self.folder.checkpoint)):
            path.unlink(missing_ok=True)
        return record
