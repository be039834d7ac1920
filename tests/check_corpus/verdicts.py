"""What `handgrad check` says of a mutant and of an alternative."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from check_corpus.corpus import Alternative
from check_corpus.mutants import Mutant
from handgrad.check import CaseResult, check_submission

# True of any wrong gradient or model: these say that something is wrong, not what.
GENERAL = {"backward-of-another-forward", "does-not-learn", "raises", "nonfinite", "wrong-shape"}


@dataclass(frozen=True)
class Verdict:
    """A submission's failed cases and the causes stated for them."""

    failed: tuple[CaseResult, ...]

    @property
    def stated(self) -> list[str]:
        """The causes stated, each once, in the report's order."""
        return list(dict.fromkeys(case.diagnosis for case in self.failed if case.diagnosis))

    def names(self, mutant: Mutant) -> bool:
        """Whether the mistake is named, and nothing else is blamed.

        A cause that is true of any wrong answer (``GENERAL``), or of this one as a consequence
        (``also``), neither names nor misleads.
        """
        stated = set(self.stated)
        return bool(stated & mutant.expected) and stated <= mutant.expected | mutant.also | GENERAL


def _verdict(path: Path, only: Sequence[str], convention: str) -> Verdict:
    report = check_submission(path, only=only, convention=convention)
    return Verdict(tuple(case for case in report.cases if case.status != "passed"))


def of_mutant(mutant: Mutant, folder: Path) -> Verdict:
    """Plant the mistake, and check the group that it is in."""
    return _verdict(mutant.build(folder), [mutant.group], "handgrad")


def of_alternative(alternative: Alternative, folder: Path) -> Verdict:
    """Check all groups that it changes, under its convention."""
    path = alternative.build(folder)
    return _verdict(path, alternative.groups, alternative.convention)
