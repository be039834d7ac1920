"""What is asked of a submission: one file a part of the course, one Case a record of the report."""

import importlib
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from handgrad.check.case import Case, Setting
from handgrad.check.courses import Course, load
from handgrad.errors import CourseError

# What a course may name: modules whose cases(setting) are of these groups. One is imported when it
# is asked for.
_BUILDERS = {
    "dense": ("fc", "relu"),
    "dropout": ("dropout",),
    "dropout_random": ("dropout",),
    "dropout_turns": ("dropout",),
    "batchnorm": ("batchnorm",),
    "batchnorm_turns": ("batchnorm",),
    "conv": ("conv", "time"),
    "pool": ("pool",),
    "losses_binary": ("losses",),
    "losses": ("losses",),
    "optim": ("optim",),
    "models": ("models",),
    "convnet": ("models",),
    "model_turns": ("models",),
    "solver": ("solver",),
    "solver_learning": ("solver",),
    "solver_turns": ("solver",),
}


def groups_of(course: Course) -> tuple[str, ...]:
    """The groups of a course, in the report's order: time last."""
    for name in course.builders:
        if name not in _BUILDERS:
            known = ", ".join(_BUILDERS)
            raise CourseError(
                f"{course.place}/course.toml: builders: there is no {name!r}; choose from {known}"
            )
    found = [group for name in course.builders for group in _BUILDERS[name]]
    found += [topic.name for topic in course.topics]
    kept = [group for group in dict.fromkeys(found) if group not in course.without]
    return tuple(sorted(kept, key=lambda group: group == "time"))


GROUPS = groups_of(load())
"""Those of the assignment."""


@lru_cache(maxsize=16)
def all_cases(setting: Setting, groups: frozenset[str] | None = None) -> tuple[Case, ...]:
    """Give every case of these groups, in the report's order: a function's together.

    Made only for the groups asked for, and kept, because the right answers take longer than many a
    submission's; a case is read only.
    """
    course = setting.convention.course
    wanted = set(groups_of(course)).intersection(groups_of(course) if groups is None else groups)
    cases = [
        case
        for name in course.builders
        if wanted.intersection(_BUILDERS[name])
        for case in importlib.import_module(f"{__name__}.{name}").cases(setting)
        if case.group not in course.without
    ]
    cases += [
        case
        for topic in course.topics
        if topic.name in wanted
        for case in importlib.import_module(f"{__name__}.by_topic").cases(setting, topic)
    ]
    cases = [_called(case, course) for case in cases]
    first: dict[tuple[str, str], int] = {}
    for number, case in enumerate(cases):
        first.setdefault((case.group, case.function), number)
    return tuple(sorted(cases, key=lambda case: first[case.group, case.function]))


def _called(case: Case, course: Course) -> Case:
    """The case with the names that the course has for its functions."""
    name = course.names.get(case.function, case.function)
    optional = case.optional or name in course.optional
    if not course.names:
        return replace(case, optional=optional) if optional != case.optional else case
    variants = [
        replace(variant, steps=_renamed(list(variant.steps), course.names))
        for variant in case.variants
    ]
    beside = [(unit, course.names.get(other, other)) for unit, other in case.beside]
    return replace(case, function=name, variants=variants, beside=beside, optional=optional)


def _renamed(steps: Any, names: Mapping[str, str]) -> Any:
    if isinstance(steps, Mapping):
        found = {key: _renamed(value, names) for key, value in steps.items()}
        if found.get("op") in ("call", "make"):
            found["name"] = names.get(found["name"], found["name"])
        return found
    if isinstance(steps, list | tuple):
        return type(steps)(_renamed(step, names) for step in steps)
    return steps
