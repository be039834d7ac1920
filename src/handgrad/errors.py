"""The errors a user can cause; the command line prints each as one line and exits with 2."""


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


class KernelsError(HandgradError, ValueError):
    """The kernels that HANDGRAD_KERNELS asks for do not exist, or cannot be used here."""
