"""Judge the functions of a running notebook as they are now, below the cell that asks."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from handgrad.check.case import Setting
from handgrad.check.cases import all_cases
from handgrad.check.conventions import parse
from handgrad.check.courses import Course
from handgrad.check.formats.text import as_text
from handgrad.check.reading.cells import Document
from handgrad.check.reading.definitions import select
from handgrad.check.reading.namespace import Namespace
from handgrad.check.reading.program import Program
from handgrad.check.records import CaseResult, CheckReport
from handgrad.check.sandbox.submission import Submission
from handgrad.check.session import check_submission
from handgrad.errors import CheckerFault, HandgradError, SubmissionError

_MODULE = "this_notebook"
_MAX_FILES, _MAX_BYTES = 300, 8 * 2**20


def here(
    *names: str,
    case: str | None = None,
    seed: int = 0,
    course: str = "",
    convention: str = "",
    timeout: float = 10.0,
) -> None:
    """Judge functions as they are defined now, and print the report.

    In a notebook, an IPython or Python prompt, or a script: what is judged is the source of each
    function as it was last run, with what it uses, in a child process (``check_submission``).

    Parameters
    ----------
    *names : str
        Functions ('fc_backward') or topics ('conv'); none: all that are defined.
    case, seed, course, convention, timeout
        As ``check_submission`` takes them.

    Notes
    -----
    It prints one line, and raises nothing, where there is nothing to judge.
    """
    namespace = sys._getframe(1).f_globals
    try:
        print(as_text(_judged(namespace, names, case, (course, convention), seed, timeout)), end="")
    except (HandgradError, CheckerFault) as error:
        print(f"handgrad: {error}")


def _judged(
    namespace: Mapping[str, Any],
    names: tuple[str, ...],
    case: str | None,
    rules: tuple[str, str],
    seed: int,
    timeout: float,
) -> CheckReport:
    course, convention = rules
    held_to = parse(convention, course)
    known_as = held_to.course.known_as
    asked = [known_as(name) for name in names]
    submission = submission_of(namespace, held_to.course)
    judged = {item.function for item in all_cases(Setting(held_to, seed))}
    places = {known_as(name) for name in submission.places}
    held = {name for name in judged if name.partition(".")[0] in places}
    for name, given in zip(asked, names, strict=True):
        if name in judged - held:
            raise SubmissionError(f"{given} is not defined here; run its cell first")
    report = check_submission(
        submission,
        seed=seed,
        convention=held_to,
        only=asked or sorted(held),
        case=case,
        timeout=timeout,
    )
    options = f", course={course!r}" if course else ""
    options += f", convention={convention!r}" if convention else ""
    return replace(
        report, cases=tuple(_repeated(result, f"seed={seed}{options}") for result in report.cases)
    )


def _repeated(result: CaseResult, options: str) -> CaseResult:
    if not result.repeat:
        return result
    call = f'here("{result.function}", case="{result.name}", {options})'
    return replace(result, repeat=call)


def submission_of(names: Mapping[str, Any], course: Course) -> Submission:
    """Take the functions of the course that a namespace holds, as a submission.

    Raises
    ------
    SubmissionError
        Where it holds none, or the source of none can be found.
    """
    wanted = [name for held in course.wanted.values() for name in sorted(held) if name in names]
    if not wanted:
        raise SubmissionError(
            "none of the functions that are judged is defined here; run their cells first"
        )
    namespace = Namespace(names)
    cells = tuple(namespace.cells(wanted))
    selection = select(cells, wanted)
    program = Program("this notebook", selection, Document(cells), selection.sha256, course.wanted)
    found = [name for name in wanted if name in selection.names]
    if not found:
        raise SubmissionError(
            f"the source of {', '.join(wanted[:3])} cannot be found: a plain Python prompt keeps "
            "none; write it in a notebook or a file, and name that: handgrad check FILE"
        )
    modules = {unit: _MODULE for unit, held in course.wanted.items() if not held.isdisjoint(found)}
    beside = _own_modules(names)
    content = program.stand_in([path.partition("/")[0].removesuffix(".py") for path in beside])
    sources = {**beside, f"{_MODULE}.py": content}
    lost = [name for name in namespace.lost if name not in ("In", "Out")]
    notes = [f"the value of {name}, which is used, cannot be taken along" for name in sorted(lost)]
    return Submission(
        file="this notebook",
        sha256=program.sha256,
        modules=modules,
        sources={f"parent/{key}": text for key, text in sources.items()},
        path=((True, "parent"),),
        files=dict.fromkeys(modules, "this notebook"),
        places={**dict.fromkeys(found, ""), **selection.places()},
        notes=tuple(notes),
        wanted=course.wanted,
    )


def _own_modules(names: Mapping[str, Any]) -> dict[str, bytes]:
    """The user's own files that a namespace has imported from: they come along."""
    roots: dict[str, ModuleType] = {}
    for value in names.values():
        dotted = value.__name__ if isinstance(value, ModuleType) else None
        dotted = dotted or getattr(value, "__module__", None)
        root = dotted.partition(".")[0] if isinstance(dotted, str) else ""
        module = sys.modules.get(root)
        if module is not None and root not in ("__main__", "handgrad"):
            roots[root] = module
    found: dict[str, bytes] = {}
    total = 0
    for root, module in sorted(roots.items()):
        place = getattr(module, "__file__", None)
        if not isinstance(place, str) or not _is_own(Path(place)):
            continue
        file = Path(place)
        package = file.name == "__init__.py"
        for path in sorted(file.parent.rglob("*.py")) if package else [file]:
            key = f"{root}/{path.relative_to(file.parent).as_posix()}" if package else f"{root}.py"
            content = path.read_bytes()
            total += len(content)
            if len(found) < _MAX_FILES and total <= _MAX_BYTES:
                found[key] = content
    return found


def _is_own(file: Path) -> bool:
    """Whether a module is the user's own and not installed."""
    installed = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve() / "lib"}
    file = file.resolve()
    return file.suffix == ".py" and not any(file.is_relative_to(place) for place in installed)
