"""A page for the lecture: the mistakes that most students of a class make, and nobody's name."""

import builtins
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from handgrad.check.classroom.misconceptions import NO_MISTAKES, UNKNOWN, Misconception
from handgrad.check.conventions import parse
from handgrad.check.courses import Course, load
from handgrad.check.formats.html import rendered
from handgrad.check.records import CaseResult
from handgrad.check.reference import reference
from handgrad.check.words import place

_SHOWN = 12
_SEVERAL = 2  # what one student alone does is left out: it may tell who


@dataclass(frozen=True)
class Topic:
    """What the page says of one cause; every word is the checker's own, none a submission's."""

    found: Misconception
    functions: str  # in which it was found, and how often in each
    example: CaseResult
    seen: str
    known: str  # a mistake of this kind, in words
    code: str  # and in code


def page(
    found: Sequence[Misconception], class_size: int, title: str = "", course: Course | None = None
) -> str:
    """Give the page as one HTML file that asks for nothing else.

    Parameters
    ----------
    found : sequence of Misconception
        Of the class, the most frequent first.
    class_size : int
        How many submissions there are.
    title : str, optional
        The rubric's.
    course : Course, optional
        From whose known mistakes the examples are; None for the assignment.
    """
    mistakes = [item for item in found if item.cause not in (*NO_MISTAKES, UNKNOWN)]
    several = [item for item in mistakes if item.students >= _SEVERAL]
    topics = [_topic(item, course or load()) for item in several[:_SHOWN] if item.findings]
    return rendered(
        "lecture.html.j2", title=title, size=class_size, topics=topics, all=found,
        several=_SEVERAL,
    )  # fmt: skip


def _topic(item: Misconception, course: Course) -> Topic:
    heads = [finding.case for finding in item.findings]
    functions = Counter(case.function for case in heads)
    listed = sorted(functions.items(), key=lambda pair: (-pair[1], pair[0]))
    most = listed[0][0]
    # The first of the function where it is made most; with two numbers that differ as they are
    # shown, where there are any.
    of_most = [case for case in heads if case.function == most]
    example = next((c for c in of_most if len(set(_numbers(c))) > 1), of_most[0])
    known, code = _known(item.cause, most, course)
    said = ", ".join(f"{name} ({count})" for name, count in listed)
    return Topic(item, said, example, _seen(example), known, code)


def _seen(case: CaseResult) -> str:
    """Say what was seen in numbers alone: what a submission says may hold a name."""
    seen = case.seen
    if seen.error:
        known = isinstance(getattr(builtins, seen.error, None), type)
        return f"it raises {seen.error if known else 'an exception'}"
    if not _numbers(case):
        return ""
    text = "received {}, expected {}".format(*_numbers(case))
    if seen.entries:
        at = f" (most at index {place(seen.index)})" if seen.index else ""
        text = f"{seen.off} of {seen.entries} entries are wrong{at}: {text}"
    return f"{seen.output}: {text}" if seen.output else text


def _numbers(case: CaseResult) -> tuple[str, ...]:
    """What was received and what was expected; () where no two numbers say it."""
    received, expected = case.seen.received, case.seen.expected
    if received is None or expected is None:
        return ()
    return f"{received:.6g}", f"{expected:.6g}"


def _known(cause: str, function: str, course: Course) -> tuple[str, str]:
    """Give a mistake of the table that has this cause in this function, in words and in code."""
    sources = reference(parse("", course.place)).sources
    names = {function.partition(".")[0], *course.aliases.get(function, ())}
    for mistake in course.mistakes:
        if mistake.causes[0] == cause and names & mistake.touches(sources):
            code = "\n...\n".join(text.strip("\n") for text in mistake.new)
            return mistake.what, code.replace("EACH", mistake.each[0])
    return "", ""
