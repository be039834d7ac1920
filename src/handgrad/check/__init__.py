"""Judge anybody's layers.py, and say what is wrong with it."""

from handgrad.check.here import here
from handgrad.check.records import CaseResult, CheckReport
from handgrad.check.session import check_submission
from handgrad.errors import CheckerFault, SubmissionError

__all__ = [
    "CaseResult",
    "CheckReport",
    "CheckerFault",
    "SubmissionError",
    "check_submission",
    "here",
]
