"""What a case's outcome is as a record of the report."""

import re
import shlex
from dataclasses import dataclass, replace
from typing import Any

from handgrad.check.case import Case
from handgrad.check.conventions import Convention, other_course
from handgrad.check.courses import ASSIGNMENT
from handgrad.check.records import CaseResult, Observation, Status
from handgrad.check.sandbox.runner import IMPORT_SECONDS, Outcome
from handgrad.check.sandbox.submission import Submission
from handgrad.check.severity import COUNTED
from handgrad.check.verdict.judge import Judgement

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")
_PRIVATE = re.compile(r"[^\s'\"]*handgrad-check-[^/\s'\"]+(/case\d+)?(/parent)?/?")


@dataclass(frozen=True)
class Records:
    """Makes the records of one submission's report.

    Attributes
    ----------
    submission : Submission
    convention : Convention
    seed : int
    strict : bool
        Whether what is beyond the assignment counts, too.
    """

    submission: Submission
    convention: Convention
    seed: int
    strict: bool

    def of(self, case: Case, judgement: Judgement) -> CaseResult:
        """Give the record of a case that was judged."""
        passed = judgement.status == "passed"
        seen = judgement.seen
        convention = "" if passed else other_course(judgement.cause, self.convention)
        asked = seen.error == "TypeError" and "conv_param" in seen.said  # an argument, says Python
        if asked and not self.convention.conv_bias:
            convention = "cs231n"
        causes = self.convention.course.causes
        severity = self.convention.course.severity_of(case)
        return CaseResult(
            group=case.group,
            function=case.function,
            name=case.name,
            status=judgement.status,
            diagnosis=judgement.cause,
            remark=judgement.remark,
            second=judgement.second,
            seen=replace(seen, said=clean(seen.said)),
            convention=convention,
            read="" if passed else case.read,
            repeat="" if passed else self._repeat(case),
            counts_alone=case.counts_alone,
            place="" if passed else self._place(case.function),
            severity=severity.level,
            because=severity.because,
            counts=self.strict or severity.level in COUNTED,
            cause=causes.get(judgement.cause or "", ""),
            second_cause=causes.get(judgement.second or "", ""),
        )

    def _place(self, function: str) -> str:
        """Where a notebook defines a function, by any of its names."""
        places = self.submission.places
        names = self.convention.course.aliases.get(function, [function.partition(".")[0]])
        return next((places[name] for name in names if name in places), "")

    def _repeat(self, case: Case) -> str:
        words = ["handgrad", "check", self.submission.file, "--only", case.function]
        words += ["--case", case.name, "--seed", str(self.seed)]
        course = self.convention.course
        if course.place != ASSIGNMENT:
            words += ["--course", course.place]
        if self.convention.name != course.preset:
            words += ["--convention", self.convention.name]
        words += ["--strict"] if self.strict else []
        return " ".join(f'"{word}"' if " " in word and '"' not in word else shlex.quote(word)
                        for word in words)  # fmt: skip

    def without(self, case: Case, who: str, lack: str) -> CaseResult:
        """The result of a case for which a package is not there."""
        lack = clean(lack)
        seen = Observation(said=f"{who} needs {lack}.", lacks=lack)
        return self.of(case, Judgement("not judged", None, seen=seen))

    def lack(self, error: Any) -> str:
        """The package that an import asked for in vain, and why; '' if that is not what failed.

        Of the submission's own modules an absent one is its mistake; of others it may be this
        computer's, and it is never the mistake of each function in the file.
        """
        package = error.get("package") if isinstance(error, dict) else None
        if not isinstance(package, str) or not re.fullmatch(r"[\w.-]+", package):
            return ""
        if self.submission.owns(package):
            return ""
        if error.get("type") == "ModuleNotFoundError":
            why = "which is neither installed here nor a file of the submission"
            return f"the package {package}, {why}"
        said = re.sub(r" \([^()]*[/\\][^()]*\)$", "", str(error.get("text")))  # where it lies
        return f"the package {package}, which cannot be imported here as it asks: {clean(said)}"


def stated(status: Status, cause: str | None, said: str) -> Judgement:
    """Give a judgement whose only fact is a sentence."""
    return Judgement(status, cause, seen=Observation(said=said))


def ending(outcome: Outcome, timeout: float) -> str:
    """How a case ended without an answer, in words."""
    if outcome.how == "importing":
        return f"It could not be imported within {max(timeout, IMPORT_SECONDS):g} seconds"
    if outcome.ending == "timeout":
        return f"It did not end within {timeout:g} seconds"
    if outcome.ending == "memory":
        return "It ran out of the memory that a case may use (1 GiB)"
    return f"It ended without an answer: {outcome.how}"


def clean(text: str) -> str:
    """Without what differs between two equal runs: addresses and temporary folders."""
    return _PRIVATE.sub("", _ADDRESS.sub("0x...", text))
