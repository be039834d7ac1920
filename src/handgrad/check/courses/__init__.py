"""Courses as data: a folder says what a submission is asked, and holds a right one.

``course.toml`` has the names; ``topics/*.toml`` say how each function is called and what is
compared; ``reference/`` is a right submission, ``mistakes/*.toml`` patches of it that are known to
be wrong, ``conventions.toml`` patches that are right where a switch says so, ``causes.toml`` the
sentences of causes of the course's own. docs/own_course.md makes one from nothing.
"""

import ast
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from handgrad.check.courses.topics import Topic, read_topics
from handgrad.check.mistakes import Mistake, Patch, calls, patched, read_mistakes
from handgrad.check.reading.names import Wanted
from handgrad.check.severity import Asked, Severities, Severity
from handgrad.check.tables import Table, read_table, read_text
from handgrad.check.verdict.diagnosis import CAUSES
from handgrad.errors import CourseError

ASSIGNMENT = "assignment"
_HERE = Path(__file__).parent
_KEYS = (
    "title", "preset", "base", "flags", "builders", "without", "optional", "units", "aliases",
    "names", "switch",
)  # fmt: skip


@dataclass(frozen=True)
class Switch:
    """What a word of ``--convention`` changes.

    Attributes
    ----------
    on, off : tuple of str
        Flags that it sets and takes away.
    explains : str
        A cause that is no mistake under it; '' where there is none.
    """

    on: tuple[str, ...]
    off: tuple[str, ...]
    explains: str


class _Called(NamedTuple):
    """A case, by its names."""

    group: str
    function: str
    name: str


_BESIDE = Severity("fragile", "Asked for beside the usual cases: inputs that are special.")


@dataclass(frozen=True, eq=False)  # one is itself alone: answers are kept by it
class Course:
    """One course, as its folder says it.

    Attributes
    ----------
    name : str
        The folder's.
    place : str
        What ``--course`` takes: the name of one that ships, or a path.
    folder : Path
    title : str
    preset : str
        What ``--convention`` and reports call it.
    units : mapping
        Module to the names of files that may hold it, the best first.
    aliases : mapping
        Function to the names that it is found by, its own first.
    names : mapping
        Function of the base course to what it is called in this one.
    flags : frozenset of str
        What holds where no switch says otherwise.
    switches : mapping of str to Switch
    builders : tuple of str
        Modules of ``handgrad.check.cases`` that make cases in Python.
    without : frozenset of str
        Groups of theirs that are left out.
    optional : frozenset of str
        Functions that are left out where the submission has none.
    topics : tuple of Topic
        Cases that are made from data alone.
    sources : mapping
        Module to the reference's text.
    patches : mapping of str to Patch
        What a flag changes in it.
    mistakes : tuple of Mistake
    causes : mapping
        Sentences of the course's own causes.
    severities : Severities
        What its cases are worth; of the others, ``usual.toml`` says it.
    base : Course, optional
        The course that it goes on from: its reference, mistakes and switches are this one's, too.
    """

    name: str
    place: str
    folder: Path
    title: str
    preset: str
    units: Mapping[str, tuple[str, ...]]
    aliases: Mapping[str, list[str]]
    names: Mapping[str, str]
    flags: frozenset[str]
    switches: Mapping[str, Switch]
    builders: tuple[str, ...]
    without: frozenset[str]
    optional: frozenset[str]
    topics: tuple[Topic, ...]
    sources: Mapping[str, str]
    patches: Mapping[str, Patch]
    mistakes: tuple[Mistake, ...]
    causes: Mapping[str, str]
    severities: Severities
    base: "Course | None"

    @property
    def ships(self) -> bool:
        """Whether it is one of handgrad's own."""
        return self.folder.parent == _HERE

    @cached_property
    def wanted(self) -> Wanted:
        """What its modules hold, by every name, and what their files may be called."""
        found = {unit: set(calls(self.sources[unit])) for unit in self.units}
        for names in self.aliases.values():
            for own in found.values():
                if own & set(names):
                    own.update(names)
        return Wanted({unit: frozenset(own) for unit, own in found.items()}, self.units)

    def severity_of(self, case: Asked) -> Severity:
        """What it is worth that a case passes: by its own table, its base's, or the usual one.

        What a topic asks beside the usual cases is fragile where nothing else is said.

        Raises
        ------
        LookupError
            Where two entries of one table speak of it.
        """
        if self.severities.speaks_of(case):
            return self.severities.of(case)
        if self.base is not None:
            names = {own: name for name, own in self.names.items()}
            as_there = _Called(case.group, names.get(case.function, case.function), case.name)
            return self.base.severity_of(as_there)
        return _usual().of(case) if _usual().speaks_of(case) else _BESIDE

    def known_as(self, name: str) -> str:
        """What a function is called here that a user may call by another of its names."""
        found = [own for own, names in self.aliases.items() if name in names]
        return name if name in self.aliases or not found else found[0]

    def sha256(self) -> str:
        """Of all its files: two courses with the same hash ask the same."""
        lines = [
            f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(self.folder)}\n"
            for file in _files(self.folder)
        ]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@cache
def shipped() -> list[str]:
    """The names of the courses that come with handgrad, the assignment first."""
    found = sorted(file.parent.name for file in _HERE.glob("*/course.toml"))
    return [ASSIGNMENT, *(name for name in found if name != ASSIGNMENT)]


@cache
def presets() -> dict[str, str]:
    """What ``--convention`` calls the courses that ship, and their names."""
    tables = {name: read_table(_HERE / name / "course.toml", name) for name in shipped()}
    return {table.text("preset", name): name for name, table in tables.items()}


def load(place: str = ASSIGNMENT) -> Course:
    """Read a course; what has been read is kept until one of its files changes.

    Parameters
    ----------
    place : str, default 'assignment'
        The name of a course that ships, or the path of a folder with a course.toml.

    Raises
    ------
    CourseError
        There is none, or it is damaged or incomplete: the message names the file and the key.
    """
    if place in shipped():
        return _kept(_HERE / place, place, ())
    folder = Path(place)
    if (folder / "course.toml").is_file():
        states = [(file, file.stat()) for file in _files(folder.resolve())]
        stamps = tuple((str(file), state.st_mtime_ns, state.st_size) for file, state in states)
        return _kept(folder.resolve(), place, stamps)
    if folder.is_dir():
        raise CourseError(f"{place}: holds no course.toml; docs/own_course.md says what it needs")
    known = ", ".join(shipped())
    raise CourseError(f"there is no course {place!r}; choose from {known}, or name a folder")


def _files(folder: Path) -> list[Path]:
    """The files that make a course."""
    wanted = (".toml", ".py", ".txt")
    return [file for file in sorted(folder.rglob("*")) if file.suffix in wanted and file.is_file()]


_BY_NAME: dict[str, Course] = {}


@cache
def _kept(folder: Path, place: str, stamps: tuple[tuple[str, int, int], ...]) -> Course:
    course = _BY_NAME[folder.name] = _read(folder, place, place.rstrip("/"))
    return course


def known(name: str) -> Course | None:
    """The course that a report names: one that ships, or one that this process has read."""
    return load(name) if name in shipped() else _BY_NAME.get(name)


def _read(folder: Path, place: str, shown: str) -> Course:
    table = read_table(folder / "course.toml", f"{shown}/course.toml")
    table.only(*_KEYS)
    base = None
    if "base" in table.record:
        if table.text("base") not in shipped():
            table.fail("base", f"must be a course that ships: {', '.join(shipped())}")
        base = load(table.text("base"))
    units = {
        name: tuple(dict.fromkeys((name, *table.table("units").texts(name))))
        for name in table.table("units").record
    } or (dict(base.units) if base else {})
    if not units:
        table.fail("units", "is missing; it must name at least one module")
    names = table.named("names")
    causes = {**(base.causes if base else {}), **_causes(folder, shown)}
    sources = _sources(folder, shown, units, base)
    course = Course(
        name=folder.name,
        place=place,
        folder=folder,
        title=table.text("title"),
        preset=table.text("preset", folder.name),
        units=units,
        aliases=_aliases(table, names, base),
        names=names,
        flags=frozenset(table.texts("flags")),
        switches={
            **(base.switches if base else {}),
            **{name: _switch(at) for name, at in table.each("switch")},
        },
        builders=table.texts("builders"),
        without=frozenset(table.texts("without")),
        optional=frozenset(table.texts("optional")),
        topics=read_topics(folder, shown),
        sources=sources,
        patches={**(base.patches if base else {}), **_patches(folder, shown, units)},
        mistakes=(*(base.mistakes if base else ()), *read_mistakes(folder, shown)),
        causes=causes,
        severities=_severities(folder, shown),
        base=base,
    )
    _check(course, table, shown)
    return course


def _switch(table: Table) -> Switch:
    table.only("on", "off", "explains")
    return Switch(table.texts("on"), table.texts("off"), table.text("explains", ""))


def _aliases(table: Table, names: Mapping[str, str], base: Course | None) -> dict[str, list[str]]:
    """Each function's names, its own first; one with another name than in the base has both."""
    found = {}
    for name, others in (base.aliases if base else {}).items():
        own = names.get(name, name)
        found[own] = list(dict.fromkeys([own, *others]))
    for name, own in names.items():
        found.setdefault(own, [own, name])
    given = table.table("aliases")
    found |= {name: list(dict.fromkeys([name, *given.texts(name)])) for name in given.record}
    return found


def _causes(folder: Path, shown: str) -> dict[str, str]:
    if not (folder / "causes.toml").is_file():
        return {}
    table = read_table(folder / "causes.toml", f"{shown}/causes.toml")
    for key in table.record:
        if key in CAUSES:
            table.fail(key, "is the name of a cause that every course has")
    return {key: table.text(key) for key in table.record}


def _sources(
    folder: Path, shown: str, units: Mapping[str, tuple[str, ...]], base: Course | None
) -> dict[str, str]:
    """The reference, a text a module; one that the base has, too, goes on from there."""
    found = {}
    for unit in units:
        text = base.sources.get(unit, "") if base else ""
        for name in (f"{unit}.py", f"{unit}.py.txt"):  # .txt: no tool takes it for handgrad's own
            file = folder / "reference" / name
            if file.is_file():
                own = read_text(file, f"{shown}/reference/{name}")
                _compiles(own, f"{shown}/reference/{name}")
                text = f"{text}\n\n{own}" if text else own
        if not text:
            raise CourseError(
                f"{shown}/reference/{unit}.py: is missing; course.toml has units.{unit}"
            )
        found[unit] = text
    return found


def _compiles(text: str, shown: str) -> None:
    try:
        ast.parse(text)
    except SyntaxError as error:
        raise CourseError(f"{shown}: line {error.lineno}: {error.msg}") from error


def _severities(folder: Path, shown: str, name: str = "severities.toml") -> Severities:
    if not (folder / name).is_file():
        return Severities(())
    table = read_table(folder / name, f"{shown}/{name}")
    try:
        return Severities.from_record(table.record)
    except ValueError as error:
        raise CourseError(f"{table.file}: {error}") from error


@cache
def _usual() -> Severities:
    """What the usual cases of any topic are worth."""
    return _severities(_HERE, "courses", "usual.toml")


def _patches(folder: Path, shown: str, units: Mapping[str, tuple[str, ...]]) -> dict[str, Patch]:
    if not (folder / "conventions.toml").is_file():
        return {}
    table = read_table(folder / "conventions.toml", f"{shown}/conventions.toml")
    found = {}
    for flag in table.record:
        at = table.table(flag)
        at.only("unit", "old", "new")
        found[flag] = Patch(at.text("unit", next(iter(units))), at.texts("old"), at.texts("new"))
        if not found[flag].old or len(found[flag].old) != len(found[flag].new):
            at.fail("old", "old and new must be texts of the same number")
    return found


def _check(course: Course, table: Table, shown: str) -> None:
    """Refuse what cannot be judged by: names of nothing, patches of nothing."""
    for name, switch in course.switches.items():
        if not switch.on and not switch.off:
            table.fail(f"switch.{name}", "must set flags (on) or take some away (off)")
        _known_cause(course, switch.explains, f"{shown}/course.toml: switch.{name}.explains")
    if not course.topics and not course.builders:
        raise CourseError(f"{shown}/topics: is missing; a course asks something in topics/*.toml")
    if course.builders and "base" not in table.record and not course.ships:
        table.fail("builders", "are those of a base; name it with base")
    for mistake in course.mistakes:
        where = f"{shown}/mistakes/{mistake.group}.toml: {mistake.unit}.{mistake.name}"
        for cause in (*mistake.causes, *mistake.also):
            _known_cause(course, cause, f"{where}.causes")
        if mistake.unit not in course.units:
            continue  # of a base, of whose modules this course has some
        if not course.ships and not mistake.convention:
            try:
                for each in mistake.each:
                    new = [text.replace("EACH", each) for text in mistake.new]
                    text = patched(course.sources[mistake.unit], mistake.old, new)
                    _compiles(text, f"{where}.new")
            except ValueError as error:
                if isinstance(error, CourseError):
                    raise
                raise CourseError(f"{where}.old: in reference/{mistake.unit}.py {error}") from error


def _known_cause(course: Course, cause: str, where: str) -> None:
    if cause and cause not in CAUSES and cause not in course.causes:
        raise CourseError(
            f"{where}: there is no cause {cause!r}; write its sentence in causes.toml"
        )
