"""Question 7's measurements: run those that a results folder lacks, and record them."""

import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from handgrad.blas import limited_to
from handgrad.datasets import Dataset
from handgrad.experiments import STUDIES, StudyExperiment
from handgrad.results import Study


def measure(
    wanted: Iterable[StudyExperiment],
    before: Iterable[Study],
    data: Mapping[str, Dataset],
    profile: str,
    seed: int,
    starting: Callable[[StudyExperiment], None],
) -> tuple[Study, ...]:
    """Return the folder's studies with the wanted ones among them, in order.

    What is recorded already is not measured again; ``starting`` is told of each that is. On one
    BLAS thread, as every other number of a reproduction.
    """
    found = {study.id: study for study in before}
    for study in wanted:
        if study.id in found:
            continue
        starting(study)
        rng = np.random.default_rng([*(int(part) for part in study.id.split(".")), seed])
        started = time.perf_counter()
        with limited_to(1):
            findings = study.measure(data[study.data], study.budgets[profile], rng)
        found[study.id] = Study(
            id=study.id,
            title=study.title,
            caption=findings.caption,
            x_label=study.x_label,
            y_label=study.y_label,
            log_y=study.log_y,
            series=findings.series,
            command=f"handgrad reproduce --questions {study.question} --profile {profile} "
            f"--seed {seed}",
            seconds=time.perf_counter() - started,
        )
    return tuple(found[id] for id in STUDIES if id in found)
