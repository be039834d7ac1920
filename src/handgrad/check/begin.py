"""A report before its first case: what is judged, and with what."""

import platform

import numpy as np

import handgrad
from handgrad.check import conventions
from handgrad.check.records import CheckReport
from handgrad.check.sandbox.submission import Submission


def versions() -> dict[str, str]:
    """What the numbers of a check depend on; nothing that changes between two equal runs."""
    return {
        "handgrad": handgrad.__version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


def begun(
    found: Submission, *, seed: int, convention: str, course: str = "", strict: bool = False
) -> CheckReport:
    """The report of a submission of which no case has run yet.

    Raises
    ------
    SubmissionError
        When there is no such convention.
    """
    held = conventions.parse(convention, course)
    return CheckReport(
        found.file, found.sha256, seed, held.name, {}, versions(), (), notes=found.notes,
        strict=strict, course=held.course.name,
    )  # fmt: skip
