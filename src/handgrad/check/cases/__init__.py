"""What is asked of a submission: one file a part of the course, one Case a record of the report."""

from functools import lru_cache

from handgrad.check.case import Case, Setting
from handgrad.check.cases import (
    batchnorm,
    conv,
    convnet,
    dense,
    dropout,
    losses,
    models,
    optim,
    pool,
    solver,
    solver_learning,
)

GROUPS = (
    "fc", "relu", "dropout", "batchnorm", "conv", "pool", "losses", "optim", "models", "solver",
    "time",
)  # fmt: skip

_BUILDERS = {
    dense.cases: ("fc", "relu"),
    dropout.cases: ("dropout",),
    batchnorm.cases: ("batchnorm",),
    conv.cases: ("conv", "time"),
    pool.cases: ("pool",),
    losses.cases: ("losses",),
    optim.cases: ("optim",),
    models.cases: ("models",),
    convnet.cases: ("models",),
    solver.cases: ("solver",),
    solver_learning.cases: ("solver",),
}


@lru_cache(maxsize=16)
def all_cases(setting: Setting, groups: frozenset[str] = frozenset(GROUPS)) -> tuple[Case, ...]:
    """Give every case of these groups, in the report's order: a function's together.

    Made only for the groups asked for, and kept, because the right answers take longer than many a
    submission's; a case is read only.
    """
    cases = [
        case
        for builder, own in _BUILDERS.items()
        if groups.intersection(own)
        for case in builder(setting)
    ]
    first: dict[tuple[str, str], int] = {}
    for number, case in enumerate(cases):
        first.setdefault((case.group, case.function), number)
    return tuple(sorted(cases, key=lambda case: first[case.group, case.function]))
