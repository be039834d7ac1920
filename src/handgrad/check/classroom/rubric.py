"""A rubric: points, visibility and order, read from TOML; and what a submission earns by it."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from handgrad.check.records import CaseResult, counting
from handgrad.check.severity import LEVELS, Level
from handgrad.errors import RubricError

VISIBILITIES = ("visible", "hidden", "after_due_date", "after_published")
CREDITS = ("all", "share")
TIME = "time"  # of a function of another group; slow is not wrong, and is graded by itself
_TOP = ("title", "visibility", "credit", "counts", "item")
_ITEM = ("name", "function", "functions", "group", "points", "visibility", "credit", "counts")


@dataclass(frozen=True)
class Item:
    """One line of a rubric.

    Attributes
    ----------
    name : str
    group : str
        Counts every case of this group; '' when functions are named.
    functions : tuple of str
        Counts every case of these functions but their time; () when a group is named.
    points : float
    visibility : one of VISIBILITIES, Gradescope's
    credit : 'all' or 'share'
        'all': the points are earned when every case that counts passes; 'share': the part of them
        that passes. Either way, the cases of a function earn only when one shows a right value.
    severities : tuple of 'wrong', 'fragile', 'beyond'
        What counts; () where the report says it: all but what is beyond, or, if strict, all.
    """

    name: str
    group: str
    functions: tuple[str, ...]
    points: float
    visibility: str = "visible"
    credit: str = "all"
    severities: tuple[Level, ...] = ()

    def covers(self, case: CaseResult) -> bool:
        """Whether a case belongs to this item."""
        if case.group == TIME:
            return self.group == TIME
        return case.group == self.group or case.function in self.functions

    def held(self, case: CaseResult) -> CaseResult:
        """The case, counting or not as this item says."""
        return replace(case, counts=case.severity in self.severities) if self.severities else case


@dataclass(frozen=True)
class Grade:
    """What one item earned, and for which cases."""

    item: Item
    score: float
    cases: tuple[CaseResult, ...]

    @property
    def name(self) -> str:
        """The item's name."""
        return self.item.name

    @property
    def points(self) -> float:
        """The most that could be earned."""
        return self.item.points

    @property
    def nothing_right(self) -> tuple[str, ...]:
        """The functions that pass some case, and none that shows a right value."""
        return tuple(dict.fromkeys(c.function for c in _without_merit(self.cases)))

    @property
    def passed(self) -> bool:
        """Whether every case that counts passed, and at least one shows a right value."""
        counted = counting(self.cases)
        return bool(counted) and len(_earning(self.cases)) == len(counted)


@dataclass(frozen=True)
class Grades:
    """What a submission earned."""

    items: tuple[Grade, ...]

    @property
    def score(self) -> float:
        """The points earned."""
        return round(sum(grade.score for grade in self.items), 2)

    @property
    def points(self) -> float:
        """The most that could be earned."""
        return round(sum(grade.points for grade in self.items), 2)


@dataclass(frozen=True)
class Rubric:
    """Items in the order of the file."""

    title: str
    items: tuple[Item, ...]

    @property
    def hidden(self) -> tuple[Item, ...]:
        """The items that a student does not see, or not yet."""
        return tuple(item for item in self.items if item.visibility != "visible")

    @property
    def points(self) -> float:
        """The most that can be earned."""
        return round(sum(item.points for item in self.items), 2)

    def visible(self) -> "Rubric":
        """Give the rubric without its hidden items."""
        return Rubric(self.title, tuple(item for item in self.items if item not in self.hidden))

    def held(self, case: CaseResult) -> CaseResult:
        """The case, counting or not as its item says."""
        return next((item.held(case) for item in self.items if item.covers(case)), case)

    def grade(self, cases: Iterable[CaseResult]) -> Grades:
        """Grade the cases; an item without cases earns nothing, because nothing was shown."""
        cases = tuple(cases)
        return Grades(tuple(_grade(item, cases) for item in self.items))


def one_point_each(cases: Iterable[CaseResult]) -> Rubric:
    """The rubric when none is given: each function is worth a point, in the order of the cases."""
    items = {
        (case.function, case.group == TIME): Item(case.function, "", (case.function,), 1.0)
        if case.group != TIME
        else Item(TIME, TIME, (), 1.0)
        for case in cases
    }
    return Rubric("", tuple(items.values()))


def read_rubric(path: Path, known: Mapping[str, Sequence[str]] | None = None) -> Rubric:
    """Read a rubric from TOML.

    Parameters
    ----------
    path : Path
    known : mapping from group to its functions, optional
        What can be graded; an item that names anything else is refused.

    Raises
    ------
    RubricError
        The file cannot be read, or a key is missing, unknown or has a wrong value.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a byte-order mark in front
        record = tomllib.loads(text)
    except OSError as error:
        raise RubricError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise RubricError(f"{path}: not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise RubricError(f"{path}: not valid TOML: {error}") from error
    try:
        return _rubric(record, known)
    except _KeyTroubleError as error:
        raise RubricError(f"{path}: {error}") from error


class _KeyTroubleError(ValueError):
    """What is wrong with which key; the file's name is put in front of it."""


def _rubric(record: dict[str, Any], known: Mapping[str, Sequence[str]] | None) -> Rubric:
    _only(record, _TOP, "")
    items = record.get("item")
    if not isinstance(items, list) or not items or not all(isinstance(i, dict) for i in items):
        raise _KeyTroubleError("item: a rubric needs at least one [[item]] with points")
    defaults = {
        "visibility": _choice(record, "visibility", VISIBILITIES, "", "visible"),
        "credit": _choice(record, "credit", CREDITS, "", "all"),
        "counts": _severities(record, "", ()),
    }
    done = tuple(_item(item, f"item[{n}].", defaults) for n, item in enumerate(items, 1))
    _every_case_once(done, known)
    return Rubric(_string(record, "title", "") or "", done)


def _item(record: dict[str, Any], where: str, defaults: dict[str, Any]) -> Item:
    _only(record, _ITEM, where)
    given = [key for key in ("function", "functions", "group") if key in record]
    if len(given) != 1:
        got = " and ".join(given) or "none of them"
        raise _KeyTroubleError(
            f"{where}function: name one of function, functions, group; got {got}"
        )
    group = _string(record, "group", where) or ""
    functions: tuple[str, ...] = ()
    if "functions" in record:
        listed = record["functions"]
        if not (isinstance(listed, list) and listed and all(isinstance(f, str) for f in listed)):
            raise _KeyTroubleError(f"{where}functions: must be a list of names; got {listed!r}")
        functions = tuple(listed)
    elif "function" in record:
        functions = (_string(record, "function", where) or "",)
    points = record.get("points")
    if isinstance(points, bool) or not isinstance(points, int | float):
        got = "nothing" if points is None else repr(points)
        raise _KeyTroubleError(f"{where}points: must be a number; got {got}")
    if not 0 <= points < float("inf"):
        raise _KeyTroubleError(f"{where}points: must be a finite number from 0; got {points}")
    return Item(
        name=_string(record, "name", where) or group or ", ".join(functions),
        group=group,
        functions=functions,
        points=float(points),
        visibility=_choice(record, "visibility", VISIBILITIES, where, defaults["visibility"]),
        credit=_choice(record, "credit", CREDITS, where, defaults["credit"]),
        severities=_severities(record, where, defaults["counts"]),
    )


def _every_case_once(items: Sequence[Item], known: Mapping[str, Sequence[str]] | None) -> None:
    """Refuse names that do not exist, and cases that two items would count."""
    group_of = {
        function: group
        for group, functions in (known or {}).items()
        for function in functions
        if group != TIME
    }
    paid: dict[str, int] = {}
    for number, item in enumerate(items, 1):
        if known is not None:
            for key, name, names in [
                ("group", item.group, known),
                *(("function", function, group_of) for function in item.functions),
            ]:
                if name and name not in names:
                    raise _KeyTroubleError(
                        f"item[{number}].{key}: there is no {key} {name!r}; "
                        f"choose from {', '.join(names)}"
                    )
        covered = item.functions or (known or {}).get(item.group, (item.group,))
        covered = (TIME,) if item.group == TIME else covered
        for function in covered:
            if function in paid:
                raise _KeyTroubleError(
                    f"item[{number}]: {function} is already in item[{paid[function]}]"
                )
            paid[function] = number


def _grade(item: Item, cases: Sequence[CaseResult]) -> Grade:
    own = tuple(item.held(case) for case in cases if item.covers(case))
    counted = counting(own)
    share = len(_earning(own)) / len(counted) if counted else 0.0
    earned = share if item.credit == "share" else float(share == 1.0)
    return Grade(item, round(item.points * earned, 2), own)


def _earning(cases: Sequence[CaseResult]) -> list[CaseResult]:
    """The cases that earn something: passed, by a function of which a value is shown right.

    Zeros modify no argument, keep their dtype, and agree with the differences of zeros.
    """
    shown = {case.function for case in cases if case.status == "passed" and case.counts_alone}
    return [c for c in counting(cases) if c.status == "passed" and c.function in shown]


def _without_merit(cases: Sequence[CaseResult]) -> list[CaseResult]:
    """The cases that count, passed, and earn nothing."""
    earning = {id(case) for case in _earning(cases)}
    return [c for c in counting(cases) if c.status == "passed" and id(c) not in earning]


def _only(record: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    unknown = [key for key in record if key not in known]
    if unknown:
        raise _KeyTroubleError(f"{where}{unknown[0]}: unknown key; choose from {', '.join(known)}")


def _string(record: Mapping[str, Any], key: str, where: str) -> str | None:
    value = record.get(key)
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise _KeyTroubleError(f"{where}{key}: must be text that is not empty; got {value!r}")
    return value


def _choice(
    record: Mapping[str, Any], key: str, known: Sequence[str], where: str, default: str
) -> str:
    value = record.get(key, default)
    if value not in known:
        raise _KeyTroubleError(f"{where}{key}: must be one of {', '.join(known)}; got {value!r}")
    return str(value)


def _severities(
    record: Mapping[str, Any], where: str, default: tuple[Level, ...]
) -> tuple[Level, ...]:
    if "counts" not in record:
        return default
    given = record["counts"]
    listed = given if isinstance(given, list) else []
    if not listed or any(level not in LEVELS for level in listed):
        raise _KeyTroubleError(
            f"{where}counts: must be a list of some of {', '.join(LEVELS)}; got {given!r}"
        )
    return tuple(level for level in LEVELS if level in listed)
