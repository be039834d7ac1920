"""What is asked of a submission: one file a part of the course, one Case a record of the report."""

from collections.abc import Iterator

from handgrad.check.case import Case, Setting
from handgrad.check.cases import dense

GROUPS = (
    "fc", "relu", "dropout", "batchnorm", "conv", "pool", "losses", "optim", "models", "solver",
    "time",
)  # fmt: skip

_BUILDERS = (dense.cases,)


def all_cases(setting: Setting) -> Iterator[Case]:
    """Give every case under this convention, in the order of the report."""
    for builder in _BUILDERS:
        yield from builder(setting)
