"""What can keep a check from being made."""

from handgrad.errors import HandgradError


class SubmissionError(HandgradError):
    """A submission cannot be loaded at all: not found, no Python, or its import fails."""


class CheckerFault(Exception):
    """The checker itself is at fault: never a learner's failure."""
