"""Choose settings on the validation rows, with Optuna: TPE proposes, the median prunes.

Any number of processes, on any number of machines, may share one search: each takes the next
candidate as it becomes free. A candidate is the same for its number, whoever tries it after the
same others; one that was interrupted is not counted, and another is tried in its place.
"""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handgrad.errors import MissingExtraError, NonFiniteLossError, SearchError
from handgrad.own_data.fitting import Limits, Net, fit
from handgrad.own_data.problem import Problem
from handgrad.own_data.settings import (
    BATCH_SIZES,
    FILTERS,
    SIZES,
    Settings,
    from_params,
    to_params,
)
from handgrad.training_record import EpochRecord, SearchSummary, TrialSummary

try:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    from optuna.trial import FrozenTrial, TrialState
except ModuleNotFoundError as missing:
    raise MissingExtraError(
        f"--search needs {missing.name}, which is not installed; `pip install 'handgrad[search]'` "
        "brings it"
    ) from missing

optuna.logging.set_verbosity(optuna.logging.ERROR)

_ATTEMPTS = 3
_HEARD_EVERY_SECONDS = 5.0
_SILENT_SECONDS = 60.0  # a candidate not heard of for so long, and a training's time, is given up


@dataclass(frozen=True)
class Plan:
    """What is searched, and by whom it is shared.

    Attributes
    ----------
    candidates : int
        To be finished, by all processes together.
    storage : str or Path
        An Optuna storage's URL, or a journal's file.
    name : str
        Of the study: processes of one name share it.
    seconds : float
        For one candidate.
    seed : int
    """

    candidates: int
    storage: str | Path
    name: str
    seconds: float
    seed: int


class Search:
    """The candidates of one problem.

    Parameters
    ----------
    plan : Plan
    problem : Problem
    default : Settings
        Tried first: what is chosen is no worse on the validation rows.
    """

    def __init__(self, plan: Plan, problem: Problem, default: Settings) -> None:
        self._plan, self._problem, self._default = plan, problem, default
        self._study = _study(plan)
        if not self._study.get_trials(deepcopy=False):
            self._study.enqueue_trial(to_params(default), skip_if_exists=True)

    def run(self, told: Callable[[TrialSummary, Net | None], None]) -> SearchSummary:
        """Try candidates until enough are finished; tell of each that this process tried.

        Raises
        ------
        KeyboardInterrupt
            Ctrl-C; the candidate that was being tried is not counted.
        SearchError
            Where every candidate failed.
        """
        while (open_now := self._open()) is not None:
            if open_now:
                self._try_one(told)
            else:
                time.sleep(0.2)  # the last ones are being tried by other processes
        return self.summary()

    def summary(self) -> SearchSummary:
        """Give the candidates so far; SearchError where none has a score."""
        trials = [_summary(trial) for trial in self._finished()]
        scored = [each for each in trials if each.state == "complete"]
        if not scored:
            errors = sorted({each.error for each in trials if each.error})
            raise SearchError(
                f"every candidate of the search failed: {'; '.join(errors) or 'none was tried'}"
            )
        best = max(scored, key=lambda each: (_score(each), -each.number))
        seconds = sum(each.seconds for each in trials)
        return SearchSummary(tuple(trials), best.number, "TPE", "median", seconds)

    def settings_of(self, trial: TrialSummary) -> Settings:
        """Give a candidate's settings."""
        return from_params(trial.params, self._default)

    def _finished(self) -> list[FrozenTrial]:
        return [t for t in self._study.get_trials(deepcopy=False) if _is_finished(t)]

    def _open(self) -> bool | None:
        """Whether a candidate is to be tried now; None once enough are finished."""
        trials = self._study.get_trials(deepcopy=False)
        finished = sum(map(_is_finished, trials))
        if finished >= self._plan.candidates:
            return None
        patience = _SILENT_SECONDS + self._plan.seconds
        running = sum(
            trial.state == TrialState.RUNNING
            and time.time() - float(trial.user_attrs.get("heard", 0.0)) < patience
            for trial in trials
        )
        return finished + running < self._plan.candidates

    def _try_one(self, told: Callable[[TrialSummary, Net | None], None]) -> None:
        trial = self._study.ask()
        trial.set_user_attr("heard", time.time())
        # A candidate's randomness is its own: processes that began together would draw the same.
        self._study.sampler = _sampler(self._plan.seed + 1000 * trial.number)
        settings = from_params(_suggested(trial, self._default), self._default)
        started, heard, epochs, pruned = time.perf_counter(), time.monotonic(), 0, False

        def on_epoch(epoch: EpochRecord) -> bool:
            nonlocal heard, epochs, pruned
            epochs = epoch.epoch
            trial.report(epoch.val_score, epochs)
            if time.monotonic() - heard > _HEARD_EVERY_SECONDS:
                heard = time.monotonic()
                trial.set_user_attr("heard", time.time())
            pruned = trial.should_prune()
            return pruned

        net, error = None, None
        try:
            limits = Limits(self._plan.seconds, on_epoch=on_epoch)
            net = fit(self._problem, settings, limits, self._plan.seed)
            if net.interrupted:
                raise KeyboardInterrupt
        except NonFiniteLossError as diverged:
            error = str(diverged)
            trial.set_user_attr("error", error)
        except KeyboardInterrupt:
            self._study.tell(trial, state=TrialState.FAIL)
            raise
        trial.set_user_attr("epochs", epochs)
        trial.set_user_attr("seconds", time.perf_counter() - started)
        if net is None:
            self._study.tell(trial, state=TrialState.FAIL)
        elif pruned:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, net.best.val_score)
        number = trial.number
        ended = next(t for t in self._study.get_trials(deepcopy=False) if t.number == number)
        told(_summary(ended), None if pruned else net)


def _study(plan: Plan) -> optuna.Study:
    """Open the study; again where two processes make its database at once."""
    for attempt in reversed(range(_ATTEMPTS)):
        try:
            return optuna.create_study(
                storage=_storage(plan.storage),
                study_name=plan.name,
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=5),
            )
        except Exception as error:  # each kind of storage has errors of its own
            if not attempt:
                raise SearchError(
                    f"the storage {plan.storage} cannot be used ({_first_line(error)}); check "
                    "--storage, or delete a damaged journal to search again"
                ) from None
            time.sleep(0.3)
    raise AssertionError("unreachable")


def _storage(place: str | Path) -> optuna.storages.BaseStorage:
    if isinstance(place, str):
        return optuna.storages.get_storage(place)
    # Optuna's default lock is a symbolic link, which a killed process leaves behind.
    return optuna.storages.JournalStorage(
        JournalFileBackend(str(place), JournalFileOpenLock(str(place)))
    )


def _sampler(seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        # Candidates that are being tried count as poor ones (the default from Optuna 5 on).
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, multivariate=False, constant_liar=True)


def _suggested(trial: optuna.Trial, default: Settings) -> dict[str, Any]:
    """Ask for each setting; a candidate that was enqueued has them already."""
    params: dict[str, Any] = {}
    if default.filters:
        params["filters"] = trial.suggest_categorical("filters", list(FILTERS))
    else:
        params["hidden"] = trial.suggest_categorical("hidden", list(SIZES))
    params["dropout"] = trial.suggest_float("dropout", 0.0, 0.5)
    params["learning_rate"] = trial.suggest_float("learning_rate", 2e-4, 2e-2, log=True)
    params["weight_decay"] = trial.suggest_float("weight_decay", 1e-4, 1.0, log=True)
    params["batch_size"] = trial.suggest_categorical("batch_size", list(BATCH_SIZES))
    params["batch_norm"] = trial.suggest_categorical("batch_norm", [False, True])
    return params


def _is_finished(trial: FrozenTrial) -> bool:
    """Tried to its end, pruned, or failed by itself; not interrupted."""
    failed = trial.state == TrialState.FAIL and "error" in trial.user_attrs
    return failed or trial.state in (TrialState.COMPLETE, TrialState.PRUNED)


def _summary(trial: FrozenTrial) -> TrialSummary:
    reported = trial.intermediate_values
    last = reported[max(reported)] if reported else None
    return TrialSummary(
        number=trial.number,
        params=dict(trial.params),
        state={TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}.get(
            trial.state, "failed"
        ),
        val_score=trial.value if trial.state == TrialState.COMPLETE else last,
        epochs=int(trial.user_attrs.get("epochs", 0)),
        seconds=float(trial.user_attrs.get("seconds", 0.0)),
        error=trial.user_attrs.get("error"),
    )


def _score(trial: TrialSummary) -> float:
    return -math.inf if trial.val_score is None else trial.val_score


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
