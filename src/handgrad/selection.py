"""Choose hyperparameters on the validation set: a ledger of candidates that processes share.

A search is a fixed list of candidates (every combination of a plain dict of values) kept as an
Optuna study in a journal file. Workers claim candidates one by one and report a validation
accuracy; whatever was claimed by a process that died is offered again. The candidates and the
choice do not depend on who tried what in which order, so an interrupted search that goes on
chooses what an uninterrupted one chooses.

One run says little about candidates that are nearly level: so the best of them, the finalists, may
be tried again with other seeds, and the mean decides.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from handgrad.errors import MissingExtraError, ResultsError
from handgrad.results import Trial
from handgrad.spaces import Params, Space, combinations

try:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    from optuna.trial import FrozenTrial, TrialState
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"a search needs {error.name}, which is not installed; `pip install 'handgrad[search]'` "
        "brings it"
    ) from error

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True)
class Claim:
    """A candidate that this process is to try; ``index`` is its place among the candidates.

    ``seed`` counts from 0: a finalist is tried with the next ones as well.
    """

    index: int
    seed: int
    params: Params
    trial: optuna.Trial


class Search:
    """The search of one experiment.

    Parameters
    ----------
    path : Path
        The journal; its folder exists. Any number of processes may open it.
    name : str
        Of the study.
    space : mapping
        Hyperparameter to its values (numbers, strings, booleans or None).
    finalists : int, default 0
        How many of the best candidates are tried again, once all have been tried.
    seeds : int, default 1
        Seeds that a finalist is tried with in the end, the first one included.
    """

    def __init__(
        self, path: Path, name: str, space: Space, *, finalists: int = 0, seeds: int = 1
    ) -> None:
        self.candidates = combinations(space)
        self._finalists, self._seeds = finalists, seeds
        self._space = {key: list(values) for key, values in space.items()}
        # Optuna's default lock is a symbolic link to the journal; left behind by a killed process
        # and relative, it makes the next one wait for ever. This one is taken over after 30 s.
        backend = JournalFileBackend(str(path), JournalFileOpenLock(str(path)))
        try:
            storage = optuna.storages.JournalStorage(backend)
            self._study = optuna.create_study(
                storage=storage,
                study_name=name,
                direction="maximize",
                load_if_exists=True,
                # Never consulted: every candidate is enqueued. It only keeps a surplus ask cheap.
                sampler=optuna.samplers.RandomSampler(seed=0),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResultsError(
                f"{path} is damaged ({type(error).__name__}); delete it to search again, "
                "or name another folder with --out"
            ) from None
        known = self._study.user_attrs.get("space")
        if known is None:
            self._study.set_user_attr("space", self._space)
        elif known != self._space:
            raise ResultsError(
                f"{path} holds a search of other candidates, made by another version; "
                "name another folder with --out"
            )

    @classmethod
    def prepare(
        cls, path: Path, name: str, space: Space, *, finalists: int = 0, seeds: int = 1
    ) -> Self:
        """Open a search and offer what has no result.

        Only while no other process is at work on it: what looks unfinished is taken for dead.
        """
        path.with_name(path.name + ".lock").unlink(missing_ok=True)  # of a killed process
        _mend_torn_line(path)
        search = cls(path, name, space, finalists=finalists, seeds=seeds)
        for trial in search._study.get_trials(deepcopy=False):
            if trial.state == TrialState.RUNNING:  # its process died
                search._study.tell(trial.number, state=TrialState.FAIL)
        search.offer()
        return search

    def offer(self) -> int:
        """Offer what is to be tried now and is not offered yet; return how much is to be tried."""
        trials = self._study.get_trials(deepcopy=False)
        waiting = {_run(trial) for trial in trials if trial.state == TrialState.WAITING}
        open_runs = self._open_runs()
        for index, seed in open_runs:
            if (index, seed) not in waiting:
                attributes = {"candidate": index, "seed": seed}
                self._study.enqueue_trial(self.candidates[index], user_attrs=attributes)
        return len(open_runs)

    def open_candidates(self) -> list[int]:
        """Return the indices of the candidates to be tried now, in order.

        These are the candidates without a result; once there are none, the finalists, each as
        often as seeds are left for it.
        """
        return [index for index, _ in self._open_runs()]

    def runs_left(self) -> int:
        """Return how many runs the search will still take, those of finalists to come included."""
        first = len(self._first_open())
        if not first:
            return len(self._open_runs())
        return first + min(self._finalists, len(self.candidates)) * (self._seeds - 1)

    def _first_open(self) -> list[int]:
        done = self._results()
        return [index for index in range(len(self.candidates)) if (index, 0) not in done]

    def _open_runs(self) -> list[tuple[int, int]]:
        first, done = self._first_open(), self._results()
        if first:
            return [(index, 0) for index in first]
        firsts = {
            index: trial.value
            for (index, seed), trial in sorted(done.items())
            if seed == 0 and trial.value is not None
        }
        finalists = sorted(firsts, key=lambda index: -firsts[index])[: self._finalists]
        runs = [(index, seed) for seed in range(1, self._seeds) for index in sorted(finalists)]
        return [run for run in runs if run not in done]

    def claim(self) -> Claim | None:
        """Take the next waiting candidate, or None if there is none left."""
        trial = self._study.ask()
        if "candidate" not in trial.user_attrs:  # not one of ours: nothing was waiting
            self._study.tell(trial, state=TrialState.FAIL)
            return None
        for name, values in self._space.items():
            trial.suggest_categorical(name, values)
        index, seed = _run(trial)
        return Claim(index, seed, self.candidates[index], trial)

    def report(
        self,
        claim: Claim,
        val_accuracy: float | None,
        seconds: float,
        error: str | None = None,
        *,
        seeds: int = 1,
    ) -> None:
        """Record a candidate's validation accuracy, of so many seeds, or why it has none."""
        claim.trial.set_user_attr("seconds", seconds)
        claim.trial.set_user_attr("seeds", seeds)
        if val_accuracy is None or not math.isfinite(val_accuracy):
            claim.trial.set_user_attr("error", error or "no validation accuracy")
            self._study.tell(claim.trial, state=TrialState.FAIL)
        else:
            self._study.tell(claim.trial, val_accuracy)

    def trials(self) -> tuple[Trial, ...]:
        """Return the results so far, in the candidates' order; a finalist's accuracy is a mean."""
        runs: dict[int, list[FrozenTrial]] = {}
        for (index, _), trial in sorted(self._results().items()):
            runs.setdefault(index, []).append(trial)
        return tuple(self._trial(index, tried) for index, tried in sorted(runs.items()))

    def _trial(self, index: int, runs: list[FrozenTrial]) -> Trial:
        errors = [run.user_attrs["error"] for run in runs if "error" in run.user_attrs]
        values = [run.value for run in runs if run.value is not None]
        return Trial(
            params=self.candidates[index],
            val_accuracy=None if errors else float(np.mean(values)),
            seconds=sum(run.user_attrs["seconds"] for run in runs),
            error=errors[0] if errors else None,
            seeds=sum(run.user_attrs["seeds"] for run in runs),
        )

    def best(self, without: Sequence[Params] = ()) -> Params:
        """Return the candidate of best validation accuracy; of equals the first in order.

        Where there are finalists, the best of them, by the mean over their seeds. Spaces list
        simple values first, so that a tie goes to the simpler model. ``without`` leaves out
        candidates, those that diverged when they were trained for longer.
        """
        tried = [
            trial
            for trial in self.trials()
            if trial.val_accuracy is not None and dict(trial.params) not in without
        ]
        if not tried:
            errors = sorted({trial.error or "diverged in retraining" for trial in self.trials()})
            raise ResultsError(
                f"every candidate of {self._study.study_name} failed: {'; '.join(errors)}"
            )
        return dict(max(tried, key=lambda trial: (trial.seeds, trial.val_accuracy or 0.0)).params)

    def _results(self) -> dict[tuple[int, int], FrozenTrial]:
        return {
            _run(trial): trial
            for trial in self._study.get_trials(deepcopy=False)
            if _is_result(trial)
        }


def _run(trial: FrozenTrial | optuna.Trial) -> tuple[int, int]:
    """Give a run's candidate and seed."""
    return int(trial.user_attrs["candidate"]), int(trial.user_attrs["seed"])


def _is_result(trial: FrozenTrial) -> bool:
    """Tried to the end: it has a value, or an error of its own (not an interruption)."""
    failed = trial.state == TrialState.FAIL and "error" in trial.user_attrs
    return failed or trial.state == TrialState.COMPLETE


def _mend_torn_line(path: Path) -> None:
    """Drop a last line without its newline: what a process killed while writing left behind."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
