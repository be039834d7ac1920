"""What a check found: one record a case, one report a submission; to JSON and back, no judging."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["passed", "failed", "missing", "error", "not judged"]
ABSENT = ("missing", "not judged")  # of which nothing can be said to be wrong


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
    detail : str
        For the learner: which output, worst index, received, expected, the likely cause in words.
    read : str
        The section of handgrad's documentation to read; '' when passed.
    repeat : str
        The command that repeats this one case with the same seed; '' when passed.
    counts_alone : bool
        False where an answer of zeros would pass: it earns something only beside a case that
        shows a right value.
    """

    group: str
    function: str
    name: str
    status: Status
    diagnosis: str | None = None
    detail: str = ""
    read: str = ""
    repeat: str = ""
    counts_alone: bool = True


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

    def count(self, status: Status) -> int:
        """How many cases have this status."""
        return sum(case.status == status for case in self.cases)

    @property
    def passed(self) -> bool:
        """Whether every case was judged and passed; a missing one has not."""
        return not self.problems and all(case.status == "passed" for case in self.cases)

    def to_json(self, timing: bool = True) -> str:
        """Give the report as JSON: same seed and file, same bytes, but for ``timings``."""
        record: dict[str, Any] = asdict(self)
        if not timing:
            del record["timings"]
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"
