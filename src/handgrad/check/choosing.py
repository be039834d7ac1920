"""Which cases a submission is asked: by what it holds, and by what the user wants."""

from collections.abc import Collection, Sequence

from handgrad.check.case import Case
from handgrad.check.cases import groups_of
from handgrad.check.conventions import Convention
from handgrad.check.sandbox.submission import Submission
from handgrad.errors import SubmissionError

# Groups of the assignment of which no case is asked where these modules are not judged.
_OF_UNITS = {
    "optim": {"optim"},
    "models": {"logistic", "svm", "softmax", "cnn"},
    "solver": {"solver"},
}


def groups_asked(
    submission: Submission, rules: Convention, only: Collection[str] | None
) -> frozenset[str]:
    """The groups of which cases are made: all where a function is named, to know which exist."""
    groups = groups_of(rules.course)
    if only is not None:
        return frozenset(only if only and set(only) <= set(groups) else groups)
    units = set(rules.course.units) if submission.whole else set(submission.modules)
    topics = {topic.name for topic in rules.course.topics}
    return frozenset(g for g in groups if g in topics or g not in _OF_UNITS or _OF_UNITS[g] & units)


def chosen_cases(
    cases: Sequence[Case],
    submission: Submission,
    rules: Convention,
    only: Collection[str] | None,
    name: str | None,
) -> list[Case]:
    """The cases that the submission is asked, of those that the user wants."""
    expected = set(rules.course.units) if submission.whole else set(submission.modules)
    groups = groups_of(rules.course)
    chosen = [case for case in cases if {case.unit, *(unit for unit, _ in case.needs)} <= expected]
    if only is not None:
        known = {*groups, *(case.function for case in cases)}
        only = [word if word in known else rules.course.known_as(word) for word in only]
        for word in only:
            if word not in known:
                functions = sorted({case.function for case in cases})
                raise SubmissionError(
                    f"there is no group or function {word!r}; groups: {', '.join(groups)}; "
                    f"functions: {', '.join(functions)}"
                )
        chosen = [case for case in chosen if case.group in only or case.function in only]
    if name is not None:
        chosen = [case for case in chosen if case.name == name]
    if not chosen:
        raise SubmissionError(f"{submission.file}: no case fits what --only and --case ask for")
    return chosen
