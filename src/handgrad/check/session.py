"""Run all cases of one submission and give its report."""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import handgrad
from handgrad.blas import limited_to
from handgrad.check.begin import versions
from handgrad.check.case import Case, Setting
from handgrad.check.case_results import Records, clean, ending, stated
from handgrad.check.cases import all_cases
from handgrad.check.choosing import chosen_cases, groups_asked
from handgrad.check.contained import Containment
from handgrad.check.conventions import Convention, parse
from handgrad.check.patience import Patience
from handgrad.check.records import CaseResult, CheckReport, Observation
from handgrad.check.reference import reference
from handgrad.check.sandbox.libraries import OPTIONAL, libraries_of
from handgrad.check.sandbox.runner import IMPORT_SECONDS, Outcome, Runner, RunnerFault
from handgrad.check.sandbox.submission import Submission, find_submission
from handgrad.check.verdict.judge import Judgement, judge
from handgrad.check.verdict.releases import changed_by_numpy
from handgrad.check.words import lacking, not_judged
from handgrad.errors import CheckerFault, HandgradError, SubmissionError

_PACKAGE = Path(handgrad.__file__).parent
_FORM = ("error", "values")  # of what the child says of a variant
_MET = {"timeout": "did not end in time", "memory": "ran out of memory (MemoryError)"}


def check_submission(
    path: str | Path | Submission,
    *,
    seed: int = 0,
    convention: str | Convention = "",
    only: Collection[str] | None = None,
    case: str | None = None,
    timeout: float = 10.0,
    strict: bool = False,
    on_case: Callable[[CaseResult], None] | None = None,
) -> CheckReport:
    """Judge a submission.

    Parameters
    ----------
    path : str, Path or Submission
        A layers.py, a folder holding one (with optim, solver, logistic, svm, softmax, cnn), or the
        name of an importable module; or what ``find_submission`` made of it.
    seed : int, default 0
        Of the cases' inputs; the same seed gives the same inputs, whatever ``only`` selects.
    convention : str or Convention, default ''
        What ``conventions.parse`` gives, of any course; or, in words, the name of a course that
        ships, its switches, or both, joined by commas. '' is the assignment.
    only : collection of str, optional
        Groups ('conv', 'pool', ...) or functions ('conv_backward', ...) to run; default all.
    case : str, optional
        Run only the cases of this name.
    timeout : float, default 10
        Seconds a case may take.
    strict : bool, default False
        Whether what is beyond the assignment counts, too (``handgrad.check.severity``).
    on_case : function, optional
        Called with each CaseResult as it ends.

    A case of a function that needs a package which is not installed is 'not judged'; the report's
    ``problems`` name the package.

    Raises
    ------
    SubmissionError
        When nothing of it can be judged, or an option names nothing that there is.
    CourseError
        When the course cannot be read.
    CheckerFault
        When the checker itself fails.
    """
    rules = convention if isinstance(convention, Convention) else parse(convention)
    submission = (
        path if isinstance(path, Submission) else find_submission(path, rules.course.wanted)
    )
    hidden = None if submission.trusted else _PACKAGE
    libraries = libraries_of(submission.sources.values())
    own = [name for name in libraries if not submission.owns(name)]
    preload: Any = ((), [f"{OPTIONAL}{name}" for name in own])
    if submission.trusted:
        entries = [entry for _, entry in submission.path]
        preload = (entries, sorted(submission.modules.values()))
    results: list[CaseResult] = []
    timings: dict[str, float] = {}
    recognised: dict[str, str] = {}
    # One BLAS thread, as in the child: the two never fight, and their times compare.
    records = Records(submission, rules, seed, strict)
    with limited_to(1), Runner(hidden=hidden, preload=preload) as runner:
        runner.launch()  # its start takes as long as to make the cases
        with _faults("the cases cannot be made"):
            cases = all_cases(Setting(rules, seed), groups_asked(submission, rules, only))
        chosen = chosen_cases(cases, submission, rules, only, case)
        judged = _Judged(submission, rules, records, runner, timeout)
        judged.load(chosen)
        recognised.update(judged.other_names())
        asked = [c for c in chosen if not c.optional or judged.has(c.unit, c.function)]
        for item, result, seconds in judged.results(asked, recognised):
            timings[f"{item.function}: {item.name}"] = seconds
            results.append(result)
            if on_case is not None:
                on_case(result)
        timings.update(judged.timings)
        contained = {"containment": "limits only, for handgrad itself"}
        if not submission.trusted:
            contained = judged.contained.said(runner.separated)
    return CheckReport(
        file=submission.file,
        sha256=submission.sha256,
        seed=seed,
        course=rules.course.name,
        convention=rules.name,
        recognised=dict(sorted(recognised.items())),
        environment={**versions(), **contained},
        cases=tuple(results),
        timings=timings,
        problems=not_judged(results),
        notes=submission.notes,
        strict=strict,
    )


@contextlib.contextmanager
def _faults(what: str) -> Iterator[None]:
    """Turn any exception of the checker's own into a CheckerFault."""
    try:
        yield
    except (HandgradError, CheckerFault, KeyboardInterrupt):
        raise
    except Exception as error:
        raise CheckerFault(f"{what}: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _child_faults() -> Iterator[None]:
    """Turn what goes wrong with the child process into a CheckerFault."""
    try:
        yield
    except (RunnerFault, OSError, ValueError) as error:
        raise CheckerFault(f"the child process: {error}") from error


@dataclass(frozen=True)
class _Answer:
    """What came of a case: how it ended, what it gave, in which time, and what it waited for."""

    outcome: Outcome
    found: Sequence[Mapping[str, Any]]
    timeout: float
    waits: str
    seconds: float = 0.0


class _Judged:
    """One submission in its child process."""

    def __init__(
        self,
        submission: Submission,
        convention: Convention,
        records: Records,
        runner: Runner,
        timeout: float,
    ) -> None:
        self.submission, self.convention, self._records = submission, convention, records
        self.runner, self.timeout = runner, timeout
        self.reference = reference(convention)
        self.names: dict[str, set[str]] = {}
        self.broken: dict[str, str] = {}
        self.changed: dict[str, str] = {}  # of these: which release of NumPy broke them
        self.lacking: dict[str, str] = {}  # module to the package that it needs, and why not
        self.timings: dict[str, float] = {}
        self.contained = Containment()
        self._patience = Patience(submission.sources, convention.course.aliases)
        self._request: dict[str, Any] = {
            "modules": dict(submission.modules),
            "aliases": convention.course.aliases,
            "sources": {
                name: np.frombuffer(text, dtype=np.uint8)
                for name, text in submission.sources.items()
            },
            "path": [list(entry) for entry in submission.path],
            "trusted": submission.trusted,
        }

    def _ask(self, request: Mapping[str, Any], timeout: float) -> Outcome:
        with _child_faults():
            return self.runner.run({**self._request, **request}, timeout)

    def load(self, cases: Sequence[Case]) -> None:
        """Import each module once and note its names; refuse what no case can be asked of."""
        limit = max(self.timeout, IMPORT_SECONDS)
        endless: dict[str, str] = {}  # such a module's name to its unit
        for unit, module in self.submission.modules.items():
            waits = self._patience.imports(module) & endless.keys() if endless else set()
            if waits:
                who, first = (self.submission.called(u) for u in (unit, endless[min(waits)]))
                said = f"it needs {first}, which could not be imported in time"
                self.broken[unit] = f"{who} cannot be imported: {said}"
                continue
            outcome = self._ask({"list": True, "modules": {unit: module}}, limit)
            self.contained.note(outcome.reply)
            modules = outcome.reply.get("modules")
            found = modules.get(unit) if isinstance(modules, dict) else None
            names = found.get("names") if isinstance(found, dict) else None
            if isinstance(names, list):
                self.names[unit] = {name for name in names if isinstance(name, str)}
                continue
            error = found.get("error") if isinstance(found, dict) else None
            lack = self._records.lack(error)
            if lack:
                self.lacking[unit] = lack
                continue
            if outcome.how == "importing":
                endless[module.rpartition(".")[2]] = unit
            if isinstance(error, dict):
                place = f"{error.get('file')}, line {error.get('line')}: {error.get('code')}"
                said = f"{error.get('type')}: {error.get('text')} ({place})"
                self.changed[unit] = changed_by_numpy(error)
            else:
                said = ending(outcome, limit)
            said = f"{self.submission.called(unit)} cannot be imported: {said}"
            self.broken[unit] = clean(said)
        if not self.names or all(any(self._lacking_for(case)) for case in cases):
            needed: dict[str, list[str]] = {}
            for unit, lack in self.lacking.items():
                needed.setdefault(lack, []).append(self.submission.called(unit))
            absent = [lacking(lack, units) for lack, units in needed.items()]
            changed = [text for text in self.changed.values() if text]
            reasons = [*absent, *self.broken.values(), *changed]
            raise SubmissionError(f"{self.submission.file}: {'; '.join(reasons)}")

    def _lacking_for(self, case: Case) -> list[str]:
        return [unit for unit, _ in case.needs if unit in self.lacking]

    def has(self, unit: str, name: str) -> bool:
        """Whether the submission defines a function, by any of its names."""
        names = self.names.get(unit, ())
        return any(alias in names for alias in self.convention.course.aliases.get(name, [name]))

    def other_names(self) -> dict[str, str]:
        """Say under which other names functions were found."""
        found = [
            f"{alias} for {name}"
            for name, aliases in self.convention.course.aliases.items()
            for names in self.names.values()
            for alias in aliases[1:]
            if alias in names and name not in names
        ]
        return {"names": ", ".join(found)} if found else {}

    def results(
        self, cases: Sequence[Case], recognised: dict[str, str]
    ) -> Iterator[tuple[Case, CaseResult, float]]:
        """Run and judge cases, each with its seconds; while one runs, the last is judged.

        What is asked next is decided when an answer is there, never by which of the two is faster.
        """
        last: tuple[Case, _Answer] | None = None
        for case in [*cases, None]:
            started = time.perf_counter()
            result = None if case is None else self._ask_case(case)
            if last is not None:
                judging = time.perf_counter()
                judged = self._judged(*last, recognised)
                yield last[0], judged, last[1].seconds + time.perf_counter() - judging
                last = None
            if case is None:
                return
            if result is None:
                answer = self._answer(case)
                last = case, replace(answer, seconds=time.perf_counter() - started)
            else:
                yield case, result, time.perf_counter() - started

    def _ask_case(self, case: Case) -> CaseResult | None:
        """Hand a case to the child process; its result, where there is nothing to run."""
        for unit in self._lacking_for(case):
            return self._records.without(case, self.submission.called(unit), self.lacking[unit])
        for unit, name in case.needs:
            if unit in self.broken:
                seen = Observation(said=clean(self.broken[unit]), module=unit)
                change = self.changed.get(unit, "")
                cause = "numpy-changed" if change else "raises"
                return self._records.of(case, Judgement("error", cause, change, seen))
            if not self.has(unit, name):
                file = self.submission.called(unit)
                has = unit in self.names
                said = f"{file} has no {name}" if has else f"there is no {file} with {name}"
                return self._records.of(case, stated("missing", "not-written", f"{said}."))
        spent = self._patience.spent(name for _, name in case.needs)
        if spent:
            limit = self._patience.limit_of(spent)
            said = f"{spent} {_MET[limit]} in other cases; not tried again."
            return self._records.of(case, stated("error", limit, said))
        variants = [
            {
                "inputs": dict(variant.inputs),
                "steps": list(variant.steps),
                "returns": variant.returns(),
            }
            for variant in case.variants
        ]
        timeout = self._patience.seconds(case.function, self.timeout * case.patience)
        with _child_faults():
            self.runner.ask({**self._request, "variants": variants}, timeout)
        return None

    def _answer(self, case: Case) -> "_Answer":
        """Wait for what came of the case that was asked, and note a limit that it met."""
        timeout = self._patience.seconds(case.function, self.timeout * case.patience)
        with _child_faults():
            outcome = self.runner.answer()
        waits = self._patience.waits_for(case.function)
        if outcome.ending in ("timeout", "memory"):
            self._patience.met_limit(case.function, outcome.ending)
        found = outcome.reply.get("variants")
        well_formed = isinstance(found, list) and len(found) == len(case.variants)
        if not well_formed or not all(isinstance(item, dict) for item in found or ()):
            if outcome.ending == "replied":
                outcome = Outcome("crashed", how="what came back is no answer to the case")
            return _Answer(outcome, (), timeout, waits)
        assert isinstance(found, list)
        found = [
            {name: item.get(name) if isinstance(item.get(name), dict) else None for name in _FORM}
            for item in found
        ]
        if any((item["error"] or {}).get("type") == "MemoryError" for item in found):
            self._patience.met_limit(case.function, "memory")
        return _Answer(outcome, found, timeout, waits)

    def _judged(self, case: Case, answer: "_Answer", recognised: dict[str, str]) -> CaseResult:
        """Judge what came of a case."""
        found, timeout = answer.found, answer.timeout
        if answer.outcome.ending != "replied":
            return self._records.of(case, self._without_reply(case, answer))
        lacks = [lack for item in found if (lack := self._records.lack(item["error"]))]
        if lacks:
            who = f"{case.function} in {self.submission.called(case.unit)}"
            return self._records.without(case, who, lacks[0])
        with _faults(f"judging {case.function}: {case.name}"):
            judgement = judge(case, found, self.reference)
            if case.recognise is not None:
                recognised.update(case.recognise([item.get("values") or {} for item in found]))
            values = found[0]["values"] or {}
            seconds = case.lasts(values) if case.lasts is not None else None
            if judgement.status == "passed" and seconds is not None and seconds > timeout:
                said = f"It would not end within {timeout:g} seconds, to judge by a part of it."
                judgement = stated("failed", "too-slow", said)
            if case.timing is not None and judgement.status == "passed":
                self.timings.update(case.timing(values))
        return self._records.of(case, judgement)

    def _without_reply(self, case: Case, answer: "_Answer") -> Judgement:
        outcome, timeout, waits = answer.outcome, answer.timeout, answer.waits
        said = f"{ending(outcome, timeout)}."
        if outcome.ending == "timeout" and waits:
            said = f"{ending(outcome, timeout)}: it calls {waits}, which did not end in time."
        if outcome.ending == "timeout" and case.group == "time" and not outcome.how:
            return stated("failed", "too-slow", said)
        return stated("error", outcome.ending, said)
