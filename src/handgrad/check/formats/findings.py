"""What a reader needs first: one line a function, and each mistake once with all that it breaks."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from handgrad.check.courses import known
from handgrad.check.records import CaseResult, CheckReport, counting
from handgrad.check.words import sentences

# These use the layers: while a layer fails, a failure of theirs without a cause of its own is
# most likely that layer's.
_BUILT_ON_LAYERS = ("models", "solver")
# The functions of these share no code: the same cause in two of them is two mistakes.
_INDEPENDENT = ("losses", "optim", "models", "solver")
# These causes say what became of a case, not why.
_SYMPTOMS = ("raises", "crashed", "timeout", "memory", "nonfinite", "wrong-shape", "factor-other")
# These make what is built on a layer raise, or give it a wrong shape.
_BREAK_SHAPES = ("transposed", "not-summed", "wrong-axis", "broadcast-n-by-n", *_SYMPTOMS)
# These are said of anything wrong; next to a cause they say nothing more.
_SAYS_LITTLE = ("backward-of-another-forward", "does-not-learn")
REMARKS = "Remarks: good practice beyond what is asked, which does not count"
_CONTAINMENT = "each case ran in a child process with limits: containment, not a security boundary"


@dataclass(frozen=True)
class FunctionSummary:
    """How the cases of one function went."""

    group: str
    function: str
    cases: tuple[CaseResult, ...]

    @property
    def counting(self) -> list[CaseResult]:
        """Those of its cases that count."""
        return counting(self.cases)

    def count(self, status: str) -> int:
        """How many of its cases that count have this status."""
        return sum(case.status == status for case in self.counting)

    @property
    def status(self) -> str:
        """'failed' if a case that counts did, or raised; else what one is that did not pass."""
        if self.count("failed") + self.count("error"):
            return "failed"
        return next((s for s in ("not judged", "missing") if self.count(s)), "passed")

    @property
    def title(self) -> str:
        """The function's name; the cases that time it are told apart from those that judge it."""
        return f"{self.function} (time)" if self.group == "time" else self.function

    @property
    def tally(self) -> str:
        """E.g. '5 of 9 cases', or why there is nothing to count."""
        cases = self.counting
        if not cases:
            return "no case that counts"
        if self.count("not judged") == len(cases):
            return "a package is not there"
        if self.count("missing") == len(cases):
            said = {case.seen.said for case in cases}
            if len(said) == 1:
                return said.pop().splitlines()[0].removesuffix(".")
            if all(text.startswith("not written yet") for text in said):
                return "not written yet"
            return "not there, or not written yet"
        return f"{self.count('passed')} of {len(cases)} cases"


@dataclass
class Finding:
    """One failure to read, and those that it explains."""

    case: CaseResult
    also: list[CaseResult] = field(default_factory=list)  # the same cause
    follow: list[CaseResult] = field(default_factory=list)  # no cause of their own found


def by_function(cases: Iterable[CaseResult]) -> list[FunctionSummary]:
    """One summary a function, in the order in which the functions were met."""
    found: dict[tuple[str, str], list[CaseResult]] = {}
    for case in cases:
        found.setdefault((case.group, case.function), []).append(case)
    return [FunctionSummary(*key, tuple(group)) for key, group in found.items()]


def totals(cases: Iterable[CaseResult]) -> dict[str, int]:
    """How many functions passed, failed, ...; the time of one is no function of its own."""
    functions = by_function(replace(case, group="") for case in cases)
    return {
        status: sum(function.status == status for function in functions)
        for status in ("passed", "failed", "missing", "not judged")
    }


def absent(cases: Iterable[CaseResult]) -> list[str]:
    """The functions that are missing, each once."""
    return list(dict.fromkeys(s.function for s in by_function(cases) if s.status == "missing"))


@dataclass(frozen=True)
class Remark:
    """Something beyond the assignment that a submission does not do, and where.

    ``name`` is that of its cases, or of several, which are beyond for one reason.
    """

    name: str
    because: str
    cases: tuple[CaseResult, ...]


def findings(cases: Iterable[CaseResult]) -> list[Finding]:
    """Fold the failures that count: each mistake once, in the order in which the cases ran.

    Two failures of one layer with the same diagnosis, or with the same error, are one mistake. A
    failure without a diagnosis joins one that may explain it (``_explanation``), as something that
    perhaps follows from it; so do models and solver. A failure that does not count joins a mistake
    that explains it, too, and else is a remark.
    """
    return _told_apart(cases)[0]


def remarks(cases: Iterable[CaseResult]) -> list[Remark]:
    """What did not pass, does not count, and follows from no mistake; each matter once."""
    matters: dict[str, list[CaseResult]] = {}
    for case in _told_apart(cases)[1]:
        matters.setdefault(case.because or case.name, []).append(case)
    return [
        Remark("; ".join(dict.fromkeys(c.name for c in found)), found[0].because, tuple(found))
        for found in matters.values()
    ]


def _told_apart(cases: Iterable[CaseResult]) -> tuple[list[Finding], list[CaseResult]]:
    """The mistakes, and the failures that do not count and that no mistake explains."""
    cases = list(cases)
    counted = {id(case) for case in counting(cases)}
    bad = [case for case in cases if case.status in ("failed", "error")]
    found = _folded([case for case in bad if id(case) in counted])
    rest = [
        case
        for case in cases
        if case.status in ("failed", "error", "missing")
        and id(case) not in counted
        and not _joined(case, found)
    ]
    return _join_what_is_built(found), rest


def _joined(case: CaseResult, found: list[Finding]) -> bool:
    """Whether a mistake explains a failure that does not count; it then has that, too."""
    if case.status not in ("failed", "error"):
        return False
    key = _cause(case)
    for finding in found:
        if key is not None and key in map(_cause, (finding.case, *finding.also)):
            finding.also.append(case)
            return True
    reason = _explanation(case, found) if key is None or _is_symptom(case) else None
    reason = reason or _home(Finding(case), found, _of_layers(found))
    if reason is not None:
        reason.follow.append(case)
    return reason is not None


def _folded(bad: list[CaseResult]) -> list[Finding]:
    heads: dict[tuple[str, ...], Finding] = {}
    unexplained: list[CaseResult] = []
    for case in sorted(bad, key=lambda case: case.second is not None):  # two mistakes come last
        key = _cause(case)
        if case.second is not None:
            _join_two(case, heads)
        elif key is None:
            unexplained.append(case)
        elif key in heads:
            heads[key].also.append(case)
        else:
            heads[key] = Finding(case)
    each = list({id(finding): finding for finding in heads.values()}.values())
    found = [finding for finding in each if not _is_symptom(finding.case)]
    for finding in each:
        if _is_symptom(finding.case):
            reason = _explanation(finding.case, found)
            if reason is None:
                found.append(finding)
            else:
                reason.follow += [finding.case, *finding.also]
    for case in unexplained:
        reason = _explanation(case, found)
        if reason is None:
            found.append(Finding(case))
        else:
            reason.follow.append(case)
    order = {id(case): place for place, case in enumerate(bad)}
    return sorted(found, key=lambda finding: order[id(finding.case)])


def _is_symptom(case: CaseResult) -> bool:
    """Whether a layer's failure says what became of it and not why."""
    return case.diagnosis in _SYMPTOMS and case.group not in _BUILT_ON_LAYERS


def _explanation(case: CaseResult, found: Iterable[Finding]) -> Finding | None:
    """The finding that may explain a failure without a cause of its own.

    Its own function's, with a cause; else, in a layer: that of the forward pass, whose cache the
    backward is given; else that of the function that a spatial one calls.
    """
    group = [finding for finding in found if finding.case.group == case.group]

    def of(function: str, known: bool) -> Iterable[Finding]:
        return (
            finding
            for finding in group
            if (not known or finding.case.diagnosis is not None)
            and any(c.function == function for c in (finding.case, *finding.also))
        )

    candidates = [*of(case.function, known=case.diagnosis not in _SAYS_LITTLE)]
    if case.group not in _INDEPENDENT:
        before, backward, _ = case.function.partition("backward")
        if backward:
            candidates += of(f"{before}forward", known=False)
            candidates += of(case.function.replace("backward", "forward"), known=False)
            candidates += of(before.rstrip("_."), known=False)  # as relu of relu_backward
        candidates += of(case.function.removeprefix("spatial_"), known=True)
        if case.function.startswith("spatial_"):
            candidates += of("batchnorm_forward", known=False)
    return candidates[0] if candidates else None


def _join_two(case: CaseResult, heads: dict[tuple[str, ...], Finding]) -> None:
    """Put a case with two causes to the mistakes that are known, or make it the one that is not."""
    keys = [_cause(case), _cause(replace(case, diagnosis=case.second))]
    known = [heads[key] for key in keys if key in heads]
    finding = known[-1] if len(known) == 2 else Finding(case)
    if len(known) == 2:
        finding.also.append(case)
    for key in keys:
        if key is not None:
            heads.setdefault(key, finding)


def _cause(case: CaseResult) -> tuple[str, ...] | None:
    """What two failures must share to be one mistake; None: the numbers did not tell."""
    own = case.function if case.group in _INDEPENDENT else ""
    if case.diagnosis in _SAYS_LITTLE:
        return None
    if case.seen.module:
        return ("error", case.seen.module)  # one mistake, whatever is in the file
    if case.diagnosis in (None, *_SYMPTOMS):
        if case.status == "error" and case.seen.said:
            return ("error", case.group, own, case.seen.said.splitlines()[0])
        return None if case.diagnosis is None else (case.diagnosis, case.group, case.function)
    return ("cause", case.group, own, str(case.diagnosis))


def _join_what_is_built(found: list[Finding]) -> list[Finding]:
    """Fold what is built on layers and rules into the mistake there that may explain it."""
    layers = _of_layers(found)
    kept = []
    for finding in found:
        home = _home(finding, found, layers)
        if home is None:
            kept.append(finding)
        elif home.case.diagnosis == finding.case.diagnosis is not None:
            home.also += [finding.case, *finding.also]
            home.follow += finding.follow
        else:
            home.follow += [finding.case, *finding.also, *finding.follow]
    return kept


def _of_layers(found: Iterable[Finding]) -> list[Finding]:
    return [f for f in found if f.case.group not in (*_BUILT_ON_LAYERS, "optim", "time")]


def _home(finding: Finding, found: list[Finding], layers: list[Finding]) -> Finding | None:
    case = finding.case
    if case.group == "time" and case.diagnosis != "too-slow":
        return next((f for f in layers if f.case.group == "conv"), None)
    if case.group not in _BUILT_ON_LAYERS:
        return None
    if case.group == "solver":  # which is judged with plain sgd, and learns with all there is
        groups = ("optim", "models") if case.diagnosis == "does-not-learn" else ()
        rules = [f for f in found if f.case.function == "sgd" or f.case.group in groups]
        if rules and not (case.diagnosis == "does-not-learn" and layers):
            return rules[0]
    if case.diagnosis in _SYMPTOMS:
        return next((f for f in layers if f.case.diagnosis in _BREAK_SHAPES), None)
    if case.diagnosis in (None, *_SAYS_LITTLE):
        return next(iter(layers), None)
    return next((f for f in layers if f.case.diagnosis == case.diagnosis), None)


def names(cases: Iterable[CaseResult], known: str = "") -> str:
    """List cases briefly, grouped by function; that of ``known`` need not be said again.

    >>> a = CaseResult("conv", "conv_backward", "N = 1, C = 1", "failed")
    >>> b = CaseResult("conv", "conv_forward", "even filter", "failed")
    >>> names([a, b], "conv_backward")
    'N = 1, C = 1; conv_forward (even filter)'
    """
    said: dict[str, list[str]] = {}
    for case in cases:
        title = f"{case.function}, time" if case.group == "time" else case.function
        said.setdefault(title, []).append(case.name)
    return "; ".join(
        "; ".join(each) if function == known else f"{function} ({'; '.join(each)})"
        for function, each in said.items()
    )


def printable(text: str) -> str:
    r"""Make text of a submission harmless: no control characters, nothing UTF-8 cannot hold.

    >>> printable("red \x1b[31m\ttab\nline \udc80")
    'red \\x1b[31m\ttab\nline \\udc80'
    """
    text = text.encode("utf-8", "backslashreplace").decode()
    return re.sub(
        r"[^\n\t -~]",
        lambda found: (
            found[0]
            if unicodedata.category(found[0]) not in ("Cc", "Cf", "Cs", "Cn")
            else found[0].encode("unicode_escape").decode()
        ),
        text,
    )


def remark_lines(remark: Remark) -> list[str]:
    """What a remark is about and where, why it does not count, and what was seen first."""
    first = remark.cases[0]
    where = ", ".join(dict.fromkeys(case.function for case in remark.cases))
    seen = sentences(first)
    shown = [f"{first.function}: {seen[0]}"] if seen else []
    return [printable(line) for line in (f"{remark.name}: {where}", remark.because, *shown)]


def problems(report: CheckReport) -> list[str]:
    """What kept cases from being judged, as sentences."""
    return [f"{text[:1].upper()}{text[1:]}." for text in map(printable, report.problems)]


def notes(report: CheckReport) -> list[str]:
    """What was left out of a notebook, or taken of several, as sentences."""
    return [f"{text[:1].upper()}{text[1:]}." for text in map(printable, report.notes)]


def detail_lines(case: CaseResult) -> list[str]:
    """What a case has to say, the likely cause in a line of its own."""
    return [line for text in sentences(case) for line in printable(text).splitlines()]


def held_to(report: CheckReport) -> str:
    """By what it was judged: 'course cs231n, convention drop'."""
    course = known(report.course)
    own = course.preset if course is not None else report.course
    switches = [word for word in report.convention.split(",") if word != own]
    return f"course {report.course}" + (f", convention {','.join(switches)}" if switches else "")


def repeatable(report: CheckReport) -> str:
    """The versions of a report in one line."""
    shown = {k: text for k, text in report.environment.items() if k != "not contained"}
    return ", ".join(f"{name} {version}" for name, version in shown.items())


def containment(report: CheckReport) -> str:
    """What the sandbox is and what it is not, what it lacks here, and how to go further."""
    lacking = report.environment.get("not contained")
    here = f" Not contained on this computer: {lacking}." if lacking else ""
    return f"{_CONTAINMENT}.{here} For code you do not trust, use a container (docs/check.md):"


CONTAINER = (
    "podman run --rm --network none --read-only --tmpfs /tmp --memory 4g --pids-limit 256 "
    '--cap-drop all -v "$PWD:/work:ro" -w /work handgrad handgrad check PATH'
)
"""The command; the image is built as docs/check.md says."""
