"""What a course asks of its functions, as its folder's topics/*.toml say: records, no cases yet.

A topic is a file; its name is what ``--only`` selects by. Its keys, and those of each
``[function.NAME]``, which may give any of the topic's for itself, are described in
docs/own_course.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from handgrad.check.tables import Table, named_files, read_table

Sizes = Mapping[str, int]
_SHARED = ("read", "examples", "tolerance", "float32", "without", "optional", "sizes", "inputs")
_FUNCTION = (*_SHARED, "steps", "compare", "gradients", "case")
_CASE = ("name", "sizes", "inputs", "steps", "compare", "tolerance")


@dataclass(frozen=True)
class Asking:
    """What the cases of a function are made from: the topic's own, or the function's.

    Attributes
    ----------
    read : str
        What to read where it fails.
    examples : str
        The size that counts the examples, which a factor may be called by: 'N', 'm'.
    tolerance, float32 : float
        Relative to the largest entry, in float64 and in float32.
    without : tuple of str
        Names of the usual cases that are left out.
    optional : bool
        The function is left out where the submission has none.
    sizes : sequence of mapping
        Each a number for every letter of a shape.
    inputs : mapping
        Name to how it is drawn ('normal(N, D)'), or to its value.
    """

    read: str = ""
    examples: str = ""
    tolerance: float = 1e-9
    float32: float = 2e-4
    without: tuple[str, ...] = ()
    optional: bool = False
    sizes: Sequence[Sizes] = ({},)
    inputs: Mapping[str, Any] = ()  # type: ignore[assignment]


@dataclass(frozen=True)
class Gradients:
    """Which outputs are gradients, and of what.

    Attributes
    ----------
    of : str
        What is differentiated: an output of an earlier step.
    upstream : str
        The input that is its upstream gradient; '' where ``of`` is one number.
    by : mapping
        Output to the input by which it is the gradient.
    scale : mapping
        Output to an expression of the sizes ('1 / m'), where the course's gradient is so many
        times the derivative.
    """

    of: str
    upstream: str
    by: Mapping[str, str]
    scale: Mapping[str, str]


@dataclass(frozen=True)
class Extra:
    """A case of a function beside the usual ones: other inputs, or other steps."""

    name: str
    asking: Asking
    steps: tuple[str, ...]
    compare: tuple[str, ...]
    at: Table


@dataclass(frozen=True)
class Function:
    """One function or method of a topic; ``at`` is its table, for messages."""

    name: str
    topic: str
    asking: Asking
    steps: tuple[str, ...]
    compare: tuple[str, ...]
    gradients: Gradients | None
    extras: tuple[Extra, ...]
    at: Table


@dataclass(frozen=True)
class Topic:
    """One file of topics/."""

    name: str
    functions: tuple[Function, ...]


def read_topics(folder: Path, shown: str) -> tuple[Topic, ...]:
    """Read a course's topics, in the order of their files' names.

    Raises
    ------
    CourseError
        For a file that is no topic; the message names the file and the key.
    """
    return tuple(
        _topic(name, read_table(file, f"{shown}/topics/{file.name}"))
        for name, file in named_files(folder / "topics")
    )


def _topic(name: str, table: Table) -> Topic:
    table.only(*_SHARED, "function")
    shared = _asking(table, Asking(inputs={}))
    functions = [_function(key, name, shared, at) for key, at in table.each("function")]
    if not functions:
        table.fail("function", "is missing; a topic has at least one [function.NAME]")
    return Topic(name, tuple(functions))


def _asking(table: Table, default: Asking) -> Asking:
    given = replace(
        default,
        read=table.text("read", default.read),
        examples=table.text("examples", default.examples),
        tolerance=table.number("tolerance", default.tolerance),
        float32=table.number("float32", default.float32),
        without=(*default.without, *table.texts("without")),
        optional=table.yes("optional") or default.optional,
        inputs={**default.inputs, **table.table("inputs").record},
    )
    return replace(given, sizes=_sizes(table)) if "sizes" in table.record else given


def _sizes(table: Table) -> tuple[Sizes, ...]:
    found = []
    for each in table.tables("sizes"):
        for key, value in each.record.items():
            if type(value) is not int or value < 0:
                each.fail(key, f"must be a whole number from 0; got {value!r}")
        found.append(dict(each.record))
    if not found:
        table.fail("sizes", "is empty; a topic has at least one set of sizes")
    return tuple(found)


def _function(name: str, topic: str, shared: Asking, table: Table) -> Function:
    table.only(*_FUNCTION)
    asking = _asking(table, shared)
    steps, compare = _steps(table), table.texts("compare")
    if not steps:
        table.fail("steps", "is missing; it must say how the function is called")
    gradients = _gradients(table.table("gradients")) if "gradients" in table.record else None
    if not compare:
        compare = tuple(gradients.by) if gradients else ()
    if not compare:
        table.fail("compare", "is missing; it must name the results that are compared")
    extras = tuple(_extra(each, asking, steps, compare) for each in table.tables("case"))
    return Function(name, topic, asking, steps, compare, gradients, extras, table)


def _steps(table: Table) -> tuple[str, ...]:
    lines = [line.strip() for text in table.texts("steps") for line in text.splitlines()]
    return tuple(line for line in lines if line)


def _gradients(table: Table) -> Gradients:
    table.only("of", "upstream", "by", "scale")
    by, scale = table.named("by"), table.named("scale")
    if not by:
        table.fail("by", 'is missing; it must say of what each is the gradient: { dx = "x" }')
    for name in scale:
        if name not in by:
            table.fail("scale", f"{name} is no gradient; choose from {', '.join(by)}")
    return Gradients(table.text("of"), table.text("upstream", ""), by, scale)


def _extra(table: Table, asking: Asking, steps: tuple[str, ...], compare: tuple[str, ...]) -> Extra:
    table.only(*_CASE)
    own = replace(
        asking,
        tolerance=table.number("tolerance", asking.tolerance),
        inputs={**asking.inputs, **table.table("inputs").record},
        sizes=_sizes(table) if "sizes" in table.record else asking.sizes[:1],
    )
    return Extra(
        table.text("name"), own, _steps(table) or steps, table.texts("compare") or compare, table
    )
