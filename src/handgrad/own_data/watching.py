"""What a training tells of itself while it goes on; the command line draws it."""

from collections.abc import Mapping
from typing import Protocol

from handgrad.training_record import (
    DataSummary,
    EpochRecord,
    Metrics,
    SplitSizes,
    TrialSummary,
)


class Watcher(Protocol):
    """Told of each step, in this order."""

    def found(self, data: DataSummary, task: str) -> None:
        """What is in the data, before anything else is done with it."""

    def split(self, sizes: SplitSizes, preprocessing: tuple[str, ...]) -> None:
        """How the rows were split, and what inputs are made of."""

    def searched(self, trial: TrialSummary, candidates: int) -> None:
        """A candidate of the search came to its end."""

    def training(self, architecture: str, seconds: float) -> None:
        """The net's training begins, and may take so long."""

    def epoch(self, epoch: EpochRecord, best: EpochRecord) -> None:
        """An epoch ended; ``best`` is the one that is kept so far."""

    def trained(self, stopped: str) -> None:
        """The net's training ended, and why."""

    def notice(self, text: str) -> None:
        """Something that the user should know."""

    def kept(self, validation: Mapping[str, Metrics], best: EpochRecord) -> None:
        """Ctrl-C: the best so far is in the model's file; metrics of each model by its name."""
