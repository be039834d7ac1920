"""What is asked of a submission: one file a part of the course, one Case a record of the report."""

from functools import lru_cache

from handgrad.check.case import Case, Setting
from handgrad.check.cases import (
    batchnorm,
    batchnorm_turns,
    conv,
    convnet,
    dense,
    dropout,
    dropout_random,
    dropout_turns,
    losses,
    losses_binary,
    model_turns,
    models,
    optim,
    pool,
    solver,
    solver_learning,
    solver_turns,
)

GROUPS = (
    "fc", "relu", "dropout", "batchnorm", "conv", "pool", "losses", "optim", "models", "solver",
    "time",
)  # fmt: skip

_BUILDERS = {
    dense.cases: ("fc", "relu"),
    dropout.cases: ("dropout",),
    dropout_random.cases: ("dropout",),
    dropout_turns.cases: ("dropout",),
    batchnorm.cases: ("batchnorm",),
    batchnorm_turns.cases: ("batchnorm",),
    conv.cases: ("conv", "time"),
    pool.cases: ("pool",),
    losses_binary.cases: ("losses",),
    losses.cases: ("losses",),
    optim.cases: ("optim",),
    models.cases: ("models",),
    convnet.cases: ("models",),
    model_turns.cases: ("models",),
    solver.cases: ("solver",),
    solver_learning.cases: ("solver",),
    solver_turns.cases: ("solver",),
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
