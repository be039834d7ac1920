"""Choose hyperparameters on the validation set: a ledger of candidates that processes share.

A search is a fixed list of candidates (every combination of a plain dict of values). Workers claim
candidates one by one and report a validation accuracy, all of it in a ledger, one file; whatever
was claimed by a process that died is offered again. The candidates and the
choice do not depend on who tried what in which order, so an interrupted search that goes on
chooses what an uninterrupted one chooses.

One run says little about candidates that are nearly level: so the best of them, the finalists, may
be tried again with other seeds, and the mean decides.
"""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from handgrad.errors import ResultsError
from handgrad.ledger import Ledger, Lines, Record
from handgrad.results import Trial
from handgrad.spaces import Params, Space, combinations

_FORMAT = 1
Run = tuple[int, int]  # a candidate's index, and which of its seeds


@dataclass(frozen=True)
class Claim:
    """A candidate that this process is to try; ``index`` is its place among the candidates.

    ``seed`` counts from 0: a finalist is tried with the next ones as well.
    """

    index: int
    seed: int
    params: Params


@dataclass(frozen=True)
class _Result:
    """What came of a run: an accuracy, or an error of its own (an interruption is neither)."""

    val_accuracy: float | None
    seconds: float
    seeds: int
    error: str | None


@dataclass
class _State:
    """What a ledger's records amount to."""

    waiting: list[Run] = field(default_factory=list)
    results: dict[Run, _Result] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        """Take the next record; KeyError, TypeError or ValueError where it is none of ours."""
        match record["kind"]:
            case "begin":  # who had claimed or offered something before is dead
                self.waiting = []
            case "offer":
                self.waiting += [_run(run) for run in record["runs"]]
            case "claim":
                self.waiting.remove(_run(record["run"]))
            case "result":
                self.results[_run(record["run"])] = _Result(**record["result"])
            case kind:
                raise ValueError(kind)


def _run(pair: Any) -> Run:
    index, seed = pair
    return int(index), int(seed)


class Search:
    """The search of one experiment.

    Parameters
    ----------
    path : Path
        The ledger; its folder exists. Any number of processes may open it.
    name : str
        Of the search.
    space : mapping
        Hyperparameter to its values (numbers, strings, booleans or None).
    finalists : int, default 0
        How many of the best candidates are tried again, once all have been tried.
    seeds : int, default 1
        Seeds that a finalist is tried with in the end, the first one included.

    Raises
    ------
    ResultsError
        If the ledger is damaged, another version's, or of other candidates.
    """

    def __init__(
        self, path: Path, name: str, space: Space, *, finalists: int = 0, seeds: int = 1
    ) -> None:
        self.candidates = combinations(space)
        self._finalists, self._seeds = finalists, seeds
        self._ledger = Ledger(path)
        header = {"kind": "search", "format": _FORMAT, "name": name}
        # As JSON gives it back.
        self._header: Record = {**header, "space": json.loads(json.dumps(dict(space)))}
        with self._opened():
            pass

    @classmethod
    def prepare(
        cls, path: Path, name: str, space: Space, *, finalists: int = 0, seeds: int = 1
    ) -> Self:
        """Open a search and offer what has no result.

        Only while no other process is at work on it: what looks unfinished is taken for dead.
        """
        search = cls(path, name, space, finalists=finalists, seeds=seeds)
        with search._opened() as (lines, _):
            lines.append({"kind": "begin"})
        search.offer()
        return search

    @contextmanager
    def _opened(self) -> Iterator[tuple[Lines, _State]]:
        """Have the ledger for this process alone, and what its records amount to."""
        with self._ledger.opened() as lines:
            if not lines.records:
                lines.append(self._header)
            self._check(lines.records[0])
            state = _State()
            for number, record in enumerate(lines.records[1:], 1):
                try:
                    state.take(record)
                except (KeyError, TypeError, ValueError):
                    raise self._ledger.damaged(number) from None
            yield lines, state

    def _check(self, header: Record) -> None:
        """Refuse a ledger that is not this search's."""
        path = self._ledger.path
        if "op_code" in header:
            raise ResultsError(
                f"{path} is a journal of Optuna, as older versions of handgrad kept it; name "
                "another folder with --out, or delete this one's folder"
            )
        if header.get("kind") != "search":
            raise self._ledger.damaged(0)
        if header != self._header:
            raise ResultsError(
                f"{path} holds a search of other candidates, made by another version; "
                "name another folder with --out"
            )

    def _state(self) -> _State:
        with self._opened() as (_, state):
            return state

    def offer(self) -> int:
        """Offer what is to be tried now and is not offered yet; return how much is to be tried."""
        with self._opened() as (lines, state):
            open_runs = self._open_runs(state)
            new = [run for run in open_runs if run not in state.waiting]
            if new:
                lines.append({"kind": "offer", "runs": new})
        return len(open_runs)

    def open_candidates(self) -> list[int]:
        """Return the indices of the candidates to be tried now, in order.

        These are the candidates without a result; once there are none, the finalists, each as
        often as seeds are left for it.
        """
        return [index for index, _ in self._open_runs(self._state())]

    def runs_left(self) -> int:
        """Return how many runs the search will still take, those of finalists to come included."""
        state = self._state()
        first = len(self._first_open(state))
        if not first:
            return len(self._open_runs(state))
        return first + min(self._finalists, len(self.candidates)) * (self._seeds - 1)

    def _first_open(self, state: _State) -> list[int]:
        return [index for index in range(len(self.candidates)) if (index, 0) not in state.results]

    def _open_runs(self, state: _State) -> list[Run]:
        if first := self._first_open(state):
            return [(index, 0) for index in first]
        firsts = {
            index: result.val_accuracy
            for (index, seed), result in sorted(state.results.items())
            if seed == 0 and result.val_accuracy is not None
        }
        finalists = sorted(firsts, key=lambda index: -firsts[index])[: self._finalists]
        runs = [(index, seed) for seed in range(1, self._seeds) for index in sorted(finalists)]
        return [run for run in runs if run not in state.results]

    def claim(self) -> Claim | None:
        """Take the next waiting candidate, or None if there is none left."""
        with self._opened() as (lines, state):
            if not state.waiting:
                return None
            index, seed = state.waiting[0]
            lines.append({"kind": "claim", "run": (index, seed)})
        return Claim(index, seed, self.candidates[index])

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
        if val_accuracy is None or not math.isfinite(val_accuracy):
            result = _Result(None, seconds, seeds, error or "no validation accuracy")
        else:
            result = _Result(float(val_accuracy), seconds, seeds, None)
        run = (claim.index, claim.seed)
        with self._opened() as (lines, _):
            lines.append({"kind": "result", "run": run, "result": asdict(result)})

    def trials(self) -> tuple[Trial, ...]:
        """Return the results so far, in the candidates' order; a finalist's accuracy is a mean."""
        runs: dict[int, list[_Result]] = {}
        for (index, _), result in sorted(self._state().results.items()):
            runs.setdefault(index, []).append(result)
        return tuple(self._trial(index, tried) for index, tried in sorted(runs.items()))

    def _trial(self, index: int, runs: list[_Result]) -> Trial:
        errors = [run.error for run in runs if run.error is not None]
        values = [run.val_accuracy for run in runs if run.val_accuracy is not None]
        return Trial(
            params=self.candidates[index],
            val_accuracy=None if errors else float(np.mean(values)),
            seconds=sum(run.seconds for run in runs),
            error=errors[0] if errors else None,
            seeds=sum(run.seeds for run in runs),
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
                f"every candidate of {self._header['name']} failed: {'; '.join(errors)}"
            )
        return dict(max(tried, key=lambda trial: (trial.seeds, trial.val_accuracy or 0.0)).params)
