"""What a check found: one record a case, one report a submission; to JSON and back, no judging."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from handgrad.check.severity import Level
from handgrad.check.words import sentences

Status = Literal["passed", "failed", "missing", "error", "not judged"]
ABSENT = ("missing", "not judged")  # of which nothing can be said to be wrong


SCHEMA = 3
"""Of the JSON: 1 had a case's detail as prose alone, 2 the facts beside it, 3 has severities."""


@dataclass(frozen=True)
class Observation:
    """What was seen of a case that did not pass, as facts.

    Attributes
    ----------
    input : str
        The label of the input with which it was seen; '' where there is one alone.
    output : str
        The output that is wrong; '' where it is the whole answer.
    received, expected : float, optional
        At ``index``, the entry that is most off, or of a single number.
    index : tuple of int
    off, entries : int
        How many entries are wrong, of how many.
    said : str
        What happened where no two numbers say it: a shape, an exception, a judge's own words.
    error : str
        The type of the exception that was raised.
    module : str
        The module of the submission that cannot be imported.
    lacks : str
        The package that is not there, and why it is asked for in vain.
    also_wrong, right : tuple of str
        The other outputs of the same input.
    right_for : tuple of str
        The inputs for which nothing is wrong, of ``inputs``.
    """

    input: str = ""
    output: str = ""
    received: float | None = None
    expected: float | None = None
    index: tuple[int, ...] = ()
    off: int = 0
    entries: int = 0
    said: str = ""
    error: str = ""
    module: str = ""
    lacks: str = ""
    also_wrong: tuple[str, ...] = ()
    right: tuple[str, ...] = ()
    right_for: tuple[str, ...] = ()
    inputs: int = 0


NOTHING = Observation()


@dataclass(frozen=True)
class CaseResult:
    """One case's outcome.

    Attributes
    ----------
    group : str
        What ``--only`` selects by: 'fc', 'relu', 'dropout', 'batchnorm', 'conv', 'pool', 'losses',
        'optim', 'models', 'solver', 'time'.
    function : str
        The function under test, e.g. 'conv_backward'.
    name : str
        The case within it, unique with ``function``, e.g. 'gradient of w'.
    status : 'passed', 'failed', 'missing', 'error' or 'not judged'
        'failed': a wrong answer; 'missing': the function is not there, or says it is not written
        yet; 'error': the submission raised, crashed, or passed a limit; 'not judged': a package
        that it needs is not there, which is nobody's mistake.
    diagnosis : str or None
        The key of the likely cause (``diagnosis.CAUSES``), only when the numbers support it.
    second : str or None
        That of a second mistake, where only the two together give the numbers.
    remark : str
        What there is to say of the cause in this case: 'N = 3 here'.
    seen : Observation
    convention : str
        The convention under which it would be no mistake; '' where there is none.
    read : str
        The section of handgrad's documentation to read; '' when passed.
    repeat : str
        The command that repeats this one case with the same seed; '' when passed.
    counts_alone : bool
        False where an answer of zeros would pass: it earns something only beside a case that
        shows a right value.
    place : str
        Of a notebook, where the function is defined: 'cell 7, line 3'.
    severity : 'wrong', 'fragile' or 'beyond'
        How much it matters that it does not pass (``handgrad.check.severity``).
    because : str
        What of the assignment's text decides that; one sentence.
    counts : bool
        False where it is only remarked on: beyond what is asked, and nobody asked for more.
    cause, second_cause : str
        The sentences of ``diagnosis`` and ``second`` where they are the course's own, and not
        among ``CAUSES``.
    """

    group: str
    function: str
    name: str
    status: Status
    diagnosis: str | None = None
    remark: str = ""
    second: str | None = None
    seen: Observation = NOTHING
    convention: str = ""
    read: str = ""
    repeat: str = ""
    counts_alone: bool = True
    place: str = ""
    severity: Level = "wrong"
    because: str = ""
    counts: bool = True
    cause: str = ""
    second_cause: str = ""

    @property
    def detail(self) -> str:
        """For the learner: what was seen, and the likely cause, in words."""
        return " ".join(sentences(self))


def counting(cases: Iterable[CaseResult]) -> list[CaseResult]:
    """The cases that count; of a function that is not there every one does."""
    cases = list(cases)
    shown = {case.function for case in cases if case.status not in ABSENT}
    return [case for case in cases if case.counts or case.function not in shown]


@dataclass(frozen=True)
class CheckReport:
    """All cases of one submission, with what is needed to repeat them."""

    file: str
    sha256: str
    seed: int
    convention: str
    recognised: Mapping[str, str]  # e.g. {'dropout': 'inverted, p keeps'}
    environment: Mapping[str, str]  # versions; nothing that changes between two equal runs
    cases: tuple[CaseResult, ...]
    timings: Mapping[str, float] = field(default_factory=dict)  # '<function>: <name>' to seconds
    problems: tuple[str, ...] = ()  # what kept cases from being judged: packages
    notes: tuple[str, ...] = ()  # what of a notebook was left out, or taken of several
    strict: bool = False  # whether what is beyond the assignment counts, too
    course: str = "assignment"

    def count(self, status: Status) -> int:
        """How many of the cases that count have this status."""
        return sum(case.status == status for case in counting(self.cases))

    @property
    def passed(self) -> bool:
        """Whether every case that counts was judged and passed; a missing one has not."""
        return not self.problems and all(c.status == "passed" for c in counting(self.cases))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "CheckReport":
        """Take a report back from what ``to_json`` wrote, read by json.

        Raises
        ------
        KeyError, TypeError, ValueError
            For what is no such record, or one of another schema.
        """
        if record["schema"] != SCHEMA:
            raise ValueError(f"a report of schema {record['schema']}, not {SCHEMA}")
        cases = []
        for case in record["cases"]:
            seen: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in case["seen"].items()
            }
            rest = {k: v for k, v in case.items() if k not in ("seen", "detail")}
            cases.append(CaseResult(**rest, seen=Observation(**seen)))
        lists = ("problems", "notes")
        rest = {k: v for k, v in record.items() if k not in ("schema", "cases", *lists)}
        rest |= {key: tuple(record[key]) for key in lists}
        return cls(**rest, cases=tuple(cases))

    def to_json(self, timing: bool = True) -> str:
        """Give the report as JSON: same seed and file, same bytes, but for ``timings``."""
        record: dict[str, Any] = {"schema": SCHEMA, **asdict(self)}
        for case, written in zip(self.cases, record["cases"], strict=True):
            written["detail"] = case.detail
        if not timing:
            del record["timings"]
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"
