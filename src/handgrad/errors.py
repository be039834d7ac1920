"""The errors of this package.

Those that a user can cause are HandgradErrors: a command prints one as one line and exits with 2.
"""

import importlib


class HandgradError(Exception):
    """Base of the errors that a user can fix: bad data, a bad folder, a diverged run."""


class DataError(HandgradError, ValueError):
    """A data file is missing, truncated, corrupt, foreign or refused; the message names it."""


class NonFiniteLossError(HandgradError, FloatingPointError):
    """The training loss became NaN or infinite."""


class CheckpointError(HandgradError, ValueError):
    """A checkpoint cannot be used or made: unreadable, of another model or run, of unknown type."""


class ResultsError(HandgradError, ValueError):
    """A results folder cannot be used: unwritable, locked, or from another version."""


class ModelError(HandgradError, ValueError):
    """A model file cannot be used: damaged, foreign, newer, or for other data."""


class ExportError(HandgradError, ValueError):
    """A model cannot be written in, or read from, another format; the message says why."""


class SearchError(HandgradError):
    """A search of hyperparameters came to nothing, or its storage cannot be used."""


class EngineError(HandgradError, ValueError):
    """HANDGRAD_ENGINE asks for what does not exist, or the engine is of other sources."""


class ReportError(HandgradError):
    """A report cannot be made; the message says why and what to do."""


class PdfError(HandgradError):
    """A PDF cannot be made; the message says what to do."""


class WorkerError(HandgradError):
    """A worker process could not start, or died: killed, or out of memory."""


class MissingExtraError(HandgradError):
    """A library of an optional extra is not installed; the message says what to install."""


class RubricError(HandgradError, ValueError):
    """A rubric cannot be used; the message names the file and the key."""


class BatchError(HandgradError):
    """A folder cannot be judged as a batch, or its results cannot be written."""


class AutograderError(HandgradError):
    """The autograder cannot be written."""


class StarterError(HandgradError):
    """The skeleton cannot be written there."""


class OutputError(HandgradError):
    """The report, or what a command prints, cannot be written there."""


class SubmissionError(HandgradError):
    """A submission cannot be loaded at all: not found, no Python, or its import fails."""


class CourseError(HandgradError, ValueError):
    """A course's folder cannot be used; the message names the file and the key."""


class CheckerFault(Exception):
    """The checker itself is at fault: never a learner's failure."""


def need(library: str, extra: str, purpose: str) -> None:
    """Import an optional library, or raise MissingExtraError with the line that installs it.

    Parameters
    ----------
    library : str
        The module's name, as it is imported.
    extra : str
        The extra of pyproject.toml that brings it.
    purpose : str
        What needs it: the message's first words.
    """
    try:
        importlib.import_module(library)
    except ImportError as error:
        raise MissingExtraError(
            f"{purpose} needs {error.name or library}, which is not installed; "
            f"`pip install 'handgrad[{extra}]'` brings it"
        ) from None
