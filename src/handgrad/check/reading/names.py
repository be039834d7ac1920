"""Names that courses' sites and browsers give to files: whose it is, and which module it is."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

SKIPPED = frozenset({"__pycache__", "__MACOSX", "node_modules", "site-packages", "venv", "env"})
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

# 'smithjohn_late_12_345_' before, '-2', ' (1)', ' - Copy', '_v2' after.
_BEFORE = r"(?P<before>(?:.*[\W_])?)"
_AFTER = r"(?P<after>(?:[ _-]+(?:copy|final|late))*(?:[ _-]*\(?v?\d+\)?)?)"
_NOT_SUBMITTED = re.compile(r"(?:^|[\W_])(?:tests?|fast|check|grade)[\W_]$", re.IGNORECASE)
_LATE_AND_NUMBERS = re.compile(r"(?:_late)?(?P<who>_\d+)_\d+_?$", re.IGNORECASE)


@dataclass(frozen=True)
class Named:
    """What a file's name says.

    Attributes
    ----------
    unit : str
        The module of the course.
    owner : str
        What stands before it, without what differs between one person's files; '' for none.
    plain : bool
        Whether it is the module's name and nothing else.
    """

    unit: str
    owner: str
    plain: bool


class Wanted(Mapping[str, frozenset[str]]):
    """The modules of a course: what each holds, and what its file may be called.

    Parameters
    ----------
    functions : mapping
        A module to the names of what it holds, every accepted one.
    files : mapping
        A module to the names that its file may have, without suffix, the best first.
    """

    def __init__(
        self, functions: Mapping[str, frozenset[str]], files: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._functions, self.files = functions, files
        self._unit_of = {name: unit for unit, names in files.items() for name in names}
        known = "|".join(map(re.escape, sorted(self._unit_of, key=len, reverse=True)))
        self._decorated = re.compile(f"{_BEFORE}(?P<name>{known}){_AFTER}", re.IGNORECASE)

    def __getitem__(self, unit: str) -> frozenset[str]:
        """The names of what a module holds."""
        return self._functions[unit]

    def __iter__(self) -> Iterator[str]:
        """The modules, in the course's order."""
        return iter(self._functions)

    def __len__(self) -> int:
        """How many modules there are."""
        return len(self._functions)

    @property
    def first(self) -> str:
        """The module that a file of another name is taken for."""
        return next(iter(self._functions))

    @property
    def names(self) -> frozenset[str]:
        """The names of all that the modules hold."""
        return frozenset[str]().union(*self._functions.values())

    def named(self, stem: str) -> Named | None:
        """Read the name of a file, without its suffix; None where it names no module.

        >>> wanted = Wanted({"layers": frozenset(), "optim": frozenset()},
        ...                 {"layers": ("layers",), "optim": ("optim",)})
        >>> wanted.named("smithjohn_LATE_12_345_layers-2")
        Named(unit='layers', owner='smithjohn_12', plain=False)
        >>> wanted.named("layers (1)").unit, wanted.named("Copy of optim").unit
        ('layers', 'optim')
        >>> wanted.named("test_layers")
        """
        if stem in self._unit_of:
            return Named(self._unit_of[stem], "", plain=True)
        found = self._decorated.fullmatch(stem)
        if found is None or _NOT_SUBMITTED.search(found["before"]):
            return None
        owner = _LATE_AND_NUMBERS.sub(lambda numbers: numbers["who"], found["before"])
        lower = {name.lower(): unit for name, unit in self._unit_of.items()}
        return Named(lower[found["name"].lower()], owner.strip(" _-"), plain=False)

    def unit_of_module(self, dotted: str) -> str | None:
        """The module of the course that an import names: 'layers' of 'cs231n.layers'."""
        return self._unit_of.get(dotted.rpartition(".")[2])


def is_hidden(part: str) -> bool:
    """Whether a folder or file is none of the author's: hidden, a cache, what macOS adds."""
    return part.startswith(".") or part in SKIPPED


def archive_suffix(name: str) -> str:
    """The suffix by which a file is an archive that can be opened; '' where it is none."""
    return next(
        (s for s in sorted(ARCHIVES, key=len, reverse=True) if name.lower().endswith(s)), ""
    )
