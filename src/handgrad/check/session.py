"""Run all cases of one submission and give its report."""

from collections.abc import Callable, Collection
from pathlib import Path

from handgrad.check.records import CaseResult, CheckReport
from handgrad.errors import HandgradError


class SubmissionError(HandgradError):
    """A submission cannot be loaded at all: not found, no Python, or its import fails."""


class CheckerFault(Exception):
    """The checker itself is at fault: never a learner's failure."""


def check_submission(
    path: str | Path,
    *,
    seed: int = 0,
    convention: str = "handgrad",
    only: Collection[str] | None = None,
    case: str | None = None,
    timeout: float = 10.0,
    on_case: Callable[[CaseResult], None] | None = None,
) -> CheckReport:
    """Judge a submission.

    Parameters
    ----------
    path : str or Path
        A layers.py, a folder holding one (with optim, solver, logistic, svm, softmax, cnn), or the
        name of an importable module.
    seed : int, default 0
        Of the cases' inputs; the same seed gives the same inputs, whatever ``only`` selects.
    convention : str, default 'handgrad'
        A preset or switches joined by commas (``conventions.PRESETS``).
    only : collection of str, optional
        Groups ('conv', 'pool', ...) or functions ('conv_backward', ...) to run; default all.
    case : str, optional
        Run only the cases of this name.
    timeout : float, default 10
        Seconds a case may take.
    on_case : function, optional
        Called with each CaseResult as it ends.

    Raises
    ------
    SubmissionError
        When nothing of it can be loaded.
    CheckerFault
        When the checker itself fails.
    """
    raise NotImplementedError
