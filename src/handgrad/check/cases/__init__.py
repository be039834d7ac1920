"""What is asked of a submission: one file a part of the course, one Case a record of the report."""

from functools import lru_cache

from handgrad.check.case import Case, Setting
from handgrad.check.cases import (
    batchnorm,
    conv,
    dense,
    dropout,
    losses,
    models,
    optim,
    pool,
    solver,
)

GROUPS = (
    "fc", "relu", "dropout", "batchnorm", "conv", "pool", "losses", "optim", "models", "solver",
    "time",
)  # fmt: skip

_BUILDERS = (
    dense.cases, dropout.cases, batchnorm.cases, conv.cases, pool.cases, losses.cases,
    optim.cases, models.cases, solver.cases,
)  # fmt: skip


@lru_cache(maxsize=4)
def all_cases(setting: Setting) -> tuple[Case, ...]:
    """Give every case under this convention, in the report's order: a function's together.

    Kept, because the right answers take longer than many a submission's; a case is read only.
    """
    cases = [case for builder in _BUILDERS for case in builder(setting)]
    first: dict[tuple[str, str], int] = {}
    for number, case in enumerate(cases):
        first.setdefault((case.group, case.function), number)
    return tuple(sorted(cases, key=lambda case: first[case.group, case.function]))
